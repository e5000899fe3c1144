"""Reads in one statement, which is of one moment by itself, where they would take several.

A transaction that is begun here is left open where a statement fails or is interrupted: whoever
reads discards the reader then, and its transaction with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import repeat
from typing import Any, Final

from holdfast.contract.record import Page, Range, Record
from holdfast.engines.sqlite.appended import AppendedKeys
from holdfast.engines.sqlite.statements import Execute, bounds, find, record_of

#: So many keys are looked up together. Their number in a statement is one of a few, so that few
#: statements are prepared.
TOGETHER_MAX: Final = 256
_SIZES: Final = (4, 8, 16, 32, 64, 128, TOGETHER_MAX)
#: Pages of more rows do not gain by it.
SMALL_PAGE_ROWS: Final = 512

#: What a page begins with: newest revision, and prefix of appended rows.
_VIEW = (
    "SELECT NULL, prefix, max(head, (SELECT ifnull(max(id), 0) >> 17 FROM appended)) FROM meta "
    "UNION ALL SELECT * FROM "
    "(SELECT key, value, revision FROM rows {where}ORDER BY key {direction} LIMIT ?)"
)


def records_together(execute: Execute, keys: Sequence[bytes]) -> list[Record | None]:
    """The records of some keys, in their order, as of one moment."""
    number = len(keys)
    # Keys with these two bytes may be those of appended rows.
    if not 0 < number <= TOGETHER_MAX or any(key[-12:-10] == b"\0\0" for key in keys):
        execute("BEGIN")
        found_rows = [execute(*find(key)).fetchone() for key in keys]
        execute("ROLLBACK")
        return [None if row is None else record_of(row) for row in found_rows]
    found = {}
    for key, value, revision in _found(execute, keys, "key, value, revision"):
        found[key] = record_of((value, revision))
    return [found.get(key) for key in keys]


def values_of(execute: Execute, wanted: Sequence[Any], by: str = "key") -> dict[Any, bytes]:
    """The values of the rows of some keys, or places in the table (`id`), in a transaction."""
    values: dict[Any, bytes] = {}
    for at in range(0, len(wanted), TOGETHER_MAX):
        values.update(_found(execute, wanted[at : at + TOGETHER_MAX], f"{by}, value"))
    return values


def _found(execute: Execute, wanted: Sequence[Any], columns: str) -> Iterator[Any]:
    """These columns of the rows whose first one is wanted."""
    number = len(wanted)
    size = next(size for size in _SIZES if size >= number)
    # What fills it up finds nothing, and costs no look-up.
    return execute(_statement(size, columns), [*wanted, *repeat(None, size - number)])


@cache
def _statement(size: int, columns: str) -> str:
    # As a table it costs less than as a set, which SQLite sorts first.
    places = ",".join(["(?)"] * size)
    column = columns.partition(",")[0]
    return (
        f"WITH wanted (one) AS (VALUES {places}) "  # noqa: S608
        f"SELECT {columns} FROM wanted CROSS JOIN rows ON {column} = one"
    )


@cache
def _page_statement(where: str, reverse: bool) -> str:
    return _VIEW.format(where=where, direction="DESC" if reverse else "ASC")


def page_together(execute: Execute, range: Range, rows_max: int, bytes_max: int) -> Page | None:
    """The first page of a range; None: it is big or empty, or appended rows may lie in it."""
    if rows_max > SMALL_PAGE_ROWS or range.empty:
        return None
    where, parameters = bounds(range)
    parameters.append(rows_max)
    found = execute(_page_statement(where, range.reverse), parameters)
    try:
        none, prefix, revision = found.fetchone()
        if none is not None:
            return None  # Not the row that is wanted first, though SQLite gives it first.
        if prefix is not None and not AppendedKeys(prefix).apart(range):
            return None
        rows: list[tuple[bytes, Record]] = []
        bytes_left = bytes_max
        for key, value, written in found:
            rows.append((key, record_of((value, written))))
            bytes_left -= len(key) + len(value)
            if bytes_left <= 0:
                break
    finally:
        # An unfinished walk would hold its view of the database.
        found.close()
    full = len(rows) == rows_max or bytes_left <= 0
    return Page(rows, range.after(rows[-1][0]) if full else None, revision)
