"""The rows of an index within the spans of a way, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, Record
from holdfast.documents.entries import Note
from holdfast.documents.planner.found import Examined
from holdfast.documents.planner.searching import search_index
from holdfast.documents.planner.ties import is_cut
from holdfast.documents.planner.way import Access

#: How many rows the first page of a walk has, how fast pages grow, and to what.
FIRST_PAGE_ROWS: Final = 32
PAGE_GROWTH: Final = 4
LAST_PAGE_ROWS: Final = 1024

_WHOLE: Final = int(Note.WHOLE)

#: A row of an index: the document, the whole key, and whether a component was cut.
Met = tuple[bytes, bytes, bool]


async def index_rows(
    moment: Engine,
    way: Access,
    examined: Examined,
    *,
    held: set[bytes] | None = None,
    backwards: bool = False,
    first_rows: int = FIRST_PAGE_ROWS,
) -> AsyncGenerator[list[Met], None]:
    """The rows of an index within the spans, page by page.

    Args:
        examined: is counted up.
        held: only those of these documents; None: all.
        first_rows: how many the first page has at most.
    """
    if way.text is not None:
        identifiers = await search_index(moment, way)
        examined.walked(way, len(identifiers))
        for start in range(0, len(identifiers), LAST_PAGE_ROWS):
            yield [(one, b"", False) for one in identifiers[start : start + LAST_PAGE_ROWS]]
        return
    ordered = way.order is not None
    walk = _walk(moment, way, examined, backwards=backwards, first_rows=first_rows)
    async with aclosing(walk) as pages:
        async for rows in pages:
            met = [
                (identifier, key, ordered and bool(value) and is_cut(value))
                for identifier, (key, (value, _)) in zip(way.identifiers(rows), rows, strict=True)
                if held is None or identifier in held
            ]
            if met:
                yield met


async def documents_in(
    moment: Engine, way: Access, examined: Examined
) -> AsyncGenerator[list[bytes], None]:
    """The documents of these rows, page by page; not of a full-text index."""
    walk = _walk(moment, way, examined, backwards=False, first_rows=LAST_PAGE_ROWS)
    async with aclosing(walk) as pages:
        async for rows in pages:
            yield way.identifiers(rows)


async def _walk(
    moment: Engine, way: Access, examined: Examined, *, backwards: bool, first_rows: int
) -> AsyncGenerator[list[tuple[bytes, Record]], None]:
    whole, holds = bool(way.bounded == 0), way.holds
    rows_wanted = first_rows
    for span in reversed(way.spans) if backwards else way.spans:
        rest: Range | None = replace(span, reverse=backwards)
        while rest is not None and not rest.empty:
            page = await moment.scan(replace(rest, limit=rows_wanted))
            rows_wanted = min(rows_wanted * PAGE_GROWTH, LAST_PAGE_ROWS)
            rows = page.rows
            examined.walked(way, len(rows))
            if whole or holds is not None:
                rows = [
                    row
                    for row in rows
                    if not (whole and row[1][0] and row[1][0][0] & _WHOLE)
                    and (holds is None or holds(row[1][0]))
                ]
            yield rows
            rest = page.resume
