"""`semaphore`: at most so many holders at a time, everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.contract.runtime import Components
from holdfast.state.adapter import StateAdapter
from holdfast.state.areas.area import Area
from holdfast.state.areas.claim import LEASE_S
from holdfast.state.areas.holding import Holding, wait_for
from holdfast.state.checks import Duration, ttl_ms, whole
from holdfast.state.telemetry import operation

_ACQUIRE = operation(
    "semaphore.acquire",
    "semaphore",
    {"ctx.semaphore.ttl": float},
    {"ctx.semaphore.acquired": bool},
)
_HOLDERS = operation("semaphore.holders", "semaphore", success={"ctx.semaphore.count": int})

#: Holders of one semaphore at most.
PERMITS_MAX = 100_000


class Permit(Holding):
    """One of the places of a semaphore; see `Semaphore.permit`."""

    def __init__(
        self,
        adapter: StateAdapter,
        components: Components,
        *,
        key: str,
        whole_key: str,
        permits: int,
        span_ms: int,
    ) -> None:
        super().__init__(key, span_ms, components)
        self._adapter = adapter
        self._whole = whole_key
        self._permits = permits
        self.holder = components.ids.new().hex()

    async def _take(self) -> bool:
        return await self._adapter.join(
            self._whole, self.holder, self._span_ms, members_max=self._permits
        )

    async def _forget(self) -> None:
        await self._release()

    async def _renew(self, span_ms: int) -> bool:
        return await self._adapter.join(self._whole, self.holder, span_ms, renew=True)

    async def _release(self) -> bool:
        return await self._adapter.leave(self._whole, self.holder)


class Semaphore(Area):
    """Semaphores. A holder that dies loses its place when its time is over."""

    area = "semaphore"

    async def acquire(self, key: str, permits: int, *, ttl: Duration = LEASE_S) -> Permit | None:
        """A place if fewer than `permits` are taken, else None. It is not renewed by itself."""
        span = ttl_ms(ttl)
        permit = self._wanted(key, permits, span)
        try:
            return permit if await self._take(permit, span) else None
        except GeneratorExit:
            raise  # Nothing can be waited for.
        except BaseException:
            await permit._undo()  # noqa: SLF001 - its own kind
            raise

    @asynccontextmanager
    async def permit(
        self,
        key: str,
        permits: int,
        *,
        ttl: Duration = LEASE_S,
        wait: Duration | None = None,
    ) -> AsyncIterator[Permit]:
        """Hold a place for a block, renewed until it ends.

        Raises:
            TimedOut: all places were taken for as long as `wait`.
            LeaseLost: the place was lost before the block ended.
        """
        span = ttl_ms(ttl)
        permit = self._wanted(key, permits, span)
        try:
            await wait_for(
                lambda: self._take(permit, span),
                wait,
                self._scene.components,
                f"all {permits} places of {key!r} are taken",
            )
            async with permit:
                yield permit
        except GeneratorExit:
            raise  # Nothing can be waited for.
        except BaseException:
            await permit._undo()  # noqa: SLF001 - its own kind
            raise

    async def holders(self, key: str) -> int:
        """How many places are taken."""
        whole_key = self._key(key)
        found = await self._observer.run(
            _HOLDERS,
            key,
            self._adapter.members(whole_key),
            success=lambda found: {"ctx.semaphore.count": len(found)},
        )
        return len(found)

    # --- Inside -----------------------------------------------------------------------------

    def _wanted(self, key: str, permits: int, span: int) -> Permit:
        """A permit that is still to be taken."""
        return Permit(
            self._adapter,
            self._scene.components,
            key=key,
            whole_key=self._key(key),
            permits=whole("permits", permits, 1, PERMITS_MAX),
            span_ms=span,
        )

    async def _take(self, permit: Permit, span: int) -> bool:
        return await self._observer.run(
            _ACQUIRE,
            permit.key,
            permit._acquire(),  # noqa: SLF001 - its own kind
            {"ctx.semaphore.ttl": span / 1000},
            lambda taken: {"ctx.semaphore.acquired": taken},
        )
