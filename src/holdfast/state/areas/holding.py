"""What is held for a while and kept by renewing it: leases and permits.

Whoever holds something trusts its own clock least of all: it counts the time from before it asked,
so it knows of a loss no later than the keeper does.
"""

from __future__ import annotations

import contextlib
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Self

from holdfast.contract.errors import LeaseLost, OutcomeUnknown, StoreError, TimedOut
from holdfast.contract.pauses import pause_s
from holdfast.contract.runtime import Background, Components, Runtime
from holdfast.state.checks import Duration, duration_ms, ttl_ms
from holdfast.state.shared import Shared

#: A holding is renewed when this part of its time is over.
RENEW_AT = 1 / 3
#: The shortest pause between two attempts to renew, in seconds.
RETRY_S = 0.02
#: Between two attempts to get what others hold, in seconds: at first, and at most.
ATTEMPT_S = 0.02
ATTEMPT_MAX_S = 0.5


async def wait_for(
    take: Callable[[], Awaitable[bool]],
    wait: Duration | None,
    components: Components,
    taken: str,
) -> None:
    """Take, tried again and again for so long; `taken` says who has it meanwhile.

    Raises:
        TimedOut: it got nothing all the time.
    """
    clock, runtime = components.clock, components.host.runtime()
    until = clock.monotonic() + (duration_ms("wait", wait) / 1000 if wait else 0.0)
    attempts = 0
    while not await take():
        left = until - clock.monotonic()
        if left <= 0:
            raise TimedOut(
                f"{taken}; waited for {wait or 0} s. Try again later, or give a longer wait"
            )
        attempts += 1
        pause = pause_s(components.ids, attempts, ATTEMPT_S, ATTEMPT_MAX_S)
        await runtime.sleep(min(pause, left))


