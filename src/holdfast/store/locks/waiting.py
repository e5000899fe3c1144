"""How a caller comes to a lock: first its turn in this process, then the lease."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from holdfast.contract.errors import StoreError, TimedOut
from holdfast.contract.runtime import Components
from holdfast.runtime.gate import Gate
from holdfast.store.locks.lease import WAIT_ROW_MS, Leases, Want
from holdfast.store.locks.table import Claim, LockTable, deadlock

#: The pauses between two looks at a lease that another process has: doubled from the first on.
LOOK_FIRST_S = 0.001
LOOK_LAST_S = 0.02
#: After which time a waiter has the row of the lock say that it is next.
PATIENCE_S = 0.25
#: How often a caller that waits while it holds another lock looks for a cycle.
CYCLE_LOOK_S = 0.2


class Granted(NamedTuple):
    """What a caller got.

    Attributes:
        claim: its place in this process.
        owner: identity of this holding.
        token: grows with each holder.
    """

    claim: Claim
    owner: bytes
    token: int


class Waiting:
    """One caller on its way to a lock.

    Args:
        components: time, ids, and how the caller waits.
        table: of the process.
        leases: of the database.
        process: identity of the process.
        gate: of the handle that it came through.
        name: of the lock.
        ttl_s: how long its lease lasts unless renewed.
        timeout_s: how long it waits; None: as long as it takes.
    """

    def __init__(
        self,
        components: Components,
        table: LockTable,
        leases: Leases,
        process: bytes,
        gate: Gate,
        name: str,
        ttl_s: float,
        timeout_s: float | None,
    ) -> None:
        self._clock = components.clock
        self._runtime = components.host.runtime()
        self._table = table
        self._leases = leases
        self.gate = gate
        self._name = name
        self._timeout_s = timeout_s
        self._began = self._clock.monotonic()
        self._looked = self._began
        self._told_at = self._began
        self._asked = False
        self._process = process
        self._given_up: StoreError | None = None
        self.claim = Claim(name, self._runtime.caller())
        self._want = Want(name, components.ids.new(), b"", round(ttl_s * 1000))

    async def finish(self) -> Granted:
        """Wait for the turn, then for the lease. Leaves nothing behind when it fails.

        Raises:
            TimedOut: another caller has it, and the time is up.
            DeadlockDetected: its holder waits for this caller.
        """
        try:
            self._table.stand(self.claim, self._runtime.completion)
            self._want.caller = self._process + self.claim.number.to_bytes(8, "big")
            await self._turn()
            return Granted(self.claim, self._want.owner, await self._lease())
        except BaseException:
            await self.leave()
            raise

    def give_up(self, error: StoreError) -> None:
        """Have it fail where it waits for its turn."""
        self._given_up = error
        if self.claim.granted is not None:
            self.claim.granted.settle(error=error)

    async def leave(self) -> None:
        """Take back whatever was said or written; twice does nothing more."""
        try:
            # What it asked for may have been granted in the moment it gave up.
            with contextlib.suppress(StoreError):
                if self._want.told:
                    await self._leases.forget_wait(self._want.caller)
            with contextlib.suppress(StoreError):
                if self._asked:
                    await self._leases.give(self._name, self._want.owner)
        finally:
            self._table.let_go(self.claim)

    # --- Inside -----------------------------------------------------------------------------

    async def _turn(self) -> None:
        granted = self.claim.granted
        if self._given_up is not None:
            raise self._given_up
        if granted is None:
            return
        while True:
            rest = self._rest()
            if self._table.holds_others(self.claim):
                rest = CYCLE_LOOK_S if rest is None else min(rest, CYCLE_LOOK_S)
            try:
                await granted.wait(rest)
                return
            except TimedOut:
                self._refuse_late()
            await self._look_for_cycle()

    async def _lease(self) -> int:
        """Take the lease, looking at its row again and again; the token."""
        began = self._clock.monotonic()
        pause = LOOK_FIRST_S
        self._asked = True
        while True:
            token = await self._leases.take(self._want)
            if token is not None:
                return token
            while True:
                self._refuse_late()
                rest = self._rest()
                await self._runtime.sleep(pause if rest is None else min(pause, rest))
                pause = min(2 * pause, LOOK_LAST_S)
                self.gate.check()
                self._want.patient = self._clock.monotonic() - began >= PATIENCE_S
                await self._look_for_cycle()
                if not await self._leases.busy(self._want):
                    break

    async def _look_for_cycle(self) -> None:
        """Raise when the callers of several processes wait for each other and this one yields."""
        now = self._clock.monotonic()
        if now - self._looked < CYCLE_LOOK_S / 2 or not self._table.holds_others(self.claim):
            return
        self._looked = now
        want = self._want
        if not want.told or (now - self._told_at) * 1000 > WAIT_ROW_MS / 2:
            want.told = True
            self._told_at = now
            await self._leases.tell_wait(want.caller, self._name)
        cycle = await self._leases.cycle(want.caller, self._name)
        # All of them see the same cycle, so one and the same yields.
        if cycle is not None and max(caller for caller, _ in cycle) == want.caller:
            raise deadlock([name for _, name in cycle])

    def _rest(self) -> float | None:
        """Seconds left."""
        if self._timeout_s is None:
            return None
        return max(0.0, self._timeout_s - (self._clock.monotonic() - self._began))

    def _refuse_late(self) -> None:
        if self._rest() == 0.0:
            raise TimedOut(
                f"the lock of {self._name!r} was wanted within {self._timeout_s:g} s; somebody "
                "else has it still. Wait longer, or try again",
                lock=self._name,
                timeout_s=self._timeout_s,
            )
