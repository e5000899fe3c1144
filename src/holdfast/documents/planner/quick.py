"""The common query without a wait: a few rows of an index, and the documents they are of.

An embedded engine answers at once, so neither a coroutine for each step nor a snapshot is needed:
every row says which commit wrote it, and if none is newer than what the index showed, all of them
are of one moment. Where that is not so, or there is more to do, `execute` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from holdfast.codecs import envelope
from holdfast.codecs.keys import unpack_text
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.record import Counted, Page, Range, Record
from holdfast.documents.planner.found import Found
from holdfast.documents.planner.lens import NOTHING, Lens, joined, of_condition, of_page
from holdfast.documents.planner.plan import QueryPlan
from holdfast.documents.planner.ties import is_cut
from holdfast.documents.planner.waiting import at_once
from holdfast.documents.planner.way import Access
from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.nodes import EVERYTHING
from holdfast.documents.query.ordering import Arrangement, Row, keyed
from holdfast.documents.query.values import MISSING
from holdfast.documents.storage import DocumentStorage
from holdfast.store import layout
from holdfast.store.versions.entry import Entry

#: So many spans and rows of an index are looked at without a pause, at most.
SPANS_MAX: Final = 16
ROWS_MAX: Final = 256
#: So many rows of a span are counted without a pause, at most.
COUNTED_MAX: Final = 10_000
#: More documents than this are read in one call.
PEEKS_MAX: Final = 4
#: Bits of documents that may have run out, or do not stand in their rows.
_ODD: Final = envelope.BLOB | envelope.EXPIRES
_NO_LENS: Final = Lens(NOTHING)
#: How many rows are looked at for one that is wanted, at first.
_SPARE_ROWS = 8


def quick_rows(storage: DocumentStorage, plan: QueryPlan) -> list[Found] | None:
    """What a query gives, in its order; None: it takes more than this."""
    query, way = plan.query, plan.single
    if way is None or way.text is not None or query.after is not None or way.arrays:
        return None
    if len(way.spans) > SPANS_MAX:
        return None
    end = None if query.limit is None else query.offset + query.limit
    streams = plan.ordered and plan.ties
    rows = _matching(storage, plan, way, end if streams else None)
    if rows is None:
        return None
    if not streams:
        arrangement = Arrangement(query.order_by, end)
        arrangement.add(keyed(cast("list[Row]", rows), query.order_by))
        rows = [cast("Found", row) for _, row in arrangement.rows()]
    return rows[query.offset : end] if query.offset else rows


def quick_count(storage: DocumentStorage, plan: QueryPlan) -> int | None:
    """How many documents match, where the rows of an index say it; None: it takes more."""
    query, way = plan.query, plan.single
    if way is None or not plan.exact or query.after is not None or len(way.spans) > SPANS_MAX:
        return None
    now = storage.space.clock.now_ms()
    due = _rows_in(storage.engine, layout.EXPIRY, layout.expiry_key(now + 1, b""), 1)
    if due is None or due.rows:
        return None
    total = 0
    for span in way.spans:
        counted = _rows_in(storage.engine, span.start, span.end, COUNTED_MAX + 1)
        if counted is None or counted.rows > COUNTED_MAX or counted.revision != due.revision:
            return None
        total += counted.rows
    total = max(0, total - query.offset)
    return total if query.limit is None else min(total, query.limit)


def _rows_in(engine: Engine, start: bytes | None, end: bytes | None, limit: int) -> Counted | None:
    """How many rows a range has, at most `limit`; None: the engine does not say at once."""
    span = Range(start, end, limit=limit)
    if engine.peek_count is not None:
        counted = engine.peek_count(span)
        return None if counted is NOT_NOW else counted
    page = NOT_NOW if engine.peek_page is None else engine.peek_page(span)
    if page is NOT_NOW or (page.resume is not None and len(page.rows) < limit):
        return None
    return Counted(len(page.rows), page.revision)


def _matching(
    storage: DocumentStorage, plan: QueryPlan, way: Access, wanted: int | None
) -> list[Found] | None:
    """The documents that match, as the index is walked, `wanted` of them."""
    engine = storage.engine
    peek_page = engine.peek_page
    if peek_page is None or engine.peek is None:
        return None
    rest, query = plan.rest, plan.query
    # Without anything left to look at, no more rows than documents are needed.
    limit = ROWS_MAX if wanted is None else wanted + (_SPARE_ROWS if rest != EVERYTHING else 0)
    if limit > ROWS_MAX:
        return None
    test = None if rest == EVERYTHING else compile_where(rest, text=plan.text)
    looked_at = test is not None or query.order_by or query.select
    lens = Lens(joined(of_condition(rest), of_page(query))) if looked_at else _NO_LENS
    revision: int | None = None
    found: list[Found] = []
    for span in reversed(way.spans) if plan.backwards else way.spans:
        page = peek_page(Range(span.start, span.end, plan.backwards, max(1, limit)))
        if page is NOT_NOW or revision not in (None, page.revision):
            return None
        revision = page.revision
        rows = _documents(storage, way, page, lens)
        if rows is None:
            return None
        found += rows if test is None else [row for row in rows if test(row[1])]
        if wanted is not None and len(found) >= wanted:
            return found[:wanted]
        if page.resume is not None and len(page.rows) >= limit:
            return None
    return found


def _documents(storage: DocumentStorage, way: Access, page: Page, lens: Lens) -> list[Found] | None:
    """The living documents of the rows of an index; None: more has to be looked at."""
    revision = page.revision
    identifiers = _identifiers(way, page.rows)
    if identifiers is None:
        return None
    records = _records(storage, identifiers)
    if records is None:
        return None
    found: list[Found] = []
    for identifier, record in zip(identifiers, records, strict=True):
        if record is None:
            return None
        stored, written = record
        if written > revision:
            return None
        if stored[1] & _ODD:
            if stored[1] & envelope.BLOB:
                return None
            if storage.expired(stored):
                continue
        entry: Entry[Any] = Entry(identifier, stored, written)
        document = lens.document(stored)
        if document is MISSING:
            document = entry.value
        found.append((unpack_text(identifier), document, entry))
    return found


def _identifiers(way: Access, rows: list[tuple[bytes, Record]]) -> list[bytes] | None:
    """The documents that the rows are of; None: where they stand says less than that."""
    if way.order is not None and any(note and is_cut(note) for _, (note, _) in rows):
        return None
    if way.holds is not None:
        rows = [row for row in rows if way.holds(row[1].value)]
    return [way.identifier(key, note) for key, (note, _) in rows]


def _records(
    storage: DocumentStorage, identifiers: list[bytes]
) -> Sequence[tuple[bytes, int] | None] | None:
    """The rows of these documents, if the engine has them at once."""
    engine, data = storage.engine, storage.rows.data
    if len(identifiers) <= PEEKS_MAX:
        assert engine.peek is not None
        found = [engine.peek(data + one) for one in identifiers]
        return None if NOT_NOW in found else cast("list[tuple[bytes, int] | None]", found)
    return at_once(engine.read([data + one for one in identifiers]))
