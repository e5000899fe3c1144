"""Pages of many rows: rows come some at a time, for each by itself costs half as much again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from holdfast.contract.record import Record

T = TypeVar("T")

#: So many come at first: what is too many for a page was read in vain, and may be big.
_FIRST: Final = 8
_MOST: Final = 1024


def gathered(
    found: Iterator[T],
    make: Callable[[list[T]], list[tuple[bytes, Record]]],
    rows_max: int,
    bytes_max: int,
) -> tuple[list[tuple[bytes, Record]], bool]:
    """The rows of a page, and whether it is full, so that more may follow.

    Args:
        found: the rows as the driver gives them.
        make: makes rows of some of them; fewer where the range ends among them.
        rows_max: at most so many.
        bytes_max: it is full with the row that reaches this.
    """
    rows: list[tuple[bytes, Record]] = []
    bytes_left, step = bytes_max, _FIRST
    while True:
        wanted = min(step, rows_max - len(rows))
        some = list(islice(found, wanted))
        made = make(some)
        rows += made
        bytes_left -= sum([len(key) + len(record[0]) for key, record in made])
        if bytes_left <= 0:
            while len(rows) > 1 and bytes_left + _bytes(rows[-1]) <= 0:
                bytes_left += _bytes(rows.pop())
            return rows, True
        if len(rows) == rows_max:
            return rows, True
        if len(made) < wanted:
            return rows, False
        # As many as fill half of what is left, by what they had so far.
        step = max(1, min(_MOST, bytes_left * len(rows) // (2 * (bytes_max - bytes_left) + 1)))


def _bytes(row: tuple[bytes, Record]) -> int:
    return len(row[0]) + len(row[1][0])
