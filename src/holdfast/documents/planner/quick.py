"""The common query without a wait: a few rows of an index, and the documents they are of.

An embedded engine answers at once, so neither a coroutine for each step nor a snapshot is needed:
every row says which commit wrote it, and if none is newer than what the index showed, all of them
are of one moment. Where that is not so, or there is more to do, `execute` does it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, cast

from holdfast.codecs import envelope
from holdfast.codecs.keys import unpack_text
from holdfast.contract.engine import NOT_NOW, Engine, _NotNow
from holdfast.contract.record import Range
from holdfast.documents.planner.access import Access
from holdfast.documents.planner.execute import Found, is_cut
from holdfast.documents.planner.plan import QueryPlan
from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.nodes import EVERYTHING
from holdfast.documents.query.ordering import Arrangement, Row, keyed
from holdfast.documents.storage import DocumentStorage
from holdfast.store import layout
from holdfast.store.versions.entry import Entry

#: So many spans and rows of an index are looked at without a pause, at most.
SPANS_MAX: Final = 8
ROWS_MAX: Final = 256
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
    wanted = end if streams else None
    rows = _matching(storage, plan, way, wanted)
    if rows is None:
        return None
    if not streams:
        arrangement = Arrangement(query.order_by, end)
        arrangement.add(keyed(cast("list[Row]", rows), query.order_by))
        rows = [cast("Found", row) for _, row in arrangement.rows()]
    return rows[query.offset : end]


def quick_count(storage: DocumentStorage, plan: QueryPlan) -> int | None:
    """How many documents match, where the rows of an index say it; None: it takes more."""
    query, way = plan.query, plan.single
    if way is None or not plan.exact or query.after is not None or len(way.spans) > SPANS_MAX:
        return None
    engine = storage.engine
    peek_page = engine.peek_page
    if peek_page is None:
        return None
    now = storage.space.clock.now_ms()
    due = peek_page(Range(layout.EXPIRY, layout.expiry_key(now + 1, b""), limit=1))
    if due is NOT_NOW or due.rows:
        return None
    total, revision = 0, due.revision
    for span in way.spans:
        page = peek_page(span)
        if page is NOT_NOW or page.resume is not None or page.revision != revision:
            return None
        total += len(page.rows)
    total = max(0, total - query.offset)
    return total if query.limit is None else min(total, query.limit)


def _matching(
    storage: DocumentStorage, plan: QueryPlan, way: Access, wanted: int | None
) -> list[Found] | None:
    """The documents that match, as the index is walked, `wanted` of them."""
    engine = storage.engine
    peek_page = engine.peek_page
    if peek_page is None or engine.peek is None:
        return None
    # Without anything left to look at, no more rows than documents are needed.
    limit = ROWS_MAX if wanted is None else wanted + (_SPARE_ROWS if plan.rest != EVERYTHING else 0)
    if limit > ROWS_MAX:
        return None
    test = None if plan.rest == EVERYTHING else compile_where(plan.rest, text=plan.text)
    revision: int | None = None
    found: list[Found] = []
    for span in reversed(way.spans) if plan.backwards else way.spans:
        page = peek_page(Range(span.start, span.end, plan.backwards, max(1, limit)))
        if page is NOT_NOW or revision not in (None, page.revision):
            return None
        revision = page.revision
        rows = [
            _document(engine, storage, way, key, value, revision) for key, (value, _) in page.rows
        ]
        if NOT_NOW in rows:
            return None
        living = [cast("Found", row) for row in rows if row is not None]
        found += living if test is None else [row for row in living if test(row[1])]
        if wanted is not None and len(found) >= wanted:
            return found[:wanted]
        if page.resume is not None and len(page.rows) >= limit:
            return None
    return found


def _document(
    engine: Engine, storage: DocumentStorage, way: Access, key: bytes, note: bytes, revision: int
) -> Found | Literal[_NotNow.NOT_NOW] | None:
    """The living document of a row, None, or NOT_NOW where more has to be looked at."""
    assert engine.peek is not None
    if note and way.order is not None and is_cut(note):
        return NOT_NOW
    identifier = way.identifier(key, note)
    data_key = storage.rows.data + identifier
    peeked = engine.peek(data_key)
    if peeked is None or peeked is NOT_NOW:
        return NOT_NOW
    stored, written = peeked
    if written > revision or stored[1] & envelope.BLOB:
        return NOT_NOW
    if storage.expired(stored):
        return None
    entry: Entry[Any] = Entry(identifier, stored, written)
    return unpack_text(identifier), entry.value, entry
