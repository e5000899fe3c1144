"""The log of operations: bounded, kept in the database, queried by any process."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import Conflict, InvalidInput, PatternInvalid, StorageFull
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store import operation_log as log_module
from holdfast.store.instants import instant
from holdfast.store.operation_log import LogRecord
from tests.store.scene import Scene, engine_of, listed, rows_of, until

SOURCE = Path(holdfast.__file__).parents[1]


async def work(scene: Scene, db: Any) -> None:
    """Some operations, a second apart."""
    await db.entries.set("users:1", 1)
    scene.clock.advance(1)
    await db.entries.set("users/old:2", 2)
    scene.clock.advance(1)
    with pytest.raises(Conflict):
        await db.entries.set("users:1", 3, if_absent=True)
    scene.clock.advance(1)
    await db.entries.get("users:1")
    slow = db.log.log_start("get", ["reports:1"])
    scene.clock.advance(1)
    db.log.log_end(slow)


async def found(db: Any, **wanted: Any) -> list[tuple[str, str, bool]]:
    return [
        (record.operation, record.keys[0], record.success)
        async for record in db.log.query(**wanted)
    ]


@pytest.mark.row("K-065")
@pytest.mark.parametrize("flushed", [False, True])
async def test_it_is_queried_by_operation_key_outcome_time_and_duration(
    scene: Scene, flushed: bool
) -> None:
    async with scene.open(logged=True) as db:
        await work(scene, db)
        if flushed:
            assert await db.log.flush() == 5
            assert await db.log.flush() == 0
        everything = [
            ("set", "users:1", True), ("set", "users/old:2", True), ("set", "users:1", False),
            ("get", "users:1", True), ("get", "reports:1", True),
        ]  # fmt: skip
        assert await found(db) == everything
        assert await found(db, reverse=True) == everything[::-1]
        assert await found(db, operation="set", success=False) == [everything[2]]
        assert await found(db, operation="get", success=True) == everything[3:]
        assert await found(db, key="users/#") == everything[:4]
        assert await found(db, key=holdfast.Pattern("*old*", "glob")) == [everything[1]]
        assert await found(db, since=2.5) == everything[2:]
        assert await found(db, since=timedelta(seconds=1)) == everything[3:]
        assert await found(db, since=instant(scene.clock.now_ms())) == everything[4:]
        assert await found(db, duration_min=1) == [everything[4]]
        assert await found(db, duration_min=timedelta(seconds=2)) == []
        for bad in ({"since": -1}, {"since": datetime.now(tz=UTC).replace(tzinfo=None)},
                    {"duration_min": True}):  # fmt: skip
            with pytest.raises(InvalidInput):
                db.log.query(**bad)
        with pytest.raises(PatternInvalid):
            db.log.query(key="a/#/b")
        lines = [json.dumps(record.fields()) for record in await listed(db.log.query())]
        assert [json.loads(line)["operation"] for line in lines] == ["set"] * 3 + ["get"] * 2


async def test_it_outlives_its_handle_and_all_handles_write_one(kept_scene: Scene) -> None:
    async with kept_scene.open(logged=True) as db:
        await db.entries.set("a:1", 1)
        async with kept_scene.handle(logged=True) as other:
            await other.entries.set("a:2", 2)
    async with kept_scene.handle() as db:
        await db.entries.set("a:3", 3)  # Opened without: nothing is logged.
        assert sorted(await found(db)) == [("set", "a:1", True), ("set", "a:2", True)]


async def test_only_the_newest_are_kept(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "RECORDS_MAX", 25)
    monkeypatch.setattr(log_module, "WRITE_MAX", 10)
    async with scene.open(logged=True) as db:
        for start in range(0, 60, 6):
            for number in range(start, start + 6):
                await db.entries.has(f"n:{number}")
            await db.log.flush()
            assert len(await rows_of(db, Range.prefix(layout.SYSTEM_OPERATIONS))) <= 25
        kept = [record.keys[0] async for record in db.log.query()]
        assert kept == [f"n:{number}" for number in range(35, 60)]


async def test_memory_is_bounded_and_what_is_dropped_is_counted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "PENDING_MAX", 10)
    monkeypatch.setattr(log_module, "UNDER_WAY_MAX", 3)
    async with scene.open(logged=True) as db:
        for number in range(15):
            await db.entries.has(f"n:{number}")
        assert db.log.dropped == 5
        assert [key for _, key, _ in await found(db)] == [f"n:{n}" for n in range(5, 15)]
        started = [db.log.log_start("get") for _ in range(4)]
        assert db.log.log_end(started[0]) is None
        assert db.log.log_end(started[1]) is not None


async def test_what_cannot_be_written_now_is_written_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open(logged=True) as db:
        await db.entries.has("n:1")
        await db.entries.has("n:2")
        engine = engine_of(db)
        full = StorageFull("no room")

        async def refuse(*_: Any, **__: Any) -> Any:
            assert len(await listed(db.log.query())) == 2  # On its way, and still to be seen.
            raise full

        with monkeypatch.context() as patch:
            patch.setattr(engine, "transact", refuse)
            with pytest.raises(StorageFull):
                await db.log.flush()
        assert await db.log.flush() == 2
        assert [key for _, key, _ in await found(db)] == ["n:1", "n:2"]


async def test_a_full_medium_does_not_keep_a_handle_from_closing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.handle(logged=True) as db:
        await db.entries.has("n:1")

        async def refuse(*_: Any, **__: Any) -> Any:
            raise StorageFull("no room")

        monkeypatch.setattr(engine_of(db), "transact", refuse)
    assert "could not be written: no room" in caplog.text


async def test_records_written_by_several_at_once_are_all_there(scene: Scene) -> None:
    async with scene.open(logged=True) as db:

        async def one(number: int) -> None:
            await db.entries.has(f"n:{number}")
            await db.log.flush()

        await asyncio.gather(*(one(number) for number in range(100)))
        ids = [record.id async for record in db.log.query()]
        assert len(set(ids)) == len(ids) == 100


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_record_that_is_written_while_it_is_asked_for_comes_once(
    scene: Scene, reverse: bool
) -> None:
    async with scene.open(logged=True) as db:
        await db.entries.has("n:1")
        await db.log.flush()
        await db.entries.has("n:2")
        await db.entries.has("n:3")
        records = db.log.query(reverse=reverse)
        found = [await anext(records)]
        await db.log.flush()
        found += await listed(records)
        names = [record.keys[0] for record in found]
        assert names == (["n:3", "n:2", "n:1"] if reverse else ["n:1", "n:2", "n:3"])


async def test_the_housekeeping_writes_it_without_being_asked(kept_scene: Scene) -> None:
    async with kept_scene.handle(housekeeping=True, components=None, logged=True) as db:
        await db.entries.get("n:1")

        async def written() -> bool:
            return len(await rows_of(db, Range.prefix(layout.SYSTEM_OPERATIONS))) == 1

        await until(written)


async def test_a_reading_handle_logs_in_memory(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("n:1", 1)
    url = kept_scene.url + "?read_only=true"
    async with kept_scene.handle(url, logged=True) as db:
        assert await db.entries.has("n:1")
        assert await db.log.flush() == 0
        assert await found(db) == [("has", "n:1", True)]


async def test_a_damaged_record_is_named(scene: Scene) -> None:
    async with scene.handle() as db:
        key = layout.SYSTEM_OPERATIONS + (7).to_bytes(8, "big")
        await engine_of(db).commit(Batch([Put(key, b"\xc1")]))
        with pytest.raises(holdfast.StoreError, match="record 7"):
            await listed(db.log.query())


def test_the_sync_handle_has_it_too(tmp_path: Path) -> None:
    with holdfast.sync.open(f"sqlite:///{tmp_path / 'db'}", logged=True) as db:
        threads = [threading.Thread(target=db.entries.set, args=("a:1", n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(db.entries.keys()) == ["a:1"]
        records = list(db.log.query(operation="set"))
        assert [type(record) for record in records] == [LogRecord] * 8
        assert len(list(db.log.query(operation="keys"))) == 1
        db.entries.delete("a:1")
        db.entries.undelete("a:1")
        gc.collect()
        assert [record.success for record in db.log.query(operation="history")] == [True]


@pytest.mark.row("K-065")
async def test_the_command_line_asks_it_from_another_process(kept_scene: Scene) -> None:
    async with kept_scene.handle(components=None, logged=True) as db:
        await db.entries.set("users:1", "secret")
        with pytest.raises(Conflict):
            await db.entries.set("users:1", "secret", if_absent=True)
        await db.log.flush()
        asked = [
            "logs", "users/#", "--operation", "set", "--failed", "--since", "1h", "--json",
            "--url", kept_scene.url,
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "holdfast", *asked],
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
    [record] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (record["operation"], record["keys"], record["success"]) == ("set", ["users:1"], False)
    assert record["code"] == "VERSION_CONFLICT"
    assert record["duration_s"] > 0
    assert "secret" not in done.stdout
