"""`PlainContent`: one row for each key, and chunks for big values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from holdfast.codecs.envelope import BLOB, EXPIRES
from holdfast.contract.batch import Need
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.errors import Conflict, IntegrityFailed
from holdfast.contract.record import Range, Record
from holdfast.store import layout
from holdfast.store.feed_row import Act, Cause
from holdfast.store.plain.rows import (
    LASTING,
    PlainExpiryRows,
    pack_plain,
    plain_expires_at_ms,
)
from holdfast.store.plan import Derived, Plan
from holdfast.store.space import Space
from holdfast.stores.cells import Cell, Cells, ChunkRows, Reference, whole_value
from holdfast.stores.config import Remembered
from holdfast.stores.content import Bounds, Content, Pair, Prepared, Wish
from holdfast.stores.pending import PendingKeys

#: How often a big value is read again that others replace meanwhile.
READ_ATTEMPTS: Final = 16


class PlainContent(Content):
    """The content of a plain store.

    Args:
        space: its keyspace.
        remembered: how it keeps its values.
    """

    def __init__(self, space: Space, remembered: Remembered) -> None:
        self.space = space
        number = space.keyspace.number
        self.remembered = remembered
        self._data = layout.region(number, layout.DATA)
        self._cells = Cells(number, remembered)
        self._derived: tuple[Derived, ...] = (PlainExpiryRows(), ChunkRows(number))
        #: Rows with one of these flags have rows that follow from them; 0xFF: all have.
        self._concerned = EXPIRES | BLOB
        if remembered.tracked:
            self._derived += (PendingKeys(number),)
            self._concerned = 0xFF
        self._number = number
        self._tells = space.keyspace.settings.feed
        self._skip = layout.REGION_BYTES
        self._new_id = space.engine.components.ids.new

    def on(self, engine: Engine) -> PlainContent:
        return PlainContent(self.space.on(engine), self.remembered)

    # --- Reading ----------------------------------------------------------------------------

    async def value(self, key: bytes) -> bytes | None:
        data_key = self._data + key
        for _ in range(READ_ATTEMPTS):
            stored = await self._stored(data_key)
            if stored is None:
                return None
            if stored[:2] == LASTING:
                return stored[2:]
            found = await whole_value(self.space.read, self._cells, stored)
            if found is not None or await self._stored(data_key) == stored:
                return _required(found)
        raise _replaced()

    async def has(self, key: bytes) -> bool:
        return await self._stored(self._data + key) is not None

    async def length(self, key: bytes) -> int | None:
        stored = await self._stored(self._data + key)
        if stored is None:
            return None
        found = self._cells.value(stored)
        return found.length if isinstance(found, Reference) else len(found)

    async def part(self, key: bytes, offset: int, length: int | None) -> bytes | None:
        data_key = self._data + key
        for _ in range(READ_ATTEMPTS):
            stored = await self._stored(data_key)
            if stored is None:
                return None
            found = self._cells.value(stored)
            if not isinstance(found, Reference):
                return found[offset:] if length is None else found[offset : offset + length]
            end = found.length if length is None else min(found.length, offset + length)
            piece = await self._pieces(stored, found, offset, end)
            if piece is not None or await self._stored(data_key) == stored:
                return _required(piece)
        raise _replaced()

    async def walk(self, bounds: Bounds) -> AsyncIterator[Pair]:
        left = bounds.limit
        rest: Range | None = self._range(bounds)
        while rest is not None and (left is None or left > 0) and not rest.empty:
            page = await self.space.scan(rest if left is None else _limited(rest, left))
            now = self.space.clock.now_ms()
            for data_key, record in page.rows:
                if _gone(record.value, now):
                    continue
                key = data_key[self._skip :]
                stored = record.value
                value: bytes | None
                if stored[:2] == LASTING:
                    value = stored[2:]
                else:
                    value = await whole_value(self.space.read, self._cells, stored)
                if value is None:  # Big, and replaced since: as it is now, if it is there.
                    value = await self.value(key)
                    if value is None:
                        continue
                if left is not None:
                    left -= 1
                yield key, value
            rest = page.resume

    async def walk_keys(self, bounds: Bounds) -> AsyncIterator[bytes]:
        left = bounds.limit
        rest: Range | None = self._range(bounds)
        while rest is not None and (left is None or left > 0) and not rest.empty:
            page = await self.space.scan(rest if left is None else _limited(rest, left))
            now = self.space.clock.now_ms()
            keys = [data_key for data_key, record in page.rows if not _gone(record.value, now)]
            for data_key in keys:
                yield data_key[self._skip :]
            if left is not None:
                left -= len(keys)
            rest = page.resume

    async def page(self, range: Range) -> tuple[list[tuple[bytes, bytes, int]], Range | None]:
        page = await self.space.scan(range)
        now = self.space.clock.now_ms()
        found = []
        for data_key, (stored, revision) in page.rows:
            if _gone(stored, now):
                continue
            value = await whole_value(self.space.read, self._cells, stored)
            if value is not None:  # Big, and replaced since: that change is told by itself.
                found.append((data_key[self._skip :], value, revision))
        return found, page.resume

    async def count(self, bounds: Bounds) -> int:
        found = 0
        rest: Range | None = self._range(bounds)
        while rest is not None and not rest.empty:
            page = await self.space.scan(rest)
            now = self.space.clock.now_ms()
            found += sum(not _gone(record.value, now) for _, record in page.rows)
            rest = page.resume
        return found

    # --- Writing ----------------------------------------------------------------------------

    async def prepared(self, wishes: Sequence[Wish]) -> Prepared:
        keys = [self._data + wish.key for wish in wishes]
        cells = [
            None if wish.value is None else self._cells.pack(wish.value, self._new_id())
            for wish in wishes
        ]
        existed: list[bool] = []

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            existed.clear()
            now = plan.now_ms
            for data_key, cell, wish, row in zip(keys, cells, wishes, records, strict=True):
                there = row is not None and not _gone(row.value, now)
                existed.append(there)
                if cell is not None:
                    self._put(plan, data_key, row, cell, wish.ttl_ms)
                elif row is not None:
                    self._remove(plan, data_key, row, None if there else Cause.EXPIRED)
            return None

        return Prepared(keys, write, existed)

    async def expire(self, data_keys: list[bytes]) -> int:
        """End the values of these rows that have run out, as one commit; how many did."""
        ended = 0

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal ended
            ended = 0
            for data_key, row in zip(data_keys, records, strict=True):
                if row is not None and _gone(row.value, plan.now_ms):
                    self._remove(plan, data_key, row, Cause.EXPIRED)
                    ended += 1
            return None

        await self.space.commit(data_keys, write)
        return ended

    # --- Inside -----------------------------------------------------------------------------

    def _range(self, bounds: Bounds) -> Range:
        whole = Range.prefix(self._data)
        end = whole.end if bounds.end is None else self._data + bounds.end
        return Range(self._data + (bounds.start or b""), end, bounds.reverse)

    async def _stored(self, data_key: bytes) -> bytes | None:
        """The living row of a key."""
        space = self.space
        space.check()
        found = space.peek(data_key)
        if found is NOT_NOW:
            [found] = await space.read((data_key,))
        if found is None or _gone(found[0], space.clock.now_ms()):
            return None
        return found[0]

    async def _pieces(
        self, stored: bytes, reference: Reference, offset: int, end: int
    ) -> bytes | None:
        """The bytes of a big value from `offset` to `end`; reads the chunks they lie in."""
        if offset >= end:
            return b""
        size = reference.chunk_bytes
        first, last = offset // size, (end - 1) // size
        cells = self._cells
        keys = [cells.chunk_key(reference.id, index) for index in range(first, last + 1)]
        pieces = []
        for index, record in enumerate(await self.space.read(keys), first):
            if record is None:
                return None
            pieces.append(cells.piece(stored, record.value, reference, index))
        pieces[-1] = pieces[-1][: end - last * size]
        pieces[0] = pieces[0][offset - first * size :]
        return b"".join(pieces)

    def _put(
        self, plan: Plan, data_key: bytes, row: Record | None, cell: Cell, ttl_ms: int
    ) -> None:
        expires_at = plan.now_ms + ttl_ms if ttl_ms else 0
        stored = pack_plain(cell.payload, expires_at, cell.flags)
        before = None if row is None else row[0]
        flags = stored[1]
        if before is not None:
            flags |= before[1]
            if before[1] & EXPIRES and _gone(before, plan.now_ms):
                # Nobody has swept it yet, so this commit tells that it ran out.
                assert row is not None
                self._remove(plan, data_key, row, Cause.EXPIRED)
                before = row = None
        plan.rows[data_key] = stored
        for key, chunk in cell.chunks:
            plan.rows[key] = chunk
        if self._concerned == 0xFF or flags & self._concerned:  # noqa: PLR2004 - see there
            plan.derive(self._derived, data_key, before, stored)
        if self._tells:
            previous = 0 if row is None else row[1]
            plan.tell(self._number, Act.SET, data_key[self._skip :], previous, plan.now_ms)

    def _remove(self, plan: Plan, data_key: bytes, row: Record, cause: Cause | None) -> None:
        plan.delete(data_key)
        plan.derive(self._derived, data_key, row.value, None)
        if self._tells:
            plan.tell(
                self._number, Act.DELETE, data_key[self._skip :], row.revision, plan.now_ms,
                cause=cause,
            )  # fmt: skip


def _gone(stored: bytes, now_ms: int) -> bool:
    return 0 < plain_expires_at_ms(stored) <= now_ms


def _limited(rest: Range, left: int) -> Range:
    return Range(rest.start, rest.end, rest.reverse, left)


def _required(value: bytes | None) -> bytes:
    """A value that is still what its row says, so its chunks have to be there."""
    if value is None:
        raise IntegrityFailed(
            "a chunk of a big value is missing; run `holdfast check` on the database"
        )
    return value


def _replaced() -> Conflict:
    return Conflict(
        f"a big value was replaced during each of {READ_ATTEMPTS} reads; read it in a snapshot"
    )
