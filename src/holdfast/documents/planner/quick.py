"""The common query without a wait: a few rows of an index, and the documents they are of.

An embedded engine answers at once, so neither a coroutine for each step nor a snapshot is needed:
every row says which commit wrote it, and if none is newer than what the index showed, all of them
are of one moment. Where that is not so, or there is more to do, `execute` does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from holdfast.codecs import envelope
from holdfast.codecs.keys import unpack_text
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.record import Counted, Range
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
#: So many documents are read without a pause, at most.
DOCUMENTS_MAX: Final = 1024
#: More documents than this are read in one call.
PEEKS_MAX: Final = 2
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
    if plan.narrowing:
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
    if plan.narrowing:
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
    if storage.engine.peek_page is None or storage.engine.peek is None:
        return None
    rest, query = plan.rest, plan.query
    # Without anything left to look at, no more rows than documents are needed.
    whole = rest is EVERYTHING or rest == EVERYTHING
    limit = ROWS_MAX if wanted is None else wanted + (0 if whole else _SPARE_ROWS)
    if limit > ROWS_MAX:
        return None
    test = None if whole else compile_where(rest, text=plan.text)
    sorts = wanted is None and bool(query.order_by)
    looked_at = test is not None or sorts or query.select
    lens = Lens(joined(of_condition(rest), of_page(query))) if looked_at else _NO_LENS
    walk = _walk(storage.engine, plan, way, limit)
    found: list[Found] = []
    if wanted is None:
        # Nobody waits for the first of them: those of all spans are read together.
        gathered = _gathered(walk)
        rows = None if gathered is None else _documents(storage, *gathered, lens)
        return rows if rows is None or test is None else [row for row in rows if test(row[1])]
    for told in walk:
        rows = None if told is None else _documents(storage, told[0], told[1], lens)
        if told is None or rows is None:
            return None
        found += rows if test is None else [row for row in rows if test(row[1])]
        if len(found) >= wanted:
            return found[:wanted]
        if told[2]:
            return None
    return found


#: Documents of rows of an index, the commit that the rows are as of, and whether there are more.
_Told = tuple[list[bytes], int, bool]


def _walk(engine: Engine, plan: QueryPlan, way: Access, limit: int) -> Iterator[_Told | None]:
    """The rows of each span, all as of one commit; None: that takes more than this."""
    peek_page, backwards = engine.peek_page, plan.backwards
    assert peek_page is not None
    revision: int | None = None
    for span in reversed(way.spans) if backwards else way.spans:
        page = peek_page(Range(span.start, span.end, backwards, max(1, limit)))
        if page is NOT_NOW or revision not in (None, page.revision):
            yield None
            return
        rows, revision = page.rows, page.revision
        full = page.resume is not None and len(rows) >= limit
        if way.order is not None and any(note and is_cut(note) for _, (note, _) in rows):
            yield None  # Where they stand says less than that.
            return
        holds = way.holds
        if holds is not None:
            rows = [row for row in rows if holds(row[1][0])]
        yield way.identifiers(rows), revision, full


def _gathered(walk: Iterator[_Told | None]) -> tuple[list[bytes], int] | None:
    """The documents of all spans, and the commit that their rows are as of."""
    identifiers: list[bytes] = []
    revision = 0
    for told in walk:
        if told is None or told[2]:
            return None
        identifiers += told[0]
        revision = told[1]
        if len(identifiers) > DOCUMENTS_MAX:
            return None
    return identifiers, revision


def _documents(
    storage: DocumentStorage, identifiers: list[bytes], revision: int, lens: Lens
) -> list[Found] | None:
    """The living documents of rows of an index as of a commit; None: more has to be looked at."""
    if not identifiers:
        return []
    records = _records(storage, identifiers)
    if records is None:
        return None
    found: list[Found] = []
    append = found.append
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
        append((unpack_text(identifier), document, entry))
    return found


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
