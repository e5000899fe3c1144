"""What is overwritten while snapshots are open: kept for them, and no more than they can see."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import Generic, TypeVar

from holdfast.contract.record import Range
from holdfast.engines.embedded.key_order import KeyOrder

#: What an engine keeps of a row: (anything, its revision). A plain tuple is nothing to the
#: collector, which else would look at all of a database again and again.
K = TypeVar("K", bound=tuple[object, int])

_overwritten = itemgetter(0)


class HeldPast(Generic[K]):
    """The rows that open snapshots see in place of the newest ones.

    A key takes one place for each snapshot at most, however often it is written meanwhile. Called
    under the lock of the engine's rows, but for `drop`.

    Attributes:
        tokens: one for each open snapshot.
        rows: by key, the oldest first: (the revision that overwrote it, what stood there or None).
    """

    def __init__(self) -> None:
        self.tokens: set[object] = set()
        # The highest revision that a snapshot was taken at.
        self._newest = 0
        self.rows: dict[bytes, list[tuple[int, K | None]]] = {}
        self._order = KeyOrder(self.rows)

    def take(self, token: object, revision: int) -> None:
        """A snapshot is taken at the newest revision. Its token is made before, and ends it.

        So an interrupt leaves nothing that has no owner.
        """
        self._newest = revision
        self.tokens.add(token)

    def release(self, token: object) -> None:
        """A snapshot is closed; with the last one the past goes."""
        self.tokens.discard(token)
        if not self.tokens:
            self._clear()

    def drop(self, token: object) -> None:
        """A snapshot was collected, in any thread: the next write lets the past go."""
        self.tokens.discard(token)

    def forget_dropped(self) -> None:
        """Let the past go, if the last snapshot was dropped."""
        if self.rows and not self.tokens:
            self._clear()

    def overwrite(self, key: bytes, before: K | None, revision: int) -> None:
        """A row is overwritten at this revision; doing it again after an interrupt does no harm."""
        if not self.tokens:
            self.forget_dropped()
            return
        rows = self.rows.get(key)
        if rows is None:
            if before is None or before[1] <= self._newest:
                self._order.add((key,))
                self.rows[key] = [(revision, before)]
        elif rows[-1][0] <= self._newest:
            rows.append((revision, before))
        # Else it came after the newest snapshot, and none sees it.

    def at(self, key: bytes, revision: int, newest: K | None) -> K | None:
        """What a key had at a revision that a snapshot holds, where it has `newest` now."""
        rows = self.rows.get(key)
        if rows is not None:
            place = bisect_right(rows, revision, key=_overwritten)
            if place < len(rows):
                return rows[place][1]
        return newest

    def keys(self, newest: Iterator[bytes], range: Range) -> Iterator[bytes]:
        """The keys of the range that stand now or are kept here, each once, in its order.

        A walk goes in pages, so this costs no more than the keys it yields.

        Args:
            newest: those that stand now, in order.
        """
        if not self.rows:
            yield from newest
            return
        before = None
        for key in merge(newest, self._order.walk(range), reverse=range.reverse):
            if key != before:
                before = key
                yield key

    def forget_order(self) -> None:
        """Order the keys anew, after an interrupt that may have come while they were ordered."""
        self._order.forget()

    def _clear(self) -> None:
        self.rows.clear()
        self._order.forget()
