"""An open database, as all handles of one process on it share it.

Handles on one file share one engine, because drivers ask for that, because group commit gains by
it, and because running a notebook's cell again must work. The last handle that closes closes it.
"""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields

from holdfast.contract.batch import Batch, Put
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, FormatTooNew, NotADatabase, StoreError
from holdfast.contract.record import Range, Record, after_prefix
from holdfast.contract.runtime import Completion, Components
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.housekeeping import REST_MAX_S, Housekeeping
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.registry import engine_class

_log = logging.getLogger("holdfast")

#: How many expired entries one commit ends.
EXPIRE_BATCH_MAX = 256

#: How often the past is looked at for what is no longer kept.
TRIM_INTERVAL_S = 300.0


class Keeper(ABC):
    """What the views do about their rows when nobody asks; one for each open database."""

    @abstractmethod
    async def expire(self, keyspace: Keyspace, data_keys: list[bytes]) -> int:
        """End the entries of these data rows that have run out; how many did."""

    @abstractmethod
    async def refresh(self) -> None:
        """Read settings that another process may have changed. Called about twice a second."""

    @abstractmethod
    async def trim(self) -> None:
        """Give up the past that is no longer kept. Called every few minutes."""

    async def close(self) -> None:
        """End what it does by itself; the engine is closed next."""


MakeKeeper = Callable[[Engine, Feed, Keyspaces], Keeper]

#: Settings in which handles on one engine may differ: each handle has its own.
_OF_THE_HANDLE = frozenset(("read_only", "create"))


class SharedDatabase:
    """The engine with what stands on it for every view: feed, keyspaces, expiry.

    Attributes:
        engine: of the database.
        feed: its changes.
        keyspaces: its directory.
        keeper: what the views do about their rows.
    """

    def __init__(self, engine: Engine, keeper: MakeKeeper, *, housekeeping: bool) -> None:
        self.engine = engine
        self.components = engine.components
        self.feed = Feed(engine)
        self.keyspaces = Keyspaces(engine)
        self.keeper = keeper(engine, self.feed, self.keyspaces)
        self._trimmed_at = engine.components.clock.monotonic()
        self._housekeeping: Housekeeping | None = None
        if housekeeping and engine.capabilities.writable:
            self._housekeeping = Housekeeping(
                self.components.host, self._keep_house, self._housekeeping_failed
            )

    async def open(self) -> None:
        """Open the engine and make sure that what it holds is ours."""
        await self.engine.open()
        try:
            await self._check_format()
            await self.keeper.refresh()
        except BaseException:
            await self.engine.close()
            raise

    async def close(self) -> None:
        """Stop the housekeeping and close the engine."""
        if self._housekeeping is not None:
            self._housekeeping.stop()
        try:
            await self.keeper.close()
        finally:
            await self.engine.close()

    def wrote(self) -> None:
        """A handle writes: from now on expired entries have to be swept."""
        if self._housekeeping is not None:
            self._housekeeping.need()

    async def sweep(self) -> int:
        """End every entry that has run out; how many there were. Each is a change."""
        ended = 0
        now = self.components.clock.now_ms()
        due: Range | None = Range(
            layout.EXPIRY, layout.expiry_key(now + 1, b""), limit=EXPIRE_BATCH_MAX
        )
        while due is not None:
            page = await self.engine.scan(due)
            by_keyspace: dict[int, list[bytes]] = {}
            for key, _ in page.rows:
                _, data_key = layout.expiry_of(key)
                by_keyspace.setdefault(layout.keyspace_of(data_key), []).append(data_key)
            for number, data_keys in by_keyspace.items():
                keyspace = await self.keyspaces.by_number(number)
                if keyspace is not None:
                    ended += await self.keeper.expire(keyspace, data_keys)
            # On from there: a row that belongs to nobody must not keep the others waiting.
            due = page.resume
        return ended

    # --- Inside -----------------------------------------------------------------------------

    async def _keep_house(self) -> float:
        """One round; seconds until the next expiry."""
        await self.sweep()
        await self.keeper.refresh()
        now = self.components.clock.monotonic()
        if now - self._trimmed_at >= TRIM_INTERVAL_S:
            self._trimmed_at = now
            await self.keeper.trim()
        # What is due and still there after the sweep can wait for the next round.
        now_ms = self.components.clock.now_ms()
        ahead = Range(layout.expiry_key(now_ms + 1, b""), after_prefix(layout.EXPIRY), limit=1)
        page = await self.engine.scan(ahead)
        if not page.rows:
            return REST_MAX_S
        at_ms, _ = layout.expiry_of(page.rows[0][0])
        return (at_ms - now_ms) / 1000

    def _housekeeping_failed(self, error: StoreError) -> None:
        _log.warning("housekeeping of %s will try again: %s", self.engine.config.url, error)

    async def _check_format(self) -> None:
        [record] = await self.engine.read([layout.SYSTEM_FORMAT])
        if record is not None:
            found = int.from_bytes(record.value, "big")
            if found > layout.FORMAT:
                raise FormatTooNew(
                    f"this Holdfast reads databases of format {layout.FORMAT}; found {found} in "
                    f"{self.engine.config.url}. Open it with the version that wrote it",
                    found=found,
                    supported=layout.FORMAT,
                )
            return
        if (await self.engine.scan(Range(limit=1))).rows:
            raise NotADatabase(
                f"{self.engine.config.url} holds rows that Holdfast's views did not write; "
                "choose another path, or use the engine directly"
            )
        if self.engine.capabilities.writable:
            await self.engine.transact([layout.SYSTEM_FORMAT], _write_format)


