"""Accumulators: what a group makes of the values of its documents.

| accumulator | of the values | of none |
|---|---|---|
| `sum` | their sum: exact for ints; with a float among them a float | 0 |
| `avg` | their mean, a float | null |
| `min max` | the first or last in the order of values, null left out | null |
| `count` | how many there are; of an expression: how many are neither null nor missing | 0 |
| `push` | all in an array, missing left out | [] |
| `add_to_set` | the different ones in an array, as first seen | [] |
| `first last` | that of the first or last document, null when missing | null |

`sum` and `avg` see numbers alone (a bool is none). Floats are summed with a correction for what
rounding loses. What is beyond a float gives infinity.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import Any

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.aggregate.budget import Budget, size_of
from holdfast.documents.aggregate.expressions import number
from holdfast.documents.query.computed import Expression, expression_of
from holdfast.documents.query.values import MISSING, order_key


@dataclass(frozen=True, slots=True)
class Accumulator:
    """An accumulator over the values of an expression; `count` may have none."""

    function: str
    argument: Expression | None = None

    def __post_init__(self) -> None:
        assert self.function in ACCUMULATORS
        if self.argument is None and self.function != "count":
            raise InvalidQuery(
                f"{self.function} wanted an expression; found none. Give it a field",
                function=self.function,
            )


def sum_(value: Any) -> Accumulator:
    """The sum of the numbers."""
    return Accumulator("sum", expression_of(value, "sum"))


def avg(value: Any) -> Accumulator:
    """The mean of the numbers; null of none."""
    return Accumulator("avg", expression_of(value, "avg"))


def min_(value: Any) -> Accumulator:
    """The least value in the order of values; null left out."""
    return Accumulator("min", expression_of(value, "min"))


def max_(value: Any) -> Accumulator:
    """The greatest value in the order of values; null left out."""
    return Accumulator("max", expression_of(value, "max"))


def count_(value: Any = MISSING) -> Accumulator:
    """How many documents; of a value, how many have it."""
    return Accumulator("count", None if value is MISSING else expression_of(value, "count"))


def push(value: Any) -> Accumulator:
    """All values in an array."""
    return Accumulator("push", expression_of(value, "push"))


def add_to_set(value: Any) -> Accumulator:
    """The different values in an array."""
    return Accumulator("add_to_set", expression_of(value, "add_to_set"))


def first(value: Any) -> Accumulator:
    """The value of the first document."""
    return Accumulator("first", expression_of(value, "first"))


def last(value: Any) -> Accumulator:
    """The value of the last document."""
    return Accumulator("last", expression_of(value, "last"))


_COMPARED_AS_THEY_ARE = frozenset((int, float, str, bytes, bool))


class Column(ABC):
    """The state of one accumulator for all groups, by the number of the group.

    One column of numbers for a million groups takes what one object each would take many times.
    """

    #: About how many bytes a new group takes here.
    group_bytes = 8

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    @abstractmethod
    def grow(self) -> None:
        """Begin one more group."""

    @abstractmethod
    def add(self, group: int, value: Any) -> None:
        """Take a document's value into a group."""

    def add_many(self, groups: list[int], values: list[Any]) -> None:
        """Take many values, each into its group. The same as `add` one by one."""
        add = self.add
        for group, value in zip(groups, values, strict=True):
            add(group, value)

    @abstractmethod
    def result(self, group: int) -> Any:
        """What the group comes to."""


