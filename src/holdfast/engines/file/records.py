"""What a segment of the journal holds, whatever the format it is written in.

A commit is some rows and then the `Commit` that makes them valid: what no commit follows was never
acknowledged. Rows carry the revision that they were first written at, because compaction writes
them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

#: The format of a segment: readers refuse a higher number.
FORMAT_VERSION = 1
#: How much of a segment is read at once.
CHUNK_BYTES = 2**20


class Row(NamedTuple):
    """A key was given a value, or (None) none."""

    key: bytes
    revision: int
    value: bytes | None


class BatchId(NamedTuple):
    """The id of a batch, remembered from that instant on."""

    id: bytes
    revision: int
    at_ms: int


class Commit(NamedTuple):
    """The rows since the commit before belong together, and are valid.

    Attributes:
        revision: the newest of the database from here on.
        after: the newest one before; None where a person did not want to say it.
        rows: how many records (rows and ids) belong to it; None likewise.
    """

    revision: int
    after: int | None
    rows: int | None


class Header(NamedTuple):
    """The first record of a segment.

    Attributes:
        format: number of the format.
        segment: the number of the segment, which its name says as well.
        store: which database it belongs to.
        after: the newest revision when it was begun.
    """

    format: int
    segment: int
    store: str
    after: int


Record = Row | BatchId | Commit | Header


class Unsound(Exception):
    """A record cannot be what was written.

    Args:
        why: what is wrong, as the end of the sentence "the record ...".
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Found(NamedTuple):
    """A record, and where it stands.

    Attributes:
        at, length: its place in the file, in bytes; without padding behind it.
        number: its line, or how manieth it is, from 1.
        record: what it says; why it cannot be believed.
        cut: it is unsound because the file ends within it.
    """

    at: int
    length: int
    number: int
    record: Record | Unsound
    cut: bool = False


#: Reads bytes of a file: (at, at most how many).
Read = Callable[[int, int], bytes]


class Format(Protocol):
    """How records are written."""

    suffix: str
    #: What a person counts records in.
    unit: str
    #: The byte that stands where nothing was written yet; behind the last record it means nothing.
    padding: bytes

    def encode(self, record: Record) -> bytes:
        """The record as it is appended."""
        ...

    def row(self, stored: bytes) -> Row:
        """The row that was stored as these bytes. Raises Unsound."""
        ...

    def walk(
        self, read: Read, start: int, end: int, number: int = 1, *, values: bool = True
    ) -> Iterator[Found]:
        """The records between two places; goes on behind an unsound one where it can.

        Without `values` rows may come with an empty one in the place of theirs, which is faster.
        """
        ...
