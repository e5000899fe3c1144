"""One Ctrl-C at every line of what users call, on every engine and mode: afterwards all works."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import DuplicateKey
from holdfast.engines.file import FileEngine
from holdfast.engines.lmdb import LmdbEngine
from holdfast.engines.lsm.engine import LsmEngine
from holdfast.engines.memory import MemoryEngine
from holdfast.engines.sqlite import SqliteEngine
from holdfast.store.opened import _registry
from tests.faults.interrupts import each_line, elsewhere
from tests.faults.modes import KEPT, MODES, url_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    # Dropped by the interrupt between its making and its first owner, and closed by that.
    pytest.mark.filterwarnings("ignore:unclosed file"),
]

Database = holdfast.sync.Database


def set_one(db: Database) -> None:
    db.entries.set("a:1", {"n": 1}, tags=["t"], ttl=1000)


def set_many(db: Database) -> None:
    db.entries.set_many({"a:1": 1, "a:2": 2})


def modify(db: Database) -> None:
    db.entries.modify("a:0", lambda value: value + 1)


def delete(db: Database) -> None:
    db.entries.delete("a:1")


def rename(db: Database) -> None:
    db.entries.set("a:old", 1)
    try:
        db.entries.rename("a:old", "a:new")
    except DuplicateKey:
        db.retention.purge("a:new")


def transaction(db: Database) -> None:
    with db.transaction() as tx:
        tx.entries.set("a:1", tx.entries.require("a:0").value)
        tx.stores.get("ledger").set(b"k", b"v")
        tx.collection("people").set("ada", {"n": 1})


def roll_back(db: Database) -> None:
    tx = db.transaction("read_committed").begin()
    list(tx.entries.keys("#"))
    tx.entries.set("a:1", 1)
    tx.rollback()


def lock(db: Database) -> None:
    with db.lock("a", timeout=5):
        db.entries.set("a:1", 1)


def watch(db: Database) -> None:
    with db.watch(since=db.revision) as changes:
        db.entries.set("a:1", 1)
        assert next(changes).op == "set"
        changes.poll()


def snapshot(db: Database) -> None:
    with db.snapshot() as view:
        view.entries.get("a:0")
        list(view.entries.keys("#"))


def store(db: Database) -> None:
    there = db.stores.get("ledger")
    there.set(b"k", b"v")
    list(there.iterate())
    there.delete(b"k")


def collection(db: Database) -> None:
    people = db.collection("people")
    people.set("ada", {"n": 1})
    people.modify("ada", _older)
    list(people.keys())


def _older(person: Any) -> dict[str, Any]:
    return {"n": person["n"] + 1}


VERBS: dict[str, Callable[[Database], None]] = {
    one.__name__: one
    for one in (
        set_one, set_many, modify, delete, rename, transaction, roll_back, lock, watch, snapshot,
        store, collection,
    )
}  # fmt: skip


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """A database with something of each view in it; without threads of its own."""
    with holdfast.sync.open(url, housekeeping=False) as db:
        db.entries.set("a:0", 0)
        db.entries.set("counter", 0)
        db.stores.create("ledger")
        yield db


def moments_of(db: Database) -> int:
    """How many moments of the past are held at least, once what has no owner is collected."""
    gc.collect()
    engine: Any = db._inner._require_shared().engine
    if isinstance(engine, MemoryEngine):
        return len(engine._state.past.tokens)
    if isinstance(engine, SqliteEngine):
        return len(engine._open_parts().snapshots)
    if isinstance(engine, FileEngine):
        return int(bool(engine._store.snapshots))
    if isinstance(engine, LsmEngine):
        return int(bool(engine._opened_now.snapshots))
    assert isinstance(engine, LmdbEngine)
    return len(engine._snapshots)


def interrupt_all(url: str, verb: str, *, first: int, step: int) -> int:
    """Run a verb with an interrupt at one line after the other; how many there were."""
    places = 0
    with opened(url) as db:
        call = VERBS[verb]
        call(db)

        def works() -> None:
            db.entries.modify("counter", lambda count: count + 1)
            call(db)

        for place in each_line(lambda: call(db), first=first, step=step):
            places += 1
            elsewhere(works, place)
        assert db.entries.require("counter").value == places, "nothing acknowledged is lost"
        assert db.check() == []
        shared = db._inner._require_shared()
        assert len(shared.locks.table) == shared.locks.table.callers == 0
        assert shared.tail.joined == 0
        assert moments_of(db) == 0
    require_no_threads("the last interrupt")
    return places


def require_no_threads(place: str) -> None:
    """Threads that are told to end do so soon."""
    for thread in threading.enumerate():
        if thread.name.startswith("holdfast"):
            thread.join(5)
            assert not thread.is_alive(), f"after {place} {thread.name} goes on"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("mode", MODES)
def test_a_verb_interrupted_at_many_lines(mode: str, verb: str, quick: Path) -> None:
    # Another line of each ten in each mode: `make torture` takes all.
    first = (3 * list(MODES).index(mode) + list(VERBS).index(verb)) % 10
    assert interrupt_all(url_of(mode, quick), verb, first=first, step=10) > 10


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("mode", MODES)
def test_a_verb_interrupted_at_every_line(mode: str, verb: str, quick: Path) -> None:
    assert interrupt_all(url_of(mode, quick), verb, first=0, step=1) > 100


def open_and_close_all(url: str, *, first: int, step: int) -> int:
    """Open and close a database with an interrupt at one line after the other."""
    kept: list[Database] = []
    expected = 0

    def works() -> None:
        nonlocal expected
        with holdfast.sync.open(url) as db:
            found = db.entries.get("counter")
            assert (0 if found is None else found.value) == expected
            db.entries.set("counter", expected + 1)
            expected += 1

    def cycle() -> None:
        kept.append(holdfast.sync.open(url))
        with kept[-1] as db:
            db.entries.set("a:1", 1)

    works()
    places = 0
    for place in each_line(cycle, first=first, step=step):
        places += 1
        for db in kept:
            db.close()  # Whoever was interrupted has the handle, and may close it.
        kept.clear()
        elsewhere(works, place)
        require_no_threads(place)
    with holdfast.sync.open(url) as db:
        assert db.check() == []
    return places


#: Opening a file database reads its journals, which each round makes longer, so that all lines of
#: them would never come to an end; `test_interrupted_file.py` does that with a few rows.
OPEN_AT_ONCE = [mode for mode in KEPT if not mode.startswith("file")]


@pytest.mark.parametrize("mode", OPEN_AT_ONCE)
def test_an_opening_and_closing_interrupted_at_many_lines(mode: str, quick: Path) -> None:
    assert open_and_close_all(url_of(mode, quick), first=3 * KEPT.index(mode), step=23) > 10


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", OPEN_AT_ONCE)
def test_an_opening_and_closing_interrupted_at_every_line(mode: str, quick: Path) -> None:
    assert open_and_close_all(url_of(mode, quick), first=0, step=1) > 100


@pytest.mark.parametrize("mode", MODES)
def test_a_second_handle_interrupted_while_it_joins_is_not_waited_for(
    mode: str, quick: Path
) -> None:
    """The first handle is the last one then, and its close ends the database."""
    url = url_of(mode, quick)

    def cycle() -> None:
        with holdfast.sync.open(url) as second:
            second.entries.get("a:1")

    places = 0
    with holdfast.sync.open(url) as db:
        for _ in each_line(cycle, first=0, step=3):
            places += 1
            [opening] = _registry.values()
            if len(opening.tokens) > 1:
                # What the interrupted call had goes with its remains. Not asked for each time: a
                # collection takes long late in a run, when the process has many objects.
                gc.collect()
            assert len(opening.tokens) == 1
        assert db.entries.get("a:1") is None
    assert places > 30
    assert not _registry
