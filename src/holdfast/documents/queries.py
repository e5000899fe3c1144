"""What can be asked of a collection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Generic, TypeVar

from holdfast.contract.errors import InvalidInput
from holdfast.documents.collections import Collections
from holdfast.documents.planner.execute import Examined, Found, Run, moment_of
from holdfast.documents.planner.plan import QueryPlan, plan_query
from holdfast.documents.query.cursor import cursor_of, read_cursor
from holdfast.documents.query.expression import parse_expression
from holdfast.documents.query.query import Query
from holdfast.documents.query.select import compile_select
from holdfast.documents.results import QueryResult, ResultPage
from holdfast.documents.storage import DocumentStorage
from holdfast.documents.typed import Typed
from holdfast.store.keyspaces import History
from holdfast.store.versions.entry import Entry

T = TypeVar("T")

#: How many results a page has unless told otherwise.
PAGE_RESULTS: Final = 100


class Queries(Generic[T]):
    """The part of a collection that answers queries.

    Attributes:
        name: as given.
    """

    def __init__(
        self, name: str, typed: Typed[T], collections: Collections, history: History | None
    ) -> None:
        self.name = name
        self._typed = typed
        self._collections = collections
        self._history = history

    # --- Queries ----------------------------------------------------------------------------

    async def query(
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
                `Query`.
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
        async for found in self._rows(wanted, hint):
            yield self._result(wanted, found)

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
        wanted = as_query(conditions, order_by, limit, offset, select, after, equal)
        return [self._result(wanted, found).value async for found in self._rows(wanted, hint)]

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
        wanted = as_query(conditions, order_by, 1, offset, select, after, equal)
        async for found in self._rows(wanted, hint):
            return self._result(wanted, found).value
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
        wanted = as_query(conditions, (), limit, offset, None, None, equal)
        storage = await self._find()
        if storage is None:
            return 0
        storage.space.check()
        async with moment_of(storage.engine) as moment:
            plan = await self._plan(storage, wanted, hint)
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
        results: list[QueryResult[T]] = []
        last: Found | None = None
        async for found in self._rows(wanted, hint):
            results.append(self._result(wanted, found))
            last = found
        cursor = None
        if last is not None and len(results) == wanted.limit:
            cursor = cursor_of(wanted, last[0], last[1])
        return ResultPage(results, cursor)

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
        from holdfast.documents.planner.explain import explained

        wanted = as_query(conditions, order_by, limit, offset, None, after, equal)
        storage = await self._find()
        if storage is None:
            storage = await self._require()
        storage.space.check()
        async with moment_of(storage.engine) as moment:
            plan = await self._plan(storage, wanted, hint)
            return await explained(storage, moment, plan)

    # --- Inside -----------------------------------------------------------------------------

    async def _rows(self, wanted: Query, hint: str | None = None) -> AsyncIterator[Found]:
        read_cursor(wanted)
        storage = await self._find()
        if storage is None:
            return
        storage.space.check()
        async with moment_of(storage.engine) as moment:
            plan = await self._plan(storage, wanted, hint)
            async for found in Run(storage, moment, plan, Examined()).results():
                yield found

    async def _plan(self, storage: DocumentStorage, wanted: Query, hint: str | None) -> QueryPlan:
        plan = plan_query(wanted, storage.number, await storage.catalogue(), hint)
        usage = storage.usage
        for way in plan.ways:
            hits, misses = usage.get(way.index.name, (0, 0))
            usage[way.index.name] = hits + 1, misses
        for name in plan.missed:
            hits, misses = usage.get(name, (0, 0))
            usage[name] = hits, misses + 1
        return plan

    def _result(self, wanted: Query, found: Found) -> QueryResult[T]:
        key, document, entry = found
        if wanted.select is not None:
            kept: Any = compile_select(wanted.select)(document)
            return QueryResult(key, kept, entry.metadata)
        return QueryResult(key, self._value(entry), entry.metadata)

    def _value(self, entry: Entry[Any]) -> T:
        return self._typed.from_plain(entry.value)

    async def _find(self) -> DocumentStorage | None:
        return await self._collections.find(self.name)

    async def _require(self) -> DocumentStorage:
        return await self._collections.require(self.name, self._history)


def as_query(
    conditions: tuple[Any, ...],
    order_by: Any,
    limit: int | None,
    offset: int,
    select: Iterable[Any] | None,
    after: str | None,
    equal: dict[str, Any],
) -> Query:
    """A query from what a call was given. Raises InvalidQuery."""
    if len(conditions) == 1 and isinstance(conditions[0], Query):
        if equal or order_by or offset or select is not None or after is not None:
            raise InvalidInput(
                "give a whole Query, or its parts; found both. Put the parts into the Query"
            )
        whole = conditions[0]
        if limit is None or limit == whole.limit:
            return whole
        return Query(whole.where, whole.order_by, limit, whole.offset, whole.select, whole.after)
    spelled = [parse_expression(one) if isinstance(one, str) else one for one in conditions]
    return Query.of(
        *spelled, order_by=order_by, limit=limit, offset=offset, select=select, after=after,
        **equal,
    )  # fmt: skip
