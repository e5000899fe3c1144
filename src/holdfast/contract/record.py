"""What an engine stores and hands out: records, ranges, pages, and where in time they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple, Self

from holdfast.contract.errors import InvalidInput

#: In the place of a revision: that of the commit under way, which is not known yet. Rows that a
#: transaction has written carry it until the transaction commits.
THIS_COMMIT: Final = 2**63 - 1
#: A revision has at most 8 bytes, so at most this many digits.
REVISION_DIGITS_MAX = 20


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


#: No argument was given, where None could be one.
MISSING: Final = Missing.MISSING


class Record(NamedTuple):
    """A stored value and the revision of the commit that last wrote its key."""

    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Range:
    """The keys `start <= key < end` in byte order; `None` leaves a side open.

    Attributes:
        start: first key that belongs to the range.
        end: first key after it.
        reverse: walk from the last key to the first; the set of keys is the same.
        limit: at most this many rows in one page (the engine's own page limit also holds).
    """

    start: bytes | None = None
    end: bytes | None = None
    reverse: bool = False
    limit: int | None = None

    @classmethod
    def prefix(cls, prefix: bytes, *, reverse: bool = False, limit: int | None = None) -> Self:
        """Every key that begins with `prefix`."""
        return cls(prefix or None, after_prefix(prefix), reverse, limit)

    def __contains__(self, key: bytes) -> bool:
        return (self.start is None or key >= self.start) and (self.end is None or key < self.end)

    @property
    def empty(self) -> bool:
        """Whether no key can belong to the range."""
        return self.end is not None and self.end <= (self.start or b"")

    def after(self, key: bytes) -> Range:
        """What is left of the range once the walk has passed `key`."""
        if self.reverse:
            return replace(self, end=key)
        return replace(self, start=key + b"\0")

    def rows_wanted(self, page_rows_max: int) -> int:
        """How many rows a page of this range may hold on an engine with that limit."""
        if self.limit is None:
            return page_rows_max
        if self.limit < 1:
            raise InvalidInput(
                f"a page holds at least one row; the range asks for limit={self.limit}",
                limit=self.limit,
            )
        return min(self.limit, page_rows_max)


def after_prefix(prefix: bytes) -> bytes | None:
    """The first key behind all keys that begin with `prefix`; `None` if there is no such key."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


class Page(NamedTuple):
    """Some rows of a range, and the range that continues it.

    Attributes:
        rows: (key, record) in the order of the walk.
        resume: the rest of the range, or None when the range is exhausted. A page that is full
            may have a resume range that turns out to be empty.
        revision: of the newest commit that the page shows, whether or not that commit wrote into
            the range; of the snapshot, where it is read from one. `CheckRange` takes it.
    """

    rows: list[tuple[bytes, Record]]
    resume: Range | None
    revision: int


class Counted(NamedTuple):
    """How many rows a range has.

    Attributes:
        rows: so many, or the limit of the range, if that is less.
        revision: of the newest commit that the count shows, as of a page.
    """

    rows: int
    revision: int


class Cursor(NamedTuple):
    """A position in the feed that may leave the process.

    A revision means nothing outside its lineage: a restore, a lossy fail-over or an unclean
    relaxed reopen starts a new one, so that an old cursor is refused instead of being silently
    wrong. Text form: `lineage.revision`, or `lineage.revision-index` within a commit.

    Attributes:
        lineage: of the database.
        revision: of the last commit that was seen.
        index: of the last change of that commit that was seen; None: it was seen whole.
    """

    lineage: str
    revision: int
    index: int | None = None  # type: ignore[assignment]  # in the place of tuple.index

    def __str__(self) -> str:
        within = "" if self.index is None else f"-{self.index}"
        return f"{self.lineage}.{self.revision}{within}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that `str(cursor)` printed."""
        lineage, dot, place = text.rpartition(".")
        revision, dash, index = place.partition("-")
        if not dot or not lineage or not _number(revision) or (dash and not _number(index)):
            raise InvalidInput(
                "a cursor reads 'lineage.revision' or 'lineage.revision-index'; "
                f"found {text!r}. Use what db.cursor or change.cursor printed",
                cursor=text,
            )
        return cls(lineage, int(revision), int(index) if dash else None)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= REVISION_DIGITS_MAX
