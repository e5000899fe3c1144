"""Reads in one statement, which is of one moment by itself, where they would take several.

A transaction that is begun here is left open where a statement fails or is interrupted: whoever
reads discards the reader then, and its transaction with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import repeat
from typing import Any, Final

from holdfast.contract.lookup import LookedUp, Lookup
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.sqlite.appended import AppendedKeys
from holdfast.engines.sqlite.statements import Execute, bounds, find, record_of

#: So many keys are looked up together. Their number in a statement is one of a few, so that few
#: statements are prepared.
TOGETHER_MAX: Final = 256
_SIZES: Final = (4, 16, 64, TOGETHER_MAX)
#: Pages of more rows do not gain by it.
SMALL_PAGE_ROWS: Final = 512

#: What a page begins with: newest revision, and prefix of appended rows.
_VIEW = (
    "SELECT NULL, prefix, max(head, (SELECT ifnull(max(id), 0) >> 17 FROM appended)) FROM meta "
    "UNION ALL SELECT * FROM "
    "(SELECT key, value, revision FROM rows {where}ORDER BY key {direction} LIMIT ?)"
)

#: A span of a lookup. Each row says whether the fence is right, and prefix of appended rows.
_SPAN: Final = (
    "SELECT one.key, {value}, other.value, (SELECT value FROM rows WHERE key = ?) = ?, "
    "(SELECT prefix FROM meta) FROM rows AS one LEFT JOIN rows AS other ON other.key = {target} "
    "WHERE one.key >= ? AND one.key < ? ORDER BY one.key {direction} LIMIT ?"
)
#: The same alone, where a lookup finds no row to say it.
_FENCE: Final = "SELECT (SELECT value FROM rows WHERE key = ?) = ?, prefix FROM meta"
_SLICED: Final = "CAST(? || substr(one.key, ?, ?) AS BLOB)"
#: SQLite has no number of two bytes; it tells where a byte stands among all of them.
_BYTES: Final = f"x'{bytes(range(256)).hex()}'"
_LENGTH: Final = (
    f"(256 * instr({_BYTES}, substr(one.key, -2, 1)) + instr({_BYTES}, substr(one.key, -1)) - 257)"
)
#: The same where the value of the row may say it.
_VALUED: Final = (
    "CASE WHEN length(one.value) > ? THEN CAST(? || substr(one.value, ?) AS BLOB) ELSE {cut} END"
)
_TAILED: Final = f"CAST(? || substr(one.key, -2 - {_LENGTH}, {_LENGTH}) AS BLOB)"
#: A statement has no more spans than this.
_SPANS_MAX: Final = 32
#: Longer than any key.
_ALL: Final = 2**31 - 1


def records_together(execute: Execute, keys: Sequence[bytes]) -> list[Record | None]:
    """The records of some keys, in their order, as of one moment."""
    number = len(keys)
    # Keys with these two bytes may be those of appended rows.
    if not 0 < number <= TOGETHER_MAX or any(key[-12:-10] == b"\0\0" for key in keys):
        execute("BEGIN")
        found_rows = [execute(*find(key)).fetchone() for key in keys]
        execute("ROLLBACK")
        return [None if row is None else record_of(row) for row in found_rows]
    size = next(size for size in _SIZES if size >= number)
    rows = execute(_statement(size), [*keys, *repeat(keys[-1], size - number)])
    found = {key: record_of((value, revision)) for key, value, revision in rows}
    return [found.get(key) for key in keys]


@cache
def _statement(size: int) -> str:
    places = ",".join("?" * size)
    return f"SELECT key, value, revision FROM rows WHERE key IN ({places})"  # noqa: S608


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


@cache
def _lookup_statement(spans: int, tailed: bool, in_value: bool, reverse: bool, valued: bool) -> str:
    cut = _TAILED if tailed else _SLICED
    span = _SPAN.format(
        target=_VALUED.format(cut=cut) if in_value else cut,
        direction="DESC" if reverse else "ASC",
        # The key stands in the index of the table, its value does not.
        value="one.value" if valued else "x''",
    )
    if spans == 1:
        return span
    return " UNION ALL ".join([f"SELECT * FROM ({span})"] * spans)  # noqa: S608


def lookup_together(execute: Execute, lookup: Lookup) -> list[LookedUp] | None:
    """What an index lookup finds.

    None: the fence is not right, appended rows may lie in it, or it has many spans.
    """
    fence, spans, reverse, limit, into, cut, valued, keep, in_value = lookup
    if len(spans) > _SPANS_MAX:
        return None
    if keep is not None:
        return _lookup_kept(execute, lookup, keep)
    sliced: tuple[Any, ...] = (into,)
    if cut is not None:
        at, length = cut
        # The first byte is number 1.
        sliced = (into, at if at < 0 else at + 1, _ALL if length is None else length)
    if in_value is not None:
        sliced = (in_value, into, in_value + 1, *sliced)
    parameters: list[Any] = []
    for start, end in spans:
        parameters += (*fence, *sliced, start, end, limit)
    statement = _lookup_statement(len(spans), cut is None, in_value is not None, reverse, valued)
    rows = execute(statement, parameters).fetchall()
    if rows:
        right, prefix = rows[0][3:]
    else:
        # Two statements are of one moment in a transaction.
        execute("BEGIN")
        rows = execute(statement, parameters).fetchall()
        right, prefix = execute(_FENCE, fence).fetchone()
        execute("ROLLBACK")
    if not right or (prefix is not None and _may_hold_appended(lookup, prefix)):
        return None
    return [row[:3] for row in rows]


def _lookup_kept(
    execute: Execute, lookup: Lookup, keep: Callable[[bytes], bool]
) -> list[LookedUp] | None:
    """The same of those rows that are wanted: the targets of the others are not looked up."""
    parameters: list[Any] = []
    for start, end in lookup.spans:
        parameters += (start, end, lookup.limit + 1)
    execute("BEGIN")
    right, prefix = execute(_FENCE, lookup.fence).fetchone()
    rows = execute(_kept_statement(len(lookup.spans), lookup.reverse), parameters).fetchall()
    rows_kept = [row for row in rows if keep(row[1])]
    targets = [lookup.target(key, value) for key, value in rows_kept]
    found: dict[bytes, bytes] = {}
    if 0 < len(targets) <= TOGETHER_MAX:
        size = next(size for size in _SIZES if size >= len(targets))
        several = [*targets, *repeat(targets[-1], size - len(targets))]
        found = {key: value for key, value, _ in execute(_statement(size), several)}
    execute("ROLLBACK")
    if not right or (prefix is not None and _may_hold_appended(lookup, prefix)):
        return None
    many = len(rows) > lookup.limit and any(
        sum(start <= key < end for key, _ in rows) > lookup.limit for start, end in lookup.spans
    )
    if many or len(targets) > TOGETHER_MAX:
        return None
    return [(*row, found.get(one)) for row, one in zip(rows_kept, targets, strict=True)]


_KEPT: Final = (
    "SELECT * FROM (SELECT key, value FROM rows WHERE key >= ? AND key < ? "
    "ORDER BY key {direction} LIMIT ?)"
)


@cache
def _kept_statement(spans: int, reverse: bool) -> str:
    return " UNION ALL ".join([_KEPT.format(direction="DESC" if reverse else "ASC")] * spans)


def _may_hold_appended(lookup: Lookup, prefix: bytes) -> bool:
    """Whether appended rows may be among those that a lookup reads."""
    into = lookup.into
    if prefix.startswith(into) or into.startswith(prefix) or lookup.fence.key.startswith(prefix):
        return True
    return any(end > prefix and start[: len(prefix)] <= prefix for start, end in lookup.spans)
