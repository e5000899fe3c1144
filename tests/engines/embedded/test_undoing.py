"""A commit that breaks off and cannot be undone is not acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import OutcomeUnknown
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.runtime.system import drive
from tests.engines.embedded.engines import ENGINES, driven

#: What relaxed LMDB has not flushed is undone in memory, on a way of its own.
UNDONE_BY_THE_ENGINE = [name for name in ENGINES if name != "lmdb relaxed"]


@pytest.mark.parametrize("name", UNDONE_BY_THE_ENGINE)
def test_a_commit_whose_undoing_fails_has_no_receipt(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bool:
        raise OSError("the cable was pulled")

    with driven(name, tmp_path) as engine:
        assert isinstance(engine, EmbeddedEngine)
        batch = Batch([Put(b"a", b"1"), Put(b"b", b"1")])
        with monkeypatch.context() as patch:
            patch.setattr(engine, "_finish", broken)
            patch.setattr(engine, "_decide_group", broken)
            recover = engine._recover

            def broken_too() -> bool:
                recover()
                raise OSError("and the other one")

            patch.setattr(engine, "_recover", broken_too)
            with pytest.raises((OutcomeUnknown, OSError)):
                drive(engine.commit(batch))
        assert drive(engine.commit(batch)).revision == 1
