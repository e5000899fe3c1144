"""The rows by hand on each engine are the rows that Holdfast writes: its check passes them."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import holdfast
from benchmarks.stores.by_hand import HandStore
from benchmarks.stores.by_hand_engines import HandFile, HandLeveldb, HandRocksdb
from benchmarks.stores.on_postgres import HandPostgres
from benchmarks.stores.on_redis import HandRedis
from benchmarks.stores.on_servers import ServerStore
from benchmarks.stores.raw_engines import RawFile, RawLeveldb, RawRocksdb
from holdfast.contract.record import Record
from tests.benchmarks.test_by_hand import KEYS, head_of_a_new_database, loaded, rows_of
from tests.servers.processes import postgres_server, redis_server
from tests.store.scene import storage_of

STORES: dict[str, Callable[[Path], HandStore]] = {
    "file": HandFile,
    "rocksdb": HandRocksdb,
    "leveldb": HandLeveldb,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HandStore]:
    """One that has set every key four times, in four commits."""
    made = STORES[request.param](tmp_path)
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
    assert asyncio.run(loaded(store, (), b"DF")), "and would find what is missing"


def test_the_lines_by_hand_are_a_journal_of_ours(tmp_path: Path) -> None:
    hand = HandFile(tmp_path)
    hand.start()
    hand.set("a:1", {"n": 1})
    hand.stop()
    lines = (tmp_path / "by-hand.jsonl").read_bytes().splitlines()
    assert [line.partition(b'":')[0] for line in lines] == [b'{"key', b'{"key', b'{"commit']


@pytest.mark.parametrize("made", [RawFile, RawRocksdb, RawLeveldb])
def test_raw_drivers_hold_what_was_written(
    made: Callable[[Path], RawFile | RawRocksdb | RawLeveldb], tmp_path: Path
) -> None:
    store = made(tmp_path)
    store.start()
    try:
        store.load([("a", {"n": 1}), ("b", {"n": 2})])
        store.set("a", {"n": 3})
        assert [store.get(key) for key in ("a", "b", "c")] == [{"n": 3}, {"n": 2}, None]
    finally:
        store.stop()


def test_the_rows_by_hand_on_redis_pass_our_check() -> None:
    with redis_server(appendfsync=None) as server:
        head = asyncio.run(head_of_a_new_database())
        asyncio.run(check_of(HandRedis(server.port, head)))


def test_the_rows_by_hand_on_postgres_pass_our_check() -> None:
    with postgres_server(fsync="off") as server:
        head = asyncio.run(head_of_a_new_database())
        asyncio.run(check_of(HandPostgres(server.port, head)))


async def check_of(store: HandRedis | HandPostgres) -> None:
    """Tasks set keys by hand at once, the hottest by all of them; then our check sees the rows."""
    await store.open()
    try:
        await asyncio.gather(*(many(store, task) for task in range(8)))
        stored = await store.rows()
        rows = [(key, Record(row[8:], int.from_bytes(row[:8], "big"))) for key, row in stored]
        async with holdfast.open("memory://") as db:
            engine = storage_of(db)._engine
            newest = max(record.revision for _, record in rows)
            assert newest == await engine.head() + 8 * 5, "a revision for each set"
            await engine.load(rows, next_revision=newest + 1)
            assert (await db.entries.require("hot:x")).metadata.version == 8 * 4
            for task in range(8):
                entry = await db.entries.require(f"own/{task}:x")
                assert entry.value == await store.get(f"own/{task}:x") == {"n": task}
            assert await db.check() == []
    finally:
        await store.close()


async def many(store: ServerStore, task: int) -> None:
    await store.set(f"own/{task}:x", {"n": task})
    for number in range(4):
        await store.set("hot:x", {"n": number, "task": task})
