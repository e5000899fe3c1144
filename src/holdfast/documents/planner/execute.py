"""Running a plan: entries of an index, their documents, what is looked at again, in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sized
from contextlib import aclosing
from dataclasses import replace
from itertools import compress
from typing import Any, Final, cast

from holdfast.codecs import envelope
from holdfast.codecs.keys import unpack_text
from holdfast.contract.engine import Engine
from holdfast.contract.errors import QuotaExceeded
from holdfast.contract.record import Range, Record
from holdfast.documents.planner.found import Examined, Found
from holdfast.documents.planner.lens import Fields, Lens, joined, of_condition, of_page
from holdfast.documents.planner.narrowing import keys_in_all
from holdfast.documents.planner.nearest import nearest
from holdfast.documents.planner.plan import QueryPlan
from holdfast.documents.planner.resuming import resumed
from holdfast.documents.planner.rows import (
    FIRST_PAGE_ROWS,
    LAST_PAGE_ROWS,
    Met,
    index_rows,
)
from holdfast.documents.planner.scanning import Looked, scanned
from holdfast.documents.planner.ties import Ties
from holdfast.documents.planner.way import Access
from holdfast.documents.query.compile import Test, compile_where
from holdfast.documents.query.cursor import read_cursor
from holdfast.documents.query.nodes import EVERYTHING
from holdfast.documents.query.ordering import (
    Arrangement,
    Keyed,
    Row,
    directions,
    keyed,
    precedes,
)
from holdfast.documents.query.query import Query
from holdfast.documents.query.values import MISSING
from holdfast.documents.storage import DocumentStorage
from holdfast.store import layout
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine

#: How many documents a walk that may meet one twice remembers at most.
SEEN_MAX: Final = 2_000_000


class Run:
    """One run of a plan.

    Args:
        storage: of the collection.
        moment: where it reads.
        plan: what to do.
        examined: is counted up.
        fields: those that the caller looks at in documents it gets; None: all.
    """

    def __init__(
        self,
        storage: DocumentStorage,
        moment: Engine,
        plan: QueryPlan,
        examined: Examined,
        fields: Fields = None,
    ) -> None:
        self.storage = storage
        self.moment = moment
        self.examined = examined
        self._fields = fields
        self._fixed = moment is not storage.engine or isinstance(
            moment, TransactionEngine | SnapshotEngine
        )
        #: The documents that stand in all narrowing ways; None: nothing narrows.
        self._held: set[bytes] | None = None
        self._take(plan)

    def _take(self, plan: QueryPlan) -> None:
        #: What is done: another plan than was given where that one came to hold too much.
        self.plan = plan
        # Where index and documents may be of two moments, bounds prove nothing.
        rest = plan.rest if self._fixed else plan.query.where
        self._test: Test | None = None
        if rest != EVERYTHING:
            self._test = compile_where(rest, text=plan.text)
        self._lens = Lens(joined(self._fields, of_condition(rest), of_page(plan.query)))

    # --- Results ----------------------------------------------------------------------------

    async def results(self) -> AsyncGenerator[Found, None]:
        """What the query gives, in its order, whole documents."""
        query = self.plan.query
        after = read_cursor(query)
        end = None if query.limit is None else query.offset + query.limit
        if end == query.offset:
            return
        await self._narrow()
        left, skip = end, query.offset
        if self.plan.nearest is not None:
            rows = nearest(self, query.order_by, self.plan.nearest, end or 0)
        elif self.plan.ordered and self.plan.single is None:
            rows = self._in_order_of_keys(after)
        elif self.plan.ordered:
            rows = self._streamed(after, end)
        else:
            rows = self._sorted(after, end)
        async with aclosing(rows):
            async for row in rows:
                if left is not None:
                    left -= 1
                if skip:
                    skip -= 1
                else:
                    yield row
                if left == 0:
                    return

    async def count(self) -> int:
        """How many documents match; limit and offset count, too."""
        query = self.plan.query
        total = 0
        if query.after is None:
            await self._narrow()
        plan = self.plan
        # Rows of two indexes that are of two moments do not say that one document meets both.
        counts = plan.exact and (self._fixed or not plan.narrowing)
        if query.after is None and counts and plan.single is not None:
            gone = await self._expired()
            async with aclosing(self._entries(plan.single, backwards=False)) as pages:
                async for page in pages:
                    total += len(page)
                    if gone:
                        total -= sum(identifier in gone for identifier, _, _ in page)
        elif query.after is None:
            async with aclosing(self._matching()) as found:
                async for rows in found:
                    total += len(rows)
        else:
            whole = replace(plan, query=replace(query, limit=None, offset=0))
            run = Run(self.storage, self.moment, whole, self.examined)
            async with aclosing(run.results()) as results:
                async for _ in results:
                    total += 1
        total = max(0, total - query.offset)
        return total if query.limit is None else min(total, query.limit)

    async def _sorted(
        self, after: tuple[Any, ...] | None, wanted: int | None
    ) -> AsyncGenerator[Found, None]:
        order = self.plan.query.order_by
        arrangement = Arrangement(order, wanted)
        behind = precedes(directions(order))
        async with aclosing(self._matching()) as pages:
            async for rows in pages:
                arrangement.add(_behind(keyed(cast("list[Row]", rows), order), after, behind))
        for _, row in arrangement.rows():
            yield cast("Found", row)

    async def _in_order_of_keys(self, after: tuple[Any, ...] | None) -> AsyncGenerator[Found, None]:
        async with aclosing(self._matching(after[0] if after is not None else None)) as pages:
            async for rows in pages:
                for row in rows:
                    yield row

    async def _streamed(
        self, after: tuple[Any, ...] | None, wanted: int | None
    ) -> AsyncGenerator[Found, None]:
        plan = self.plan
        order = plan.query.order_by
        assert plan.single is not None
        behind = precedes(directions(order))
        ties = Ties(order, wanted)
        way = resumed(plan.single, order, after, backwards=plan.backwards, ties=plan.ties)
        if wanted is not None:
            # The row of the cursor, and that which ends those that tie with the last.
            wanted += (after is not None) + (not plan.ties)
        async with aclosing(self._walked(way, wanted)) as walked:
            async for row, entry_key, cut in walked:
                [one] = keyed(cast("list[Row]", [row]), order)
                if after is not None and not behind(after, one[0]):
                    continue
                if ties.belongs(one[0][:-1], entry_key, cut=cut):
                    ties.hold(one, entry_key, cut=cut)
                    continue
                for kept in ties.release():
                    yield cast("Found", kept)
                if plan.ties and not cut:
                    yield row
                else:
                    ties.begin(one, entry_key, cut=cut)
        for kept in ties.release():
            yield cast("Found", kept)

    async def _walked(
        self, way: Access, wanted: int | None
    ) -> AsyncGenerator[tuple[Found, bytes, bool], None]:
        """The documents that match, as the index is walked, each with its row there."""
        entries = self._entries(way, backwards=self.plan.backwards, wanted=wanted)
        async with aclosing(entries) as pages:
            async for page in pages:
                rows = {row[0]: row for row in await self.documents([one[0] for one in page])}
                for identifier, entry_key, cut in page:
                    row = rows.get(unpack_text(identifier))
                    if row is not None:
                        yield row, entry_key, cut

    # --- Documents --------------------------------------------------------------------------

    async def _matching(self, behind: str | None = None) -> AsyncGenerator[list[Found], None]:
        """The documents that match, page by page; of a scan in the order of keys."""
        ways = self.plan.ways
        async with aclosing(self._matching_in(ways) if ways else self._scanned(behind)) as pages:
            async for rows in pages:
                yield rows

    async def _matching_in(self, ways: list[Access]) -> AsyncGenerator[list[Found], None]:
        """The documents of indexes that match, each once."""
        seen: set[bytes] | None = None
        if len(ways) > 1 or any(way.arrays for way in ways):
            seen = set()
        for way in ways:
            async with aclosing(self._entries(way, backwards=False)) as pages:
                async for page in pages:
                    identifiers = [one[0] for one in page]
                    if seen is not None:
                        identifiers = [one for one in dict.fromkeys(identifiers) if one not in seen]
                        seen.update(identifiers)
                        self.require_room(seen)
                    yield await self.documents(identifiers)

    async def pages(self) -> AsyncGenerator[list[Any], None]:
        """The documents of a query without order and page: as its fields have them, without keys.

        They come in the order of keys all the same.
        """
        plan = self.plan
        if plan.ways or plan.query != Query(plan.query.where):
            async with aclosing(self.results()) as results:
                async for row in results:
                    yield [row[1]]
            return
        async with aclosing(self._rows(None, keys=False)) as pages:
            async for rows, documents, odd, test in pages:
                if odd:
                    yield [row[1] for row in await self._odd(zip(rows, documents, strict=True))]
                else:
                    yield documents if test is None else [*filter(test, documents)]

    def _rows(self, behind: str | None, *, keys: bool) -> AsyncGenerator[Looked, None]:
        return scanned(
            self.storage, self.moment, self._lens, self._test, self.examined, behind, keys=keys
        )

    async def _scanned(self, behind: str | None) -> AsyncGenerator[list[Found], None]:
        async with aclosing(self._rows(behind, keys=True)) as pages:
            async for rows, documents, odd, test in pages:
                yield await self._found(rows, documents, test, odd=odd)

    async def documents(self, identifiers: list[bytes]) -> list[Found]:
        """The living documents that match, in this order."""
        if not identifiers:
            return []
        data = self.storage.rows.data
        data_keys = [data + one for one in identifiers]
        self.examined.documents += len(data_keys)
        records = await self.moment.read(data_keys)
        rows = [
            (key, record)
            for key, record in zip(data_keys, records, strict=True)
            if record is not None
        ]
        documents, odd = self._lens.documents(rows)
        return await self._found(rows, documents, self._test, odd=odd)

    async def _found(
        self,
        rows: list[tuple[bytes, Record]],
        documents: list[Any],
        test: Test | None,
        *,
        odd: bool,
    ) -> list[Found]:
        """The rows that are of living documents that match; None: they do, if nothing is odd."""
        storage, skip = self.storage, layout.REGION_BYTES
        pairs: Iterable[tuple[tuple[bytes, Record], Any]] = zip(rows, documents, strict=True)
        if odd:
            return await self._odd(pairs)
        if test is not None:
            pairs = compress(pairs, map(test, documents))
        entry = storage.entry
        return [
            (unpack_text(key[skip:]), document, entry(key, stored, revision))
            for (key, (stored, revision)), document in pairs
        ]

    async def _odd(self, pairs: Iterable[tuple[tuple[bytes, Record], Any]]) -> list[Found]:
        """The same where entries have to tell what some documents are."""
        storage, test, skip = self.storage, self._test, layout.REGION_BYTES
        found: list[Found] = []
        for (data_key, (stored, revision)), document in pairs:
            entry = None
            if document is MISSING:
                if storage.expired(stored):
                    continue
                entry = storage.entry(data_key, stored, revision)
                if stored[1] & envelope.BLOB:
                    await storage.complete(entry, self.moment)
                document = entry.value  # noqa: PLW2901
            if test is None or test(document):
                entry = entry or storage.entry(data_key, stored, revision)
                found.append((unpack_text(data_key[skip:]), document, entry))
        return found

    @staticmethod
    def require_room(seen: Sized) -> None:
        """Raise QuotaExceeded when a walk has to remember too many documents."""
        if len(seen) > SEEN_MAX:
            raise QuotaExceeded(
                f"a query over arrays or alternatives remembers at most {SEEN_MAX} documents; "
                "found more. Narrow it, or ask for each alternative by itself",
                limit=SEEN_MAX,
            )

    # --- Entries ----------------------------------------------------------------------------

    async def _entries(
        self, way: Access, *, backwards: bool, wanted: int | None = None
    ) -> AsyncGenerator[list[Met], None]:
        """The rows of an index whose documents stand in the others that narrow it, page by page."""
        held = self._held
        if held is not None and not held:
            return
        first_rows = FIRST_PAGE_ROWS
        if wanted is not None and self._test is None and held is None:
            first_rows = max(1, min(wanted, LAST_PAGE_ROWS))
        rows = index_rows(
            self.moment, way, self.examined, held=held, backwards=backwards, first_rows=first_rows
        )
        async with aclosing(rows) as pages:
            async for page in pages:
                yield page

    async def _narrow(self) -> None:
        """Hold the documents that the narrowing ways say; too many: go on with one index."""
        plan = self.plan
        if not plan.narrowing:
            return
        self._held = await keys_in_all(self.moment, plan.narrowing, self.examined)
        if self._held is None:
            assert plan.alone is not None
            self._take(plan.alone)

    async def _expired(self) -> set[bytes]:
        """The documents that have run out and that nobody has swept yet."""
        storage = self.storage
        now = storage.space.clock.now_ms()
        data = storage.rows.data
        gone: set[bytes] = set()
        rest: Range | None = Range(layout.EXPIRY, layout.expiry_key(now + 1, b""))
        while rest is not None:
            page = await self.moment.scan(rest)
            for key, _ in page.rows:
                _, data_key = layout.expiry_of(key)
                if data_key.startswith(data):
                    gone.add(data_key[layout.REGION_BYTES :])
            rest = page.resume
        return gone


def _behind(
    rows: Iterable[Keyed],
    after: tuple[Any, ...] | None,
    behind: Callable[[tuple[Any, ...], tuple[Any, ...]], bool],
) -> Iterator[Keyed]:
    if after is None:
        yield from rows
        return
    yield from (one for one in rows if behind(after, one[0]))
