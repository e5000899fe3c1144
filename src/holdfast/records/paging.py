"""The default storage, with walks over a part of what matches: limits and places before order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, overload

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.records.parts import Part, Walked
from holdfast.records.storage import (
    FIRST_PAGE_ROWS,
    LAST_PAGE_ROWS,
    PAGE_GROWTH,
    EngineEntryStorage,
)
from holdfast.records.walk import LastPage, Walk
from holdfast.store import layout
from holdfast.store.text_keys import shows
from holdfast.store.versions.entry import Entry, PastVersion, PendingRevision

#: The key of an entry, without a call of Python.
_key_of = attrgetter("key")


class Keys(Sequence[StoreKey]):
    """The keys of entries, each made when it is asked for: counting makes none."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Sequence[Entry[Any]]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, place: int) -> StoreKey: ...
    @overload
    def __getitem__(self, place: slice) -> list[StoreKey]: ...
    def __getitem__(self, place: int | slice) -> StoreKey | list[StoreKey]:
        if isinstance(place, slice):
            return list(map(_key_of, self._entries[place]))
        return self._entries[place].key

    def __iter__(self) -> Iterator[StoreKey]:
        return map(_key_of, self._entries)


class PagedEntryStorage(EngineEntryStorage):
    """Reads no more rows than a walk with a limit can need."""

    def on(self, engine: Engine, pending: PendingRevision | None = None) -> PagedEntryStorage:
        return PagedEntryStorage(
            self._space.on(engine), self._rows, self._planner, self._values, pending
        )

    def part_of_keys(self, pattern: Pattern, part: Part) -> Walk[StoreKey]:
        walked = Walked.entries(pattern, part.reverse)
        after = walked.key_after(part.after)
        pages = self._keys_of(self._part_pages(pattern, part, after, whole=False))
        start = None if after is None else walked.cursor(str(after))
        return Walk(pages, lambda key: walked.cursor(str(key)), limited=True, start=start)

    def part_of_entries(self, pattern: Pattern, part: Part) -> Walk[Entry[Any]]:
        walked = Walked.entries(pattern, part.reverse)
        after = walked.key_after(part.after)
        pages = self._part_pages(pattern, part, after, whole=True)
        start = None if after is None else walked.cursor(str(after))
        return Walk(pages, lambda entry: walked.cursor(str(entry.key)), limited=True, start=start)

    def part_of_tagged(self, tag: str, pattern: Pattern, part: Part) -> Walk[Entry[Any]]:
        walked = Walked.tag(tag, pattern, part.reverse)
        after = walked.key_after(part.after)
        pages = self._tag_pages(tag, pattern, part, after)
        start = None if after is None else walked.cursor(str(after))
        return Walk(pages, lambda entry: walked.cursor(str(entry.key)), limited=True, start=start)

    def part_of_history(self, key: str, part: Part) -> Walk[PastVersion[Any]]:
        self._gate.check()
        walked = Walked.history(key, part.reverse)
        after = walked.version_after(part.after)
        start = None if after is None else walked.cursor(*after)

        def cursor_of(past: PastVersion[Any]) -> str:
            return walked.cursor(past.metadata.incarnation, past.metadata.version)

        return Walk(self._past_pages(key, part, after), cursor_of, limited=True, start=start)

    def keys(self, pattern: Pattern, *, reverse: bool = False) -> Walk[StoreKey]:
        return Walk(self._pages_of_keys(pattern, reverse))

    # --- Inside -----------------------------------------------------------------------------

    async def _pages_of_keys(
        self, pattern: Pattern, reverse: bool
    ) -> AsyncGenerator[Sequence[StoreKey], None]:
        async for entries in self._pages(pattern, reverse, whole=False):
            yield Keys(entries)

    async def _part_pages(
        self, pattern: Pattern, part: Part, after: StoreKey | None, *, whole: bool
    ) -> AsyncGenerator[list[Entry[Any]], None]:
        self._gate.check()
        left = part.limit
        rows_wanted = FIRST_PAGE_ROWS if left is None else min(left, LAST_PAGE_ROWS)
        rest: Range | None = part.within(self.range_of(pattern), self._place_of, after)
        if rest is not None and rest.empty:
            rest = None
        while rest is not None:
            entries, rest = await self.page(replace(rest, limit=rows_wanted), pattern, whole=whole)
            rows_wanted = min(rows_wanted * PAGE_GROWTH, LAST_PAGE_ROWS)
            if left is not None:
                if len(entries) >= left:
                    yield (
                        LastPage(entries)
                        if len(entries) == left and rest is None
                        else (entries[:left])
                    )
                    return
                left -= len(entries)
            yield entries
        yield LastPage()

    async def _keys_of(
        self, pages: AsyncGenerator[list[Entry[Any]], None]
    ) -> AsyncGenerator[list[StoreKey], None]:
        async for entries in pages:
            keys = [entry.key for entry in entries]
            yield LastPage(keys) if isinstance(entries, LastPage) else keys

    async def _tag_pages(
        self, tag: str, pattern: Pattern, part: Part, after: StoreKey | None
    ) -> AsyncGenerator[list[Entry[Any]], None]:
        self._gate.check()
        left = part.limit
        rows_wanted = FIRST_PAGE_ROWS if left is None else min(left, LAST_PAGE_ROWS)
        data = part.within(self.range_of(pattern), self._place_of, after)
        prefix = self._rows.tag_key(tag, b"")
        assert data.start is not None
        assert data.end is not None
        rest: Range | None = replace(
            data,
            start=prefix + data.start[layout.REGION_BYTES :],
            end=prefix + data.end[layout.REGION_BYTES :],
        )
        if rest is not None and rest.empty:
            rest = None
        while rest is not None:
            page = await self._engine.scan(replace(rest, limit=rows_wanted))
            rows_wanted = min(rows_wanted * PAGE_GROWTH, LAST_PAGE_ROWS)
            rest = page.resume
            entries = []
            keys = [self._rows.data + tag_key[len(prefix) :] for tag_key, _ in page.rows]
            for data_key, record in zip(keys, await self._read(keys), strict=True):
                if record is None or self._expired(record.value):
                    continue
                key = self._rows.store_key(data_key)
                if not shows(pattern, key):
                    continue
                entry = await self._current(self._entry(key, *record))
                if entry is not None and tag in entry.metadata.tags_kept:
                    entries.append(entry)
            if left is not None:
                if len(entries) >= left:
                    yield entries[:left]
                    return
                left -= len(entries)
            yield entries
        yield LastPage()

    async def _past_pages(
        self, key: str, part: Part, after: tuple[int, int] | None
    ) -> AsyncGenerator[list[PastVersion[Any]], None]:
        left = part.limit
        async for past in self._history.versions(key, reverse=part.reverse, rows=left, after=after):
            yield [past]
            if left is not None:
                left -= 1
                if not left:
                    return
        yield LastPage()

    def _place_of(self, key: StoreKey) -> Range:
        return self.range_of(Pattern.exactly(key))
