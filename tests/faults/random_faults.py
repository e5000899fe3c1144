"""Random operations with every kind of fault in between: what goes wrong around a database.

Calls are cancelled and interrupted at any moment, user code raises and calls back, clocks jump,
files vanish, processes fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import traceback
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import holdfast.sync
from holdfast.contract.errors import (
    Compacted,
    DeadlockDetected,
    SchemaValidationFailed,
    StoreError,
    WrongContext,
)
from holdfast.database.handle import Database
from holdfast.runtime.system import drive
from tests.faults.interrupts import Interrupter
from tests.faults.modes import ModeScene
from tests.store.random_operations import RAISED, Fault, Work

HOUR_S = 3600
PEOPLE = ("ada", "bob", "eve")
#: How late the line may be at which a call is interrupted.
LINES_MAX = 900
#: Engines whose databases another process cannot open meanwhile.
OF_ONE_PROCESS = ("memory", "file", "rocksdb", "leveldb")
#: How long a forked child may take.
CHILD_S = 20.0


@dataclass
class Person:
    """A document whose making raises what it is told to."""

    n: int
    raises: str = ""

    def __post_init__(self) -> None:
        for one in RAISED:
            if one.__name__ == self.raises:
                raise one


class FaultyWork(Work):
    """Operations and faults on one database, and what it holds because of them.

    Args:
        scene: where the database is.

    Attributes:
        documents: of a collection, by key.
    """

    scene: ModeScene
    names = (
        *Work.names,
        "cancelled_call", "cancelled_call", "interrupted", "interrupted", "interrupted",
        "reentrant", "people", "people", "raising_documents", "raising_store", "raising_schema",
        "clock", "forked", "vanished", "locked_twice", "interrupted_opening", "interrupted_moment",
    )  # fmt: skip

    def __init__(self, scene: ModeScene) -> None:
        super().__init__(scene)
        self.documents: dict[str, int] = {}

    async def verify(self) -> None:
        await super().verify()
        people = self.db.collection("people", Person)
        assert {key: one.n async for key, one in people.entries()} == self.documents
        locks = self.db._require_shared().locks
        assert len(locks.table) == locks.table.callers == 0, "a lock is left"

    # --- User code that raises, or calls back -------------------------------------------------

    async def people(self) -> None:
        """Documents that are written, changed and removed."""
        people, key = self.db.collection("people", Person), self.random.choice(PEOPLE)
        chance, number = self.random.random(), self.random.randrange(1000)
        if chance < 0.5:
            await people.set(key, Person(number))
        elif chance < 0.7:
            assert await people.delete(key) == (key in self.documents)
            self.documents.pop(key, None)
            return
        else:
            await people.modify(key, lambda _: Person(number))
        self.documents[key] = number

    async def raising_documents(self) -> None:
        """What a class or a function raises leaves the document as it was."""
        raised, key = self.random.choice(RAISED), self.random.choice(PEOPLE)
        people = self.db.collection("people", Person)

        def raising(_: Person | None) -> Person:
            raise raised

        class Raising(Person):
            def __post_init__(self) -> None:
                raise raised

        def plain(_: Any) -> dict[str, Any]:
            return {"n": 1, "raises": raised.__name__}

        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: people.modify(key, raising),
            lambda: people.modify(key, plain),  # type: ignore[arg-type]
            lambda: people.patch(key, {"raises": raised.__name__}),
            lambda: self.db.collection("people", Raising).require(key),
        ]
        call = self.random.choice(calls)
        with contextlib.suppress(Exception, asyncio.CancelledError, GeneratorExit):
            await call()
            raise AssertionError("it was not raised")

    async def raising_store(self) -> None:
        """What is raised while a store is walked keeps nothing open."""
        if not self.stores:
            return
        store = await self.db.stores.get(self.random.choice(sorted(self.stores)))
        with contextlib.suppress(Fault):
            async for _ in store.iterate():
                if self.random.random() < 0.5:
                    raise Fault

    async def raising_schema(self) -> None:
        """A check that raises lets nothing through."""
        key = self.key()
        value = self.random.choice((1, "raise"))
        digest = await self.db.schemas.register(_even)
        with contextlib.suppress(SchemaValidationFailed, ValueError, RuntimeError):
            await self.db.entries.set(key, value, schema_hash=digest)
            raise AssertionError("it was let through")

    async def reentrant(self) -> None:
        """A function inside a commit that writes to the same database is refused by name."""
        key = self.key()
        refused = 0

        def calling_back(found: Any) -> Any:
            nonlocal refused
            with holdfast.sync.open(self.scene.url, components=self.scene.components) as other:
                try:
                    other.entries.set("never:x", 1)
                except WrongContext:
                    refused += 1
            return found

        if key in self.entries:
            await self.db.entries.modify(key, calling_back)
            assert refused

    async def locked_twice(self) -> None:
        """A lock that is wanted twice is refused, and let go all the same."""
        with contextlib.suppress(DeadlockDetected):
            async with self.db.lock("twice"), self.db.lock("twice"):
                raise AssertionError("it was had twice")

    # --- Calls that are cancelled or interrupted ----------------------------------------------

    def calls(self, db: Any, key: str, value: Any) -> list[Callable[[], Any]]:
        """Calls that write one value under a key, on a handle with a loop or without one."""
        return [
            lambda: db.entries.set(key, value),
            lambda: db.entries.set(key, value, ttl=10 * HOUR_S, tags=["t"]),
            lambda: db.entries.set_many({key: value, "after:y": 1}),
            lambda: db.entries.modify(key, lambda _: value),
        ]

    async def outcome(self, key: str, value: Any) -> None:
        """See what became of a call that wrote this value or did not."""
        # Whatever was handed over is over when the next commit is.
        await self.db.entries.set_many({"after:x": 0, "after:y": 1})
        self.entries |= {"after:x": 0, "after:y": 1}
        found = await self.db.entries.get(key)
        now = None if found is None else found.value
        assert now in (self.entries.get(key), value), (key, now)
        if now is not None:
            self.entries[key] = now

    async def cancelled_call(self) -> None:
        """A call of some kind that is cancelled at some moment."""
        key, value = self.key(), self.value()

        async def transaction() -> None:
            async with self.db.transaction() as tx:
                await tx.entries.set(key, value)

        async def locked() -> None:
            async with self.db.lock("a", timeout=20):
                await self.db.entries.set(key, value)

        async def moment() -> None:
            async with await self.db.snapshot() as view:
                await view.entries.get(key)

        calls: list[Callable[[], Awaitable[Any]]] = [
            *self.calls(self.db, key, value), transaction, locked, moment, self.db.sweep,
            lambda: self._changes().poll(0.01), self.db.check,
        ]  # fmt: skip
        if key not in self.entries:
            del calls[3]
        # What a poll took is not seen: it is told again to who asks with the cursor.
        with contextlib.suppress(Compacted):
            await self._cancel(self.random.choice(calls))
        await self._stop_watching()
        await self.outcome(key, value)

    async def interrupted(self) -> None:
        """A call without a loop that meets Ctrl-C at some line."""
        key, value = self.key(), self.value()
        with holdfast.sync.open(self.scene.url, components=self.scene.components) as db:

            def transaction() -> None:
                with db.transaction() as tx:
                    tx.entries.set(key, value)

            def locked() -> None:
                with db.lock("a", timeout=20):
                    db.entries.set(key, value)

            calls = [*self.calls(db, key, value), transaction, locked]
            if key not in self.entries:
                del calls[3]
            self.interrupt(self.random.choice(calls))
            with db.lock("a", timeout=20):
                pass  # It is free.
        await self.outcome(key, value)

    async def interrupted_moment(self) -> None:
        """A snapshot or a watch that meets Ctrl-C at some line."""
        with holdfast.sync.open(self.scene.url, components=self.scene.components) as db:

            def moment() -> None:
                with db.snapshot() as view:
                    list(view.entries.keys("#"))

            def watch() -> None:
                with db.watch(since=self._cursor) as changes:
                    changes.poll()

            with contextlib.suppress(Compacted):
                self.interrupt(self.random.choice((moment, watch)))

    async def interrupted_opening(self) -> None:
        """A handle that is opened and closed while Ctrl-C comes."""

        def cycle() -> None:
            with holdfast.sync.open(
                self.scene.url, components=self.scene.components, housekeeping=False
            ) as other:
                other.entries.get("a:x")

        self.interrupt(cycle)

    def interrupt(self, call: Callable[[], Any]) -> None:
        """Run a call with an interrupt at some line."""
        with (
            contextlib.suppress(KeyboardInterrupt),
            Interrupter(self.random.randrange(LINES_MAX)),
        ):
            call()
        gc.collect()  # What the interrupted call had is let go of with its remains.

    # --- What goes wrong around it ------------------------------------------------------------

    async def clock(self) -> None:
        """The clock on the wall jumps, or time passes all at once."""
        seconds = self.random.choice((-HOUR_S, -1, 0.5, HOUR_S))
        self.scene.clock.advance(seconds)
        await self.set()

    async def forked(self) -> None:
        """A forked child is refused its parent's handle, opens its own, and writes."""
        value = self.random.randrange(1000)
        for _ in range(FORKS_MAX):
            code = await self._fork(value)
            if code != IN_USE:
                break  # Else a thread was reading for longer than a fork waits.
        assert code == 0, CODES.get(code, "it was killed")
        if self.scene.engine not in OF_ONE_PROCESS:
            self.entries["after:x"] = value

    async def _fork(self, value: int) -> int:
        """The exit code of a child."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Threads there may be.
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _in_child(self.db, self.scene, value)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        async with asyncio.timeout(CHILD_S):
            while True:
                done, status = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
                if done:
                    return os.waitstatus_to_exitcode(status)
                await asyncio.sleep(0.002)

    async def vanished(self) -> None:
        """The files are removed: nothing more is acknowledged, and a new database begins."""
        if self.scene.engine == "memory" or self.random.random() < 0.7:
            return
        await self._stop_watching()
        for path in list(self.scene.folder.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for _ in range(2):
            with contextlib.suppress(StoreError):
                await self.db.entries.set("lost:x", 1)
                raise AssertionError("it was acknowledged")
        with contextlib.suppress(StoreError):
            await self.db.close()
        await self.db.close()
        self.db = await self.scene.handle().open()
        for forgotten in (self.entries, self.stores, self.documents, self.seen, self.seen_stores):
            forgotten.clear()
        self._moments.clear()
        await self.begin()


#: A child that is told to be forked again, which it is a few times.
IN_USE, FORKS_MAX = 4, 4
#: What the exit codes of a child say.
CODES = {
    1: "something else was raised",
    2: "the parent's handle was not refused, or not for good",
    3: "its own handle does not see what the parent wrote",
    IN_USE: "its own handle was refused: something was in use at each of the forks",
}


def _in_child(inherited: Database, scene: ModeScene, value: int) -> int:
    """What a forked child does; its exit code."""
    url, components = scene.url, scene.components
    refusals: list[StoreError] = []
    for call in (inherited.head, lambda: inherited.entries.set("never:x", 1)):
        try:
            drive(call())
        except StoreError as error:
            refusals.append(error)
    if len(refusals) < 2 or any(one.retryable for one in refusals):
        return 2
    if scene.engine in OF_ONE_PROCESS:
        return 0
    try:
        with holdfast.sync.open(url, components=components, housekeeping=False) as db:
            db.entries.set("after:x", value)
            return 0 if db.entries.require("after:x").value == value else 3
    except WrongContext:
        return IN_USE


def _even(value: Any) -> bool:
    if value == "raise":
        raise ValueError("on purpose")
    return isinstance(value, int) and value % 2 == 0