def _write_format(records: list[Record | None], _revision: int) -> Batch | None:
    if records[0] is not None:
        return None  # Another process was faster.
    return Batch([Put(layout.SYSTEM_FORMAT, layout.FORMAT.to_bytes(2, "big"))])


class _Opening:
    """An entry of the registry below."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.handles = 1
        #: None while it opens or closes.
        self.database: SharedDatabase | None = None
        self.waiting: list[Completion[None]] = []


_registry: dict[str, _Opening] = {}
_registry_lock = threading.Lock()


def _forget_in_child() -> None:
    # The parent's engines refuse in a child; the child opens its own.
    global _registry_lock  # noqa: PLW0603 - a lock that another thread held at the fork stays held
    _registry_lock = threading.Lock()
    _registry.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


async def acquire(
    config: EngineConfig, components: Components, keeper: MakeKeeper, *, housekeeping: bool
) -> SharedDatabase:
    """The open database of that configuration; one more handle uses it.

    Raises:
        ConfigInvalid: it is open in this process with other settings.
    """
    identity = config.identity
    if identity is None:
        return await _open(config, components, keeper, housekeeping=housekeeping)
    waiting: Completion[None] | None = None
    with _registry_lock:
        opening = _registry.get(identity)
        if opening is None:
            first = opening = _registry[identity] = _Opening(config)
        else:
            first = None
            _require_same(opening.config, config)
            opening.handles += 1
            if opening.database is None:
                waiting = components.host.runtime().completion()
                opening.waiting.append(waiting)
    if first is None:
        if waiting is not None:
            try:
                await waiting.wait()
            except BaseException:
                await _give_up(opening)
                raise
        if opening.database is None:
            # It failed to open, or was just closed: this handle tries for itself.
            return await acquire(config, components, keeper, housekeeping=housekeeping)
        return opening.database
    try:
        database = await _open(config, components, keeper, housekeeping=housekeeping)
    except BaseException:
        with _registry_lock:
            _registry.pop(identity, None)
            waiters = opening.waiting
        components.host.settle((waiter, None, None) for waiter in waiters)
        raise
    with _registry_lock:
        opening.database = database
        waiters = opening.waiting
    components.host.settle((waiter, None, None) for waiter in waiters)
    return database


async def release(database: SharedDatabase) -> None:
    """One handle less; the last one closes the database."""
    identity = database.engine.config.identity
    opening: _Opening | None = None
    if identity is not None:
        with _registry_lock:
            opening = _registry.get(identity)
            if opening is not None and opening.database is not database:
                opening = None  # After a fork: the path belongs to what this process opened.
            if opening is not None:
                opening.handles -= 1
                if opening.handles:
                    return
                # Until it is closed the path stays taken; who wants it meanwhile waits.
                opening.database = None
    try:
        await database.close()
    finally:
        if identity is not None and opening is not None:
            with _registry_lock:
                _registry.pop(identity, None)
            database.components.host.settle((waiter, None, None) for waiter in opening.waiting)


async def _give_up(opening: _Opening) -> None:
    """A handle that waited for the database will not come."""
    with _registry_lock:
        database = opening.database
        if database is None:
            opening.handles -= 1
    if database is not None:
        await release(database)


async def _open(
    config: EngineConfig, components: Components, keeper: MakeKeeper, *, housekeeping: bool
) -> SharedDatabase:
    engine = engine_class(config.scheme)(config, components)
    database = SharedDatabase(engine, keeper, housekeeping=housekeeping)
    await database.open()
    return database


def _require_same(there: EngineConfig, wanted: EngineConfig) -> None:
    differing = [
        part.name
        for part in fields(there)
        if part.name not in _OF_THE_HANDLE
        and getattr(there, part.name) != getattr(wanted, part.name)
        and part.name != "path"
    ]
    if there.read_only and not wanted.read_only:
        differing.append("read_only")
    if differing:
        raise ConfigInvalid(
            f"{there.url} is open in this process with other settings of "
            f"{', '.join(differing)}; open it with the same ones, or close it first",
            parameters=differing,
        )