class Holding(ABC):
    """Something held. As `async with` it is renewed until the block ends, and then let go.

    When it is lost the block is cancelled (unless `cancel_on_loss` is off) and LeaseLost is raised
    where the block ends.

    Attributes:
        key: what is held.
    """

    def __init__(self, key: str, span_ms: int, components: Components) -> None:
        self.key = key
        self.cancel_on_loss = True
        self._span_ms = span_ms
        self._clock = components.clock
        self._host = components.host
        self._ends_at = 0.0
        self._gone = True  # Until it is taken.
        self._let_go = False
        #: Whether the keeper was asked for it and nobody knows what it did.
        self._open = False
        #: Whether the keeper is still to be told that it is let go.
        self._owed = False
        self._renewer: Background | None = None
        #: Until it is renewed next, in seconds.
        self._pause = 0.0
        self._lost: Shared[None] = Shared(components.host)
        self._body: Any = None
        self._cancelled = False

    @abstractmethod
    async def _take(self) -> bool:
        """Ask the keeper for it; False: others have it."""

    @abstractmethod
    async def _forget(self) -> None:
        """Give back what `_take` may have got, though nobody heard of it."""

    @abstractmethod
    async def _renew(self, span_ms: int) -> bool:
        """Ask the keeper for more time; False: it is somebody else's, or nobody's."""

    @abstractmethod
    async def _release(self) -> bool:
        """Let go; False: it was not held any more."""

    # --- Taking -----------------------------------------------------------------------------

    async def _acquire(self) -> bool:
        """Ask for it once; whether it is held now. If it raises, call `_undo`."""
        runtime = self._host.runtime()
        asked_at = self._clock.monotonic()
        self._open = True
        try:
            # Nobody cancels what holds its thread.
            taken = await (self._take() if runtime.blocking else self._taken(runtime))
        except Exception as error:
            self._open = isinstance(error, OutcomeUnknown | TimedOut)
            raise
        if taken:
            self._ends_at = asked_at + self._span_ms / 1000
            self._gone = False
        self._open = False
        return taken

    async def _undo(self) -> None:
        """Let go of what an error or an interrupt left to nobody, between asking and the block.

        Nobody would know what was taken, and it would be held until its time is over.
        """
        with contextlib.suppress(StoreError):
            if self._open:
                await self._forget()
                self._open = False
            await self.release()

    async def _taken(self, runtime: Runtime) -> bool:
        """`_take` as a task of its own, which gives back what its caller does not want any more.

        The keeper may have been asked already when the caller is cancelled.
        """
        outcome: Shared[bool] = Shared(self._host)
        wanted = True

        async def work() -> None:
            try:
                taken = await self._take()
            except GeneratorExit:
                raise  # Its loop is gone: nothing can be waited for.
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                outcome.settle(error=error)
                taken = not isinstance(error, Exception)
            else:
                outcome.settle(taken)
            if taken and not wanted:
                await forget()

        async def forget() -> None:
            with contextlib.suppress(StoreError):
                await self._forget()

        task = runtime.start("holdfast takes", work)
        try:
            taken = await outcome.wait()
        except BaseException as error:
            wanted = False
            if not isinstance(error, Exception):
                self._open = False  # The task sees to it.
                if outcome.result:
                    # It came in the very turn in which the caller was cancelled.
                    runtime.start("holdfast gives back", forget)
            raise
        del task  # Held until here, so that the loop cannot lose it.
        return bool(taken)

    # --- What callers ask -------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether it is held, as far as can be known without asking."""
        return not self._gone and (self._span_ms == 0 or self._clock.monotonic() < self._ends_at)

    @property
    def lost(self) -> bool:
        """Whether it is not held any more: let go, or taken away by time."""
        return not self.held

    @property
    def remaining(self) -> float:
        """Seconds for which it is surely held; infinity without a time-to-live."""
        if self._gone:
            return 0.0
        if not self._span_ms:
            return float("inf")
        return max(0.0, self._ends_at - self._clock.monotonic())

    async def extend(self, ttl: Duration | None = None) -> None:
        """Hold it for so long from now on.

        Args:
            ttl: seconds or a timedelta; None: as long as it was asked for.

        Raises:
            InvalidValue: `ttl` is no duration above zero.
            LeaseLost: it is not held any more.
        """
        span = self._span_ms if ttl is None else ttl_ms(ttl)
        asked_at = self._clock.monotonic()
        if self._gone or not await self._renew(span):
            self._lose()
            raise LeaseLost(f"{self.key!r} is not held any more; acquire it anew")
        self._span_ms = span
        self._ends_at = asked_at + span / 1000

    async def release(self) -> bool:
        """Let go; False when it was lost before. Twice does nothing.

        A caller that is cancelled meanwhile has let go all the same. After an interrupt, or where
        the keeper could not be asked, it can be called again.
        """
        if self._gone and not self._owed:
            return False
        self._gone = self._let_go = self._owed = True
        if self._renewer is not None:
            self._renewer.stop()
        return await self._host.runtime().shielded("holdfast lets go", self._released)

    async def _released(self) -> bool:
        held = await self._release()
        self._owed = False
        return held

    async def wait_lost(self) -> None:
        """Return when it is lost. For work that watches for itself."""
        if self.lost:
            return
        await self._lost.wait()

    def keep(self) -> None:
        """Renew it in the background from now on, for as long as somebody has this object."""
        if self._renewer is None and self._span_ms:
            self._pause = self._span_ms / 1000 * RENEW_AT
            runtime, held = self._host.runtime(), weakref.ref(self)
            name = f"holdfast keeps {type(self).__name__}"
            self._renewer = runtime.start(name, lambda: _keep(held, runtime))

    # --- As a block -------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            self._body = self._host.runtime().caller()
            self.keep()
            return self
        except BaseException:
            # Interrupted, or no thread could be had: there is no block that would let go.
            with contextlib.suppress(StoreError):
                await self.release()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        body, self._body = self._body, None
        kept = self._let_go
        try:
            kept = await self.release() or kept
        except StoreError:
            # It ends by itself in time; whether it lasted until now our own clock says.
            kept = kept or self._clock.monotonic() < self._ends_at
        if self._cancelled:
            await self._take_back(body, kind)
        if not kept and (kind is None or self._cancelled):
            raise LeaseLost(
                f"{self.key!r} was lost before the block ended; treat its work as interrupted"
            ) from None

    # --- Inside -----------------------------------------------------------------------------

    async def _renewed(self) -> bool:
        """Ask once for more time; whether it is to be asked again after `_pause`."""
        if self._gone:
            return False
        try:
            await self.extend()
            self._pause = self._span_ms / 1000 * RENEW_AT
        except LeaseLost:
            return False
        except StoreError:
            # The keeper cannot be asked. It may be back before the time is over.
            self._pause = max(self._pause / 4, RETRY_S)
            if not self.held:
                self._lose()
                return False
        return True

    async def _take_back(self, body: Any, kind: type[BaseException] | None) -> None:
        """The block ends because of us: its cancellation must not reach further."""
        if kind is None or issubclass(kind, Exception):
            # Not delivered yet: it would come at whatever the caller awaits next.
            try:
                await self._host.runtime().sleep(0)
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException:  # noqa: BLE001, S110 - this is the cancellation
                pass
        body.uncancel()

    def _lose(self) -> None:
        self._gone = True
        if self._let_go:
            return
        self._lost.settle()
        body = self._body
        if body is not None and self.cancel_on_loss and not self._cancelled:
            cancel = getattr(body, "cancel", None)
            if cancel is not None and body is not self._host.runtime().caller():
                self._cancelled = True
                cancel()


async def _keep(held: weakref.ref[Holding], runtime: Runtime) -> None:
    """Renew what is held, until it is lost, let go, or nobody has it any more.

    An interrupt can come between the acquiring and the block that lets go: then nobody would, and
    what is renewed would be held for as long as the process lives.
    """
    while (holding := held()) is not None:
        pause = max(min(holding._pause, holding.remaining), RETRY_S)  # noqa: SLF001 - its own loop
        del holding
        await runtime.sleep(pause)
        holding = held()
        if holding is None or not await holding._renewed():  # noqa: SLF001
            return
        del holding
