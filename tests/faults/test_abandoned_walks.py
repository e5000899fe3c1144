"""A walk that is collected as part of a cycle: everything it stands on is collected with it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.documents import F
from tests.faults.modes import MODES, url_of
from tests.faults.test_interrupted_databases import moments_of


class Knot:
    """Holds a walk, and itself: only the collector of garbage lets go of it."""

    def __init__(self, walk: Any) -> None:
        self.walk = walk
        self.myself = self
        next(walk)


@pytest.mark.parametrize("mode", MODES)
def test_walks_collected_with_what_they_stand_on_end_nothing_else(mode: str, quick: Path) -> None:
    """Finalizers come in any order: a reader that its walk had given back was closed."""
    with holdfast.sync.open(url_of(mode, quick), housekeeping=False) as db:
        things = db.collection("things")
        things.set_many({f"k{number}": {"n": number} for number in range(5)})
        things.create_index("n", "n")
        store = db.stores.create("ledger")
        store.set_many([(b"a", b"1"), (b"b", b"2")])
        db.entries.set_many({"a": 1, "b": 2})
        gc.collect()
        for _ in range(20):
            Knot(things.query(F.n >= 0))
            Knot(things.keys())
            Knot(db.entries.items())
            Knot(store.iterate())
            gc.collect()
            for _ in range(4):
                assert things.count(F.n >= 0) == 5
                assert things.get("k1") == {"n": 1}
                assert store.get(b"a") == b"1"
        assert moments_of(db) == 0
        assert db.check() == []
