"""Writes that are acknowledged and not yet flushed, laid over what the file holds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import filterfalse
from typing import NamedTuple

from holdfast.contract.record import Range, Record
from holdfast.engines.embedded.group import Pending
from holdfast.engines.embedded.key_order import KeyOrder

Row = tuple[bytes, Record]


class Overlay:
    """The newest write of each key, in memory.

    Args:
        generation: of the journal that holds it, if one does.

    Attributes:
        rows: by key; a value of None hides what lies below.
        bytes: how much was written into it.
        ids: of batches, with their revisions.
        head: the newest revision written into it, 0 while there is none. A batch that removed
            nothing has one too.
    """

    __slots__ = ("_order", "bytes", "generation", "head", "ids", "rows")

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.rows: dict[bytes, Pending] = {}
        self.bytes = 0
        self.ids: dict[bytes, int] = {}
        self.head = 0
        # Made with the first walk: most of what is staged is never walked.
        self._order: KeyOrder | None = None

    def __bool__(self) -> bool:
        return bool(self.head or self.rows or self.ids)

    def update(self, rows: dict[bytes, Pending]) -> None:
        """Take rows in; later ones win. A reader sees all of them or none."""
        order = self._order
        if order is not None:
            order.add([*filterfalse(self.rows.__contains__, rows)])
        self.rows.update(rows)

    def absorb(self, newer: Overlay) -> None:
        """Take in what lies over this one."""
        self.update(newer.rows)
        self.ids.update(newer.ids)
        self.bytes += newer.bytes
        self.head = max(self.head, newer.head)

    def copied(self) -> Overlay:
        """The rows as they are now, to read them later."""
        return self._with(self.rows.copy())

    def shared(self) -> Overlay:
        """The same of an overlay that does not change any more: its rows need no copy."""
        return self._with(self.rows)

    def over(self, range: Range, below: Iterator[Row]) -> Iterator[Row]:
        """The rows of the range: what lies below, with these over it."""
        reverse = range.reverse
        base = next(below, None)
        for key in self.keys_of(range):
            while base is not None and (base[0] > key if reverse else base[0] < key):
                yield base
                base = next(below, None)
            if base is not None and base[0] == key:
                base = next(below, None)
            value, revision = self.rows[key]
            if value is not None:
                yield key, Record(value, revision)
        if base is not None:
            yield base
            yield from below

    def keys_of(self, range: Range) -> Iterator[bytes]:
        """The keys of the range that were written, in its order."""
        order = self._order
        if order is None:
            order = self._order = KeyOrder(self.rows)
        return order.walk(range)

    def _with(self, rows: dict[bytes, Pending]) -> Overlay:
        copy = Overlay()
        copy.rows, copy.bytes, copy.head = rows, self.bytes, self.head
        return copy


class Layers(NamedTuple):
    """What lies over the file.

    Attributes:
        newest: takes the writes.
        older: is being flushed, and does not change.
    """

    newest: Overlay
    older: Overlay | None = None

    def find(self, key: bytes) -> Pending | None:
        """The write of the key that is not flushed, if there is one."""
        found = self.newest.rows.get(key)
        if found is None and self.older is not None:
            found = self.older.rows.get(key)
        return found

    def over(self, range: Range, below: Iterator[Row]) -> Iterator[Row]:
        """The rows of the range: what lies below, with these over it."""
        if self.older is not None and self.older.rows:
            below = self.older.over(range, below)
        return self.newest.over(range, below) if self.newest.rows else below

    def within(self, range: Range) -> dict[bytes, bool]:
        """The keys of the range that were written, and whether there is a row now."""
        found: dict[bytes, bool] = {}
        for one in (self.older, self.newest):
            if one is not None and one.rows:
                found.update((key, one.rows[key][0] is not None) for key in one.keys_of(range))
        return found

    def frozen(self) -> Layers:
        """What lies here now, and does not change. Reading it in any thread disturbs nobody."""
        newest, older = self
        return Layers(newest.copied(), None if older is None else older.shared())

    @property
    def head(self) -> int:
        """The newest revision written into them; 0: none."""
        return max(self.newest.head, 0 if self.older is None else self.older.head)

    @property
    def hides_nothing(self) -> bool:
        """Whether the file alone answers every read."""
        return not self.newest.rows and (self.older is None or not self.older.rows)
