"""`claim`: one holder at a time, everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import orjson

from holdfast.contract.errors import LeaseLost
from holdfast.runtime.working import checked_work, worked
from holdfast.state.areas.area import Area, Scene
from holdfast.state.areas.holding import wait_for
from holdfast.state.areas.lease import STAMP, Lease
from holdfast.state.checks import Duration, name, ttl_ms
from holdfast.state.limits import TTL_MAX_S
from holdfast.state.telemetry import operation

T = TypeVar("T")

_ACQUIRE = operation(
    "claim.acquire", "claim", {"ctx.claim.ttl": float}, {"ctx.claim.acquired": bool}
)
_RELEASE = operation("claim.release", "claim", success={"ctx.claim.released": bool})
_EXTEND = operation("claim.extend", "claim", {"ctx.claim.ttl": float}, {"ctx.claim.extended": bool})
_HOLDER = operation("claim.holder", "claim", success={"ctx.claim.found": bool})

#: How long a lease lasts without being renewed, in seconds.
LEASE_S = 30.0
#: The one key of a scope that tokens are drawn from.
_TOKENS = "token"
_OWNER_CHARACTERS_MAX = 256


class Holder(NamedTuple):
    """Who has a claim: the value it was claimed with, and the token if it is a lease."""

    value: Any
    token: int | None


class Claim(Area):
    """Claims. Only its owner lets go of one; what has a time-to-live frees itself after it."""

    area = "claim"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._fence = scene.keys.area("fence")

    async def once(self, key: str, value: Any, *, ttl: Duration | None = None) -> bool:
        """Claim it if nobody has; whether this call got it.

        Args:
            key: what.
            value: who; the same value releases and extends it.
            ttl: until it frees itself; without it lasts until it is released.
        """
        whole = self._key(key)
        span = self._span(ttl)
        data = self._scene.encode(value)
        return await self._observer.run(
            _ACQUIRE,
            key,
            self._adapter.set(whole, data, ttl_ms=span, condition="absent"),
            {"ctx.claim.ttl": span / 1000} if span else {},
            lambda acquired: {"ctx.claim.acquired": acquired},
        )

    async def release(self, key: str, value: Any) -> bool:
        """Let go of what was claimed with this value; False when another one has it, or nobody."""
        whole, data = self._key(key), self._scene.encode(value)
        return await self._observer.run(
            _RELEASE,
            key,
            self._adapter.delete_if(whole, data),
            success=lambda released: {"ctx.claim.released": released},
        )

    async def extend(self, key: str, value: Any, ttl: Duration) -> bool:
        """Keep what was claimed with this value for so long from now; False when it is not."""
        whole, data, span = self._key(key), self._scene.encode(value), ttl_ms(ttl)
        return await self._observer.run(
            _EXTEND,
            key,
            self._adapter.expire_if(whole, data, span),
            {"ctx.claim.ttl": span / 1000},
            lambda extended: {"ctx.claim.extended": extended},
        )

    async def holder(self, key: str) -> Holder | None:
        """Who has it now."""
        whole = self._key(key)
        data = await self._observer.run(
            _HOLDER,
            key,
            self._adapter.get(whole),
            success=lambda data: {"ctx.claim.found": data is not None},
        )
        if data is None:
            return None
        if data.startswith(STAMP):
            stamp = orjson.loads(data)
            return Holder(stamp["owner"], stamp["token"])
        return Holder(self._scene.decode(data), None)

    # --- Leases -----------------------------------------------------------------------------

    async def acquire(
        self, key: str, *, owner: str | None = None, ttl: Duration = LEASE_S
    ) -> Lease | None:
        """A lease if nobody has the claim, else None. It is not renewed by itself: see `lease`."""
        span = ttl_ms(ttl)
        lease = self._wanted(key, owner, span)
        try:
            return lease if await self._take(lease, span) else None
        except GeneratorExit:
            raise  # Nothing can be waited for.
        except BaseException:
            await lease._undo()  # noqa: SLF001 - its own kind
            raise

    @asynccontextmanager
    async def lease(
        self,
        key: str,
        *,
        owner: str | None = None,
        ttl: Duration = LEASE_S,
        wait: Duration | None = None,
        cancel_on_loss: bool = True,
    ) -> AsyncIterator[Lease]:
        """Hold a lease for a block, renewed until it ends.

        Args:
            key: what is claimed.
            owner: who claims it; a fresh identity unless given.
            ttl: how long it lasts when this process dies.
            wait: how long to wait for another holder to let go; without it, not at all.
            cancel_on_loss: whether the block is cancelled when the lease is lost.

        Raises:
            TimedOut: another one held it all the time.
            LeaseLost: it was lost before the block ended.
        """
        span = ttl_ms(ttl)
        lease = self._wanted(key, owner, span)
        lease.cancel_on_loss = cancel_on_loss
        try:
            await wait_for(
                lambda: self._take(lease, span),
                wait,
                self._scene.components,
                f"another one holds {key!r}",
            )
            async with lease:
                yield lease
        except GeneratorExit:
            raise  # Nothing can be waited for.
        except BaseException:
            await lease._undo()  # noqa: SLF001 - its own kind
            raise

    async def lead(
        self,
        key: str,
        work: Callable[[Lease], Awaitable[T]],
        *,
        owner: str | None = None,
        ttl: Duration = LEASE_S,
    ) -> T:
        """Wait to be the leader, then run `work`; return what it returns.

        Leadership that is lost cancels the work, and waiting begins anew.
        """
        checked_work(work, "a leader")
        while True:
            try:
                async with self.lease(key, owner=owner, ttl=ttl, wait=TTL_MAX_S) as it:
                    return await worked(work, it, "a leader")
            except LeaseLost:
                continue

    # --- Inside -----------------------------------------------------------------------------

    def _wanted(self, key: str, owner: str | None, span: int) -> Lease:
        """A lease that is still to be taken."""
        return Lease(
            self._adapter,
            self._scene.components,
            key=key,
            whole=self._key(key),
            fence=self._fence(_TOKENS),
            owner=self._owner(owner),
            span_ms=span,
        )

    async def _take(self, lease: Lease, span: int) -> bool:
        return await self._observer.run(
            _ACQUIRE,
            lease.key,
            lease._acquire(),  # noqa: SLF001 - its own kind
            {"ctx.claim.ttl": span / 1000},
            lambda taken: {"ctx.claim.acquired": taken},
        )

    def _owner(self, owner: str | None) -> str:
        if owner is None:
            return self._scene.components.ids.new().hex()
        return name("owner", owner, _OWNER_CHARACTERS_MAX)

    def _span(self, ttl: Duration | None) -> int:
        if ttl is None:
            self._observer.warn_once(
                "claim",
                "a claim was made without a time-to-live: it lasts until it is released, even when "
                "its owner dies; told once",
            )
            return 0
        return ttl_ms(ttl)
