"""Reading a journal from its beginning: what the index is made of, and what is wrong with it.

What an append left unfinished when its process or the machine ended is no damage: the file ends
within it, or sectors of it were never written and hold padding or zeros. It stands at the very end,
nobody was told that it was done, and it is dropped. Everything else that is unsound is damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.engines.file.index import Index, Kept, length_in, place_of
from holdfast.engines.file.records import (
    FORMAT_VERSION,
    BatchId,
    Commit,
    Found,
    Header,
    Record,
    Row,
    Unsound,
)
from holdfast.engines.file.segment import Segment


@dataclass(frozen=True)
class Damage:
    """Something wrong in a segment.

    Attributes:
        at: in bytes.
        number: of the record.
        why: the end of the sentence "the record ...".
        unit: what records are counted in.
    """

    segment: Segment
    at: int
    number: int
    why: str

    def __str__(self) -> str:
        return f"the {self.segment.format.unit} {self.number} (at byte {self.at}) {self.why}"


class Replay:
    """Takes segments in, one after the other, the oldest first.

    Args:
        index: receives what they say.
        store: the database that they have to belong to.

    Attributes:
        damage: everything wrong so far.
        dropped: bytes of an append that was never finished.
        live: bytes of rows that nothing has replaced.
    """

    def __init__(self, index: Index, store: str) -> None:
        self._index = index
        self._store = store
        self._first = True
        self.damage: list[Damage] = []
        self.dropped = self.live = 0

    def take(
        self, segment: Segment, *, last: bool, lossy: bool = False, end: int | None = None
    ) -> None:
        """Take a segment in; sets its `size`.

        Args:
            last: it may end with an unfinished append.
            lossy: commits may have been acknowledged before they were flushed, so that sound ones
                may stand behind what was not written.
            end: where it ends; default: where the file does.
        """
        length = segment.length if end is None else end
        segment.size = 0
        rows: list[tuple[Row, Kept]] = []
        ids: list[BatchId] = []
        began = 0
        found = None
        walk = segment.format.walk(segment.read, 0, length, values=False)
        for found in walk:
            record = found.record
            lacks = last and self._lacks(record, len(rows) + len(ids))
            if lacks and self._unfinished(segment, found, began, walk, lossy=lossy):
                break
            if isinstance(record, Unsound):
                self._note(segment, found, record.why)
                rows.clear()
                ids.clear()
                continue
            if type(record) is Row:
                place = place_of(segment.number, found.at, found.length)
                rows.append((record, (place, record.revision)))
            elif type(record) is BatchId:
                ids.append(record)
            elif type(record) is Commit:
                self._commit(segment, found, record, rows, ids)
                rows.clear()
                ids.clear()
                segment.size = began = found.at + found.length
            else:
                assert type(record) is Header
                self._header(segment, found, record)
                segment.size = began = found.at + found.length
        if segment.size == 0 and not self.damage:
            self.damage.append(
                Damage(segment, 0, 1, "is missing: a segment begins with its header")
            )
        if last:
            self.dropped += max(segment.written() - segment.size, 0)
        elif not self.damage and (rows or ids):
            self.damage.append(Damage(segment, segment.size, 0, "follows no commit"))

    def _header(self, segment: Segment, found: Found, header: Header) -> None:
        if found.at != 0:
            self._note(segment, found, "is a header, and stands behind the beginning")
        elif header.format > FORMAT_VERSION:
            self._note(segment, found, f"names the format {header.format}, of a newer Holdfast")
        elif header.segment != segment.number or header.store != self._store:
            self._note(
                segment,
                found,
                f"belongs to segment {header.segment} of the database {header.store}; the file "
                f"is segment {segment.number} of {self._store}. Files were swapped or mixed up",
            )
        elif self._first:
            self._index.head = header.after
        elif header.after != self._index.head:
            self._note(
                segment,
                found,
                f"follows revision {header.after}; the segment before ends at revision "
                f"{self._index.head}. One of them is an older copy, or was cut off",
            )
        self._first = False

    def _commit(
        self,
        segment: Segment,
        found: Found,
        commit: Commit,
        rows: list[tuple[Row, Kept]],
        ids: list[BatchId],
    ) -> None:
        index = self._index
        count = len(rows) + len(ids)
        if found.at == 0 or segment.size == 0:
            self._note(segment, found, "stands before the header of the segment")
        if commit.rows is not None and commit.rows != count:
            self._note(segment, found, f"commits {commit.rows} records; found {count}")
        if commit.after is not None and commit.after != index.head:
            self._note(
                segment,
                found,
                f"follows revision {commit.after}; the commit before has {index.head}",
            )
        if commit.revision < index.head:
            self._note(segment, found, f"has revision {commit.revision}, below {index.head}")
            return
        if any(row.revision > commit.revision for row, _ in rows):
            self._note(segment, found, "commits rows of a later revision")
        for row, kept in rows:
            self._put(row, kept)
        for id, revision, at_ms in ids:
            index.batch_ids[id] = (revision, at_ms, segment.number)
            index.batch_ids.move_to_end(id)
        index.head = commit.revision

    def _put(self, row: Row, kept: Kept) -> None:
        records = self._index.records
        before = records.get(row.key)
        if before is not None:
            self.live -= length_in(before[0])
        if row.value is not None:
            records[row.key] = kept
            self.live += length_in(kept[0])
        elif before is not None:
            del records[row.key]

    def _unfinished(
        self, segment: Segment, found: Found, began: int, rest: Iterator[Found], *, lossy: bool
    ) -> bool:
        """Whether an unsound record belongs to an append that did not come to its end."""
        written = segment.written()
        if found.cut or written < found.at + found.length:
            return True
        if not segment.unwritten(began, written):
            return False
        return lossy or not self._goes_on(rest)

    def _lacks(self, record: Record | Unsound, count: int) -> bool:
        """Whether it is not what was written; or a commit that does not fit what is before it."""
        if type(record) is Commit:
            fits = record.after in (None, self._index.head) and record.rows in (None, count)
            return not fits
        return isinstance(record, Unsound)

    def _goes_on(self, rest: Iterator[Found]) -> bool:
        """Whether another commit stands behind the one that lacks something."""
        sound = commits = 0
        for found in rest:
            record = found.record
            if type(record) is Commit:
                commits += 1
                # The end of the very commit that lacks something follows what is known, and says
                # that there were more records than are left.
                own = record.after in (None, self._index.head) and record.rows != sound
                if commits > 1 or not own:
                    return True
                sound = 0
            else:
                sound = 0 if isinstance(record, Unsound) else sound + 1
        return False

    def _note(self, segment: Segment, found: Found, why: str) -> None:
        self.damage.append(Damage(segment, found.at, found.number, why))
