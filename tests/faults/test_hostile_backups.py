"""Backups amid streams that take parts, callers that go, names that are none, and neighbours."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.backups import taking
from holdfast.contract.errors import (
    InvalidInput,
    NotADatabase,
    StoreExists,
    StoreNotFound,
)
from tests import needs
from tests.store.scene import until


class Unbuffered(io.RawIOBase):
    """Takes a part of what it is given, as a pipe or a socket does."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.held = b""

    def writable(self) -> bool:
        return True

    def write(self, given: Any) -> int | None:
        if self.most is None:
            return None
        part = bytes(given[: self.most])
        self.held += part
        return len(part)


@pytest.fixture
def url(quick: Path) -> str:
    address = f"sqlite:///{quick}/app.db"
    with holdfast.sync.open(address) as db:
        db.entries.set_many({f"n:{number}": os.urandom(200).hex() for number in range(1_200)})
    return address


def test_a_stream_that_takes_parts_gets_all_of_it(url: str, quick: Path) -> None:
    stream = Unbuffered(1_000)
    with holdfast.sync.open(url) as db:
        db.backup(stream)  # type: ignore[arg-type]
    file = quick / "parts.backup"
    file.write_bytes(stream.held)
    restored = asyncio.run(holdfast.restore([file], f"sqlite:///{quick}/again.db"))
    assert restored.rows > 2_400


@pytest.mark.parametrize("most", [None, 0])
def test_a_stream_that_takes_nothing_is_refused(url: str, most: int | None) -> None:
    with holdfast.sync.open(url) as db:
        with pytest.raises(InvalidInput, match="blocks"):
            db.backup(Unbuffered(most))  # type: ignore[arg-type]
        db.entries.set("after:1", 1)


class Raising(io.RawIOBase):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def write(self, given: Any) -> int:
        raise self.error


RAISED = [SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt(), ValueError("mine")]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_what_a_stream_or_a_callback_raises_reaches_the_caller_alone(
    url: str, quick: Path, error: BaseException
) -> None:
    def progress(*_: int) -> None:
        raise error

    file = quick / "some.backup"
    async with holdfast.open(url) as db:
        for call in (
            lambda: db.backup(Raising(error)),  # type: ignore[arg-type]
            lambda: db.backup(file, progress=progress),
            lambda: db.copy_to(
                f"sqlite:///{quick}/copy-{type(error).__name__}.db", progress=progress
            ),
        ):
            with pytest.raises(type(error)) as caught:
                await call()
            assert caught.value is error
            await db.entries.set("after:1", 1)
        taken = await db.backup(file)
        assert taken.resumed
        there = f"sqlite:///{quick}/there.db"
        with pytest.raises(type(error)):
            await holdfast.restore([file], there, progress=progress)
        # Half of it is no database, and what stands there is told.
        with pytest.raises(StoreExists):
            await holdfast.restore([file], there)
        with pytest.raises((NotADatabase, StoreNotFound)):
            async with holdfast.open(there, create=False):
                pass


@needs.linux
async def test_a_cancelled_restore_ends_and_makes_no_database(url: str, quick: Path) -> None:
    file = quick / "all.backup"
    async with holdfast.open(url) as db:
        await db.backup(file)
    loaded: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def progress(count: int) -> None:
        loaded.append(count)
        begun.set()
        go_on.wait(20)

    there = f"sqlite:///{quick}/there.db"
    restoring = asyncio.ensure_future(holdfast.restore([file], there, progress=progress))
    await until(begun.is_set)
    restoring.cancel()
    await asyncio.gather(restoring, return_exceptions=True)
    go_on.set()

    def let_go() -> bool:
        """Whether nothing has its files open."""
        names = []
        for one in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                names.append(one.readlink().name)
        return not any("there.db" in name for name in names)

    await until(let_go)
    assert len(loaded) == 1, "the thread went on for a caller that was gone"
    with pytest.raises((NotADatabase, StoreNotFound)):
        async with holdfast.open(there, create=False):
            pass


async def test_a_backup_that_another_one_finishes_meanwhile_is_left_as_it_is(
    url: str, quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other had the lock and gave the file its name between our opening and our lock."""
    file = quick / "same.backup"
    lock = taking._lock

    async with holdfast.open(url) as db:
        await db.backup(file)
        whole = file.read_bytes()
        partial = file.with_name(file.name + taking.PARTIAL)
        file.rename(partial)

        def finished_meanwhile(stream: Any, path: Path) -> None:
            partial.rename(file)
            lock(stream, path)

        monkeypatch.setattr(taking, "_lock", finished_meanwhile)
        with pytest.raises(StoreExists, match="another backup"):
            await db.backup(file)
    assert file.read_bytes() == whole
    assert not partial.exists()


NO_TARGETS: tuple[Any, ...] = (5, None, b"a", "", ".", "/", "a\0b", "nosuch://u:s3cret@h/y", [])


async def test_a_target_that_is_none_is_named(url: str) -> None:
    target: Any
    async with holdfast.open(url) as db:
        for target in NO_TARGETS:
            with pytest.raises(InvalidInput) as caught:
                await db.backup(target)
            assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"
        for target in (5, "", "a\0b"):
            with pytest.raises(InvalidInput):
                await db.backup("increment.backup", since=target)


@pytest.mark.parametrize(
    "files", ["full.backup", b"full.backup", Path("full.backup"), [5], ["\0"], [""]]
)
async def test_files_that_are_none_are_named(files: Any, quick: Path) -> None:
    with pytest.raises(InvalidInput):
        await holdfast.verify_backups(files)
    with pytest.raises(InvalidInput):
        await holdfast.restore(files, f"sqlite:///{quick}/there.db")
    assert not (quick / "there.db").exists()


async def test_a_moment_that_is_none_is_named(url: str, quick: Path) -> None:
    file = quick / "all.backup"
    async with holdfast.open(url) as db:
        await db.backup(file)
    to: Any
    for to in ("x", 1.5, True, datetime(2026, 1, 1)):  # noqa: DTZ001 - a naive one is a case
        with pytest.raises(InvalidInput, match="revision or an aware datetime"):
            await holdfast.restore([file], f"sqlite:///{quick}/there.db", to=to)
