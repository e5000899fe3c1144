"""Many spans of values under one field: those that a value falls into, without asking the rest."""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

#: How many new spans are looked at one by one before all of them are put in order again.
FRESH_MAX: Final = 64


class Span(NamedTuple):
    """A span of order keys, both ends included."""

    low: tuple[Any, ...]
    high: tuple[Any, ...]


class Spans(Generic[T]):
    """Items under spans.

    The spans stand in the order of their beginnings, and above them a tree says of each half how
    far its spans reach at most: so a look-up costs a few comparisons, and some for each hit.
    """

    def __init__(self) -> None:
        self._items: dict[T, Span] = {}
        self._fresh: dict[T, Span] = {}
        self._ordered: list[tuple[Span, T]] = []
        self._reach: list[tuple[Any, ...]] = []
        self._leaves = 0
        self._gone = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, span: Span) -> None:
        """Put an item under a span; it is under one at a time."""
        self._items[item] = self._fresh[item] = span

    def remove(self, item: T) -> None:
        """Take it out, if it is there."""
        if self._items.pop(item, None) is None:
            return
        if self._fresh.pop(item, None) is None:
            self._gone += 1  # It stays in the tree until the tree is built anew.

    def meeting(self, low: tuple[Any, ...], high: tuple[Any, ...]) -> list[T]:
        """The items whose spans have something in common with this one."""
        if len(self._fresh) + self._gone > max(FRESH_MAX, len(self._ordered) // 8):
            self._build()
        found = [
            item for item, span in self._fresh.items() if span.low <= high and span.high >= low
        ]
        waiting = [1] if self._leaves else []
        while waiting:
            node = waiting.pop()
            if not self._reach[node] or self._reach[node] < low:
                continue
            if node < self._leaves:
                waiting += (2 * node + 1, 2 * node)
                continue
            span, item = self._ordered[node - self._leaves]
            if span.low > high:
                break  # So are all behind it.
            if self._items.get(item) is span:
                found.append(item)
        return found

    def _build(self) -> None:
        self._ordered = sorted(((span, item) for item, span in self._items.items()), key=_beginning)
        self._fresh, self._gone = {}, 0
        count = len(self._ordered)
        self._leaves = leaves = 1 << (count - 1).bit_length() if count else 0
        self._reach = [()] * (2 * leaves)
        for place, (span, _) in enumerate(self._ordered):
            self._reach[leaves + place] = span.high
        for node in range(leaves - 1, 0, -1):
            self._reach[node] = max(self._reach[2 * node], self._reach[2 * node + 1])


def _beginning(placed: tuple[Span, Any]) -> tuple[Any, ...]:
    return placed[0].low
