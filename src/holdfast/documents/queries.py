"""What can be asked of a collection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from holdfast.codecs.typed import Typed
from holdfast.contract.engine import Engine
from holdfast.contract.errors import SchemaValidationFailed, StoreError
from holdfast.documents.aggregate.budget import MEMORY_BYTES_MAX
from holdfast.documents.aggregate.making import group_by
from holdfast.documents.aggregate.stages import Match, Sort
from holdfast.documents.aggregating import aggregated, deadline_of, held, looked_up, split
from holdfast.documents.caching import EntryCache
from holdfast.documents.collections import Collections
from holdfast.documents.indexes.writers import analyzer_of
from holdfast.documents.naming import name_in
from holdfast.documents.planner.direct import Direct, spelled
from holdfast.documents.planner.direct_places import DirectPlaces, keep_direct
from holdfast.documents.planner.execute import Run
from holdfast.documents.planner.found import Examined, Found
from holdfast.documents.planner.lens import NOTHING, Fields, of_stages
from holdfast.documents.planner.plan import CHOICES_MAX, QueryPlan, plan_query
from holdfast.documents.planner.prepared import Prepared, shape_of
from holdfast.documents.planner.quick import quick_count, quick_rows
from holdfast.documents.planner.statistics import Statistics
from holdfast.documents.query.cursor import cursor_of, read_cursor
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.query import Query
from holdfast.documents.query.select import compile_select
from holdfast.documents.results import QueryResult, ResultPage
from holdfast.documents.spelling import as_query
from holdfast.documents.storage import DocumentStorage
from holdfast.documents.text.matching import matcher
from holdfast.documents.walking import Begin, Moment, Results, nothing, result_of
from holdfast.store.keyspaces import History
from holdfast.store.versions.chunks import Values
from holdfast.store.versions.entry import Entry

T = TypeVar("T")
#: What a call asks: conditions, order, limit, offset, and fields that equal values.
Asked = tuple[tuple[Any, ...], Any, int | None, int, dict[str, Any]]

#: How many results a page has unless told otherwise.
PAGE_RESULTS: Final = 100


class Queries(Generic[T]):
    """The part of a collection that answers queries."""

    def __init__(
        self, name: str, typed: Typed[T], collections: Collections, history: History | None
    ) -> None:
        self._name = name
        self._typed = typed
        self._collections = collections
        self._history = history
        self._hooks = collections.hooks(name)
        #: How this object serialises, if not as the handle does; and what it keeps of reads.
        self._values: Values | None = None
        self._cache: EntryCache | None = None

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    # --- Queries ----------------------------------------------------------------------------

    def query(
        self,
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        offset: int = 0,
        select: Iterable[Any] | None = None,
        after: str | None = None,
        hint: str | None = None,
        **equal: Any,
    ) -> AsyncIterator[QueryResult[T]]:
        """The documents that match, as they are found, as of one moment.

        Args:
            conditions: `F.age >= 18`, its JSON form, or a text such as `'age >= 18'`; or one whole
                `Query`, or the JSON form of one.
            order_by: fields, the most important first: `F.age`, `-F.age`, `"age"`, `"-age"`; left
                out: by key.
            limit: at most so many; 0 gives none.
            offset: leave out so many first.
            select: the fields to keep of each document; values are dicts then.
            after: a cursor that `page` gave: what comes behind it.
            hint: the index to use; empty: none.
            equal: names of fields and the values they equal.

        Raises:
            InvalidQuery, PatternInvalid: the query is malformed.
            IndexNotFound: there is no index of the hint's name.
            QuotaExceeded: a sort without a limit holds too many documents.
        """
        wanted = as_query(conditions, order_by, limit, offset, select, after, equal)
        keep = self._keep(wanted)
        return Results(self._begin(wanted, hint), lambda found: result_of(keep, found))

    async def find_many(
        self,
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        offset: int = 0,
        select: Iterable[Any] | None = None,
        after: str | None = None,
        hint: str | None = None,
        **equal: Any,
    ) -> list[T]:
        """The documents that match; see `query`."""
        if select is None and after is None and hint is None:
            asked = conditions, order_by, limit, offset, equal
            found = self._directly(asked)
            if found is None:
                await self._learn(asked)
            elif self._typed.plain:
                return found
            else:
                # One that does not fit is asked for again, to be named.
                with suppress(SchemaValidationFailed):
                    return list(map(self._typed.from_plain, found))
        wanted = as_query(conditions, order_by, limit, offset, select, after, equal)
        rows = await self._all(wanted, hint)
        if wanted.select is None and self._typed.plain:
            return [entry.value for _, _, entry in rows]
        return list(map(self._keep(wanted), rows))

    async def find_one(
        self,
        *conditions: Any,
        order_by: Any = (),
        offset: int = 0,
        select: Iterable[Any] | None = None,
        after: str | None = None,
        hint: str | None = None,
        **equal: Any,
    ) -> T | None:
        """The first document that matches, or None; see `query`."""
        if select is None and after is None and hint is None:
            asked = conditions, order_by, 1, offset, equal
            found = self._directly(asked)
            if found is None:
                await self._learn(asked)
            else:
                with suppress(SchemaValidationFailed):
                    return self._typed.from_plain(found[0]) if found else None
        wanted = as_query(conditions, order_by, 1, offset, select, after, equal)
        for row in await self._all(wanted, hint):
            return self._keep(wanted)(row)
        return None

    async def count(
        self,
        *conditions: Any,
        limit: int | None = None,
        offset: int = 0,
        hint: str | None = None,
        **equal: Any,
    ) -> int:
        """How many documents match; see `query`.

        No document is read where the bounds of an index say it all.
        """
        if hint is None and limit is None and offset == 0:
            asked = conditions, (), None, 0, equal
            known = self._known(asked)
            counted = None if known is None else known[0].count(*known[1:])
            if counted is not None:
                return counted
            await self._learn(asked)
        wanted = as_query(conditions, (), limit, offset, None, None, equal)
        storage = await self._find()
        if storage is None:
            return 0
        storage.space.check()
        plan = await self._plan(storage, wanted, hint)
        self._used(storage, plan)
        counted = quick_count(storage, plan)
        if counted is not None:
            return counted
        async with Moment(storage.engine) as moment:
            plan = await self._plan_at(storage, moment, wanted, hint)
            return await Run(storage, moment, plan, Examined()).count()

    async def page(
        self,
        *conditions: Any,
        order_by: Any = (),
        limit: int = PAGE_RESULTS,
        select: Iterable[Any] | None = None,
        after: str | None = None,
        hint: str | None = None,
        **equal: Any,
    ) -> ResultPage[T]:
        """Some results, and the cursor that leads to the next; see `query`.

        The cursor names a place in the order, not a count: pages neither overlap nor skip,
        whatever is written between them.
        """
        wanted = as_query(conditions, order_by, limit, 0, select, after, equal)
        rows = await self._all(wanted, hint)
        keep = self._keep(wanted)
        cursor = None
        if rows and len(rows) == wanted.limit:
            # What was found of the document may lack what the order looks at.
            cursor = cursor_of(wanted, rows[-1][0], rows[-1][2].value)
        return ResultPage([result_of(keep, found) for found in rows], cursor)

    async def aggregate(
        self,
        pipeline: Any,
        *,
        timeout: float | timedelta | None = None,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
    ) -> AsyncIterator[Any]:
        """What a pipeline makes of the documents, in the order of keys, as of one moment.

        Args:
            pipeline: stages of `holdfast.documents.aggregate`, or their JSON form. A `match` at
                its beginning is served by an index.
            timeout: seconds or timedelta.
            memory_bytes_max: how much its stages may hold, as estimated.

        Raises:
            InvalidQuery, PatternInvalid: a stage is malformed.
            QuotaExceeded: the stages hold more.
            TimedOut: it took longer.
        """
        first, stages = split(pipeline)
        wanted = Query() if first is None else Query(first.where)
        deadline = deadline_of(timeout, self._collections.components.clock)
        self._collections.gate.check()
        moment = Moment(self._collections.engine)
        rows: AsyncGenerator[list[Any], None] | None = None
        try:
            view = await moment.begin()
            others: dict[str, list[Any]] = {}
            for name in dict.fromkeys(looked_up(stages)):
                other = Queries[Any](name, Typed(), self._collections, None)
                _, found = await other._pages_at(view, Query(), None)
                others[name] = await held(name, found, deadline)
            plan, rows = await self._pages_at(view, wanted, of_stages(stages))
            text = matcher(analyzer_of("")) if plan is None else plan.text
            made = aggregated(stages, rows, others, deadline, memory_bytes_max, text)
            async with aclosing(made) as several:
                async for one in several:
                    yield one
        finally:
            moment.end()
            if rows is not None:
                await rows.aclose()

    async def group_by(self, *by: Any, where: Any = None, **fields: Any) -> list[dict[str, Any]]:
        """One dict for each different combination of fields, in their order.

            await cities.group_by(F.country, population=sum_(F.population), n=count_())

        Args:
            by: fields; and by name, expressions.
            where: a condition, spelled as for `query`.
            fields: accumulators by name, of `holdfast.documents.aggregate`.

        Raises:
            InvalidQuery: an argument is malformed.
            QuotaExceeded: there are too many groups.
        """
        group = group_by(*by, **fields)
        stages: list[Any] = [group]
        if group.by:
            stages.append(Sort(tuple(OrderBy((name,)) for name, _ in group.by)))
        if where is not None:
            wanted = as_query((where,), (), None, 0, None, None, {})
            stages.insert(0, Match(wanted.where))
        return [one async for one in self.aggregate(stages)]

    async def explain(
        self,
        *conditions: Any,
        order_by: Any = (),
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        hint: str | None = None,
        **equal: Any,
    ) -> dict[str, Any]:
        """How the query is answered, and what that takes: it is run for it. See `query`."""
        from holdfast.documents.planner.explain import explained, nothing_explained

        wanted = as_query(conditions, order_by, limit, offset, None, after, equal)
        storage = await self._find()
        if storage is None:
            return nothing_explained(wanted, self._collections.engine)
        storage.space.check()
        async with Moment(storage.engine) as moment:
            plan = plan_query(
                wanted, storage.number, await storage.catalogue_at(moment), hint,
                statistics=Statistics(storage, moment),
            )  # fmt: skip
            return await explained(storage, moment, plan)

    # --- Inside -----------------------------------------------------------------------------

    def _begin(self, wanted: Query, hint: str | None) -> Begin:
        read_cursor(wanted)

        async def begin() -> tuple[Moment, AsyncGenerator[Found, None]] | None:
            moment = Moment(self._collections.engine)
            try:
                self._collections.gate.check()
                _, rows = await self._results_at(await moment.begin(), wanted, hint)
                return moment, rows
            except BaseException as error:
                moment.end()
                if isinstance(error, StoreError):
                    await self._hooks.failed(error)
                raise

        return begin

    async def _results_at(
        self, moment: Engine, wanted: Query, hint: str | None
    ) -> tuple[QueryPlan | None, AsyncGenerator[Found, None]]:
        """What the query gives at a moment, and by which plan; None: there is no collection."""
        storage = await self._find()
        if storage is None:
            return None, nothing()
        plan = await self._plan_at(storage, moment, wanted, hint)
        self._used(storage, plan)
        return plan, Run(storage, moment, plan, Examined(), NOTHING).results()

    async def _pages_at(
        self, moment: Engine, wanted: Query, fields: Fields
    ) -> tuple[QueryPlan | None, AsyncGenerator[list[Any], None]]:
        """The same documents with these fields at least, page by page, without keys."""
        storage = await self._find()
        if storage is None:
            return None, nothing()
        plan = await self._plan_at(storage, moment, wanted, None)
        self._used(storage, plan)
        return plan, Run(storage, moment, plan, Examined(), fields).pages()

    async def _all(self, wanted: Query, hint: str | None) -> list[Found]:
        """Everything that the query gives."""
        storage = await self._find()
        if storage is None:
            read_cursor(wanted)
            return []
        storage.space.check()
        plan = await self._plan(storage, wanted, hint)
        quick = quick_rows(storage, plan)
        if quick is not None:
            self._used(storage, plan)
            return quick
        walk = Results(self._begin(wanted, hint), lambda found: found)
        try:
            return [found async for found in walk]
        finally:
            await walk.aclose()

    def _directly(self, asked: Asked) -> list[Any] | None:
        """The plain documents, if a query of this spelling is known; None: it has to be planned."""
        known = self._known(asked)
        return None if known is None else known[0].documents(*known[1:], asked[2], asked[3])

    def _known(
        self, asked: Asked
    ) -> tuple[Direct | DirectPlaces, DocumentStorage, list[Any]] | None:
        """What is kept of queries of this spelling, the storage, and the values; None: nothing."""
        found = spelled(*asked)
        storage = self._collections.at_hand(self._name)
        if found is None or storage is None:
            return None
        storage.space.check()
        shape, values = found
        direct = storage.planned.direct.get(shape)
        return None if direct is None else (direct, storage, values)

    async def _learn(self, asked: Asked) -> None:
        """Keep what later queries of this spelling have in common with this one."""
        found = spelled(*asked)
        storage = None if found is None else await self._find()
        if found is None or storage is None or storage.engine.peek_lookup is None:
            return
        storage.space.check()
        if found[0] not in storage.planned.direct:
            wanted = as_query(*asked[:4], None, None, asked[4])
            keep_direct(found[0], await self._plan(storage, wanted, None), storage)

    async def _plan(self, storage: DocumentStorage, wanted: Query, hint: str | None) -> QueryPlan:
        catalogue = await storage.catalogue()
        choices, prepared = storage.planned.choices, storage.planned.prepared
        shape = None if hint is not None or wanted.limit == 0 else shape_of(wanted)
        known = None if shape is None else prepared.get(shape)
        plan: QueryPlan | None = None if known is None else known.bind(wanted)
        if plan is not None:
            return plan
        plan = plan_query(
            wanted, storage.number, catalogue, hint, choices, Statistics(storage, storage.engine)
        )
        if shape is not None and shape not in prepared:
            if len(prepared) >= CHOICES_MAX:
                prepared.clear()
            prepared[shape] = Prepared.of(plan)
        return plan

    @staticmethod
    def _used(storage: DocumentStorage, plan: QueryPlan) -> None:
        """Count which indexes a query walked, and which it could not use."""
        usage = storage.usage
        for names, hit in ((plan.names, 1), (plan.missed, 0)):
            for name in names:
                hits, misses = usage.get(name, (0, 0))
                usage[name] = hits + hit, misses + 1 - hit

    async def _plan_at(
        self, storage: DocumentStorage, moment: Engine, wanted: Query, hint: str | None
    ) -> QueryPlan:
        """The plan with the indexes as of the moment that it is run in."""
        return plan_query(
            wanted, storage.number, await storage.catalogue_at(moment), hint,
            statistics=Statistics(storage, moment),
        )  # fmt: skip

    def _keep(self, wanted: Query) -> Callable[[Found], T]:
        """What makes the value of a result: the document, or a dict of what was selected."""
        if wanted.select is None:
            return lambda found: self._value(found[0], found[2])
        select: Callable[[Any], Any] = compile_select(wanted.select)
        return lambda found: select(found[1])

    def _value(self, key: str, entry: Entry[Any]) -> T:
        try:
            return self._typed.from_plain(entry.value)
        except StoreError as error:
            name_in(error, key, self._name)
            raise

    async def _find(self) -> DocumentStorage | None:
        return await self._collections.find(self._name)

    async def _require(self) -> DocumentStorage:
        return await self._collections.require(self._name, self._history)
