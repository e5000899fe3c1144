"""All documents of a collection, page by page: what a query without an index looks at."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from holdfast.contract.engine import NOT_NOW, Engine, NotNow
from holdfast.contract.lookup import Sifted
from holdfast.contract.record import Range, Record
from holdfast.documents.planner.found import Examined
from holdfast.documents.planner.lens import Lens
from holdfast.documents.planner.rows import FIRST_PAGE_ROWS, LAST_PAGE_ROWS, PAGE_GROWTH
from holdfast.documents.query.compile import Test
from holdfast.documents.query.values import MISSING
from holdfast.documents.storage import DocumentStorage
from holdfast.store.snapshot import SnapshotEngine

#: Rows, what is wanted of their documents, whether one is MISSING, and what tests the others yet.
Looked = tuple[list[tuple[bytes, Record]], list[Any], bool, Test | None]


async def scanned(
    storage: DocumentStorage,
    moment: Engine,
    lens: Lens,
    test: Test | None,
    examined: Examined,
    behind: str | None,
    *,
    keys: bool,
) -> AsyncGenerator[Looked, None]:
    """The documents in the order of their keys, those at least that match.

    Args:
        storage: of the collection.
        moment: where it reads.
        lens: what is wanted of each document.
        test: tells whether one matches; None: all do.
        examined: is counted up.
        behind: a key, where to begin; None: with the first.
        keys: whether keys are wanted. Else documents may come without rows, if none is odd.
    """
    whole = storage.whole
    rest: Range | None = whole
    if behind is not None:
        rest = Range(storage.data_key(behind) + b"\0", whole.end)
    gathered: list[Any] | None = None if keys else []
    look = None
    if isinstance(moment, SnapshotEngine) and (test is not None or not keys):
        look = lens.that_meet(test, gathered)
    rows_wanted, seen = FIRST_PAGE_ROWS, 0
    while rest is not None:
        wanted = replace(rest, limit=rows_wanted)
        sifted: Sifted | NotNow = NOT_NOW
        if look is not None and isinstance(moment, SnapshotEngine):
            sifted = moment.sift(wanted, look)
        documents = gathered
        if gathered is not None:
            documents, gathered[:] = gathered.copy(), []
        if sifted is NOT_NOW or (not keys and sifted.rows):
            look = None  # Where one is odd others are likely to be, and this reads a page twice.
            page = await moment.scan(wanted)
            rest, looked = page.resume, len(page.rows)
            found: Looked = page.rows, *lens.documents(page.rows), test
        else:
            looked, rest = sifted.looked, sifted.resume
            if documents is None:
                documents = [document for _, _, document in sifted.rows]
            odd = any(document is MISSING for _, _, document in sifted.rows)
            found = [row[:2] for row in sifted.rows], documents, odd, None
        rows_wanted = min(rows_wanted * PAGE_GROWTH, LAST_PAGE_ROWS)
        seen += looked
        examined.documents += looked
        yield found
    if behind is None:
        storage.known.documents = seen
