"""Messages that are appended once, and messages that wait until they are due.

What waits stands beside a head of a stream of its own, so that whatever removes the key removes
what waits there, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contract.batch import Need
from holdfast.contract.record import Range, Record
from holdfast.state.embedded.appending import append_message
from holdfast.state.embedded.base import EmbeddedPart
from holdfast.state.embedded.rows import QUIET, STREAM, Head, living
from holdfast.store.plain.rows import pack_plain, plain_value
from holdfast.store.plan import Plan


class EmbeddedPostponing(EmbeddedPart):
    """The verbs of messages that are appended once, or later."""

    async def append_once(
        self,
        stream: str,
        once: str,
        data: bytes,
        *,
        ttl_ms: int,
        length_max: int = 0,
        approximate: bool = False,
    ) -> tuple[str, bool]:
        ground = self._ground or await self._open()
        stream_key, once_key = ground.row_key(stream), ground.row_key(once)
        id, appended = "", False

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal id, appended
            record, before = records
            there = living(before, plan.now_ms)
            appended = there is None
            if there is not None:
                id = there.value().decode()
                return None
            id = append_message(
                ground, plan, stream_key, record, data, length_max, approximate=approximate
            )
            ground.put(plan, once_key, before, QUIET, id.encode(), plan.now_ms + ttl_ms)
            return None

        await ground.commit((stream_key, once_key), write)
        return id, appended

    async def postpone(self, later: str, id: bytes, data: bytes, delay_ms: int) -> None:
        ground = self._ground or await self._open()

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            row = living(record, plan.now_ms)
            if row is not None:
                row.require(STREAM)
            # Written each time: whoever finds nothing left sees by it that something came.
            ground.put(plan, data_key, record, STREAM, Head().packed(), 0)
            places = ground.places.stream(data_key)
            plan.put(places.due(plan.now_ms + delay_ms, id), pack_plain(data))

        await ground.decide(later, write)

    async def release_due(self, stream: str, later: str, count: int) -> tuple[int, int | None]:
        ground = self._ground or await self._open()
        stream_key, later_key = ground.row_key(stream), ground.row_key(later)
        places = ground.places.stream(later_key)
        head = await ground.record(later_key)
        row = living(head, ground.space.clock.now_ms())
        if head is None or row is None:
            return 0, None
        row.require(STREAM)
        # One more than are wanted, to know when the next one is due.
        page = await ground.space.scan(Range.prefix(places.waiting, limit=count + 1))
        now_ms = ground.space.clock.now_ms()
        keys = [key for key, _ in page.rows]
        due = [key for key in keys[:count] if places.due_ms(key) <= now_ms]
        over = len(due) == len(keys) and page.resume is None
        released = 0

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal released
            released = 0
            record, there, *waiting = records
            for key, one in zip(due, waiting, strict=True):
                if one is None:
                    continue  # Another process was faster.
                append_message(
                    ground, plan, stream_key, record, plain_value(one.value), 0, approximate=False
                )
                record = Record(plan.rows[stream_key] or b"", 0)
                plan.delete(key)
                released += 1
            if over and there is not None and there.revision == head[1]:
                plan.delete(later_key)
            return None

        if due or over:
            await ground.commit((stream_key, later_key, *due), write)
        left = keys[len(due) :]
        return released, max(places.due_ms(left[0]) - now_ms, 0) if left else None
