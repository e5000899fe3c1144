"""The rows of an index within the spans of a way, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
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
    backwards: bool = False,
    first_rows: int = FIRST_PAGE_ROWS,
) -> AsyncGenerator[list[Met], None]:
    """The rows of an index within the spans, page by page.

    Args:
        examined: is counted up.
        first_rows: how many the first page has at most.
    """
    if way.text is not None:
        identifiers = await search_index(moment, way)
        examined.walked(way, len(identifiers))
        for start in range(0, len(identifiers), LAST_PAGE_ROWS):
            yield [(one, b"", False) for one in identifiers[start : start + LAST_PAGE_ROWS]]
        return
    whole, holds = bool(way.bounded == 0), way.holds
    rows_wanted = first_rows
    for span in reversed(way.spans) if backwards else way.spans:
        rest: Range | None = replace(span, reverse=backwards)
        while rest is not None and not rest.empty:
            page = await moment.scan(replace(rest, limit=rows_wanted))
            rows_wanted = min(rows_wanted * PAGE_GROWTH, LAST_PAGE_ROWS)
            examined.walked(way, len(page.rows))
            ordered = way.order is not None
            rows = [
                row
                for row in page.rows
                if not (whole and row[1][0] and row[1][0][0] & _WHOLE)
                and (holds is None or holds(row[1][0]))
            ]
            met = [
                (identifier, key, ordered and bool(value) and is_cut(value))
                for identifier, (key, (value, _)) in zip(way.identifiers(rows), rows, strict=True)
            ]
            if met:
                yield met
            rest = page.resume
