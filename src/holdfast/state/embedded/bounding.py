"""Areas that hold only so much: what each value counts for, and which of them go.

Each value of a bounded area has a row in its order of going. What is written and removed adds a
row of differences, whoever does it, so that no two writers meet in one row; who has written so
many values adds them up and lets go of what is too much. Uses are counted in memory and written
down then. So the bound is passed by what `writes_between` values hold, for each process that
writes, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from holdfast.contract.batch import Need
from holdfast.contract.errors import ConfigInvalid, StorageFull
from holdfast.contract.record import Range, Record
from holdfast.state.bounds import Bound
from holdfast.state.embedded.rows import BoundPlaces, Group, Place, living, row_of
from holdfast.state.embedded.site import Ground
from holdfast.store.feed_row import Cause
from holdfast.store.plain.rows import pack_plain, plain_value
from holdfast.store.plan import Plan

#: A sixteenth of what an area may hold is written between two looks, and at most so many values.
PART: Final = 16
WRITES_MAX: Final = 1000
#: Uses that are remembered before they are written down.
USES_MAX: Final = 1000
NAME_BYTES_MAX: Final = 255
#: How many values one commit lets go of, and how many differences it adds up.
_ROWS: Final = 500

_pair = msgspec.msgpack.Decoder(tuple[int, int]).decode
_encode = msgspec.msgpack.Encoder().encode


class Bounded:
    """One bounded area, as this process uses it.

    Args:
        name: of the area, unlike that of any other.
        bound: how much it holds.

    Raises:
        ConfigInvalid: the name is too long.
    """

    def __init__(self, name: str, bound: Bound) -> None:
        if len(name.encode()) > NAME_BYTES_MAX:
            raise ConfigInvalid(
                f"prefix, service and area of a bounded area have {NAME_BYTES_MAX} bytes together "
                f"at most; found {len(name.encode())}. Shorten the prefix",
                parameter="prefix",
            )
        self.bound = bound
        self.group = Group(name, bound.order)
        most = WRITES_MAX * PART if bound.items is None else bound.items
        self.writes_between = max(1, min(most // PART, WRITES_MAX))
        self._bytes_between = None if bound.bytes is None else max(1, bound.bytes // PART)
        self._writes = self._bytes = 0
        #: How often a key was used since the last look.
        self._uses: dict[str, int] = {}

    async def wrote(self, ground: Ground, writes: int, size: int) -> None:
        """So many values of so many bytes were written."""
        self._writes += writes
        self._bytes += size
        if self._writes >= self.writes_between or (
            self._bytes_between is not None and self._bytes >= self._bytes_between
        ):
            self._writes = self._bytes = 0
            await self._note_uses(ground)
            await self.let_go(ground)

    async def used(self, ground: Ground, keys: Sequence[str]) -> None:
        """These were read."""
        if self.bound.order == "ttl" or not ground.space.engine.capabilities.writable:
            return
        for key in keys:
            self._uses[key] = self._uses.get(key, 0) + 1
        if len(self._uses) >= USES_MAX:
            with suppress(StorageFull):  # Uses may be forgotten; a read must not fail for them.
                await self._note_uses(ground)

    async def let_go(self, ground: Ground) -> None:
        """Let go of as much as is too much."""
        places = ground.places.bound(self.group.name)
        while True:
            items, size = await self._add_up(ground, places)
            bound = self.bound
            too_many = 0 if bound.items is None else items - bound.items
            too_big = 0 if bound.bytes is None else size - bound.bytes
            if too_many <= 0 and too_big <= 0:
                return
            if not await self._let_first_go(ground, places, too_many, too_big):
                return

    # --- Inside -----------------------------------------------------------------------------

    async def _add_up(self, ground: Ground, places: BoundPlaces) -> tuple[int, int]:
        """How many items and bytes the area has."""
        while True:
            page = await ground.space.scan(Range.prefix(places.differences, limit=_ROWS))
            keys = [key for key, _ in page.rows]
            total = (0, 0)

            def write(
                plan: Plan, records: Sequence[Record | None], keys: Sequence[bytes] = keys
            ) -> Need | None:
                nonlocal total
                tally, *rows = records
                items, size = (0, 0) if tally is None else _pair(plain_value(tally.value))
                # Another process may have added some of them up meanwhile.
                for key, row in zip(keys, rows, strict=True):
                    if row is not None:
                        more, bigger = _pair(plain_value(row.value))
                        items, size = items + more, size + bigger
                        plan.delete(key)
                total = (items, size)
                if plan.draft.writes:
                    plan.put(places.tally, pack_plain(_encode(total)))
                return None

            await ground.commit((places.tally, *keys), write)
            if len(keys) < _ROWS:
                return total

    async def _let_first_go(
        self, ground: Ground, places: BoundPlaces, too_many: int, too_big: int
    ) -> int:
        """Let the first in order go, as many as are too many; how many went."""
        page = await ground.space.scan(Range.prefix(places.orders, limit=_ROWS))
        victims: list[bytes] = []
        gone = 0
        data_keys = [ground.places.data + places.key_of(key) for key, _ in page.rows]
        for data_key, record in zip(data_keys, await ground.space.read(data_keys), strict=True):
            if (too_many <= 0 and too_big <= 0) or record is None:
                break
            victims.append(data_key)
            too_many -= 1
            too_big -= len(data_key) - len(ground.places.data) + len(row_of(record.value).payload)

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal gone
            gone = 0
            for data_key, record in zip(victims, records, strict=True):
                if record is not None and row_of(record.value).place is not None:
                    ground.remove(plan, data_key, record, Cause.EXPIRED)
                    gone += 1
            return None

        if victims:
            await ground.commit(victims, write)
        return gone

    async def _note_uses(self, ground: Ground) -> None:
        """Write down what was used."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        by_row = {ground.row_key(key): count for key, count in uses.items()}

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            for (data_key, count), record in zip(by_row.items(), records, strict=True):
                row = living(record, plan.now_ms)
                if row is None or row.place is None:
                    continue
                order = self.group.order(plan.now_ms, row.until_ms, row.place, count)
                ground.moves(plan, data_key, row, Place(row.place.group, order))
            return None

        await ground.commit([*by_row], write)
