"""The result of one live query as it is now, and which of its documents may have changed.

Memory is that of the result, however far its reader is behind: of each document only the last
state is kept. With a limit some documents more than the result are kept, in order, so that others
can move up when one leaves; when these run out, the query is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, cast

from sortedcontainers import SortedList

from holdfast.contract.errors import QuotaExceeded
from holdfast.documents.planner.found import Found
from holdfast.documents.query.compile import Test, compile_where
from holdfast.documents.query.ordering import Row, directions, keyed
from holdfast.documents.query.query import Query
from holdfast.documents.query.texts import TextMatcher
from holdfast.store.versions.entry import Entry

#: How many documents a live query without a limit holds at most.
RESULTS_MAX: Final = 1_000_000
#: How many documents more than a limit are kept at least.
SPARE_MIN: Final = 64

#: What sorts a document into a result; no two documents have the same.
Rank = tuple[Any, ...]
#: Which live results hold a document, by its key.
Holders = dict[str, "dict[LiveResult, None]"]


class _Reversed:
    """A part of a rank that descends."""

    __slots__ = ("part",)

    def __init__(self, part: Any) -> None:
        self.part = part

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.part < self.part)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.part == other.part)

    __hash__ = None  # type: ignore[assignment]


class Placed(NamedTuple):
    """A document of a result, and what sorts it there."""

    rank: Rank
    entry: Entry[Any]


#: A key, and its document in the result now; None: it is not there.
State = tuple[str, Placed | None]


class LiveResult:
    """The documents that a query gives, kept current by whoever reads the changes.

    Args:
        query: which; it has no cursor.
        hint: the index to read it with; see `Collection.query`.
        holders: where it enters which documents it holds.

    Attributes:
        loaded: whether it was read.
        failure: why it is not kept any more.
    """

    def __init__(self, query: Query, hint: str | None, holders: Holders) -> None:
        self.query = query
        self.hint = hint
        self.loaded = False
        self.failure: BaseException | None = None
        self._holders = holders
        self._descending = directions(query.order_by)
        self._first = query.offset
        self._end = None if query.limit is None else query.offset + query.limit
        self._test: Test = compile_where(query.where)
        #: Everything that is kept, in order; `_whole`: there is nothing else that matches.
        self._ranks: Any = SortedList()
        self._kept: dict[str, Placed] = {}
        self._whole = False
        #: What may have changed since somebody took it.
        self._touched: dict[str, None] = {}
        self._taken = False

    # --- Kept by the hub --------------------------------------------------------------------

    @property
    def wanted(self) -> int | None:
        """How many documents to read from the beginning; None: all."""
        if self._end is None:
            return None
        return self._end + max(SPARE_MIN, self._end - self._first)

    @property
    def lacks(self) -> bool:
        """Whether documents have to be read that are not kept."""
        short = self._end is not None and len(self._kept) < self._end
        return not self.loaded or (short and not self._whole)

    def load(self, rows: Iterable[Found], text: TextMatcher | None) -> None:
        """Take the query's first `wanted` documents for the whole truth."""
        if text is not None:
            self._test = compile_where(self.query.where, text=text)
        kept: dict[str, Placed] = {}
        for key, document, entry in rows:
            kept[key] = Placed(self._rank(key, document), entry.fresh())
        before = self._kept
        for key in before.keys() - kept.keys():
            self._release(key)
        for key in kept.keys() - before.keys():
            self._holders.setdefault(key, {})[self] = None
        self._kept = kept
        self._ranks = SortedList(placed.rank for placed in kept.values())
        self._whole = self.wanted is None or len(kept) < self.wanted
        self._touched |= dict.fromkeys([*before, *kept])
        self.loaded = True

    @staticmethod
    def require_room(documents: int) -> None:
        """Raise QuotaExceeded when a result holds more documents than it may."""
        if documents > RESULTS_MAX:
            raise QuotaExceeded(
                f"a live query holds at most {RESULTS_MAX} documents; found more. Give it a "
                "limit, or narrow it",
                limit=RESULTS_MAX,
            )

    def apply(self, key: str, document: Any, entry: Entry[Any] | None) -> bool:
        """A document is another one, or (no entry) is there no more; whether it was tested.

        Raises:
            QuotaExceeded: the result holds too many.
        """
        if self._end == self._first:
            return False
        old = self._kept.get(key)
        rank: Rank | None = None
        if entry is not None and self._test(document):
            rank = self._rank(key, document)
            # Behind what is kept there may be others that are not known.
            if not self._whole and (not self._ranks or self._ranks[-1] < rank):
                rank = None
        if old is not None:
            self._take_out(key, old)
        if rank is not None and entry is not None:
            self._put_in(key, Placed(rank, entry.fresh()))
        return entry is not None

    def fail(self, error: BaseException) -> None:
        """It is kept no more."""
        if self.failure is None:
            self.failure = error
        self.forget()

    def forget(self) -> None:
        """Nobody reads it any more."""
        for key in list(self._kept):
            self._release(key)
        self._kept = {}
        self._ranks = SortedList()
        self._touched = {}

    # --- Read by whoever asked --------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there may be something to tell, if only that it was read."""
        return bool(self._touched) or not self._taken

    def take(self) -> list[State]:
        """The documents that may have changed since this was asked last, as they are now."""
        touched, self._touched = self._touched, {}
        self._taken = True
        return [(key, self._shown(key)) for key in touched]

    # --- Inside -----------------------------------------------------------------------------

    def _rank(self, key: str, document: Any) -> Rank:
        [(parts, _)] = keyed(cast("list[Row]", [(key, document)]), self.query.order_by)
        return tuple(
            _Reversed(part) if down else part
            for part, down in zip(parts, self._descending, strict=True)
        )

    def _shown(self, key: str) -> Placed | None:
        """The document, if it is in the result now."""
        placed = self._kept.get(key)
        if placed is None or (self._end is None and not self._first):
            return placed
        place = self._ranks.index(placed.rank)
        inside = self._first <= place and (self._end is None or place < self._end)
        return placed if inside else None

    def _put_in(self, key: str, placed: Placed) -> None:
        self._ranks.add(placed.rank)
        self._kept[key] = placed
        self._holders.setdefault(key, {})[self] = None
        place = self._ranks.index(placed.rank)
        self._touch(key, place, first=self._first, last=self._end)
        self.require_room(len(self._kept))
        if self._end is not None and len(self._kept) > 2 * cast("int", self.wanted):
            self._whole = False
            while len(self._kept) > cast("int", self.wanted):
                last = key_of(self._ranks.pop())
                del self._kept[last]
                self._release(last)

    def _take_out(self, key: str, placed: Placed) -> None:
        place = self._ranks.index(placed.rank)
        del self._ranks[place]
        del self._kept[key]
        self._release(key)
        before = self._first - 1
        self._touch(key, place, first=before, last=None if self._end is None else self._end - 1)

    def _touch(self, key: str, place: int, *, first: int, last: int | None) -> None:
        """Note the document, and those that its coming or going moves over an end of the result."""
        if last is not None and place > last:
            return
        self._touched[key] = None
        for edge in (first, last):
            if edge is not None and place <= edge and 0 <= edge < len(self._ranks):
                self._touched[key_of(self._ranks[edge])] = None

    def _release(self, key: str) -> None:
        """It holds the document no more."""
        holders = self._holders.get(key)
        if holders is not None:
            holders.pop(self, None)
            if not holders:
                del self._holders[key]


def key_of(rank: Rank) -> str:
    """The document that a rank is of."""
    part = rank[-1]
    return str(part.part) if isinstance(part, _Reversed) else str(part)
