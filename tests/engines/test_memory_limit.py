"""A database in memory has a size, and where it is limited it refuses to grow."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Append, Batch, Delete, DeleteRange, Operation, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, StorageFull
from holdfast.contract.record import Range, Record
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.drive import drive
from holdfast.runtime.system import system_components


def opened(size_max: int) -> MemoryEngine:
    engine = MemoryEngine(MemoryConfig(size_max=size_max), system_components())
    drive(engine.open())
    return engine


def rows_of(engine: Engine) -> dict[bytes, bytes]:
    return {key: value for key, (value, _) in drive(engine.scan(Range())).rows}


@pytest.mark.row("E-092")
def test_the_total_size_is_exact_after_sets_overwrites_and_deletes() -> None:
    with holdfast.sync.open("memory://?size_max=1GiB") as db:
        chance = random.Random(3)
        before = db.stats()
        for _ in range(200):
            key = f"a:{chance.randrange(40)}"
            if chance.random() < 0.3:
                db.entries.delete(key)
            else:
                db.entries.set(key, "x" * chance.randrange(200), ttl=chance.choice([None, 99]))
        after = db.stats()
        pages: list[tuple[bytes, Record]] = []
        rest: Range | None = Range()
        engine = db._inner._open_engine()
        while rest is not None:
            page = drive(engine.scan(rest))
            pages += page.rows
            rest = page.resume
        total = sum(len(key) + len(record.value) for key, record in pages)
        assert (after.total_size, after.total_rows) == (total, len(pages))
        assert after.total_size > before.total_size
        assert after.revision == db.revision
        parts = [part for one in after.keyspaces for part in one.parts.values()]
        parts += [after.feed, after.expiries, after.system]
        assert sum(part.size for part in parts) == total
        assert db.check() == []  # It compares what was counted with what is there.


@pytest.mark.row("E-093")
def test_a_limit_refuses_what_would_grow_and_leaves_what_is_there() -> None:
    engine = opened(1_000)
    drive(engine.commit(Batch([Put(b"a", bytes(600)), Put(b"b", bytes(300))])))
    before = rows_of(engine)
    growing: tuple[tuple[Operation, ...], ...] = (
        (Put(b"c", bytes(200)),),
        (Put(b"a", bytes(800)),),
        (Put(b"b", bytes(1)), Put(b"c", bytes(500))),
        (Append(b"log", bytes(200)),),
    )
    for operations in growing:
        with pytest.raises(StorageFull, match="may take 1000 bytes"):
            drive(engine.commit(Batch(operations)))
        assert rows_of(engine) == before
    with pytest.raises(StorageFull):
        drive(engine.load([(b"c", Record(bytes(200), 9))]))
    assert rows_of(engine) == before
    # What shrinks, or stays as large, goes.
    drive(engine.commit(Batch([Put(b"a", b"x" * 600)])))
    drive(engine.commit(Batch([Delete(b"b"), Put(b"c", bytes(300))])))
    drive(engine.commit(Batch([DeleteRange(Range(b"a", b"b"))])))
    drive(engine.commit(Batch([Put(b"d", bytes(600))])))
    assert drive(engine.check()) == []


@pytest.mark.row("E-093")
def test_a_limit_holds_for_every_view_and_tells_what_helps() -> None:
    with holdfast.sync.open("memory://?size_max=8KiB") as db:
        db.entries.set("kept:1", "old")
        ledger = db.stores.create("ledger")
        ledger.set(b"kept", b"old")
        big = "x" * 8_000
        attempts: tuple[Callable[[], object], ...] = (
            lambda: db.entries.set("kept:1", big),
            lambda: db.entries.set_many({f"many:{n}": "x" * 500 for n in range(20)}),
            lambda: ledger.set(b"kept", big.encode()),
            lambda: db.collection("c").set("a", {"text": big}),
        )
        for attempt in attempts:
            with pytest.raises(StorageFull, match="larger size_max"):
                attempt()
        assert db.entries.require("kept:1").value == "old"
        assert ledger.get(b"kept") == b"old"
        assert db.check() == []
        assert db.entries.delete("kept:1")


def test_a_snapshot_and_a_broken_group_leave_the_size_right() -> None:
    engine = opened(10_000)
    with drive(engine.snapshot()):
        drive(engine.commit(Batch([Put(b"a", bytes(100))])))
        drive(engine.commit(Batch([Put(b"a", bytes(10))])))
        with pytest.raises(StorageFull):
            drive(engine.commit(Batch([Put(b"a", bytes(9_000)), Put(b"b", bytes(9_000))])))
    assert drive(engine.check()) == []


def test_a_limit_that_is_no_size_is_refused() -> None:
    for size in (-1, 2**60):
        with pytest.raises(ConfigInvalid, match="size"):
            MemoryConfig(size_max=size)
