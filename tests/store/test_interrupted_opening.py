"""Ctrl-C at every line while a database opens: its path is not taken for good."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import holdfast.sync
from holdfast.engines.embedded import life
from holdfast.store import opened
from tests.faults import interrupts


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("module", [opened, life], ids=["registry", "engine"])
@pytest.mark.parametrize("scheme", ["lmdb", "sqlite"])
def test_an_opening_interrupted_at_any_line_leaves_the_path_free(
    scheme: str, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{scheme}:///{tmp_path}/db"
    # At every line of this module: each engine's own have their own test.
    monkeypatch.setattr(interrupts, "_SOURCE", module.__file__)

    def works() -> None:
        with holdfast.sync.open(url, housekeeping=False) as db:
            db.entries.set("a", 1)

    works()
    kept: list[holdfast.sync.Database] = []

    def open_one() -> None:
        kept.append(holdfast.sync.open(url, housekeeping=False))

    places = 0
    for place in interrupts.each_line(open_one):
        places += 1
        interrupts.elsewhere(works, place)
        # Interrupted, it has let go by itself: nobody has the handle.
        while kept:
            kept.pop().close()
    kept.pop().close()
    assert places > 15
