"""`Collection`: typed documents under text keys, with queries and indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Generic, Literal, TypeVar, cast

from holdfast.contract.errors import InvalidInput, KeyNotFound, StoreNotFound
from holdfast.documents.collections import Collections
from holdfast.documents.planner.execute import Examined, Found, Run, moment_of
from holdfast.documents.planner.plan import QueryPlan, plan_query
from holdfast.documents.query.cursor import cursor_of, read_cursor
from holdfast.documents.query.expression import parse_expression
from holdfast.documents.query.query import Query
from holdfast.documents.query.select import compile_select
from holdfast.documents.results import QueryResult, ResultPage
from holdfast.documents.storage import (
    DELETE,
    KEEP,
    DocumentStorage,
    Put,
    Step,
    _Act,
)
from holdfast.documents.typed import Typed
from holdfast.records.options import KEEPING, WriteOptions, write_options
from holdfast.store.durations import ttl_milliseconds
from holdfast.store.keyspaces import History
from holdfast.store.versions.entry import Entry

T = TypeVar("T")
D = TypeVar("D")

#: How many documents one commit of `clear` removes.
CLEAR_ROWS: Final = 1000
#: How many results a page has unless told otherwise.
PAGE_RESULTS: Final = 100


class Collection(Generic[T]):
    """Documents of one type under text keys.

    Made by `db.collection`. A collection exists from its first write on; before it is empty. Every
    write is one commit, told in the feed (`db.watch` with `view="documents"`); inside a transaction
    it is part of that. A missing document is None; `require` raises.

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

    def __repr__(self) -> str:
        return f"<Collection {self.name!r} of {self._typed!r}>"

    # --- One document -----------------------------------------------------------------------

    async def get(self, key: str, default: Any = None) -> T | None:
        """The document under a key, or `default`.

        Raises:
            InvalidKey: the key cannot be one.
            SchemaValidationFailed: what is stored there does not fit the type.
        """
        entry = await self._entry(key)
        if entry is None:
            return cast("T | None", default)
        return self._value(entry)

    async def require(self, key: str) -> T:
        """The document under a key. Raises KeyNotFound when there is none."""
        entry = await self._entry(key)
        if entry is None:
            raise self._absent(key)
        return self._value(entry)

    async def find(self, key: str) -> QueryResult[T] | None:
        """The document under a key with its metadata, or None."""
        entry = await self._entry(key)
        if entry is None:
            return None
        return QueryResult(key, self._value(entry), entry.metadata)

    async def has(self, key: str) -> bool:
        """Whether there is a document under the key, None among them."""
        return await self._entry(key) is not None

    async def set(
        self,
        key: str,
        value: T,
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> None:
        """Put a document under a key.

        Args:
            key, value: which and what.
            ttl: seconds or timedelta until it expires; left out it does not.
            modified_by, comment: who and why.

        Raises:
            InvalidKey, InvalidValue, SchemaValidationFailed, SerializationFailed: nothing was
                written.
            DuplicateKey: a value of a unique index is taken; nothing was written.
        """
        options = write_options(modified_by, comment, None, ttl, None, None)
        storage = await self._require()
        put = Put(await storage.values.serialize(self._typed.to_plain(value)), options)
        await self._transact(storage, [Step(key, lambda _: put, options)])

    async def add(
        self,
        value: T,
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> str:
        """Put a document under a new key; the key. Keys sort by when they were made."""
        key = self._collections.components.ids.new().hex()
        await self.set(key, value, ttl=ttl, modified_by=modified_by, comment=comment)
        return key

    async def delete(
        self, key: str, *, modified_by: str | int | None = None, comment: str | None = None
    ) -> bool:
        """Remove the document under a key; whether there was one."""
        options = write_options(modified_by, comment, None, None, None, None)
        storage = await self._find()
        if storage is None:
            self._check_key(key)
            return False
        step = Step(key, lambda _: DELETE, options)
        await self._transact(storage, [step])
        return step.before is not None

    async def modify(
        self,
        key: str,
        change: Callable[[T | None], T | Literal[_Act.DELETE]],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> T | None:
        """Change a document by a function, as one step that nobody comes between.

        Args:
            key: which.
            change: from the document (None: there is none) to the new one; `DELETE` removes it. It
                may be called more than once, and what it raises leaves everything as it was.
            modified_by, comment: who and why.

        Returns:
            The new document; None if it was removed.
        """
        options = WriteOptions(modified_by, comment, keeps_expiry=True)
        write_options(modified_by, comment, None, None, None, None)
        typed = self._typed
        storage = await self._require()
        outcome: T | None = None

        def decide(entry: Entry[Any] | None) -> Put | Literal[_Act.KEEP, _Act.DELETE]:
            nonlocal outcome
            changed = change(None if entry is None else self._value(entry))
            if changed is DELETE:
                outcome = None
                return KEEP if entry is None else DELETE
            plain = typed.to_plain(changed)
            serialized = storage.values.serialize_now(plain)
            put = Put(serialized, options)
            outcome = typed.from_plain(put.document)
            return put

        await self._transact(storage, [Step(key, decide, options, reads=True)])
        return outcome

    async def patch(
        self,
        key: str,
        changes: Mapping[str, Any],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> T:
        """Change parts of a document; the new one.

        Args:
            key: which.
            changes: a merge patch (RFC 7386): values take the place of values, objects are merged,
                None removes. The document has to fit its type as a whole.
            modified_by, comment: who and why.

        Raises:
            KeyNotFound: there is no document under the key.
            SchemaValidationFailed: what would come of it does not fit; nothing was written.
        """
        if not isinstance(changes, Mapping):
            raise InvalidInput(
                f"changes is a mapping of names to values; found a {type(changes).__name__}"
            )
        options = WriteOptions(modified_by, comment, keeps_expiry=True)
        write_options(modified_by, comment, None, None, None, None)
        storage = await self._require()
        outcome: list[T] = []

        def decide(entry: Entry[Any] | None) -> Put:
            if entry is None:
                raise self._absent(key)
            merged = merge_patch(entry.fresh().value, changes)
            put = Put(storage.values.serialize_now(merged), options)
            outcome[:] = [self._typed.from_plain(put.document)]
            return put

        await self._transact(storage, [Step(key, decide, options, reads=True)])
        return outcome[0]

    async def touch(self, key: str, ttl: float | timedelta | None) -> bool:
        """Have a document expire at another instant; whether there is one. None: never."""
        storage = await self._find()
        if storage is None:
            self._check_key(key)
            return False
        options = WriteOptions(ttl_ms=0 if ttl is None else ttl_milliseconds(ttl))

        def decide(entry: Entry[Any] | None) -> Put | Literal[_Act.KEEP]:
            if entry is None:
                return KEEP
            return Put(storage.values.serialize_now(entry.fresh().value), options)

        step = Step(key, decide, options, reads=True)
        await self._transact(storage, [step])
        return step.written

    # --- Many documents ---------------------------------------------------------------------

    async def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """The documents under the keys, those that there are."""
        wanted = list(dict.fromkeys(keys))
        storage = await self._find()
        if storage is None:
            for key in wanted:
                self._check_key(key)
            return {}
        storage.space.check()
        data_keys = [storage.data_key(key) for key in wanted]
        found: dict[str, T] = {}
        records = await storage.engine.read(data_keys)
        for key, data_key, record in zip(wanted, data_keys, records, strict=True):
            if record is not None:
                entry = await storage.living(data_key, *record)
                if entry is not None:
                    found[key] = self._value(entry)
        return found

    async def set_many(
        self,
        documents: Mapping[str, T],
        *,
        ttl: float | timedelta | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> None:
        """Put documents under keys as one commit: all of them, or none."""
        options = write_options(modified_by, comment, None, ttl, None, None)
        if not documents:
            return
        storage = await self._require()
        steps = []
        for key, value in documents.items():
            put = Put(await storage.values.serialize(self._typed.to_plain(value)), options)
            steps.append(Step(key, lambda _, put=put: put, options))  # type: ignore[misc]
        await self._transact(storage, steps)

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Remove the documents under the keys as one commit; how many there were."""
        wanted = list(dict.fromkeys(keys))
        storage = await self._find()
        if storage is None or not wanted:
            for key in wanted:
                self._check_key(key)
            return 0
        steps = [Step(key, lambda _: DELETE) for key in wanted]
        await self._transact(storage, steps)
        return sum(step.before is not None for step in steps)

    async def clear(self) -> int:
        """Remove every document; how many there were. Each is a change of its own.

        Outside of a transaction it goes in steps of some documents each.
        """
        storage = await self._find()
        if storage is None:
            return 0
        removed = 0
        keys: list[str] = []
        async for key in self.keys():
            keys.append(key)
            if len(keys) == CLEAR_ROWS:
                removed += await self.delete_many(keys)
                keys = []
        return removed + (await self.delete_many(keys) if keys else 0)

    async def drop(self) -> None:
        """Remove the collection: documents, indexes and past. Raises StoreNotFound."""
        await self._collections.drop(self.name)

    # --- Walking ----------------------------------------------------------------------------

    async def size(self) -> int:
        """How many documents there are, in time that grows with their number."""
        return await self.count()

    async def keys(self) -> AsyncIterator[str]:
        """Every key, in order, as of one moment."""
        async for key, _, _ in self._rows(Query()):
            yield key

    async def values(self) -> AsyncIterator[T]:
        """Every document, in the order of keys, as of one moment."""
        async for _, _, entry in self._rows(Query()):
            yield self._value(entry)

    async def entries(self) -> AsyncIterator[tuple[str, T]]:
        """Every key with its document, in order, as of one moment."""
        async for key, _, entry in self._rows(Query()):
            yield key, self._value(entry)

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
        return plan_query(wanted, storage.number, await storage.catalogue(), hint)

    def _result(self, wanted: Query, found: Found) -> QueryResult[T]:
        key, document, entry = found
        if wanted.select is not None:
            kept: Any = compile_select(wanted.select)(document)
            return QueryResult(key, kept, entry.metadata)
        return QueryResult(key, self._value(entry), entry.metadata)

    def _value(self, entry: Entry[Any]) -> T:
        return self._typed.from_plain(entry.value)

    async def _entry(self, key: str) -> Entry[Any] | None:
        storage = await self._find()
        if storage is None:
            self._check_key(key)
            return None
        return await storage.get(key)

    async def _find(self) -> DocumentStorage | None:
        return await self._collections.find(self.name)

    async def _require(self) -> DocumentStorage:
        return await self._collections.require(self.name, self._history)

    async def _transact(self, storage: DocumentStorage, steps: list[Step]) -> int:
        try:
            return await storage.transact(steps)
        except StoreNotFound:
            await self._collections.lost(self.name)
            raise

    def _check_key(self, key: str) -> None:
        """Refuse what is no key where there is nothing to look it up in."""
        from holdfast.documents.storage import require_key

        require_key(key)

    def _absent(self, key: str) -> KeyNotFound:
        return KeyNotFound(
            f"the collection {self.name!r} has no document {key!r}; `get` returns None instead",
            key=key,
        )


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


def merge_patch(document: Any, changes: Mapping[str, Any]) -> Any:
    """A document after a merge patch (RFC 7386)."""
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = merge_patch(merged.get(name), value)
        else:
            merged[name] = value
    return merged


__all__ = ["DELETE", "KEEPING", "Collection", "as_query", "merge_patch"]
