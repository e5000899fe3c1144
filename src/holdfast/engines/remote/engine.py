"""The verbs of an engine that talks to a server, on any loop and without one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from holdfast.contract.batch import Batch, Decide, Draft, Receipt
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine, Snapshot
from holdfast.contract.errors import (
    InvalidInput,
    ReadOnly,
    StoreClosed,
    StoreError,
    Unsupported,
    WrongContext,
)
from holdfast.contract.limits import check_batch, check_draft, check_key
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.remote.config import RemoteConfig
from holdfast.engines.remote.portal import Portal
from holdfast.engines.remote.site import Site
from holdfast.engines.remote.transport import Transport, Welcome

T = TypeVar("T")

_alive: weakref.WeakSet[RemoteEngine] = weakref.WeakSet()
#: What a forked child got from its parent: kept for ever, since drivers say good-bye when their
#: objects go.
_inherited: list[object] = []


class RemoteEngine(Engine):
    """An engine whose driver talks to a server.

    A subclass gives `transport` and `capabilities`. Each event loop that uses the engine has its
    own way to the server; callers without a loop share that of the portal's.
    """

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._settings = cast("RemoteConfig", config)
        #: Why the engine cannot be used, or None while it can.
        self._refusal: type[StoreError] | None = StoreClosed
        self._lineage = ""
        self._lock = threading.Lock()
        self._sites: dict[asyncio.AbstractEventLoop, Site] = {}
        self._opening = False
        #: Whether loops that come may still have a site; not once those that came are closed.
        self._admitting = False
        self._portal = Portal(f"holdfast {config.scheme}", components.host)

    # --- For subclasses ---------------------------------------------------------------------

    @abstractmethod
    def transport(self) -> Transport:
        """A new way to the server, not connected, for the loop that is running."""

    def welcomed(self, welcome: Welcome) -> None:
        """A connection was made, the first one or one after a loss."""
        self._lineage = welcome.lineage

    # --- Life -------------------------------------------------------------------------------

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self) -> None:
        if self._refusal is None:
            return
        if self._lineage or self._refusal is WrongContext:
            raise self._refuse()
        self._opening = self._admitting = True
        # Until all is let go of: a child waits for no opening or closing of its parent either.
        _alive.add(self)
        try:
            await self._anywhere(self._connect)
            self._refusal = None
        except BaseException:
            await self._let_go()
            raise
        finally:
            self._opening = False

    async def close(self) -> None:
        # Until all is let go of: a close that was cancelled or interrupted is repeated.
        left = self._refusal is None or self._sites or self._portal.loop is not None
        if left and not self._opening and self._refusal is not WrongContext:
            await self._let_go()

    # --- Reading ----------------------------------------------------------------------------

    async def head(self) -> int:
        self._require_open()
        return (await self._anywhere(lambda site: site.reading.read(())))[1]

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self._require_open(at)
        if not keys:
            return []
        return (await self._anywhere(lambda site: site.reading.read(keys)))[0]

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        self._require_open(at)
        limits = self.capabilities
        rows_max = range.rows_wanted(limits.page_rows_max)
        if range.empty:
            return Page([], None, await self.head())
        return await self._anywhere(
            lambda site: site.line.request(
                lambda transport: transport.scan(range, rows_max, limits.page_bytes_max)
            )
        )

    async def wait(self, after_revision: int) -> int:
        if not self.capabilities.waits:
            return await super().wait(after_revision)
        self._require_open()
        return await self._anywhere(lambda site: site.waiting.wait(after_revision), withdraw=True)

    # --- Writing ----------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Receipt:
        self._require_open()
        self._validate(batch)
        return await self._anywhere(lambda site: site.gathering.commit(batch))

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        self._require_open()
        if not self.capabilities.writable:
            raise self._read_only()
        return await self._anywhere(
            lambda site: site.gathering.transact(keys, decide, previous=previous)
        )

    # --- Optional verbs ---------------------------------------------------------------------

    async def compact(self) -> int:
        self._require_open()
        if not self.capabilities.compacts:
            if not self.capabilities.writable:
                raise self._read_only()
            return await super().compact()
        return await self._anywhere(lambda site: site.line.once(lambda one: one.compact()))

    async def check(self) -> list[str]:
        self._require_open()
        if not self.capabilities.checks:
            return await super().check()
        return await self._anywhere(lambda site: site.line.once(lambda one: one.check()))

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        self._require_open()
        if not self.capabilities.writable:
            raise self._read_only()
        if not self.capabilities.loads:
            await super().load(rows, next_revision=next_revision)
        for key, _ in rows:
            check_key(key, self.capabilities.key_bytes_max)
        await self._anywhere(lambda site: site.line.once(lambda one: one.load(rows, next_revision)))

    # --- Inside -----------------------------------------------------------------------------

    async def _anywhere(
        self, work: Callable[[Site], Coroutine[Any, Any, T]], *, withdraw: bool = False
    ) -> T:
        """The result of the work, on this loop; without one, on the portal's."""
        if self.components.host.runtime().blocking:
            return await self._portal.run(lambda: work(self._site()), withdraw=withdraw)
        return await work(self._site())

    def _site(self) -> Site:
        """The way to the server of the loop that is running."""
        loop = asyncio.get_running_loop()
        site = self._sites.get(loop)
        if site is None:
            with self._lock:
                if not self._admitting:
                    raise self._refuse()  # Closed by another thread meanwhile.
                for other in [one for one in self._sites if one.is_closed()]:
                    del self._sites[other]  # It ended without closing the engine.
                site = self._sites[loop] = Site(
                    self._settings,
                    self.transport,
                    self.welcomed,
                    self.components.ids,
                    self._validate,
                    self.capabilities.key_bytes_max,
                )
        return site

    async def _connect(self, site: Site) -> None:
        await site.line.connected()

    async def _let_go(self) -> None:
        """Close every way to the server, and end the portal; can be repeated."""
        self._refusal = StoreClosed
        runtime, portal = self.components.host.runtime(), self._portal
        try:
            if not runtime.blocking:
                await self._close_sites(portal)
            elif self._sites:
                await self._on_portal(portal, lambda: self._close_sites(portal))
        finally:
            await runtime.offload(portal.close)
            with self._lock:
                if self._portal is portal:
                    # An opening that failed, or a close, is tried again with another one.
                    self._portal = Portal(portal.name, self.components.host)
        _alive.discard(self)

    async def _close_sites(self, portal: Portal) -> None:
        here = asyncio.get_running_loop()
        with self._lock:
            self._admitting = False
            sites = dict(self._sites)
        for loop, site in sites.items():
            if loop is here:
                await site.close()
            elif loop is portal.loop:
                await self._on_portal(portal, site.close)
            else:
                # Nobody knows whether that loop turns: it closes its own when it does.
                site.close_later(loop)
            self._sites.pop(loop, None)  # Only now: a close that is cancelled is repeated.

    async def _on_portal(
        self, portal: Portal, close: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Close something on the portal's loop, unless another close has ended that."""
        # Which may happen at any moment: two handles or two threads close at once, or the first
        # close was cancelled and goes on while it is repeated.
        with contextlib.suppress(StoreClosed):
            await portal.run(close)

    def _require_open(self, at: Snapshot | None = None) -> None:
        if self._refusal is not None:
            raise self._refuse()
        if at is not None:
            if not self.capabilities.snapshots:
                raise Unsupported(
                    f"the engine {self.config.scheme} has no snapshots to read from; read the "
                    "present, and check what was read by its revision",
                    engine=self.config.scheme,
                )
            raise InvalidInput("a snapshot is read through the engine that made it")

    def _refuse(self) -> StoreError:
        if self._refusal is WrongContext:
            return WrongContext(
                f"the database {self.config.url} was opened before a fork; the child must open "
                "its own. Fork first, open then"
            )
        return StoreClosed(f"the database {self.config.url} is closed; open it again")

    def _read_only(self) -> ReadOnly:
        return ReadOnly(
            f"the database {self.config.url} was opened for reading only; "
            "open it without read_only to write"
        )

    def _validate(self, batch: Batch | Draft) -> None:
        limits = self.capabilities
        if not limits.writable:
            raise self._read_only()
        if isinstance(batch, Draft):
            check_draft(batch, limits)
        else:
            check_batch(batch, limits)

    def _after_fork(self) -> None:
        # The connections are the parent's; closing them here would say good-bye in its name.
        self._refusal = WrongContext
        _inherited.append((self._sites, self._portal))
        for site in self._sites.values():
            site.part(self._refuse())
        self._portal.part()
        self._lock = threading.Lock()  # Another thread may have held it.
        self._sites = {}
        self._opening = self._admitting = False
        self._portal = Portal(self._portal.name, self.components.host)


def _guard_children() -> None:
    for engine in list(_alive):
        engine._after_fork()  # noqa: SLF001 - ours


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_guard_children)