class CountAll(Column):
    """How many documents."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.counts = array("q")

    def grow(self) -> None:
        self.counts.append(0)

    def add(self, group: int, value: Any) -> None:
        self.counts[group] += 1

    def add_many(self, groups: list[int], values: list[Any]) -> None:
        counts = self.counts
        for group in groups:
            counts[group] += 1

    def result(self, group: int) -> int:
        return self.counts[group]


class CountValues(CountAll):
    """How many values that are neither null nor missing."""

    def add(self, group: int, value: Any) -> None:
        if value is not None and value is not MISSING:
            self.counts[group] += 1

    def add_many(self, groups: list[int], values: list[Any]) -> None:
        counts = self.counts
        for group, value in zip(groups, values, strict=True):
            if value is not None and value is not MISSING:
                counts[group] += 1


class Sum(Column):
    """An exact sum of ints beside a corrected sum of floats."""

    group_bytes = 16

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.whole: Any = array("q")  # A list as soon as one sum is beyond 64 bits.
        # Sums and corrections of floats, made when the first float comes.
        self.floats: array[float] | None = None
        self.lost: array[float] = array("d")
        self.has_float = bytearray()

    def grow(self) -> None:
        self.whole.append(0)
        if self.floats is not None:
            self.floats.append(0.0)
            self.lost.append(0.0)
            self.has_float.append(0)

    def add(self, group: int, value: Any) -> None:
        self._take(group, value)

    def _take(self, group: int, value: Any) -> None:
        kind = type(value)
        if kind is int:
            try:
                self.whole[group] += value
            except OverflowError:
                self.whole = list(self.whole)
                self.whole[group] += value
                self.budget.charge(32 * len(self.whole), "group")
        elif kind is float:
            self._add_float(group, value)

    def add_many(self, groups: list[int], values: list[Any]) -> None:
        whole, floats, take = self.whole, self.floats, self._take
        lost, has_float, isfinite = self.lost, self.has_float, math.isfinite
        for group, value in zip(groups, values, strict=True):
            kind = type(value)
            if kind is float and floats is not None:
                # As in `_add_float`: two calls for each value would cost more than the rest.
                before = floats[group]
                floats[group] = total = before + value
                if isfinite(total):
                    if abs(before) >= abs(value):
                        lost[group] += (before - total) + value
                    else:
                        lost[group] += (value - total) + before
                has_float[group] = 1
            elif kind is int:
                try:
                    whole[group] += value
                except OverflowError:
                    take(group, value)
                    whole = self.whole
            else:
                take(group, value)
                floats, lost, has_float = self.floats, self.lost, self.has_float

    def _add_float(self, group: int, value: float) -> None:
        if self.floats is None:
            groups = len(self.whole)
            self.floats = array("d", bytes(8 * groups))
            self.lost = array("d", bytes(8 * groups))
            self.has_float = bytearray(groups)
            self.group_bytes = 40
            self.budget.charge(24 * groups, "group")
        before = self.floats[group]
        total = before + value
        if math.isfinite(total):
            # Neumaier: what the greater of the two swallowed of the smaller.
            greater, smaller = (before, value) if abs(before) >= abs(value) else (value, before)
            self.lost[group] += (greater - total) + smaller
        self.floats[group] = total
        self.has_float[group] = 1

    def result(self, group: int) -> int | float:
        whole: int = self.whole[group]
        if self.floats is None or not self.has_float[group]:
            return whole
        return as_float(whole) + (self.floats[group] + self.lost[group])


class Average(Sum):
    """The mean of the numbers."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.counts = array("q")

    def grow(self) -> None:
        super().grow()
        self.counts.append(0)

    def add(self, group: int, value: Any) -> None:
        if number(value):
            self.counts[group] += 1
            self._take(group, value)

    def add_many(self, groups: list[int], values: list[Any]) -> None:
        counts = self.counts
        for group, value in zip(groups, values, strict=True):
            kind = type(value)
            if kind is float or kind is int:
                counts[group] += 1
        super().add_many(groups, values)

    def result(self, group: int) -> Any:
        count = self.counts[group]
        if not count:
            return None
        total = super().result(group)
        try:
            return total / count
        except OverflowError:
            return as_float(int(total))


class Extreme(Column):
    """The least value, or the greatest."""

    group_bytes = 40
    greatest = False

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.best: list[Any] = []

    def grow(self) -> None:
        self.best.append(None)

    def add(self, group: int, value: Any) -> None:
        if value is None or value is MISSING:
            return
        best = self.best[group]
        if best is not None:
            one, other = value, best
            if not (type(one) is type(other) and type(one) in _COMPARED_AS_THEY_ARE):
                one, other = order_key(one), order_key(other)
            if not (one > other if self.greatest else one < other):
                return
        self.best[group] = value

    def result(self, group: int) -> Any:
        return self.best[group]


class Greatest(Extreme):
    """The greatest value."""

    greatest = True


class First(Column):
    """The value of the first document."""

    group_bytes = 40

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.values: list[Any] = []
        self.full = bytearray()

    def grow(self) -> None:
        self.values.append(None)
        self.full.append(0)

    def add(self, group: int, value: Any) -> None:
        if not self.full[group]:
            self.full[group] = 1
            self.values[group] = None if value is MISSING else value

    def result(self, group: int) -> Any:
        return self.values[group]


class Last(First):
    """The value of the last document."""

    def add(self, group: int, value: Any) -> None:
        self.values[group] = None if value is MISSING else value


class Push(Column):
    """All values."""

    group_bytes = 96

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.values: list[list[Any]] = []

    def grow(self) -> None:
        self.values.append([])

    def add(self, group: int, value: Any) -> None:
        if value is not MISSING:
            self.budget.charge(8 + size_of(value), "group")
            self.values[group].append(value)

    def result(self, group: int) -> list[Any]:
        return self.values[group]


class Distinct(Column):
    """The different values."""

    group_bytes = 250

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.values: list[dict[Any, Any]] = []

    def grow(self) -> None:
        self.values.append({})

    def add(self, group: int, value: Any) -> None:
        if value is MISSING:
            return
        key = order_key(value)
        seen = self.values[group]
        if key not in seen:
            self.budget.charge(100 + size_of(value) + size_of(key), "group")
            seen[key] = value

    def result(self, group: int) -> list[Any]:
        return list(self.values[group].values())


ACCUMULATORS: dict[str, type[Column]] = {
    "sum": Sum,
    "avg": Average,
    "min": Extreme,
    "max": Greatest,
    "count": CountValues,
    "push": Push,
    "add_to_set": Distinct,
    "first": First,
    "last": Last,
}
"""The accumulators, by their names in JSON."""


def column_of(accumulator: Accumulator, budget: Budget) -> Column:
    """A new, empty column for an accumulator."""
    if accumulator.argument is None:
        return CountAll(budget)
    return ACCUMULATORS[accumulator.function](budget)


def as_float(value: int) -> float:
    """The nearest float, infinity beyond the greatest."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
