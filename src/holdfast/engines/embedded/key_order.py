"""The keys of a dict in order, for walks; kept only once a walk has asked.

Inserting into sorted order costs several times an insert into a dict. So the first walk sorts, and
what comes later waits until the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sortedcontainers import SortedList

from holdfast.contract.record import Range

#: How many more new keys than keys may wait to be put into order.
UNORDERED_SPARE = 1024


class KeyOrder:
    """The order of the keys of a dict that changes.

    Args:
        records: the dict; who changes it tells `add` and `discard`.

    Attributes:
        made: whether a walk has asked, so that changes have to be told.
    """

    __slots__ = ("_order", "_records", "_unordered", "made")

    def __init__(self, records: Mapping[bytes, object]) -> None:
        self._records = records
        self._order: SortedList[Any] | None = None
        # New keys since the order was made, some of them twice or gone again.
        self._unordered: list[bytes] = []
        self.made = False

    def add(self, keys: Iterable[bytes]) -> None:
        """These keys are new, or will be in a moment."""
        if self.made:
            if len(self._unordered) > len(self._records) + UNORDERED_SPARE:
                # Keys that come and go stand in it many times.
                self._unordered = [*(self._records.keys() & self._unordered)]
            self._unordered += keys

    def discard(self, key: bytes) -> None:
        """The key is gone, or will be in a moment."""
        if self._order is not None:
            self._order.discard(key)

    def walk(self, range: Range) -> Iterator[bytes]:
        """The keys of the range, in its order."""
        keys: Iterator[bytes] = self._ordered().irange(
            range.start, range.end, inclusive=(True, False), reverse=range.reverse
        )
        return keys

    def forget(self) -> None:
        """Sort anew with the next walk: an interrupt may have come while keys were sorted in."""
        self.made = False
        self._order = None
        self._unordered.clear()

    def _ordered(self) -> SortedList[Any]:
        try:
            if self._order is None:
                self._order = SortedList(self._records)
                self.made = True
            elif self._unordered:
                # An interrupt may have left keys here whose records never came.
                new = self._records.keys() & self._unordered
                if len(new) < len(self._unordered):
                    # Some came, went and came again, and may stand there already.
                    new = {key for key in new if key not in self._order}
                self._order.update(new)
            self._unordered.clear()
        except BaseException:
            self.forget()
            raise
        return self._order
