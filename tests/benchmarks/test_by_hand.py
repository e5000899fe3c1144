"""The rows by hand are the rows that Holdfast writes: its own check has nothing against them."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import holdfast
from benchmarks.stores.by_hand import HandLmdb, HandMemory, HandSqlite, HandStore
from holdfast.contract.record import Record
from tests.store.scene import storage_of

KEYS = ["plain", "users/active:1", "users/active:2", "a/b/c:x y"]
STORES = {"memory": HandMemory, "lmdb": HandLmdb, "sqlite": HandSqlite}


def rows_of(store: HandStore, regions: bytes = b"DHF") -> list[tuple[bytes, Record]]:
    """The rows of some regions of a store, as an engine loads them."""
    return [
        (key, Record(row[8:], int.from_bytes(row[:8], "big")))
        for key, row in store.rows()
        if key != b"\0head" and (key[:1] if key[:1] == b"F" else key[5:6]) in regions
    ]


async def loaded(store: HandStore, keys: Sequence[str], regions: bytes = b"DHF") -> list[str]:
    """What our check says of the rows of a store, and that they read as they were written."""
    async with holdfast.open("memory://") as db:
        engine = storage_of(db)._engine
        assert await engine.head() == store.head - 4
        await engine.load(rows_of(store, regions), next_revision=store.head + 1)
        for key in keys:
            entry = await db.entries.require(key)
            assert entry.value == store.get(key) == {"n": 3, "key": key}
            assert entry.metadata.version == 4
            assert [one.value["n"] async for one in db.entries.history(key)] == [0, 1, 2]
        return await db.check()


async def head_of_a_new_database() -> int:
    async with holdfast.open("memory://") as db:
        return await storage_of(db)._engine.head()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HandStore]:
    """One that has set every key four times, in four commits."""
    made: HandStore = STORES[request.param](tmp_path)
    # After what the opening wrote.
    made.head = asyncio.run(head_of_a_new_database())
    made.start()
    try:
        for number in range(4):
            made.load([(key, {"n": number, "key": key}) for key in KEYS])
        yield made
    finally:
        made.stop()


def test_the_rows_by_hand_pass_our_check(store: HandStore) -> None:
    assert store.walk() == len(KEYS)
    assert len(rows_of(store)) == len(KEYS) * (1 + 3 + 4)
    assert asyncio.run(loaded(store, KEYS)) == []


def test_our_check_finds_rows_that_are_missing_by_hand(store: HandStore) -> None:
    assert asyncio.run(loaded(store, (), b"DF"))
    assert asyncio.run(loaded(store, (), b"DH"))


def test_a_set_by_hand_is_a_commit(store: HandStore) -> None:
    head = store.head
    store.set(KEYS[0], {"n": 4})
    assert store.head == head + 1
    assert store.get(KEYS[0]) == {"n": 4}
