"""What the reader of a live query was told, and the steps that lead from there to what is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from sortedcontainers import SortedList

from holdfast.documents.live.result import Placed, State, key_of
from holdfast.store.versions.entry import Entry

Kind = Literal["added", "changed", "moved", "removed"]


class Difference(NamedTuple):
    """What became of one document of a result.

    Attributes:
        kind: what.
        key: which.
        before, after: the document; None where it is not in the result.
        previous, place: where it stood and stands, counted in the result as it is at this step; -1
            where it is not in the result.
        last: whether this was the last step for now.
    """

    kind: Kind
    key: str
    before: Entry[Any] | None
    after: Entry[Any] | None
    previous: int
    place: int
    last: bool


class Told:
    """An ordered result, changed step by step."""

    def __init__(self) -> None:
        self._ranks: Any = SortedList()
        self._placed: dict[str, Placed] = {}
        self._steps: deque[State] = deque()

    def __len__(self) -> int:
        return len(self._placed)

    def adopt(self, states: Iterable[State]) -> None:
        """Take these for told."""
        self._placed = {key: placed for key, placed in states if placed is not None}
        self._ranks = SortedList(placed.rank for placed in self._placed.values())

    def plan(self, states: Iterable[State]) -> None:
        """What is to be told: what is no more, then the rest in its order."""
        come: list[tuple[Placed, str]] = []
        for key, now in states:
            told = self._placed.get(key)
            if now is None:
                if told is not None:
                    self._steps.append((key, None))
            elif told is None or told.entry.revision != now.entry.revision:
                come.append((now, key))
        come.sort(key=_rank_of)
        self._steps.extend((key, placed) for placed, key in come)

    def step(self) -> Difference | None:
        """Tell the next; None when there is none."""
        if not self._steps:
            return None
        key, now = self._steps.popleft()
        told = self._placed.pop(key, None)
        previous = place = -1
        if told is not None:
            previous = int(self._ranks.index(told.rank))
            del self._ranks[previous]
        if now is not None:
            self._placed[key] = now
            self._ranks.add(now.rank)
            place = int(self._ranks.index(now.rank))
        kind: Kind = "changed"
        if told is None:
            kind = "added"
        elif now is None:
            kind = "removed"
        elif place != previous:
            kind = "moved"
        before, after = told and told.entry, now and now.entry
        return Difference(kind, key, before, after, previous, place, not self._steps)

    def entries(self) -> list[tuple[str, Entry[Any]]]:
        """The result as told, in order."""
        return [(key, self._placed[key].entry) for key in map(key_of, self._ranks)]


def _rank_of(come: tuple[Placed, str]) -> Any:
    return come[0].rank
