"""An open database, as all handles of one process on it share it.

Handles on one file share one engine, because drivers ask for that, because group commit gains by
it, and because running a notebook's cell again must work. `store/opened.py` knows which are open.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import (
    FormatTooNew,
    IntegrityFailed,
    StoreClosed,
    StoreError,
    StoreNotFound,
)
from holdfast.contract.record import Range, after_prefix
from holdfast.layers.stack import MakeLayer
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed.tail import Tail
from holdfast.store.format import Format, require_format
from holdfast.store.housekeeping import REST_MAX_S, Housekeeping, Over
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.locks.lock import Locks
from holdfast.store.operation_log import OperationLog
from holdfast.store.versions.retention import Retention
from holdfast.store.views import ViewKeeper

if TYPE_CHECKING:
    from holdfast.engines.remote.lease import Lease

_log = logging.getLogger("holdfast")

#: How many expired values one commit ends.
EXPIRE_BATCH_MAX = 256

#: How often the past is looked at for what is no longer kept.
TRIM_INTERVAL_S = 300.0
#: How long a value is left alone that its view failed to end, in seconds.
STUCK_S = 60.0
#: How many of those are remembered; with more, all are tried again.
STUCK_MAX = 10_000
#: What a view may say of a row of its own; other errors are the medium's.
_OF_THE_ROW = (IntegrityFailed, FormatTooNew, StoreNotFound)


class SharedDatabase:
    """The engine with what stands on it for every view.

    Args:
        engine: not open yet.
        make_views: the keepers of the views, by the `view` of their keyspaces.
        housekeeping: whether this process ends what has expired.

    Attributes:
        engine: of the database.
        feed: its changes; `tail` wakes those that wait for new ones.
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
        self._lease: Lease | None = None
        #: Data keys of values that could not be ended, and when they are tried again.
        self._stuck: dict[bytes, float] = {}
        if housekeeping and engine.capabilities.writable:
            self._housekeeping = Housekeeping(
                self.components.host, _round_of(weakref.ref(self)), _failed_at(engine.config.url)
            )
            # A database that everybody forgot keeps no house.
            weakref.finalize(self, self._housekeeping.leave).atexit = False

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
        finally:
            try:
                self.locks.stop()
            finally:
                await self.engine.close()

    def stale(self) -> bool:
        """Whether the path leads to another database by now, or to none: removed, or replaced."""
        engine = self.engine
        while isinstance(engine, Layer):
            engine = engine.inner
        # Engines without files have nothing to look at.
        look: Callable[[], bool] | None = getattr(engine, "stale", None)
        return look is not None and look()

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
        """The keeper of a view. None for a view that is unknown here, which is logged once."""
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
        """End every value that has run out; how many there were. Each is a change.

        What a view cannot end is counted as a failure of the housekeeping, and left alone.
        """
        return await self._sweep(Exception)

    # --- Inside -----------------------------------------------------------------------------

    async def _sweep(self, caught: type[BaseException]) -> int:
        """See `sweep`; `caught`: what a view may raise without ending the sweep."""
        self._try_stuck_again()
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
                if keyspace is None or keyspace.state != "living":
                    continue
                view = self.view_of(keyspace.view)
                if view is not None:
                    ended += await self._expire(view, keyspace, data_keys, caught)
            # Go on after it: a row that no keeper ends must not hold up the others.
            due = page.resume
        return ended

    async def _expire(
        self,
        view: ViewKeeper,
        keyspace: Keyspace,
        data_keys: list[bytes],
        caught: type[BaseException],
    ) -> int:
        """Have a view end values of a keyspace; how many ended."""
        wanted = [key for key in data_keys if key not in self._stuck] if self._stuck else data_keys
        if not wanted:
            return 0
        try:
            return await view.expire(keyspace, wanted)
        except StoreError as error:
            if not isinstance(error, _OF_THE_ROW):
                raise
            failure: BaseException = error
        except caught as error:  # One view's fault is not to stop the others.
            failure = error
        if len(wanted) == 1:
            self._failed(failure)
            if len(self._stuck) >= STUCK_MAX:
                self._stuck.clear()
            self._stuck[wanted[0]] = self.components.clock.monotonic() + STUCK_S
            return 0
        # Which of them cannot be ended? The others can.
        half = len(wanted) // 2
        ended = await self._expire(view, keyspace, wanted[:half], caught)
        return ended + await self._expire(view, keyspace, wanted[half:], caught)

    def _try_stuck_again(self) -> None:
        if self._stuck:
            now = self.components.clock.monotonic()
            self._stuck = {key: at for key, at in self._stuck.items() if at > now}

    async def _keep_house(self) -> float:
        """One round; seconds until the next expiry."""
        await self._each(self.keyspaces.refresh, self.retention.refresh, self.log.flush)
        if not await self._keeps_house():
            return REST_MAX_S

        async def sweep() -> int:
            # No interrupt reaches this thread, so whatever is raised here comes from the view.
            return await self._sweep(BaseException)

        await self._each(sweep)
        now = self.components.clock.monotonic()
        if now - self._trimmed_at >= TRIM_INTERVAL_S:
            self._trimmed_at = now
            await self._each(self.retention.trim, self.locks.sweep, self._finish_drops)
        # What is due and still there after the sweep can wait for the next round.
        now_ms = self.components.clock.now_ms()
        ahead = Range(layout.expiry_key(now_ms + 1, b""), after_prefix(layout.EXPIRY), limit=1)
        page = await self.engine.scan(ahead)
        if not page.rows:
            return REST_MAX_S
        at_ms, _ = layout.expiry_of(page.rows[0][0])
        return (at_ms - now_ms) / 1000

    async def _each(self, *steps: Callable[[], Awaitable[object]]) -> None:
        """Do each of these, also when one before it failed."""
        for step in steps:
            try:
                await step()
            except StoreClosed:
                raise
            except Exception as error:  # noqa: BLE001 - counted; the next step is another's
                self._failed(error)

    async def _keeps_house(self) -> bool:
        """Whether it falls to this process: on a server's engine one holds the lease for all."""
        if self.engine.capabilities.io is not Io.REMOTE:
            return True
        if self._lease is None:
            from holdfast.engines.remote.lease import Lease

            self._lease = Lease(self.engine, layout.SYSTEM_HOUSEKEEPER)
        return await self._lease.hold()

    async def _finish_drops(self) -> None:
        """Remove what is left of keyspaces whose drop was broken off."""
        going = [one async for one in self.keyspaces.list(every=True) if one.state == "dropping"]
        for keyspace in going:
            await self.keyspaces.clear(keyspace)

    def _failed(self, error: BaseException) -> None:
        """Count and log an error of housekeeping, which has no caller to raise it to."""
        if self._housekeeping is not None:
            self._housekeeping.note(error)
        else:
            _failed_at(self.engine.config.url)(error)


def _round_of(reference: weakref.ref[SharedDatabase]) -> Callable[[], Awaitable[float]]:
    """A round of housekeeping that does not keep the database alive."""

    async def keep_house() -> float:
        shared = reference()
        if shared is None:
            raise Over
        return await shared._keep_house()  # noqa: SLF001 - ours

    return keep_house


def _failed_at(url: str) -> Callable[[BaseException], None]:
    def failed(error: BaseException) -> None:
        # Not the error's own text: what is none of ours may hold a value.
        said = str(error) if isinstance(error, StoreError) else type(error).__name__
        _log.warning("housekeeping of %s will try again: %s", url, said)

    return failed


#: What stands above the engine: names of layers, or whatever makes a layer of an engine.
Layers = Sequence[str | MakeLayer]

#: The keepers of a database's views.
MakeViews = Callable[[SharedDatabase], Mapping[str, ViewKeeper]]
