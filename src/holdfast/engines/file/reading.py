"""Reads: places are looked up in the index, values come from the cache or the files."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contract.errors import StoreError
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.embedded.file_failures import translate
from holdfast.engines.embedded.locking import holding
from holdfast.engines.file.cache import Cache, Cached
from holdfast.engines.file.failures import damaged
from holdfast.engines.file.index import Index, Kept, at_in, length_in, segment_in
from holdfast.engines.file.journal import Journal
from holdfast.engines.file.records import Unsound
from holdfast.engines.file.segment import Segment, where

#: How often a place is looked up anew whose segment was removed meanwhile.
_LOOKS_MAX = 100

Segments = dict[int, Segment]


class Reader:
    """Reads of one open database, from any thread.

    Args:
        journal: whose files hold the values.
        index: of the journal.
        cache: receives what was read.
    """

    def __init__(self, journal: Journal, index: Index, cache: Cache) -> None:
        self._journal = journal
        self._index = index
        self._cache = cache

    def newest(self, key: bytes) -> Cached | None:
        """The newest value of the key."""
        for _ in range(_LOOKS_MAX):
            segments = self._journal.segments
            kept = self._index.records.get(key)
            if kept is None:
                return None
            found = self._cache.get(key, kept[1])
            if found is None and segment_in(kept[0]) in segments:
                found = self._from_file(segments[segment_in(kept[0])], key, kept)
            if found is not None:
                return found
        place = self._journal.place.directory
        raise StoreError(f"the database {place} changes all the time; try again")

    def record(self, key: bytes, kept: Kept) -> Record:
        """The row that stands there now. No group is published meanwhile."""
        return self._record(self._journal.segments, key, kept)

    def records(self, keys: Sequence[bytes], revision: int | None) -> list[Record | None]:
        """What the keys hold, all of one moment: now, or as of a revision that a snapshot holds."""
        index, journal = self._index, self._journal

        def look() -> tuple[list[Kept | None], Segments]:
            if revision is None:
                return [index.records.get(key) for key in keys], journal.segments
            return [index.at(key, revision) for key in keys], journal.files_of_snapshots()

        places, segments = holding(index.lock, look)
        return [
            None if kept is None else self._record(segments, key, kept)
            for key, kept in zip(keys, places, strict=True)
        ]

    def page(self, range: Range, revision: int | None, rows_max: int, bytes_max: int) -> Page:
        """The first page of the range, of one moment likewise."""
        index, journal = self._index, self._journal

        def look() -> tuple[list[tuple[bytes, Kept]], Range | None, int, Segments]:
            # A group is published under the lock, so head and places are of one moment.
            if revision is None:
                moment, segments, walk = index.head, journal.segments, index.walk(range)
            else:
                moment, segments = revision, journal.files_of_snapshots()
                walk = index.walk_at(range, revision)
            rows: list[tuple[bytes, Kept]] = []
            bytes_left = bytes_max
            for row in walk:
                rows.append(row)
                bytes_left -= length_in(row[1][0])
                if len(rows) == rows_max or bytes_left <= 0:
                    return rows, range.after(row[0]), moment, segments
            return rows, None, moment, segments

        try:
            places, rest, moment, segments = holding(index.lock, look)
        except BaseException:
            index.forget_order()
            raise
        return Page(
            [(key, self._record(segments, key, kept)) for key, kept in places], rest, moment
        )

    # --- Inside -----------------------------------------------------------------------------

    def _record(self, segments: Segments, key: bytes, kept: Kept) -> Record:
        found = self._cache.get(key, kept[1])
        if found is None:
            # Places and segments were looked up together.
            found = self._from_file(segments[segment_in(kept[0])], key, kept)
        return tuple.__new__(Record, found)

    def _from_file(self, segment: Segment, key: bytes, kept: Kept) -> Cached:
        """What stands there, (value, revision).

        Raises:
            IntegrityFailed: the row is damaged.
        """
        place, revision = kept
        at = at_in(place)
        try:
            row = segment.format.row(segment.read(at, length_in(place)))
        except Unsound as unsound:
            raise damaged(segment.path, f"{where(segment, at)} {unsound.why}") from None
        except OSError as error:
            raise translate(error, self._journal.place.directory) from error
        if row.key != key or row.revision != revision or row.value is None:
            raise damaged(segment.path, f"{where(segment, at)} is another row than was written")
        found = (row.value, revision)
        self._cache.put(key, found)
        return found
