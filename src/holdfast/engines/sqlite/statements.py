"""What is said to SQLite to read rows, appended ones among them."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from functools import partial
from operator import itemgetter
from typing import Any

from holdfast.contract.batch import APPEND_BYTES
from holdfast.contract.record import Range, Record
from holdfast.engines.sqlite.appended import ID_END, INDEX_BITS, AppendedKeys, appended_id

Execute = Callable[..., sqlite3.Cursor]
#: Key, value and revision of a row.
Row = tuple[bytes, bytes, int]

FIND = "SELECT value, revision FROM rows WHERE key = ?"
#: The same for a key that may be that of an appended row: its number, prefix, and the whole key.
FIND_EITHER = (
    "SELECT value, id >> 17 FROM appended WHERE id = ? AND (SELECT prefix FROM meta) = ? "
    "UNION ALL SELECT value, revision FROM rows WHERE key = ?"
)
HEAD = "SELECT max(head, (SELECT ifnull(max(id), 0) >> 17 FROM appended)) FROM meta"
#: Newest revision, and prefix of appended rows.
VIEW = "SELECT max(head, (SELECT ifnull(max(id), 0) >> 17 FROM appended)), prefix FROM meta"
#: What a write transaction begins with: the head that meta names, the last appended row, prefix and
#: strays, the mark; and the row of the key that it asks for first, in the same look-up.
STATE = (
    "SELECT meta.head, (SELECT max(id) FROM appended), prefix, strays, unflushed, value, revision "
    "FROM meta LEFT JOIN rows ON key = ?"
)
assert INDEX_BITS == 17  # noqa: PLR2004 - as the statements say


#: A record of a row (value, revision), at a third of the price of the constructor.
record_of = partial(tuple.__new__, Record)


def find(key: bytes) -> tuple[str, tuple[Any, ...]]:
    """The statement that finds the value and revision of the key, and its parameters."""
    id = appended_id(key)
    return (FIND, (key,)) if id is None else (FIND_EITHER, (id, key[:-APPEND_BYTES], key))


def walk(
    execute: Execute, keys: AppendedKeys | None, range: Range, rows_max: int = -1
) -> Generator[Row, None, None]:
    """The rows of the range in the order of the walk.

    Args:
        execute: makes a cursor for each statement.
        keys: of appended rows; None: there are none.
        rows_max: more are not wanted; -1 for all.
    """
    if range.empty:
        return
    first, end = (0, 0) if keys is None else keys.ids(range)
    with closing(execute(*_of_rows(range, rows_max))) as rows:
        if keys is None or first == end:
            yield from rows
            return
        direction = "DESC" if range.reverse else "ASC"
        with closing(
            execute(_OF_APPENDED.format(direction=direction), (first, end, rows_max))
        ) as found:
            key = keys.key
            appended = ((key(id), value, id >> INDEX_BITS) for id, value in found)
            yield from heapq.merge(rows, appended, key=_key, reverse=range.reverse)


def rows_of(
    execute: Execute, keys: AppendedKeys | None, range: Range, rows_max: int
) -> sqlite3.Cursor | Generator[Row, None, None]:
    """The same, straight from SQLite where no appended row can be among them.

    Where some can, there may be more than `rows_max`.
    """
    if range.empty or not (keys is None or keys.apart(range)):
        return walk(execute, keys, range, rows_max)
    return execute(*_of_rows(range, rows_max))


_key = itemgetter(0)
_OF_APPENDED = (
    "SELECT id, value FROM appended WHERE id >= ? AND id < ? ORDER BY id {direction} LIMIT ?"
)
assert ID_END < 2**63, "a number is an integer of SQLite"


def _of_rows(range: Range, rows_max: int) -> tuple[str, list[Any]]:
    where, parameters = bounds(range)
    direction = "DESC" if range.reverse else "ASC"
    return (
        f"SELECT key, value, revision FROM rows {where}ORDER BY key {direction} LIMIT ?",  # noqa: S608
        [*parameters, rows_max],
    )


def bounds(range: Range) -> tuple[str, list[Any]]:
    """The condition for the keys of a range, and its parameters."""
    conditions: list[str] = []
    parameters: list[Any] = []
    if range.start is not None:
        conditions.append("key >= ?")
        parameters.append(range.start)
    if range.end is not None:
        conditions.append("key < ?")
        parameters.append(range.end)
    return f"WHERE {' AND '.join(conditions)} " if conditions else "", parameters


def close(cursor: sqlite3.Cursor | None, connection: sqlite3.Connection) -> None:
    """Close a connection and the cursor that was kept for it; again does nothing.

    A cursor whose statement an interrupt left half-way would keep the files open while it lives.
    """
    if cursor is not None:
        with suppress(sqlite3.ProgrammingError):  # The connection is closed.
            cursor.close()
    connection.close()
