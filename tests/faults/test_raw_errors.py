"""Input that once met an error of Python's own, or of another layer, in place of ours."""

from __future__ import annotations

import asyncio
import math
import pickle
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import (
    ConfigInvalid,
    InvalidInput,
    SerializationFailed,
    StoreError,
)
from holdfast.contract.errors.base import MESSAGE_CHARACTERS_MAX
from holdfast.database.json_storage import JSONStorageAdapter
from holdfast.database.storages import SQLiteStorageAdapter
from tests.faults.modes import MODES, url_of
from tests.store.scene import until


class Role(StrEnum):
    ADMIN = "admin"


class Text(str):
    """Of a class of its own, whose `str()` is not what it holds."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Number(IntEnum):
    ONE = 1


@pytest.fixture(params=MODES)
def db(request: pytest.FixtureRequest, quick: Path) -> Iterator[holdfast.sync.Database]:
    with holdfast.sync.open(url_of(request.param, quick), housekeeping=False) as db:
        yield db
        assert db.check() == []


def test_text_of_a_class_of_its_own_is_the_text_that_it_holds(
    db: holdfast.sync.Database,
) -> None:
    for text in (Role.ADMIN, Text("admin")):
        db.entries.set(f"a:{text[:]}", 1, modified_by=text, comment=text, tags=[text])
        entry = db.entries.require(Text("a:admin"))
        found = entry.metadata
        assert (found.modified_by, found.comment, found.tags) == ("admin", "admin", ["admin"])
        assert {type(found.modified_by), type(found.comment), *map(type, found.tags)} == {str}
        assert [one.key.name for one in db.entries.find_by_tag(text)] == ["admin"]
    db.entries.set("a:n", 1, modified_by=Number.ONE)
    assert type(db.entries.require("a:n").metadata.modified_by) is int
    db.stores.create(Text("ledger")).set(b"k", b"v")
    assert db.stores.list() == ["ledger"]
    assert db.stores.get(Role("admin")[:0] + "ledger").get(b"k") == b"v"
    db.collection(Text("people")).set(Text("ada"), {"n": 1})
    assert db.collection("people").get("ada") == {"n": 1}


EAST, WEST = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    "value", [datetime(1, 1, 1, tzinfo=EAST), datetime(9999, 12, 31, 23, tzinfo=WEST)], ids=str
)
def test_a_datetime_without_an_instant_is_named(
    db: holdfast.sync.Database, value: datetime
) -> None:
    with pytest.raises(SerializationFailed, match="years 1 to 9999") as caught:
        db.entries.set("a", {"at": value})
    assert caught.value.details["path"] == "value['at']"
    with pytest.raises(SerializationFailed, match="years 1 to 9999"):
        db.collection("events").set("a", {"at": value})
    assert db.entries.get("a", at=datetime(1, 1, 1, tzinfo=EAST)) is None
    kept = datetime.max.replace(tzinfo=UTC)
    db.entries.set("a", {"at": kept}, expires_at=kept)
    assert db.entries.require("a").value == {"at": kept}


SEVERAL: dict[str, Callable[[holdfast.sync.Database, Any], object]] = {
    "get_many": lambda db, keys: db.entries.get_many(keys),
    "delete_many": lambda db, keys: db.entries.delete_many(keys),
    "scope": lambda db, keys: db.scope("x").entries.get_many(keys),
    "documents": lambda db, keys: db.collection("people").get_many(keys),
    "delete documents": lambda db, keys: db.collection("people").delete_many(keys),
}


@pytest.mark.parametrize("call", SEVERAL)
def test_one_text_is_not_taken_for_several_keys(db: holdfast.sync.Database, call: str) -> None:
    db.entries.set("a", 1)
    for given in ("abc", b"abc"):
        with pytest.raises(InvalidInput, match="several keys"):
            SEVERAL[call](db, given)
    assert db.entries.require("a").value == 1


def test_times_to_wait_that_no_clock_has(db: holdfast.sync.Database) -> None:
    with db.watch(since=db.revision) as changes:
        for number, endless in enumerate((math.inf, 1e300, 10**400)):
            db.entries.set("a", number)
            change = changes.poll(endless)
            assert change is not None
            assert change.after.value == number
        for wrong in (math.nan, "1", True):
            with pytest.raises(InvalidInput, match="timeout_s"):
                changes.poll(wrong)  # type: ignore[arg-type]
        assert changes.poll(-1) is None
    for timeout in (math.inf, 1e300):
        with db.lock("a", timeout=timeout) as held:
            assert held.held


def test_without_a_loop_nobody_is_sent_to_one(db: holdfast.sync.Database) -> None:
    """`async with` alone was the advice to callers who have no loop."""
    transaction, lock = db.transaction(), db.lock("a")
    store_transaction = db.stores.create("ledger").transaction()
    closed = holdfast.sync.open("memory://")
    closed.close()
    for call in (
        lambda: transaction.entries.get("a"),
        lambda: transaction.entries.set("a", 1),
        lock.renew,
        lambda: store_transaction.set(b"k", b"v"),
        lambda: closed.entries.get("a"),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        told = str(caught.value).replace("on a loop `async with", "")
        assert "async" not in told
        assert "await" not in told


WRITER = """
import sys, holdfast.sync
with holdfast.sync.open(sys.argv[1]) as db:
    for number in range(20):
        db.entries.set("theirs", number)
