"""`limiter`: how often something may happen, counted in one step on the keeper."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple

from holdfast.state.adapter import Verdict
from holdfast.state.areas.area import Area, Scene
from holdfast.state.checks import Duration, duration_ms, number_within, whole
from holdfast.state.telemetry import operation

_CHECK = operation("limiter.check", "limiter", success={"ctx.limiter.allowed": bool})

#: The highest limit of a sliding window, which remembers each of its costs.
SLIDING_MAX = 100_000
LIMIT_MAX = 10**12
#: What a bucket gains: from one in twelve days to one in a microsecond.
PER_SECOND_MIN = 1e-6
PER_SECOND_MAX = 1e6


class LimitResult(NamedTuple):
    """What a limiter says; it is true when the cost was allowed.

    Attributes:
        allowed: whether it fitted. What did not fit is not counted.
        remaining: what still fits.
        retry_after: seconds until this cost may fit; 0 when it did, None when it never will.
    """

    allowed: bool
    remaining: int
    retry_after: float | None

    def __bool__(self) -> bool:
        return self.allowed


class Limiter(Area):
    """Limiters. Each key frees itself when there is nothing left to remember."""

    area = "limiter"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._fixed = self._key.within("fixed")
        self._sliding = self._key.within("sliding")
        self._bucket = self._key.within("bucket")

    async def fixed(self, key: str, limit: int, window: Duration, *, cost: int = 1) -> LimitResult:
        """At most `limit` in a window, which begins with its first cost and ends `window` later.

        Up to twice the limit can come around the end of a window; `sliding` does not let it.
        """
        whole_key = self._fixed(key)
        span = _check(limit, LIMIT_MAX, window, cost)
        return await self._said(key, self._adapter.limit_fixed(whole_key, limit, span, cost))

    async def sliding(
        self, key: str, limit: int, window: Duration, *, cost: int = 1
    ) -> LimitResult:
        """At most `limit` in any `window`, to the millisecond."""
        whole_key = self._sliding(key)
        span = _check(limit, SLIDING_MAX, window, cost)
        return await self._said(key, self._adapter.limit_sliding(whole_key, limit, span, cost))

    async def bucket(
        self, key: str, capacity: int, per_second: float, *, cost: int = 1
    ) -> LimitResult:
        """A bucket of `capacity` tokens that gains `per_second`: bursts, then a steady rate."""
        whole_key = self._bucket(key)
        whole("capacity", capacity, 1, LIMIT_MAX)
        whole("cost", cost, 1, LIMIT_MAX)
        refill_ms = 1000 / number_within("per_second", per_second, PER_SECOND_MIN, PER_SECOND_MAX)
        return await self._said(
            key, self._adapter.limit_bucket(whole_key, capacity, refill_ms, cost)
        )

    async def _said(self, key: str, work: Awaitable[Verdict]) -> LimitResult:
        verdict = await self._observer.run(
            _CHECK, key, work, success=lambda said: {"ctx.limiter.allowed": said.allowed}
        )
        after = verdict.retry_after_ms
        return LimitResult(verdict.allowed, verdict.remaining, None if after < 0 else after / 1000)


def _check(limit: int, most: int, window: Duration, cost: int) -> int:
    whole("limit", limit, 1, most)
    whole("cost", cost, 1, LIMIT_MAX)
    return duration_ms("window", window)
