"""Values, counters and claims: one row each, decided inside the commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from holdfast.contract.batch import Need
from holdfast.contract.engine import NOT_NOW, NotNow
from holdfast.contract.errors import InvalidValue
from holdfast.contract.record import Record
from holdfast.state.adapter import BatchWrite, Condition
from holdfast.state.embedded.base import EmbeddedPart
from holdfast.state.embedded.rows import QUIET, VALUES, Row, living
from holdfast.state.limits import COUNTER_MAX, COUNTER_MIN
from holdfast.store.plan import Plan

#: Digits and sign of the longest counter.
_COUNTER_BYTES_MAX = 20


class EmbeddedValues(EmbeddedPart):
    """The verbs of values, counters and claims."""

    # --- Values -----------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        ground = self._ground or await self._open()
        row = await ground.find(key)
        if row is None:
            return None
        if self._bounded is not None:
            await self._bounded.used(ground, (key,))
        return row.value()

    def get_now(self, key: str) -> bytes | NotNow | None:
        ground = self._ground
        if ground is None or self._bounded is not None:
            return NOT_NOW
        return ground.value_now(key)

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl_ms: int = 0,
        keep_ttl: bool = False,
        condition: Condition = "always",
    ) -> bool:
        ground = self._ground or await self._open()
        kind, written = self._kind, True
        group = None if self._bounded is None else self._bounded.group

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal written
            until_ms = plan.now_ms + ttl_ms if ttl_ms else 0
            if keep_ttl or condition != "always":
                row = living(record, plan.now_ms)
                written = condition == "always" or (row is None) == (condition == "absent")
                if not written:
                    return
                if keep_ttl and row is not None:
                    until_ms = row.until_ms
            ground.put(plan, data_key, record, kind, value, until_ms, group)

        await ground.decide(key, write)
        if self._bounded is not None:
            await self._bounded.wrote(ground, 1, len(key) + len(value))
        return written

    async def set_fenced(
        self, key: str, value: bytes, claim: str, holder: bytes, *, ttl_ms: int, keep_ttl: bool
    ) -> bytes | Literal[True] | None:
        ground = self._ground or await self._open()
        data_key, kind = ground.row_key(key), self._kind
        group = None if self._bounded is None else self._bounded.group
        found: bytes | None = None

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal found
            record, claimed = records
            held = living(claimed, plan.now_ms)
            found = None if held is None else held.value()
            if found == holder:
                row = living(record, plan.now_ms) if keep_ttl else None
                until_ms = plan.now_ms + ttl_ms if ttl_ms else 0
                if row is not None:
                    until_ms = row.until_ms
                ground.put(plan, data_key, record, kind, value, until_ms, group)
            return None

        await ground.commit((data_key, ground.row_key(claim)), write)
        if self._bounded is not None:
            await self._bounded.wrote(ground, 1, len(key) + len(value))
        return True if found == holder else found

    async def delete(self, keys: Sequence[str]) -> int:
        ground = self._ground or await self._open()
        data_keys = [ground.row_key(key) for key in dict.fromkeys(keys)]
        removed = 0

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal removed
            removed = 0
            for data_key, record in zip(data_keys, records, strict=True):
                if record is not None:
                    removed += living(record, plan.now_ms) is not None
                    ground.remove(plan, data_key, record)
            return None

        if data_keys:
            await ground.commit(data_keys, write)
        return removed

    async def has(self, key: str) -> bool:
        ground = self._ground or await self._open()
        return await ground.find(key) is not None

    async def expire(self, key: str, ttl_ms: int) -> bool:
        return await self._lasts(key, ttl_ms, None)

    async def remaining_ms(self, key: str) -> int | None:
        ground = self._ground or await self._open()
        row = await ground.find(key)
        if row is None:
            return None
        # It may run out just now, and 0 says that it never does.
        return max(row.until_ms - ground.space.clock.now_ms(), 1) if row.until_ms else 0

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        ground = self._ground or await self._open()
        ground.space.check()
        records = await ground.space.read([ground.row_key(key) for key in keys])
        now_ms = ground.space.clock.now_ms()
        rows = [living(record, now_ms) for record in records]
        if self._bounded is not None:
            found = [key for key, row in zip(keys, rows, strict=True) if row is not None]
            await self._bounded.used(ground, found)
        return [None if one is None or one.kind not in VALUES else one.payload for one in rows]

    async def set_many(self, writes: Sequence[BatchWrite]) -> None:
        ground = self._ground or await self._open()
        # Of two writes to one key the later one stands.
        last = {ground.row_key(one.key): one for one in writes}
        data_keys, kind = list(last), self._kind
        group = None if self._bounded is None else self._bounded.group

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            for data_key, record in zip(data_keys, records, strict=True):
                _, value, ttl_ms = last[data_key]
                until_ms = plan.now_ms + ttl_ms if ttl_ms else 0
                ground.put(plan, data_key, record, kind, value, until_ms, group)
            return None

        if data_keys:
            await ground.commit(data_keys, write)
        if self._bounded is not None:
            size = sum(len(one.key) + len(one.value) for one in writes)
            await self._bounded.wrote(ground, len(writes), size)

    # --- Counters ---------------------------------------------------------------------------

    async def add(self, key: str, by: int) -> int:
        ground = self._ground or await self._open()
        total = 0

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal total
            row = living(record, plan.now_ms)
            total = _sum(row, by)
            until_ms = 0 if row is None else row.until_ms
            ground.put(plan, data_key, record, QUIET, b"%d" % total, until_ms)

        await ground.decide(key, write)
        return total

    async def add_within(
        self,
        key: str,
        by: int,
        *,
        ttl_ms: int,
        ttl_always: bool,
        minimum: int | None,
        maximum: int | None,
    ) -> int | None:
        ground = self._ground or await self._open()
        total: int | None = None

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal total
            row = living(record, plan.now_ms)
            total = _sum(row, by)
            if (minimum is not None and total < minimum) or (
                maximum is not None and total > maximum
            ):
                total = None
                return
            until_ms = 0 if row is None else row.until_ms
            if ttl_ms and (row is None or ttl_always):
                until_ms = plan.now_ms + ttl_ms
            ground.put(plan, data_key, record, QUIET, b"%d" % total, until_ms)

        await ground.decide(key, write)
        return total

    # --- Claims -----------------------------------------------------------------------------

    async def claim(
        self, key: str, fence: str, before: bytes, after: bytes, ttl_ms: int
    ) -> int | None:
        ground = self._ground or await self._open()
        data_key, fence_key = ground.row_key(key), ground.row_key(fence)
        token: int | None = None

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal token
            record, fenced = records
            token = None
            if living(record, plan.now_ms) is None:
                tokens = living(fenced, plan.now_ms)
                token = _sum(tokens, 1)
                drawn = b"%d" % token
                lasts = 0 if tokens is None else tokens.until_ms
                ground.put(plan, fence_key, fenced, QUIET, drawn, lasts)
                until_ms = plan.now_ms + ttl_ms if ttl_ms else 0
                ground.put(plan, data_key, record, QUIET, before + drawn + after, until_ms)
            return None

        await ground.commit((data_key, fence_key), write)
        return token

    async def delete_if(self, key: str, value: bytes) -> bool:
        ground = self._ground or await self._open()
        removed = False

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal removed
            row = living(record, plan.now_ms)
            removed = row is not None and row.value() == value
            if removed and record is not None:
                ground.remove(plan, data_key, record)

        await ground.decide(key, write)
        return removed

    async def expire_if(self, key: str, value: bytes, ttl_ms: int) -> bool:
        return await self._lasts(key, ttl_ms, value)

    # --- Inside -----------------------------------------------------------------------------

    async def _lasts(self, key: str, ttl_ms: int, value: bytes | None) -> bool:
        """Let it expire so long from now, if it is there and (with `value`) is that one."""
        ground = self._ground or await self._open()
        done = False

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal done
            row = living(record, plan.now_ms)
            done = row is not None and (value is None or row.value() == value)
            if done and row is not None:
                ground.lasts(plan, data_key, row, plan.now_ms + ttl_ms)

        await ground.decide(key, write)
        return done


def _sum(row: Row | None, by: int) -> int:
    """A counter's number with a step more. Raises InvalidValue."""
    found = 0
    if row is not None:
        digits = row.value()
        if len(digits) <= _COUNTER_BYTES_MAX:
            try:
                found = int(digits)
            except ValueError:
                digits = b""
        if digits != b"%d" % found:
            raise InvalidValue("a counter is a whole number; found another value there")
    total = found + by
    if not COUNTER_MIN <= total <= COUNTER_MAX:
        raise InvalidValue(
            "a counter holds 64 bits; this step would leave them. Nothing was written"
        )
    return total
