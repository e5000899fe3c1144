"""The stage `group`: one pass, a number for each group, a column for each accumulator.

Column by column through a chunk of documents is quicker than document by document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import NoneType
from typing import Any

from holdfast.documents.aggregate.accumulators import Column, column_of
from holdfast.documents.aggregate.budget import Budget, Chunk, chunked, size_of
from holdfast.documents.aggregate.expressions import Compute, compile_many
from holdfast.documents.aggregate.stages import Group
from holdfast.documents.query.computed import Expression
from holdfast.documents.query.values import MISSING, order_key

# An entry of a dict that grows, and the int of the group's number; measured with a million groups.
_GROUP_BYTES = 90

# Types of which no two values are equal to Python and different to us; numbers compare exactly.
_OWN_KEY = frozenset((str, int, float, bytes, NoneType))


ComputeMany = Callable[[list[Any]], list[Any]]


class _Groups:
    """Numbers for groups, in the order in which they are first seen."""

    def __init__(self, computes: list[ComputeMany], columns: list[Column], budget: Budget) -> None:
        self.computes = computes
        self.columns = columns
        self.budget = budget
        self.numbers: dict[Any, int] = {}
        # What groups are called by whose values cannot be keys themselves.
        self.called: dict[int, tuple[Any, ...]] = {}
        if not computes:
            self._begin((), ())

    def numbers_of(self, documents: list[Any]) -> list[int]:
        """The number of each document's group."""
        found = []
        numbers = self.numbers
        columns = [compute(documents) for compute in self.computes]
        if len(columns) == 1:  # A single key needs no tuple around it.
            for value in columns[0]:
                key = value if type(value) in _OWN_KEY else _key(value)
                number = numbers.get(key)
                found.append(self._begin(key, (value,)) if number is None else number)
            return found
        if not columns:
            return [0] * len(documents)
        for values in zip(*columns, strict=True):
            key = tuple([value if type(value) in _OWN_KEY else _key(value) for value in values])
            number = numbers.get(key)
            found.append(self._begin(key, values) if number is None else number)
        return found

    def _begin(self, key: Any, values: Iterable[Any]) -> int:
        number = self.numbers[key] = len(self.numbers)
        if any(type(value) not in _OWN_KEY for value in values):
            self.called[number] = tuple([None if one is MISSING else one for one in values])
            self.budget.charge(200 + size_of(self.called[number]), "group")
        for column in self.columns:
            column.grow()
        fixed = sum(column.group_bytes for column in self.columns)
        self.budget.charge(_GROUP_BYTES + fixed + size_of(key), "group")
        return number


def run_group(
    stage: Group,
    chunks: Iterable[Chunk],
    compile_one: Callable[[Expression], Compute],
    budget: Budget,
) -> Iterator[Chunk]:
    """The groups, in the order in which they were first seen. Null and missing are one key.

    Raises:
        QuotaExceeded: while running, the groups need more than the budget.
    """

    def many(expression: Expression) -> ComputeMany:
        return compile_many(expression, compile_one(expression))

    columns = [column_of(one, budget) for _, one in stage.fields]
    computes = [many(one) for _, one in stage.by]
    feeds: list[tuple[Column, ComputeMany | None]] = [
        (column, None if one.argument is None else many(one.argument))
        for column, (_, one) in zip(columns, stage.fields, strict=True)
    ]

    def stream() -> Iterator[Chunk]:
        groups = _Groups(computes, columns, budget)
        for chunk in chunks:
            numbers = groups.numbers_of(chunk)
            for column, compute in feeds:
                column.add_many(numbers, chunk if compute is None else compute(chunk))
            yield []
        yield from chunked(rows(groups))

    def rows(groups: _Groups) -> Iterator[dict[str, Any]]:
        by = [name for name, _ in stage.by]
        for key, number in groups.numbers.items():
            values = groups.called.get(number)
            if values is None:
                values = (key,) if len(by) == 1 else key
            row = dict(zip(by, values, strict=True))
            for (name, _), column in zip(stage.fields, columns, strict=True):
                row[name] = column.result(number)
            yield row

    return stream()


def _key(value: Any) -> Any:
    return None if value is MISSING else order_key(value)
