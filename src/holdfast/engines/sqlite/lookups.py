"""What an index is asked: its rows with those that they refer to, as of one moment.

A transaction that is begun here is left open where a statement fails or is interrupted: whoever
reads discards the reader then, and its transaction with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import Any, Final

from holdfast.contract.lookup import Look, LookedUp, Lookup, Sifted
from holdfast.contract.record import Range, Record
from holdfast.engines.sqlite.appended import AppendedKeys
from holdfast.engines.sqlite.readers import Reader
from holdfast.engines.sqlite.statements import VIEW, Execute, record_of, rows_of
from holdfast.engines.sqlite.together import values_of

#: A span of a lookup. It finds nothing where the fence is not right, which costs no row a look:
#: the condition is the same for all. Short names, for the driver copies them with each answer.
_SPAN: Final = (
    "SELECT one.key AS k, {value} AS v, other.value AS t "
    "FROM rows AS one LEFT JOIN rows AS other ON other.key = {target} "
    "WHERE one.key >= ? AND one.key < ? AND (SELECT value FROM rows WHERE key = ?) = ? {unappended}"
    "ORDER BY one.key {direction} LIMIT ?"
)
#: Where a reader does not know the prefix of appended rows: there is none.
_UNAPPENDED: Final = "AND (SELECT prefix FROM meta) IS NULL "
#: Whether the fence is right, and the prefix.
_FENCE: Final = "SELECT (SELECT value FROM rows WHERE key = ?) = ? AS k, prefix AS v FROM meta"
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


def look_up(reader: Reader, lookup: Lookup) -> list[LookedUp] | None:
    """What an index lookup finds.

    None: the fence is not right, appended rows may lie in it, or it has many spans.
    """
    fence, spans, reverse, limit, into, cut, valued, keep, in_value, sift = lookup
    prefix = reader.prefix
    if len(spans) > _SPANS_MAX or (prefix is not None and _may_hold_appended(lookup, prefix)):
        return None
    if keep is not None:
        return _kept(reader, lookup, keep, sift)
    sliced: tuple[Any, ...] = (into,)
    if cut is not None:
        at, length = cut
        # The first byte is number 1.
        sliced = (into, at if at < 0 else at + 1, _ALL if length is None else length)
    if in_value is not None:
        sliced = (in_value, into, in_value + 1, *sliced)
    parameters: list[Any] = []
    for span in spans:
        parameters += (*sliced, *span, *fence, limit)
    form = len(spans), cut is None, in_value is not None, reverse, valued
    rows: list[LookedUp] = reader.execute(_spans(*form, prefix is None), parameters).fetchall()
    if rows:
        return rows
    # Two statements are of one moment in a transaction.
    reader.execute("BEGIN")
    right, prefix = reader.execute(_FENCE, fence).fetchone()
    rows = reader.execute(_spans(*form, prefix is None), parameters).fetchall()
    reader.execute("ROLLBACK")
    return rows if right and not _holds_appended(reader, lookup, prefix) else None


@cache
def _spans(
    spans: int, tailed: bool, in_value: bool, reverse: bool, valued: bool, unappended: bool
) -> str:
    cut = _TAILED if tailed else _SLICED
    span = _SPAN.format(
        target=_VALUED.format(cut=cut) if in_value else cut,
        direction="DESC" if reverse else "ASC",
        # The key stands in the index of the table, its value does not.
        value="one.value" if valued else "x''",
        unappended=_UNAPPENDED if unappended else "",
    )
    if spans == 1:
        return span
    return " UNION ALL ".join([f"SELECT * FROM ({span})"] * spans)  # noqa: S608


# --- Rows of which some are wanted --------------------------------------------------------------

#: First of all the prefix of appended rows, and whether the fence is right.
_SIFTED: Final = (
    "SELECT prefix AS k, (SELECT value FROM rows WHERE key = ?) = ? AS v FROM meta {spans}"
)
_SIFTED_SPAN: Final = (
    "UNION ALL SELECT * FROM (SELECT key, {value} FROM rows WHERE key >= ? AND key < ? "
    "ORDER BY key {direction} LIMIT ?) "
)
Keep = Callable[[bytes], bool]
Sift = Callable[[bytes], bool | None]


def _kept(reader: Reader, lookup: Lookup, keep: Keep, sift: Sift | None) -> list[LookedUp] | None:
    """The same of those rows that are wanted: the targets of the others are not looked up."""
    execute, spans, limit = reader.execute, lookup.spans, lookup.limit
    parameters: list[Any] = [*lookup.fence]
    for start, end in spans:
        parameters += (start, end, limit + 1)
    execute("BEGIN")
    statement = _sifted(len(spans), lookup.reverse, sift is not None)
    (prefix, right), *rows = execute(statement, parameters).fetchall()
    if sift is None:
        wanted = [row for row in rows if keep(row[1])]
    else:
        wanted = _sieved(execute, rows, sift, keep, valued=lookup.valued)
    into, cut = lookup.into, lookup.cut
    if lookup.in_value is None and cut is not None and cut[1] is None:
        # As of a spatial index, without a call for each.
        at = cut[0]
        targets = [into + key[at:] for key, _ in wanted]
    else:
        targets = [lookup.target(key, value) for key, value in wanted]
    found = values_of(execute, targets)
    execute("ROLLBACK")
    # The rows of a statement come in this order, though SQLite does not promise it.
    if right != 1 or _holds_appended(reader, lookup, prefix):
        return None
    if len(rows) > limit and any(
        sum(start <= key < end for key, _ in rows) > limit for start, end in spans
    ):
        return None
    return [(*row, found.get(one)) for row, one in zip(wanted, targets, strict=True)]


def _sieved(
    execute: Execute, rows: list[tuple[bytes, int]], sift: Sift, keep: Keep, *, valued: bool
) -> list[tuple[bytes, bytes]]:
    """The rows that are wanted, of all keys and places in the table."""
    told = [(key, id, wanted) for key, id in rows if (wanted := sift(key)) is not False]
    values = values_of(execute, [id for _, id, wanted in told if valued or wanted is None], by="id")
    return [(key, values.get(id, b"")) for key, id, wanted in told if wanted or keep(values[id])]


@cache
def _sifted(spans: int, reverse: bool, by_key: bool) -> str:
    # The key and the place of a row stand in the index of the table, its value does not.
    span = _SIFTED_SPAN.format(
        value="id" if by_key else "value", direction="DESC" if reverse else "ASC"
    )
    return _SIFTED.format(spans=span * spans)


def sifted(reader: Reader, range: Range, rows_max: int, bytes_max: int, look: Look) -> Sifted:
    """Of so many rows of the range those of which `look` wants anything, in a transaction."""
    _, prefix = reader.execute(VIEW).fetchone()
    keys = None if prefix is None else AppendedKeys(prefix)
    rows: list[tuple[bytes, Record, Any]] = []
    looked, bytes_left = 0, bytes_max
    # An unfinished walk would hold its view of the database.
    with closing(rows_of(reader.connection.execute, keys, range, rows_max)) as found:
        for looked, (key, value, written) in enumerate(found, 1):
            seen = look(value)
            if seen is not None:
                rows.append((key, record_of((value, written)), seen))
            bytes_left -= len(key) + len(value)
            if bytes_left <= 0 or looked == rows_max:
                return Sifted(rows, looked, range.after(key))
    return Sifted(rows, looked, None)


# --- Appended rows ------------------------------------------------------------------------------


def _holds_appended(reader: Reader, lookup: Lookup, prefix: bytes | None) -> bool:
    """Whether appended rows of a prefix just read may be among them; the reader remembers it."""
    reader.prefix = prefix
    return prefix is not None and _may_hold_appended(lookup, prefix)


def _may_hold_appended(lookup: Lookup, prefix: bytes) -> bool:
    """Whether appended rows may be among those that a lookup reads."""
    into = lookup.into
    if prefix.startswith(into) or into.startswith(prefix) or lookup.fence.key.startswith(prefix):
        return True
    for start, end in lookup.spans:  # noqa: SIM110 - most have one: a generator costs more
        if end > prefix and start[: len(prefix)] <= prefix:
            return True
    return False
