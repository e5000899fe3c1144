"""An open database, as all handles of one process on it share it.

Handles on one file share one engine, because drivers ask for that, because group commit gains by
it, and because running a notebook's cell again must work. The last handle that closes closes it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, StoreError
from holdfast.contract.record import Range, after_prefix
from holdfast.contract.runtime import Completion, Components
from holdfast.layers.stack import MakeLayer, stack
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed.tail import Tail
from holdfast.store.format import Format, require_format
from holdfast.store.housekeeping import REST_MAX_S, Housekeeping
from holdfast.store.keyspaces import Keyspaces
from holdfast.store.locks.lock import Locks
from holdfast.store.operation_log import OperationLog
from holdfast.store.registry import engine_class
from holdfast.store.versions.retention import Retention
from holdfast.store.views import ViewKeeper

_log = logging.getLogger("holdfast")

#: How many expired values one commit ends.
EXPIRE_BATCH_MAX = 256

#: How often the past is looked at for what is no longer kept.
TRIM_INTERVAL_S = 300.0

#: Settings in which handles on one engine may differ: each handle has its own.
_OF_THE_HANDLE = frozenset(("read_only", "create"))


class SharedDatabase:
    """The engine with what stands on it for every view.

    Args:
        engine: not open yet.
        make_views: the keepers of the views, by the `view` of their keyspaces.
        housekeeping: whether this process ends what has expired.

    Attributes:
        engine: of the database.
        feed: its changes; `tail` wakes whoever waits for new ones.
        keyspaces: its directory.
        retention: its settings, shared by all handles of the process; so are the next two.
        locks: those of `Database.lock`.
        log: that of `Database.log`.
        views: the keepers by view.
        format: what the database says of itself.
    """

    def __init__(self, engine: Engine, make_views: MakeViews, *, housekeeping: bool) -> None:
        self.engine = engine
        self.components = engine.components
        self.feed = Feed(engine)
        self.keyspaces = Keyspaces(engine)
        self.retention = Retention(engine, self.feed, self.keyspaces, engine.components.clock)
        self.locks = Locks(engine)
        self.log = OperationLog(engine)
        self.format = Format()
        self.views = make_views(self)
        self.tail = Tail(engine, self.feed, self.keyspaces, self.views)
        self._said: set[str] = set()
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
            self.format = await require_format(self.engine)
            await self.keyspaces.refresh()
            await self.retention.refresh()
        except BaseException:
            await self.engine.close()
            raise

    async def close(self) -> None:
        """Stop what goes on by itself and close the engine."""
        try:
            if self._housekeeping is not None:
                self._housekeeping.stop()
            await self.tail.close()
            self.locks.stop()
        finally:
            await self.engine.close()

    async def let_go(self, gate: Gate | None) -> None:
        """A handle closes: its locks are free, and what it logged is written."""
        try:
            await self.locks.let_go(gate)
        finally:
            try:
                await self.log.flush()
            except StoreError as error:
                _log.warning("the log of operations could not be written: %s", error)

    def wrote(self) -> None:
        """A handle writes: from now on expired values have to be swept."""
        if self._housekeeping is not None:
            self._housekeeping.need()

    @property
    def housekeeping(self) -> Housekeeping | None:
        """What runs the rounds; None where this process keeps no house."""
        return self._housekeeping

    def view_of(self, view: str) -> ViewKeeper | None:
        """The keeper of a view; of one that nobody here knows, None, and that is said once."""
        found = self.views.get(view)
        if found is None and view not in self._said:
            self._said.add(view)
            _log.warning(
                "%s holds a view %r that this program does not know; its rows are left alone",
                self.engine.config.url,
                view,
            )
        return found

    async def sweep(self) -> int:
        """End every value that has run out; how many there were. Each is a change."""
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
                ended += await self._expire(number, data_keys)
            # On from there: a row that nobody ends must not keep the others waiting.
            due = page.resume
        return ended

    # --- Inside -----------------------------------------------------------------------------

    async def _expire(self, number: int, data_keys: list[bytes]) -> int:
        keyspace = await self.keyspaces.by_number(number)
        if keyspace is None or keyspace.state != "living":
            return 0
        view = self.view_of(keyspace.view)
        if view is None:
            return 0
        try:
            return await view.expire(keyspace, data_keys)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - one view's fault is not to stop the others
            self._housekeeping_failed(error)
            return 0

    async def _keep_house(self) -> float:
        """One round; seconds until the next expiry."""
        await self.keyspaces.refresh()
        await self.sweep()
        await self.retention.refresh()
        await self.log.flush()
        now = self.components.clock.monotonic()
        if now - self._trimmed_at >= TRIM_INTERVAL_S:
            self._trimmed_at = now
            await self.retention.trim()
            await self.locks.sweep()
            await self._finish_drops()
        # What is due and still there after the sweep can wait for the next round.
        now_ms = self.components.clock.now_ms()
        ahead = Range(layout.expiry_key(now_ms + 1, b""), after_prefix(layout.EXPIRY), limit=1)
        page = await self.engine.scan(ahead)
        if not page.rows:
            return REST_MAX_S
        at_ms, _ = layout.expiry_of(page.rows[0][0])
        return (at_ms - now_ms) / 1000

    async def _finish_drops(self) -> None:
        """Remove what is left of keyspaces whose drop was broken off."""
        going = [one async for one in self.keyspaces.list(every=True) if one.state == "dropping"]
        for keyspace in going:
            await self.keyspaces.clear(keyspace)

    def _housekeeping_failed(self, error: BaseException) -> None:
        # Not the error's own text: what is none of ours may hold a value.
        said = str(error) if isinstance(error, StoreError) else type(error).__name__
        _log.warning("housekeeping of %s will try again: %s", self.engine.config.url, said)


#: What stands above the engine: names of layers, or whatever makes a layer of an engine.
Layers = Sequence[str | MakeLayer]

#: The keepers of a database's views.
MakeViews = Callable[[SharedDatabase], Mapping[str, ViewKeeper]]


class _Opening:
    """An entry of the registry below."""

    def __init__(self, config: EngineConfig, layers: Layers) -> None:
        self.config = config
        self.layers = tuple(layers)
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
    config: EngineConfig,
    components: Components,
    make_views: MakeViews,
    *,
    housekeeping: bool,
    layers: Layers = (),
) -> SharedDatabase:
    """The open database of that configuration; one more handle uses it.

    Raises:
        ConfigInvalid: it is open in this process with other settings or layers.
    """
    identity = config.identity
    if identity is None:
        return await _open(config, components, make_views, housekeeping=housekeeping, layers=layers)
    waiting: Completion[None] | None = None
    with _registry_lock:
        opening = _registry.get(identity)
        if opening is None:
            first = opening = _registry[identity] = _Opening(config, layers)
        else:
            first = None
            _require_same(opening.config, config)
            _require_same_layers(opening, layers)
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
            return await acquire(
                config, components, make_views, housekeeping=housekeeping, layers=layers
            )
        return opening.database
    try:
        database = await _open(
            config, components, make_views, housekeeping=housekeeping, layers=layers
        )
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
    config: EngineConfig,
    components: Components,
    make_views: MakeViews,
    *,
    housekeeping: bool,
    layers: Layers,
) -> SharedDatabase:
    engine = engine_class(config.scheme)(config, components)
    database = SharedDatabase(stack(engine, layers), make_views, housekeeping=housekeeping)
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


def _require_same_layers(there: _Opening, wanted: Layers) -> None:
    if there.layers != tuple(wanted):
        raise ConfigInvalid(
            f"{there.config.url} is open in this process with {len(there.layers)} layers above its "
            f"engine; found {len(wanted)}, or others. All handles of a process share them: open it "
            "with the same ones, or close it first",
            parameters=["layers"],
        )
