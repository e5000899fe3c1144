"""Limiters and members: what is counted in time, decided inside the commit."""

from __future__ import annotations

import math

import msgspec

from holdfast.contract.record import Record
from holdfast.state.adapter import Verdict
from holdfast.state.embedded.base import EmbeddedPart
from holdfast.state.embedded.rows import BUCKET, MEMBERS, QUIET, WINDOW, Row, living
from holdfast.store.plan import Plan

_encode = msgspec.msgpack.Encoder().encode
_costs = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode
_bucket = msgspec.msgpack.Decoder(tuple[float, int]).decode
_members = msgspec.msgpack.Decoder(dict[str, int]).decode


class EmbeddedLimits(EmbeddedPart):
    """The verbs of limiters, semaphores and presence."""

    async def limit_fixed(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        ground = self._ground or await self._open()
        said = Verdict(False, 0, 0)

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal said
            row = living(record, plan.now_ms)
            used = 0 if row is None else int(row.value())
            end_ms = plan.now_ms + window_ms
            until_ms = row.until_ms if row is not None else 0
            # A window without an end (of an older writer) ends from now on, and one that ends
            # later than any that begins now: the clock stepped back.
            until_ms = min(until_ms or end_ms, end_ms)
            if used + cost > limit:
                retry_ms = -1 if cost > limit else max(until_ms - plan.now_ms, 1)
                said = Verdict(False, max(limit - used, 0), retry_ms)
                if row is not None and row.until_ms != until_ms:
                    ground.lasts(plan, data_key, row, until_ms)
                return
            ground.put(plan, data_key, record, QUIET, b"%d" % (used + cost), until_ms)
            said = Verdict(True, limit - used - cost, 0)

        await ground.decide(key, write)
        return said

    async def limit_sliding(self, key: str, limit: int, window_ms: int, cost: int) -> Verdict:
        ground = self._ground or await self._open()
        said = Verdict(False, 0, 0)

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal said
            now = plan.now_ms
            row = living(record, now)
            costs = [] if row is None else _costs(row.require(WINDOW))
            costs = [one for one in costs if one[0] > now - window_ms]
            ahead = bool(costs) and costs[-1][0] > now
            if ahead:
                # The clock stepped back: they count from now on, not from an instant to come.
                costs = [(min(at, now), one) for at, one in costs]
            used = sum(one for _, one in costs)
            if used + cost > limit:
                retry_ms = -1
                if cost <= limit:
                    freed_at = _freed_at(costs, used + cost - limit)
                    retry_ms = max(freed_at + window_ms - now, 1)
                said = Verdict(False, max(limit - used, 0), retry_ms)
            else:
                said = Verdict(True, limit - used - cost, 0)
            if said.allowed and cost:
                if costs and costs[-1][0] == now:
                    costs[-1] = (now, costs[-1][1] + cost)
                else:
                    costs.append((now, cost))
            if ahead or (said.allowed and cost):
                ground.put(plan, data_key, record, WINDOW, _encode(costs), now + window_ms)

        await ground.decide(key, write)
        return said

    async def limit_bucket(self, key: str, capacity: int, refill_ms: float, cost: int) -> Verdict:
        ground = self._ground or await self._open()
        said = Verdict(False, 0, 0)

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal said
            now = plan.now_ms
            row = living(record, now)
            tokens, at = (float(capacity), now) if row is None else _bucket(row.require(BUCKET))
            tokens = min(capacity, tokens + max(now - at, 0) / refill_ms)
            if cost > tokens:
                wait_ms = -1
                if cost <= capacity:
                    wait_ms = max(math.ceil((cost - tokens) * refill_ms), 1)
                said = Verdict(False, int(tokens), wait_ms)
                if at <= now:
                    return
                # The clock stepped back: it refills from now on, not from an instant to come.
            else:
                tokens -= cost
                said = Verdict(True, int(tokens), 0)
            full_at = now + max(math.ceil((capacity - tokens) * refill_ms), 1)
            ground.put(plan, data_key, record, BUCKET, _encode((float(tokens), now)), full_at)

        await ground.decide(key, write)
        return said

    async def join(
        self, key: str, member: str, ttl_ms: int, *, members_max: int = 0, renew: bool = False
    ) -> bool:
        ground = self._ground or await self._open()
        joined = False

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal joined
            there = _present(living(record, plan.now_ms), plan.now_ms)
            full = members_max > 0 and len(there) >= members_max
            joined = member in there or not (renew or full)
            if joined:
                there[member] = plan.now_ms + ttl_ms
                kept, until_ms = _encode(there), max(there.values())
                ground.put(plan, data_key, record, MEMBERS, kept, until_ms)

        await ground.decide(key, write)
        return joined

    async def leave(self, key: str, member: str) -> bool:
        ground = self._ground or await self._open()
        left = False

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal left
            there = _present(living(record, plan.now_ms), plan.now_ms)
            left = there.pop(member, None) is not None
            if not left or record is None:
                return
            if there:
                kept, until_ms = _encode(there), max(there.values())
                ground.put(plan, data_key, record, MEMBERS, kept, until_ms)
            else:
                ground.remove(plan, data_key, record)

        await ground.decide(key, write)
        return left

    async def members(self, key: str) -> list[tuple[str, int]]:
        ground = self._ground or await self._open()
        row = await ground.find(key)
        now_ms = ground.space.clock.now_ms()
        there = sorted(_present(row, now_ms).items(), key=lambda one: (one[1], one[0]))
        return [(member, until_ms - now_ms) for member, until_ms in there]


def _present(row: Row | None, now_ms: int) -> dict[str, int]:
    """Who is a member still, and until when."""
    if row is None:
        return {}
    there = _members(row.require(MEMBERS))
    return {member: until_ms for member, until_ms in there.items() if until_ms > now_ms}


def _freed_at(costs: list[tuple[int, int]], wanted: int) -> int:
    """When the cost was allowed whose end frees as much as is wanted."""
    freed, freed_at = 0, 0
    for at, cost in costs:
        freed, freed_at = freed + cost, at
        if freed >= wanted:
            break
    return freed_at
