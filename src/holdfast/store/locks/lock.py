"""`Lock`, as users hold it, and `Locks`: all those of a database in this process."""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from holdfast.codecs.text import format_namespace, parse_namespace
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    Fenced,
    InvalidInput,
    LeaseLost,
    StoreClosed,
    StoreError,
    WrongContext,
)
from holdfast.runtime.gate import Gate
from holdfast.store.housekeeping import REST_MAX_S, Housekeeping, Over
from holdfast.store.locks.lease import Leases, lease_lost
from holdfast.store.locks.table import LockTable
from holdfast.store.locks.waiting import Granted, Waiting

_log = logging.getLogger("holdfast")

#: How long a lease lasts unless it is renewed; it is, well before, while its holder lives.
TTL_S = 30.0
#: The bounds of a ttl. Renewal comes about twice a second.
TTL_MIN_S = 1.0
TTL_MAX_S = 24 * 3600.0
#: A lease is renewed once this part of its ttl is over.
RENEW_PART = 1 / 3
#: How many leases one commit renews.
RENEW_BATCH_MAX = 1_000


class Lock:
    """The mutex of a namespace; an asynchronous context manager. Made by `Database.lock`.

    It holds off other callers that ask for it, be they tasks, threads or processes; writes that do
    not ask for it go on. In one process first come is first served; between processes one that has
    waited a while comes next. It locks its own namespace only, not those above or below.
    Writes need no lock to be atomic: `modify`, conditions and transactions are cheaper.

    While its holder lives, its lease is renewed. What a holder that was held up longer than the
    ttl finds at the end of its block is LeaseLost or Fenced.
    """

    def __init__(
        self,
        locks: Locks,
        name: str,
        ttl_s: float,
        timeout_s: float | None,
        gate: Gate,
        renews: bool,
    ) -> None:
        self._locks = locks
        self._name = name
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._gate = gate
        self._renews = renews
        self._holding: Holding | None = None

    def __repr__(self) -> str:
        state = f"token {self.token}" if self._holding is not None else "not held"
        return f"<Lock of {self._name!r} ({state})>"

    @property
    def namespace(self) -> str:
        """What it locks; empty: the root."""
        return self._name

    @property
    def held(self) -> bool:
        """Whether it was acquired and not let go, and its lease is not known to be lost."""
        return self._holding is not None and not self._holding.lost

    @property
    def token(self) -> int:
        """The fencing token: a number that grows with each holder, in every process. 0: not held.

        Give it to whatever is written outside the database; who sees a smaller one than before
        refuses it.
        """
        return 0 if self._holding is None else self._holding.granted.token

    async def acquire(self) -> Self:
        """Wait for it and take it; `async with` and `await` do.

        Raises:
            TimedOut: the time is up.
            DeadlockDetected: the caller holds it already, or its holder waits for the caller.
            ReadOnly, StorageFull: the lease cannot be written.
        """
        self._gate.check()
        self._holding = await self._locks.acquire(
            self._name, self._ttl_s, self._timeout_s, self._gate, renews=self._renews
        )
        return self

    async def release(self) -> None:
        """Let it go.

        Raises:
            LeaseLost, Fenced: it had been lost before; see `check`.
            StoreClosed: the handle was closed meanwhile, which let it go.
            WrongContext: it is not held.
        """
        holding = self._require()
        try:
            self._holding = None
            await self._locks.release(holding)
        except BaseException:
            self._locks.drop(holding)  # Interrupted, perhaps before anything was done.
            raise

    async def check(self) -> None:
        """Ask the database whether the lock is held still.

        Raises:
            LeaseLost: the lease ran out, and the lock is free.
            Fenced: it ran out, and another holder has the lock.
        """
        self._gate.check()
        await self._locks.check(self._require())

    async def renew(self) -> None:
        """Let the lease begin anew. It happens by itself, unless housekeeping is switched off.

        Raises:
            LeaseLost, Fenced: it is lost.
        """
        self._gate.check()
        holding = self._require()
        await self._locks.renew([holding])
        if holding.lost:
            await self._locks.check(holding)

    def __await__(self) -> Generator[Any, None, Self]:
        return self.acquire().__await__()

    async def __aenter__(self) -> Self:
        return await self.acquire()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._holding is None:
            return  # Let go by hand inside the block.
        try:
            await self.release()
        except StoreError as lost:
            if error is None:
                raise
            error.add_note(f"The lock could not be let go: {lost}")

    def __del__(self) -> None:
        # An interrupt came between the taking and the block, or at the end of the block.
        holding = getattr(self, "_holding", None)
        if holding is not None:
            self._locks.drop(holding)

    def _require(self) -> Holding:
        if self._holding is None:
            raise WrongContext(
                f"the lock of {self._name!r} is not held; acquire it first, or enter it with "
                "`with` (on a loop `async with`)"
            )
        return self._holding


