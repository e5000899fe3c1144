"""Streams: messages by number, groups, and what each consumer was given.

The messages of a stream are numbered without gaps, so that trimming knows which rows go, and the
sequence in an id is that number: `1700000000000-42`. A head row says which numbers there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.contract.batch import Need
from holdfast.contract.record import Range, Record
from holdfast.state.adapter import Delivered, Pending
from holdfast.state.embedded.appending import (
    Given,
    append_message,
    given_of,
    no_group,
    parsed,
    text,
)
from holdfast.state.embedded.base import EmbeddedPart
from holdfast.state.embedded.listening import EmbeddedListening
from holdfast.state.embedded.rows import (
    STREAM,
    Head,
    StreamPlaces,
    living,
    message_of,
    number_of,
    pack_number,
)
from holdfast.state.embedded.site import Ground
from holdfast.store.plain.rows import pack_plain, plain_value
from holdfast.store.plan import Plan

#: Rows of pending messages that one commit of a reclaim takes over at most.
_RECLAIM_ROWS: Final = 1000


class EmbeddedStreams(EmbeddedListening, EmbeddedPart):
    """The verbs of streams."""

    async def append(
        self, stream: str, data: bytes, *, length_max: int = 0, approximate: bool = False
    ) -> str:
        ground = self._ground or await self._open()
        id = ""

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal id
            id = append_message(
                ground, plan, data_key, record, data, length_max, approximate=approximate
            )

        await ground.decide(stream, write)
        return id

    async def ensure_group(self, stream: str, group: str, start: str) -> bool:
        ground = self._ground or await self._open()
        data_key = ground.row_key(stream)
        places = ground.places.stream(data_key)
        group_key = places.group(group)
        first = None if start == "$" else await self._locate(ground, data_key, parsed(start))
        made = False

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal made
            record, there = records
            row = living(record, plan.now_ms)
            # Of a stream that has run out the groups are gone, too.
            made = row is None or there is None
            if row is None:
                ground.put(plan, data_key, record, STREAM, Head().packed(), 0)
                plan.put(group_key, pack_plain(pack_number(first or 0)))
            elif there is None:
                head = Head.of(row.require(STREAM))
                plan.put(group_key, pack_plain(pack_number(head.next if first is None else first)))
            else:
                row.require(STREAM)
            return None

        await ground.commit((data_key, group_key), write)
        return made

    async def read_group(
        self, stream: str, group: str, consumer: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        ground = self._ground or await self._open()

        async def take() -> list[Delivered]:
            return await self._give(ground, stream, group, consumer, count)

        return await self._blocking(ground, stream, block_ms, take)

    async def acknowledge(self, stream: str, group: str, ids: Sequence[str]) -> int:
        ground = self._ground or await self._open()
        data_key = ground.row_key(stream)
        prefix = ground.places.stream(data_key).pending(group)
        wanted = {prefix + pack_number(number): at_ms for at_ms, number in map(parsed, ids)}
        acknowledged = 0

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal acknowledged
            acknowledged = 0
            row = living(records[0], plan.now_ms)
            if row is None:
                return None
            row.require(STREAM)
            for key, record in zip(wanted, records[1:], strict=True):
                if record is not None and given_of(record.value).at_ms == wanted[key]:
                    plan.delete(key)
                    acknowledged += 1
            return None

        if wanted:
            await ground.commit((data_key, *wanted), write)
        return acknowledged

    async def pending(self, stream: str, group: str, *, count: int) -> list[Pending]:
        ground = self._ground or await self._open()
        places = await self._require_group(ground, stream, group)
        rest: Range | None = Range.prefix(places.pending(group), limit=count)
        now_ms = ground.space.clock.now_ms()
        found: list[Pending] = []
        while rest is not None and len(found) < count:
            page = await ground.space.scan(rest)
            for key, record in page.rows[: count - len(found)]:
                one = given_of(record.value)
                id = text(one.at_ms, number_of(key))
                idle_ms = max(now_ms - one.given_ms, 0)
                found.append(Pending(id, one.consumer, idle_ms, one.deliveries))
            rest = page.resume
        return found

    async def reclaim(
        self, stream: str, group: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Delivered]:
        ground = self._ground or await self._open()
        places = await self._require_group(ground, stream, group)
        rest: Range | None = Range.prefix(places.pending(group), limit=_RECLAIM_ROWS)
        found: list[Delivered] = []
        while rest is not None and len(found) < count:
            page = await ground.space.scan(rest)
            now_ms = ground.space.clock.now_ms()
            given = {key: given_of(record.value).given_ms for key, record in page.rows}
            idle = [key for key, given_ms in given.items() if now_ms - given_ms >= idle_ms]
            ahead = [key for key, given_ms in given.items() if given_ms > now_ms]
            if ahead:
                await self._given_now(ground, ahead)
            # Those that were trimmed away do not count, so there may be more to take.
            while idle and len(found) < count:
                some, idle = idle[: count - len(found)], idle[count - len(found) :]
                found += await self._take_over(ground, places, some, consumer, idle_ms)
            rest = page.resume
        return found

    async def read_after(
        self, stream: str, after: str, *, count: int, block_ms: int = 0
    ) -> list[Delivered]:
        ground = self._ground or await self._open()
        data_key = ground.row_key(stream)
        if after == "$":
            head = await self._head(ground, data_key)
            start = 0 if head is None else head.next
        else:
            start = await self._locate(ground, data_key, parsed(after))

        async def take() -> list[Delivered]:
            ground = await self._rows()
            data_key = ground.row_key(stream)
            head = await self._head(ground, data_key)
            if head is None or start >= head.next:
                return []
            return await self._walk(ground, data_key, max(start, head.first), head.next, count)

        return await self._blocking(ground, stream, block_ms, take)

    async def read_last(self, stream: str, count: int) -> list[Delivered]:
        ground = self._ground or await self._open()
        data_key = ground.row_key(stream)
        head = await self._head(ground, data_key)
        if head is None:
            return []
        return await self._walk(
            ground, data_key, max(head.first, head.next - count), head.next, count
        )

    async def length(self, stream: str) -> int:
        ground = self._ground or await self._open()
        head = await self._head(ground, ground.row_key(stream))
        return 0 if head is None else head.next - head.first

    async def move(self, stream: str, group: str, id: str, to: str, data: bytes) -> str:
        ground = self._ground or await self._open()
        to_key, (at_ms, number) = ground.row_key(to), parsed(id)
        from_key = ground.row_key(stream)
        places = ground.places.stream(from_key)
        given_key = places.pending(group) + pack_number(number)
        moved = ""

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal moved
            record, given, source = records
            row = living(source, plan.now_ms)
            if row is not None:
                row.require(STREAM)
            moved = append_message(ground, plan, to_key, record, data, 0, approximate=False)
            if given is not None and given_of(given.value).at_ms == at_ms:
                plan.delete(given_key)
            return None

        await ground.commit((to_key, given_key, from_key), write)
        return moved

    # --- Inside -----------------------------------------------------------------------------

    async def _head(self, ground: Ground, data_key: bytes) -> Head | None:
        """The head of a stream, if there is one."""
        row = living(await ground.record(data_key), ground.space.clock.now_ms())
        return None if row is None else Head.of(row.require(STREAM))

    async def _require_group(self, ground: Ground, stream: str, group: str) -> StreamPlaces:
        """Where a stream stands that has this group. Raises KeyNotFound."""
        data_key = ground.row_key(stream)
        places = ground.places.stream(data_key)
        head, there = await ground.space.read((data_key, places.group(group)))
        row = living(head, ground.space.clock.now_ms())
        if row is not None:
            row.require(STREAM)
        if row is None or there is None:
            raise no_group()
        return places

    async def _locate(self, ground: Ground, data_key: bytes, id: tuple[int, int]) -> int:
        """The number of the first message behind an id."""
        head = await self._head(ground, data_key)
        if head is None:
            return 0
        low, high = head.first, head.next
        at_ms, number = id
        if at_ms > head.newest_ms:
            return high
        places = ground.places.stream(data_key)
        # Mostly it is the id of a message that is there, or of the one before the first.
        if at_ms and low <= number < high and await self._instant(ground, places, number) == at_ms:
            return number + 1
        while at_ms and low < high:
            middle = (low + high) // 2
            found_ms = await self._instant(ground, places, middle)
            if found_ms is None or (found_ms, middle) <= id:
                low = middle + 1
            else:
                high = middle
        return low

    async def _instant(self, ground: Ground, places: StreamPlaces, number: int) -> int | None:
        """When a message was appended; None: it was trimmed away meanwhile."""
        record = await ground.record(places.message(number))
        return None if record is None else message_of(record[0])[0]

    async def _walk(
        self, ground: Ground, data_key: bytes, start: int, end: int, count: int
    ) -> list[Delivered]:
        """Messages by number."""
        places = ground.places.stream(data_key)
        rest: Range | None = places.messages(start, min(end, start + count))
        found: list[Delivered] = []
        while rest is not None and not rest.empty:
            page = await ground.space.scan(rest)
            for key, record in page.rows:
                at_ms, data = message_of(record.value)
                found.append(Delivered(text(at_ms, number_of(key)), data))
            rest = page.resume
        return found

    async def _give(
        self, ground: Ground, stream: str, group: str, consumer: str, count: int
    ) -> list[Delivered]:
        """New messages for one consumer of a group."""
        data_key = ground.row_key(stream)
        places = ground.places.stream(data_key)
        group_key, prefix = places.group(group), places.pending(group)
        found: list[Delivered] = []
        asked: list[int] = []

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            record, there, *messages = records
            found.clear()
            row = living(record, plan.now_ms)
            if row is not None:
                row.require(STREAM)
            if row is None or there is None:
                raise no_group()
            head = Head.of(row.payload)
            start = max(number_of(plain_value(there.value)), head.first)
            numbers = range(start, min(start + count, head.next))
            if not messages:
                asked[:] = numbers
                return Need([places.message(one) for one in numbers]) if numbers else None
            for number, message in zip(asked, messages, strict=True):
                if message is None:
                    continue
                at_ms, data = message_of(message.value)
                found.append(Delivered(text(at_ms, number), data))
                given = Given(at_ms, consumer, plan.now_ms, 1)
                plan.put(prefix + pack_number(number), given.packed())
            plan.put(group_key, pack_plain(pack_number(asked[-1] + 1)))
            return None

        # Most reads of a loop find nothing, and then nothing has to be decided.
        head, there = await ground.space.read((data_key, group_key))
        row = living(head, ground.space.clock.now_ms())
        if row is not None and row.kind == STREAM and there is not None:
            given_all = number_of(plain_value(there.value)) >= Head.of(row.payload).next
            if given_all:
                return []
        await ground.commit((data_key, group_key), write)
        return found

    async def _given_now(self, ground: Ground, keys: list[bytes]) -> None:
        """Count them from now on: the clock stepped back, and for as long none would be idle."""

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            for key, record in zip(keys, records, strict=True):
                one = None if record is None else given_of(record.value)
                if one is not None and one.given_ms > plan.now_ms:
                    plan.put(key, one._replace(given_ms=plan.now_ms).packed())
            return None

        await ground.commit(keys, write)

    async def _take_over(
        self, ground: Ground, places: StreamPlaces, keys: list[bytes], consumer: str, idle_ms: int
    ) -> list[Delivered]:
        """Give idle messages to another consumer; forget those that were trimmed away."""
        messages = [places.message(number_of(key)) for key in keys]
        found: list[Delivered] = []

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            found.clear()
            half = len(keys)
            for key, given, message in zip(keys, records[:half], records[half:], strict=True):
                if given is None:
                    continue
                one = given_of(given.value)
                if plan.now_ms - one.given_ms < idle_ms:
                    continue  # Another consumer was faster.
                if message is None:
                    plan.delete(key)
                    continue
                times = one.deliveries + 1
                taken = Given(one.at_ms, consumer, plan.now_ms, times)
                plan.put(key, taken.packed())
                id = text(one.at_ms, number_of(key))
                found.append(Delivered(id, message_of(message.value)[1], times))
            return None

        await ground.commit((*keys, *messages), write)
        return found