"""


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit], ids=str)
async def test_a_subscriber_that_raises_still_hears_of_other_processes(
    error: type[BaseException], quick: Path
) -> None:
    """Whatever it raises: what follows the other processes goes on."""
    url = url_of("sqlite", quick)
    async with holdfast.open(url) as db:
        heard: list[object] = []
        others: list[object] = []

        def hear(change: holdfast.Change) -> None:
            heard.append(change.after.value)
            raise error

        db.entries.subscribe("theirs", hear)
        db.entries.subscribe("theirs", lambda change: others.append(change.after.value))
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, url)
        assert await writer.wait() == 0
        await until(lambda: len(heard) == len(others) == 20)
        assert heard == others == list(range(20))


@pytest.mark.parametrize("name", ["caf\ud800", "a\0b", "x" * 300, ""])
async def test_names_of_files_that_no_system_can_write(tmp_path: Path, name: str) -> None:
    async def stored(adapter: Any) -> None:
        async with adapter as storage:
            await storage.set("a", 1)

    place = str(tmp_path / "sub") + f"/{name}"
    async with holdfast.open("memory://") as db:
        attempts: list[Callable[[], Any]] = [
            lambda: db.backup(place if name else ""),
            lambda: stored(JSONStorageAdapter(place if name else "")),
            lambda: stored(SQLiteStorageAdapter(place if name else "")),
        ]
        if name:
            attempts += [
                lambda: stored(holdfast.open(Path(place))),
                *(
                    lambda engine=engine: stored(holdfast.open(f"{engine}:///{place}"))
                    for engine in ("lmdb", "sqlite", "file")
                ),
            ]
        for attempt in attempts:
            with pytest.raises(StoreError):
                await attempt()


@pytest.mark.parametrize("given", [None, 5, b"a", ["a"]])
def test_a_storage_whose_file_is_no_path(given: Any) -> None:
    for adapter in (JSONStorageAdapter, SQLiteStorageAdapter):
        with pytest.raises(ConfigInvalid, match="path of a file"):
            adapter(given)


@pytest.mark.parametrize("view", [[], {}, 5, None, {"entries"}])
async def test_a_watch_of_a_view_that_is_no_name(view: Any) -> None:
    async with holdfast.open("memory://") as db:
        with pytest.raises(InvalidInput, match=f"name; found a {type(view).__name__}"):
            db.watch("#", view=view)


def test_a_message_is_bounded_whatever_was_given_by_mistake(db: holdfast.sync.Database) -> None:
    huge = "x" * 1_000_000
    given: Any = huge
    for attempt in (
        lambda: db.entries.get("a", version=given),
        lambda: list(db.entries.keys("#", limit=given)),
        lambda: db.collection("c").drop_index(huge),
        lambda: db.watch("#", since=huge),
        lambda: db.lock("a", timeout=given),
    ):
        with pytest.raises(StoreError) as caught:
            attempt()
        text = str(caught.value)
        assert len(text) <= MESSAGE_CHARACTERS_MAX
        assert len(pickle.loads(pickle.dumps(caught.value)).message) == len(text)
        # What was wanted stands at its beginning, what comes next at its end.
        assert "left out" in text
        assert not text.startswith("x")
