"""Random operations of several views on one database, with faults of every kind in between.

What the database must hold is known from a model beside it. Where a call was cancelled nobody
knows whether it happened, so the database is asked, and has to hold one of the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from random import Random
from typing import Any

from holdfast.contract.errors import (
    Compacted,
    Conflict,
    DuplicateKey,
    StoreClosed,
    StoreError,
    VersionNotFound,
)
from holdfast.database.handle import Database
from holdfast.store.change import Change
from holdfast.store.feed.feed import WHOLE
from holdfast.store.feed.watch import Watch
from tests.store.scene import Scene, listed

KEYS = [f"{space}:{name}" for space in ("a", "a/b", "none", "few") for name in "xyz"]
STORES = ("one", "two")
RAISED = (ValueError, StopIteration, KeyError, asyncio.CancelledError, GeneratorExit)
BIG = "b" * 300_000


#: An operation by its name, and the seed of what it does.
Step = tuple[str, int]


class Fault(Exception):
    """Raised by what is called inside."""


def steps_of(seed: int, names: Sequence[str]) -> Iterator[Step]:
    """Steps without end; each has chances of its own, so that any of them can be left out."""
    random = Random(seed)
    while True:
        yield random.choice(names), random.randrange(1 << 32)


class Work:
    """Operations on one database, and what it holds because of them.

    Args:
        scene: where the database is.

    Attributes:
        random: chooses, anew for each step.
        entries: value by key.
        stores: of each store, value by key.
        done: how often each operation was done.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.random = Random(0)
        self.entries: dict[str, Any] = {}
        self.stores: dict[str, dict[bytes, bytes]] = {}
        self.done: dict[str, int] = {}
        self.db: Database = scene.handle()
        self._watch: Watch | None = None
        self._cursor = ""
        #: What a watcher of everything believes to stand: entries, and values of stores.
        self.seen: set[str] = set()
        self.seen_stores: set[tuple[str, bytes]] = set()
        #: What stood at some revisions.
        self._moments: list[tuple[int, dict[str, Any]]] = []

    #: The names of what it does, as often as it is to be chosen.
    names: tuple[str, ...] = (
        "set", "set", "delete", "modify", "modify_and_raise", "cancelled", "transaction",
        "rolled_back", "store", "store", "drop", "expire", "retain", "reopen", "look", "read_past",
        "subscriber", "locked", "rename", "remember",
    )  # fmt: skip

    async def run(self, steps: Iterable[Step]) -> None:
        """Do these operations, then see that all agrees."""
        await self.db.open()
        await self.begin()
        try:
            for number, (name, seed) in enumerate(steps):
                self.random = Random(seed)
                await getattr(self, name)()
                self.done[name] = self.done.get(name, 0) + 1
                if number % 50 == 49:
                    await self.verify()
            await self.verify()
        finally:
            await self._stop_watching()
            await self.db.close()

    async def begin(self) -> None:
        """Make the settings of a new database."""
        await self.db.retention.keep("none", versions=0)
        await self.db.retention.keep("few", versions=2)
        self._cursor = self.db.cursor

    async def verify(self) -> None:
        """The database holds what the model holds, and agrees with itself."""
        faults = await self.db.check()
        assert not faults, faults[:3]
        found = {str(one.key): one.value async for one in self.db.entries.items("#")}
        differing = {
            key: (found.get(key), self.entries.get(key))
            for key in found.keys() | self.entries.keys()
            if found.get(key) != self.entries.get(key)
        }
        assert not differing, list(self.done)
        assert await self.db.stores.list() == sorted(self.stores)
        for name, values in self.stores.items():
            store = await self.db.stores.get(name)
            assert dict(await listed(store.iterate())) == values
        await self.look()
        assert self.seen == set(self.entries), self.done
        assert self.seen_stores == {
            (name, key) for name, values in self.stores.items() for key in values
        }

    # --- Entries ----------------------------------------------------------------------------

    def key(self) -> str:
        return self.random.choice(KEYS)

    def value(self) -> Any:
        if self.random.random() < 0.05:
            return BIG + str(self.random.random())
        return {"n": self.random.randrange(1000), "text": "x" * self.random.randrange(50)}

    async def set(self) -> None:
        if self.random.random() < 0.2:
            values = {self.key(): self.value() for _ in range(4)}
            await self.db.entries.set_many(values)
            self.entries |= values
            return
        key, value = self.key(), self.value()
        await self.db.entries.set(key, value)
        self.entries[key] = value

    async def delete(self) -> None:
        key = self.key()
        gone = await self.db.entries.delete(key)
        assert bool(gone) == (key in self.entries)
        self.entries.pop(key, None)

    async def modify(self) -> None:
        key, value = self.key(), self.value()
        if key in self.entries:
            await self.db.entries.modify(key, lambda _: value)
            self.entries[key] = value

    async def modify_and_raise(self) -> None:
        raised = self.random.choice(RAISED)

        def raising(_: Any) -> Any:
            raise raised

        key = self.key()
        try:
            await self.db.entries.modify(key, raising)
        except (Exception, asyncio.CancelledError, GeneratorExit):
            pass
        else:
            assert key not in self.entries

    async def cancelled(self) -> None:
        key, value = self.key(), self.value()
        before = self.entries.get(key)
        await self._cancel(lambda: self.db.entries.set(key, value))
        # Whatever was handed over is over when the next commit is.
        await self.db.entries.set("after:x", 0)
        self.entries["after:x"] = 0
        found = await self.db.entries.get(key)
        now = None if found is None else found.value
        assert now in (before, value)
        if now is not None:
            self.entries[key] = now

    async def expire(self) -> None:
        key, value = self.key(), self.value()
        await self.db.entries.set(key, value, ttl=5)
        self.entries.pop(key, None)
        if self.stores and self.random.random() < 0.5:
            name = self.random.choice(sorted(self.stores))
            await (await self.db.stores.get(name)).set(b"passing", b"x", ttl=timedelta(seconds=4))
            self.stores[name].pop(b"passing", None)
        self.scene.clock.advance(6)
        if self.random.random() < 0.7:
            await self.db.sweep()
        else:
            assert await self.db.entries.get(key) is None
            await self.db.sweep()

    async def read_past(self) -> None:
        key = self.key()
        versions = await listed(self.db.entries.history(key))
        for one in versions[-3:]:
            with contextlib.suppress(StoreError):  # No longer kept.
                found = await self.db.entries.get(key, at=one.revision)
                if found is not None:
                    assert found.revision == one.revision

    async def remember(self) -> None:
        """Note what stands now, and see that an earlier moment is not told otherwise."""
        self._moments.append((await self.db.head(), dict(self.entries)))
        revision, entries = self.random.choice(self._moments)
        for key in {*self.random.sample(KEYS, 3), *sorted(entries)[:1]}:
            with contextlib.suppress(VersionNotFound):
                found = await self.db.entries.get(key, at=revision)
                # Of a key that ran out everything may be forgotten.
                if found is not None and found.has_value:
                    assert found.value == entries.get(key)

    async def rename(self) -> None:
        if not self.entries:
            return
        old, new = self.random.choice(sorted(self.entries)), self.key()
        if _policy_of(old) != _policy_of(new):
            return  # What is kept of it would be that of the key it had.
        try:
            await self.db.entries.rename(old, new)
        except DuplicateKey:
            return
        self.entries[new] = self.entries.pop(old)

    async def locked(self) -> None:
        with contextlib.suppress(Fault):
            async with self.db.lock("a", timeout=5):
                if self.random.random() < 0.5:
                    raise Fault
                await self.set()

    # --- Transactions -----------------------------------------------------------------------

    async def transaction(self) -> None:
        entries, stores = dict(self.entries), {n: dict(v) for n, v in self.stores.items()}
        async with self.db.transaction(
            self.random.choice(("serializable", "read_committed"))
        ) as tx:
            for n in range(self.random.randrange(1, 6)):
                if stores and self.random.random() < 0.4:
                    name = self.random.choice(sorted(stores))
                    await (await tx.stores.get(name)).set(b"tx", b"%d" % n)
                    stores[name][b"tx"] = b"%d" % n
                elif self.random.random() < 0.3:
                    tx.savepoint("here")
                    await tx.entries.set(self.key(), "taken back")
                    tx.rollback_to("here")
                else:
                    key, value = self.key(), self.value()
                    await tx.entries.set(key, value)
                    entries[key] = value
        self.entries, self.stores = entries, stores

    async def rolled_back(self) -> None:
        raised = self.random.choice((Fault, asyncio.CancelledError, Conflict))
        with contextlib.suppress(Fault, asyncio.CancelledError, Conflict):
            async with self.db.transaction() as tx:
                await tx.entries.set(self.key(), "never")
                await tx.entries.delete(self.key())
                if self.stores:
                    store = await tx.stores.get(self.random.choice(sorted(self.stores)))
                    await store.set(b"never", b"never")
                raise raised("on purpose")

    # --- Stores -----------------------------------------------------------------------------

    async def store(self) -> None:
        name = self.random.choice(STORES)
        if name not in self.stores:
            await self.db.stores.create(name)
            self.stores[name] = {}
        store = await self.db.stores.get(name)
        key = b"%d" % self.random.randrange(20)
        if self.random.random() < 0.3:
            assert await store.delete(key) == (key in self.stores[name])
            self.stores[name].pop(key, None)
        else:
            await store.set(key, b"v" * self.random.randrange(100))
            self.stores[name][key] = await store.get(key)

    async def drop(self) -> None:
        if not self.stores or self.random.random() < 0.6:
            return
        name = self.random.choice(sorted(self.stores))
        if self.random.random() < 0.5:
            await self.db.stores.delete(name)
        else:
            await self._cancel(lambda: self.db.stores.delete(name))
            await self.db.entries.set("after:x", 0)
            self.entries["after:x"] = 0
            if await self.db.stores.exists(name):
                return
        del self.stores[name]

    # --- The past, and watchers ---------------------------------------------------------------

    async def retain(self) -> None:
        await self.db.retention.keep_feed(changes_max=self.random.randrange(0, 60))
        if self.random.random() < 0.5:
            await self._cancel(self.db.compact)
        await self.db.compact()

    async def look(self) -> None:
        """Have the watcher of everything see what there is."""
        while True:
            try:
                change = await self._changes().poll(0.005)
            except Compacted:
                await self._start_anew()
                continue
            if change is None:
                # Whatever is committed is there to be read: nothing more to come is sure only
                # once the head was reached.
                if self._at_head():
                    return
                continue
            self._apply(change)

    async def subscriber(self) -> None:
        raised = self.random.choice(RAISED)
        called = 0

        def raising(_: Change) -> None:
            nonlocal called
            called += 1
            raise raised

        end = self.db.entries.subscribe("#", raising)
        try:
            await self.db.entries.set("after:x", 0)
        finally:
            end()
        self.entries["after:x"] = 0
        assert called == 1

    async def reopen(self) -> None:
        await self._stop_watching()
        # A database in memory is there as long as somebody has it open.
        async with contextlib.AsyncExitStack() as keeping:
            if self.scene.engine == "memory":
                await keeping.enter_async_context(self.scene.handle())
            await self._reopen()

    async def _reopen(self) -> None:
        chance = self.random.random()
        if chance < 0.3:
            await self._cancel(self.db.close)
        elif chance < 0.5:
            other = self.scene.handle()
            await self._cancel(other.open)
            await other.close()
        await self.db.close()
        self.db = await self.scene.handle().open()

    # --- Inside -----------------------------------------------------------------------------

    def _changes(self) -> Watch:
        if self._watch is None:
            self._watch = self.db.watch(view="*", since=self._cursor)
        return self._watch

    def _at_head(self) -> bool:
        """Whether the watcher has read all there is, and told all that it has read."""
        watch = self._changes()
        if watch._ready or watch._position is None:
            return False  # The poll was over before all of it was told.
        revision, index = watch._position
        # The revision alone may be that of a commit of which more is to be read.
        return index >= WHOLE and revision >= watch._changes.head()

    async def _stop_watching(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.aclose()

    async def _start_anew(self) -> None:
        await self._stop_watching()
        self.seen.clear()
        self.seen_stores.clear()
        async with self.db.watch(view="*", snapshot=True) as standing:
            async for change in standing:
                if change.op == "snapshot_end":
                    self._cursor = str(change.cursor)
                    return
                self._apply(change)

    def _apply(self, change: Change) -> None:
        if change.view == "stores":
            if change.op == "drop":
                self.seen_stores = {one for one in self.seen_stores if one[0] != change.keyspace}
            elif change.op == "set":
                self.seen_stores.add((change.keyspace, change.key))
            else:
                self.seen_stores.discard((change.keyspace, change.key))
        elif change.view != "entries":
            pass  # What others keep of theirs.
        elif change.op == "set":
            self.seen.add(str(change.key))
        else:
            self.seen.discard(str(change.key))
        if change.cause != "snapshot":
            self._cursor = str(change.cursor)

    async def _cancel(self, call: Callable[[], Awaitable[Any]]) -> None:
        """Begin a call and cancel it at some moment."""
        task = asyncio.ensure_future(call())
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, StoreClosed):
            await task


def _policy_of(key: str) -> str:
    namespace = key.partition(":")[0]
    return namespace if namespace in ("none", "few") else ""


async def work(scene: Scene, seed: int, steps: int) -> Work:
    """Do random operations; what was done."""
    done = Work(scene)
    await done.run(islice(steps_of(seed, done.names), steps))
    gc.collect()
    return done
