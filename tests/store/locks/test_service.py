"""The lock services of a store: the one that grants at once, and the mutex."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.contract.errors import TimedOut
from holdfast.database.handle import Database
from holdfast.records.core import KeyValueStore
from holdfast.records.services.granting import GrantingLockService
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.keys import PathKeyService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.records.services.mutex import MutexLockService
from holdfast.records.services.protocols import LockService
from tests.store.scene import Scene, until


def mutex(db: Database, **settings: Any) -> MutexLockService:
    return MutexLockService(db._require_shared().locks, db._require_gate(), **settings)


def store(db: Database, locks: LockService) -> KeyValueStore:
    """The entries of a database, written under that service."""
    components = db._components
    return KeyValueStore(
        storage=db._open_parts().storage,
        keys=PathKeyService(),
        hashing=Sha256HashingService(),
        metadata=StandardMetadataService(components.clock, components.ids),
        locks=locks,
    )


class Log:
    """Runs operations that tell when they begin and end."""

    def __init__(self, locks: LockService) -> None:
        self.locks = locks
        self.lines: list[str] = []

    async def run(self, namespace: str, name: str, inside: Callable[[], Awaitable[Any]]) -> Any:
        async def operation() -> Any:
            self.lines.append(f"{name} in")
            try:
                return await inside()
            finally:
                self.lines.append(f"{name} out")

        return await self.locks.with_lock(namespace, operation)


@pytest.mark.row("K-033", "trap 7")
async def test_operations_on_one_path_never_overlap_and_their_results_pass(scene: Scene) -> None:
    async with scene.open() as db:
        log = Log(mutex(db))
        assert isinstance(log.locks, LockService)
        result = object()

        async def inside() -> object:
            await asyncio.sleep(0)
            return result

        found = await asyncio.gather(*(log.run("users", str(n), inside) for n in range(10)))
        assert all(one is result for one in found)
        assert log.lines == [f"{n} {side}" for n in range(10) for side in ("in", "out")]


@pytest.mark.row("K-034")
async def test_operations_on_two_paths_overlap(scene: Scene) -> None:
    async with scene.open() as db:
        log = Log(mutex(db))
        both = asyncio.Barrier(2)
        async with asyncio.timeout(20):
            await asyncio.gather(log.run("a", "a", both.wait), log.run("b", "b", both.wait))


@pytest.mark.row("K-035")
async def test_an_operation_that_raises_or_is_cancelled_lets_go(scene: Scene) -> None:
    async with scene.open() as db:
        log = Log(mutex(db, timeout=1))

        async def fails() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await log.run("a", "fails", fails)
        cancelled = asyncio.create_task(log.run("a", "waits", asyncio.Event().wait))
        await until(lambda: "waits in" in log.lines)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await log.run("a", "third", _nothing)
        assert log.lines[-1] == "third out"
        assert len(db._require_shared().locks.table) == 0


async def _nothing() -> None:
    pass


async def test_a_store_writes_under_the_mutex_of_its_namespaces(scene: Scene) -> None:
    async with scene.open() as db:
        entries = store(db, mutex(db, timeout=0))
        async with db.lock("users"):
            # Its own caller goes on under the lock it has; another one does not get in.
            await entries.set("users:1", 1)
            with pytest.raises(TimedOut):
                await asyncio.create_task(entries.set("users:1", 2))
            await asyncio.create_task(entries.set("users/active:1", 3))
            with pytest.raises(TimedOut):
                await asyncio.create_task(entries.set_many({"a:1": 1, "users:1": 4}))
            # The default service grants at once: a commit excludes others by itself.
            await asyncio.create_task(store(db, GrantingLockService()).set("users:1", 5))
        assert (await entries.require("users:1")).value == 5
        assert await entries.get("a:1") is None


async def test_many_keys_are_written_under_all_their_locks_without_deadlock(scene: Scene) -> None:
    async with scene.open() as db:
        entries = store(db, mutex(db))
        namespaces = "abc"

        async def write(number: int) -> None:
            order = namespaces if number % 2 else namespaces[::-1]
            await entries.set_many({f"{one}:k": number for one in order})

        async with asyncio.timeout(30):
            await asyncio.gather(*(write(number) for number in range(20)))
        versions = [(await entries.require(f"{one}:k")).metadata.version for one in namespaces]
        assert versions == [20, 20, 20]
        assert len(db._require_shared().locks.table) == 0
