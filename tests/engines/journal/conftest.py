"""Fixtures of this folder."""

import pytest

from holdfast.engines.lmdb import journaled, warm_up


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal begins with the first commit, and no time ends it."""
    monkeypatch.setattr(warm_up, "WARM_UP_COMMITS", 0)
    monkeypatch.setattr(warm_up, "DENIED_S", 0.0)
    monkeypatch.setattr(journaled, "IDLE_S", 3600.0)
    monkeypatch.setattr(journaled, "AGE_S", 3600.0)
