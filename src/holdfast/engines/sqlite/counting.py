"""Counting the rows of a range without reading them."""

from __future__ import annotations

from functools import cache
from typing import Any

from holdfast.contract.lookup import Tally
from holdfast.contract.record import Counted, Range
from holdfast.engines.sqlite.appended import AppendedKeys
from holdfast.engines.sqlite.readers import Reader
from holdfast.engines.sqlite.statements import bounds

#: Newest revision, prefix of appended rows, and how many other rows there are up to a limit.
_COUNT = (
    "SELECT max(head, (SELECT ifnull(max(id), 0) >> 17 FROM appended)), prefix, "
    "(SELECT count(*) FROM (SELECT 1 FROM rows {where}LIMIT ?)) FROM meta"
)
_COUNT_APPENDED = "SELECT count(*) FROM (SELECT 1 FROM appended WHERE id >= ? AND id < ? LIMIT ?)"
#: A statement has no more spans than this.
_SPANS_MAX = 32


def count(reader: Reader, range: Range) -> Counted:
    """How many rows the range has, up to its limit, as of one moment."""
    execute = reader.connection.execute
    where, parameters = bounds(range)
    limit = -1 if range.limit is None else range.limit
    statement = _COUNT.format(where=where), (*parameters, limit)
    revision, prefix, rows = execute(*statement).fetchone()
    if prefix is not None:
        keys = AppendedKeys(prefix)
        first, end = (0, 0) if keys.apart(range) else keys.ids(range)
        if first != end:
            # Two statements are of one moment in a transaction. The prefix never changes again.
            execute("BEGIN")
            revision, _, rows = execute(*statement).fetchone()
            rows += execute(_COUNT_APPENDED, (first, end, limit)).fetchone()[0]
            execute("ROLLBACK")
    return Counted(rows if range.limit is None else min(rows, range.limit), revision)


@cache
def _tally_statement(spans: int) -> str:
    counted = ", (SELECT count(*) FROM (SELECT 1 FROM rows WHERE key >= ? AND key < ? LIMIT ?))"
    right = "(SELECT value FROM rows WHERE key = ?) = ?"
    return f"SELECT prefix, {right}{spans * counted} FROM meta"  # noqa: S608


def tally(reader: Reader, wanted: Tally) -> list[int] | None:
    """What a tally counts.

    None: the fence is not right, appended rows may lie in it, or it has many spans.
    """
    fence, spans = wanted
    if len(spans) > _SPANS_MAX:
        return None
    parameters: list[Any] = [*fence]
    for span in spans:
        parameters += span
    statement = _tally_statement(len(spans))
    counts: list[int]
    prefix, right, *counts = reader.connection.execute(statement, parameters).fetchone()
    if not right:
        return None
    if prefix is not None:
        if fence.key.startswith(prefix):
            return None
        for start, end, _ in spans:
            if end > prefix and start[: len(prefix)] <= prefix:
                return None
    return counts
