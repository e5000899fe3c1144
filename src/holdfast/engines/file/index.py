"""Keys in memory, in order, with the place of each value in the journal.

A dict holds the places, and `KeyOrder` the order of their keys. While snapshots are open, they keep
the places that are overwritten.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

from holdfast.contract.record import Range
from holdfast.engines.embedded.held_past import HeldPast
from holdfast.engines.embedded.key_order import KeyOrder

#: (place, revision): plain tuples of plain things are nothing to the collector.
Kept = tuple[int, int]

_LENGTH_BITS = 40
_AT_BITS = 48
_LENGTH_MASK = (1 << _LENGTH_BITS) - 1
_AT_MASK = (1 << _AT_BITS) - 1


def place_of(segment: int, at: int, length: int) -> int:
    """A place as one number."""
    return (segment << _AT_BITS | at) << _LENGTH_BITS | length


def segment_in(place: int) -> int:
    """The number of the segment that the place lies in."""
    return place >> _LENGTH_BITS + _AT_BITS


def at_in(place: int) -> int:
    """Where it begins in the segment."""
    return place >> _LENGTH_BITS & _AT_MASK


def length_in(place: int) -> int:
    """How many bytes are stored there."""
    return place & _LENGTH_MASK


class Index:
    """Where everything stands.

    Attributes:
        records: by key, the newest.
        head: the newest revision.
        batch_ids: id of a batch to (revision, instant, number of its segment), the oldest first.
        past: the places that open snapshots see.
        lock: held while a group is published, and by readers of more than one key.
    """

    def __init__(self) -> None:
        self.records: dict[bytes, Kept] = {}
        self.head = 0
        self.batch_ids: OrderedDict[bytes, tuple[int, int, int]] = OrderedDict()
        self.past: HeldPast[Kept] = HeldPast()
        self.lock = threading.RLock()
        self._order = KeyOrder(self.records)

    def put(self, key: bytes, kept: Kept | None, revision: int) -> Kept | None:
        """Note where a key stands from this revision on (None: nowhere); where it stood before.

        Doing it again after an interrupt does no harm.
        """
        before = self.records.get(key)
        self.past.overwrite(key, before, revision)
        if kept is not None:
            if before is None:
                self._order.add((key,))
            self.records[key] = kept
        elif before is not None:
            self._order.discard(key)
            del self.records[key]
        return before

    def move(self, key: bytes, kept: Kept) -> None:
        """Note that the same row stands elsewhere."""
        self.records[key] = kept

    def walk(self, range: Range) -> Iterator[tuple[bytes, Kept]]:
        """The keys of the range, in its order."""
        if range.empty:
            return
        records = self.records
        for key in self._order.walk(range):
            yield key, records[key]

    def walk_at(self, range: Range, revision: int) -> Iterator[tuple[bytes, Kept]]:
        """The same as of a revision that a snapshot holds."""
        if range.empty:
            return
        for key in self.past.keys(self._order.walk(range), range):
            kept = self.at(key, revision)
            if kept is not None:
                yield key, kept

    def at(self, key: bytes, revision: int) -> Kept | None:
        """Where a key stood as of a revision that a snapshot holds."""
        return self.past.at(key, revision, self.records.get(key))

    def release(self, token: object) -> None:
        """A snapshot is closed."""
        with self.lock:
            self.past.release(token)

    def forget_order(self) -> None:
        """Make the key order anew, after an interrupt that may have come while it was made."""
        self._order.forget()
        self.past.forget_order()