class Holding:
    """A lock while it is held.

    Attributes:
        lost: its lease was found to be gone.
        renew_at: monotonic instant.
    """

    def __init__(self, granted: Granted, ttl_s: float, gate: Gate, renew_at: float) -> None:
        self.granted = granted
        self.ttl_s = ttl_s
        self.gate = gate
        self.renew_at = renew_at
        self.lost = False

    @property
    def name(self) -> str:
        return self.granted.claim.name


class Locks:
    """The locks of one database, as all its handles in this process share them."""

    def __init__(self, engine: Engine) -> None:
        self._components = engine.components
        self._leases = Leases(engine, engine.components.clock)
        self._process = engine.components.ids.new()
        self.table = LockTable(engine.components.host)
        self._lock = threading.Lock()
        self._held: dict[bytes, Holding] = {}
        self._waiting: set[Waiting] = set()
        #: Locks that have no owner any more; to be let go by the next call that can wait.
        self._dropped: deque[Holding] = deque()
        # A thread of its own: what else keeps house may take longer than a lease lasts.
        self._renewing = Housekeeping(engine.components.host, _keeping(weakref.ref(self)), _failed)
        # The thread alone keeps no database open that its owners forgot.
        weakref.finalize(self, self._renewing.leave).atexit = False

    def lock(
        self,
        namespace: str,
        ttl: float | timedelta,
        timeout: float | timedelta | None,
        gate: Gate,
        *,
        renews: bool,
    ) -> Lock:
        """The lock of a namespace; see `Database.lock`. `renews`: its lease, by itself."""
        name = namespace_name(namespace)
        ttl_s = _seconds("ttl", ttl)
        if not TTL_MIN_S <= ttl_s <= TTL_MAX_S:
            raise InvalidInput(
                f"the ttl of a lock is {TTL_MIN_S:g} to {TTL_MAX_S:g} seconds; found {ttl_s:g}"
            )
        timeout_s = None if timeout is None else _seconds("timeout", timeout)
        return Lock(self, name, ttl_s, timeout_s, gate, renews)

    def holds(self, namespace: str) -> bool:
        """Whether the present caller has that lock."""
        caller = self._components.host.runtime().caller()
        return self.table.holds(namespace, caller)

    async def acquire(
        self, name: str, ttl_s: float, timeout_s: float | None, gate: Gate, *, renews: bool
    ) -> Holding:
        """Wait for a lock and take it."""
        await self._let_go_dropped()
        waiting = Waiting(
            self._components, self.table, self._leases, self._process, gate, name, ttl_s, timeout_s
        )
        holding: Holding | None = None
        try:
            with self._lock:
                self._waiting.add(waiting)
            granted = await waiting.finish()
            holding = Holding(granted, ttl_s, gate, self._renewal(ttl_s))
            with self._lock:
                self._waiting.discard(waiting)
                self._held[granted.owner] = holding
            if renews:
                self._renewing.need()
            return holding
        except BaseException as error:
            with self._lock:
                self._waiting.discard(waiting)
                if holding is not None:
                    self._held.pop(holding.granted.owner, None)
            if not isinstance(error, StoreError):
                await waiting.leave()  # Interrupted, perhaps when it was granted already.
            raise

    async def release(self, holding: Holding) -> None:
        """Let it go. Raises LeaseLost, Fenced or StoreClosed when it was gone before."""
        with self._lock:
            if holding.granted.owner not in self._held:
                raise StoreClosed(
                    f"the lock of {holding.name!r} was let go when its handle was closed; close "
                    "the handle after the block"
                )
        try:
            await self._let_go_of(holding)
        except BaseException as error:
            if not isinstance(error, StoreError):
                with contextlib.suppress(StoreError):
                    await self._let_go_of(holding)  # Cancelled or interrupted somewhere.
            raise

    def drop(self, holding: Holding) -> None:
        """Let it go soon, unless that was done; may be called where nothing can wait."""
        if holding.granted.owner in self._held:
            self._dropped.append(holding)

    async def check(self, holding: Holding) -> None:
        """Raise LeaseLost or Fenced unless it is held still."""
        await self._leases.require(holding.name, holding.granted.owner)
        if holding.lost:
            raise lease_lost(holding.name, None)

    async def renew(self, holdings: list[Holding]) -> None:
        """Let leases begin anew; marks those that are lost."""
        for start in range(0, len(holdings), RENEW_BATCH_MAX):
            batch = holdings[start : start + RENEW_BATCH_MAX]
            renewed = await self._leases.renew(
                [(one.name, one.granted.owner, round(one.ttl_s * 1000)) for one in batch]
            )
            for holding, still in zip(batch, renewed, strict=True):
                holding.renew_at = self._renewal(holding.ttl_s)
                holding.lost = not still

    async def keep(self) -> None:
        """Renew what is due."""
        now = self._components.clock.monotonic()
        with self._lock:
            due = [one for one in self._held.values() if one.renew_at <= now and not one.lost]
        await self.renew(due)
        for holding in due:
            with self._lock:
                wanted = holding.granted.owner in self._held
            if holding.lost and wanted:
                _log.warning("the lease of lock %r was lost while it was held", holding.name)

    async def sweep(self) -> int:
        """Remove what killed processes left behind; how many rows."""
        return await self._leases.sweep()

    async def let_go(self, gate: Gate | None) -> None:
        """A handle closes: let go what it holds, and end its waits with StoreClosed."""
        with self._lock:
            held = [one for one in self._held.values() if one.gate is gate]
            waiting = [one for one in self._waiting if one.gate is gate]
        for waiter in waiting:
            waiter.give_up(StoreClosed("the handle was closed while waiting for a lock"))
        for holding in held:
            with contextlib.suppress(LeaseLost, Fenced):
                await self.release(holding)

    def stop(self) -> None:
        """End the renewing of leases; the database closes."""
        self._renewing.stop()

    async def _let_go_of(self, holding: Holding) -> None:
        try:
            await self._leases.give(holding.name, holding.granted.owner)
        finally:
            self.table.let_go(holding.granted.claim)
            with self._lock:
                self._held.pop(holding.granted.owner, None)

    async def _let_go_dropped(self) -> None:
        while self._dropped:
            with contextlib.suppress(IndexError, StoreError):
                await self.release(self._dropped.popleft())

    async def _keep(self) -> float:
        await self._let_go_dropped()
        await self.keep()
        return REST_MAX_S

    def _renewal(self, ttl_s: float) -> float:
        return self._components.clock.monotonic() + ttl_s * RENEW_PART


def _keeping(reference: weakref.ref[Locks]) -> Callable[[], Awaitable[float]]:
    """A round of renewing that does not keep the locks alive."""

    async def keep() -> float:
        locks = reference()
        if locks is None:
            raise Over
        return await locks._keep()  # noqa: SLF001 - ours

    return keep


def _failed(error: BaseException) -> None:
    _log.warning("the renewing of leases will be tried again: %s", error)


def namespace_name(namespace: str) -> str:
    """The canonical text of a namespace. Raises InvalidKey."""
    return format_namespace(parse_namespace(namespace))


def _seconds(what: str, duration: float | timedelta) -> float:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        raise InvalidInput(f"{what} is seconds from 0, or a timedelta; found {duration!r}")
    return float(seconds)
