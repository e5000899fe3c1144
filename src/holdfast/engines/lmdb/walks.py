"""Walks of stored rows, and the pages that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lmdb

from holdfast.contract.record import Page, Range, Record

_make = tuple.__new__
_from_bytes = int.from_bytes


def made_within(
    lower: bytes, upper: bytes | None, *, reverse: bool
) -> Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, Record]]]:
    """What makes rows between the bounds of stored ones from where they begin."""

    def made(some: list[tuple[bytes, bytes]]) -> list[tuple[bytes, Record]]:
        if reverse and some and some[-1][0] < lower:
            some = [row for row in some if row[0] >= lower]
        elif upper is not None and some and some[-1][0] >= upper and not reverse:
            some = [row for row in some if row[0] < upper]
        return [(key, _make(Record, (stored[8:], _from_bytes(stored[:8])))) for key, stored in some]

    return made


def page_of(
    rows: Iterator[tuple[bytes, Record]],
    range: Range,
    rows_max: int,
    bytes_max: int,
    revision: int,
) -> Page:
    """The page that the rows of the range begin with, as of the revision."""
    page: list[tuple[bytes, Record]] = []
    bytes_left = bytes_max
    for row in rows:
        page.append(row)
        bytes_left -= len(row[0]) + len(row[1][0])
        if len(page) == rows_max or bytes_left <= 0:
            return Page(page, range.after(row[0]), revision)
    return Page(page, None, revision)


def rows_from(
    cursor: lmdb.Cursor[bytes], lower: bytes, upper: bytes | None, *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Stored rows from where a walk between the bounds begins, to the end of the tree."""
    if not reverse:
        found = cursor.set_range(lower) if lower else cursor.first()
    elif upper is not None and cursor.set_range(upper):
        found = cursor.prev()
    else:
        found = cursor.last()
    if not found:
        return iter(())
    return cursor.iterprev() if reverse else cursor.iternext()


def rows_between(
    cursor: lmdb.Cursor[bytes], lower: bytes, upper: bytes | None, *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Stored rows with `lower <= key < upper`."""
    for row in rows_from(cursor, lower, upper, reverse=reverse):
        if row[0] < lower if reverse else upper is not None and row[0] >= upper:
            return
        yield row
