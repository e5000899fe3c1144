"""Limits and members of the adapter in memory."""

from __future__ import annotations

from holdfast.state.adapter import Verdict
from holdfast.state.mock.kept import Kept, KeptValues


class MemoryLimits(KeptValues):
    """The verbs of limits and members, on what an adapter keeps."""

    async def limit_fixed(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        there = self._find(key)
        used = int(there.value) if there is not None else 0
        now = self._clock.now_ms()
        if there is not None:
            # Also one that ends too late, because the clock stepped back.
            there.until_ms = min(there.until_ms or now + window_ms, now + window_ms)
        if used + cost > limit:
            left = there.until_ms - now if there is not None else 0
            return Verdict(False, max(limit - used, 0), -1 if cost > limit else max(left, 1))
        until = there.until_ms if there is not None else now + window_ms
        self._kept[key] = Kept(b"%d" % (used + cost), until)
        return Verdict(True, limit - used - cost, 0)

    async def limit_sliding(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        now = self._clock.now_ms()
        kept = self._value(key, list) or []
        costs: list[tuple[int, int]] = [
            (min(at, now), one) for at, one in kept if at > now - window_ms
        ]
        if kept and kept[-1][0] > now:
            # The clock stepped back: they count from now on, not from an instant to come.
            self._kept[key] = Kept(costs, now + window_ms)
        used = sum(one for _, one in costs)
        if used + cost <= limit:
            costs.append((now, cost))
            self._kept[key] = Kept(costs, now + window_ms)
            return Verdict(True, limit - used - cost, 0)
        if cost > limit:
            return Verdict(False, max(limit - used, 0), -1)
        freed, free_at = 0, now
        for at, one in costs:
            freed, free_at = freed + one, at + window_ms
            if used - freed + cost <= limit:
                break
        return Verdict(False, max(limit - used, 0), max(free_at - now, 1))

    async def limit_bucket(self, key: str, capacity: int, refill_ms: float, cost: int) -> Verdict:
        now = self._clock.now_ms()
        tokens, at = self._value(key, tuple) or (float(capacity), now)
        tokens = min(capacity, tokens + max(now - at, 0) / refill_ms)
        if cost > tokens and at > now:
            # The clock stepped back: it refills from now on, not from an instant to come.
            self._kept[key] = Kept((tokens, now), now + _full(capacity, tokens, refill_ms))
        if cost > capacity:
            return Verdict(False, int(tokens), -1)
        if cost > tokens:
            return Verdict(False, int(tokens), max(-int(-(cost - tokens) * refill_ms // 1), 1))
        tokens -= cost
        self._kept[key] = Kept((tokens, now), now + _full(capacity, tokens, refill_ms))
        return Verdict(True, int(tokens), 0)

    async def join(
        self, key: str, member: str, ttl_ms: int, *, members_max: int = 0, renew: bool = False
    ) -> bool:
        there = self._members(key)
        if (renew and member not in there) or (
            member not in there and members_max and len(there) >= members_max
        ):
            return False
        there[member] = self._clock.now_ms() + ttl_ms
        self._kept[key] = Kept(there, max(there.values()))
        return True

    async def leave(self, key: str, member: str) -> bool:
        there = self._members(key)
        left = there.pop(member, None) is not None
        if left:
            self._kept[key] = Kept(there, max(there.values(), default=1))
        return left

    async def members(self, key: str) -> list[tuple[str, int]]:
        now = self._clock.now_ms()
        there = sorted(self._members(key).items(), key=lambda one: (one[1], one[0]))
        return [(member, until - now) for member, until in there]

    def _members(self, key: str) -> dict[str, int]:
        now = self._clock.now_ms()
        there: dict[str, int] = self._value(key, dict) or {}
        return {member: until for member, until in there.items() if until > now}


def _full(capacity: int, tokens: float, refill_ms: float) -> int:
    """In how many milliseconds a bucket is full again."""
    return max(-int(-(capacity - tokens) * refill_ms // 1), 1)
