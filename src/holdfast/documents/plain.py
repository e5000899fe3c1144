"""Plain documents in and out of a collection, for what stands on it and moves many of them.

Exports, imports and tables see documents as plain values, whatever type the collection gives them.
What they need of a collection beyond its calls is here, so that they know none of its parts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from holdfast.contract.runtime import Components, Runtime
from holdfast.documents.collection import Collection
from holdfast.documents.queries import Queries
from holdfast.documents.query.query import Query
from holdfast.documents.query.select import compile_select
from holdfast.documents.spelling import as_query
from holdfast.documents.walking import Moment, Results
from holdfast.records.options import WriteOptions
from holdfast.store.versions.entry import Entry

# ruff: noqa: SLF001 - a collection lets its own package in

R = TypeVar("R")


class PlainReading:
    """What a query finds as plain documents, as often as it is asked for, all of one moment.

    Used in an `async with`; what an engine shows without snapshots is of the moment it is read.

    Args:
        collection: of a database, a transaction or a snapshot.
        query: a condition, spelled as for `Collection.query`, or a whole `Query`; None: everything.
        hint: the index to use; empty: none.

    Raises:
        InvalidQuery, PatternInvalid: the query is malformed.
    """

    def __init__(
        self, collection: Collection[Any], query: Any = None, hint: str | None = None
    ) -> None:
        conditions = () if query is None else (query,)
        self._query: Query = as_query(conditions, (), None, 0, None, None, {})
        self._hint = hint
        self._collection = collection
        self._moment = Moment(collection._collections.engine)
        self._view: Queries[Any] | None = None

    async def __aenter__(self) -> Self:
        collection = self._collection
        collections = collection._collections
        collections.gate.check()
        try:
            view = collections.on(await self._moment.begin(), None)
            self._view = Queries(collection.name, collection._typed, view, collection._history)
        except BaseException:
            self._moment.end()
            raise
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._moment.end()

    def made_by(self, make: Callable[[str, Any, Entry[Any]], R]) -> AsyncIterator[R]:
        """What `make` makes of each key, plain document (what was selected of it) and entry."""
        assert self._view is not None, "used in an async with"
        select = self._query.select
        kept = None if select is None else compile_select(select)

        def made(found: tuple[str, Any, Entry[Any]]) -> R:
            key, document, entry = found
            # What was found of a document may be only what the query looks at.
            return make(key, entry.value if kept is None else kept(document), entry)

        return Results(self._view._begin(self._query, self._hint), made)


class PlainWriting:
    """Plain documents into a collection, with options for each.

    Args:
        collection: where to.
    """

    def __init__(self, collection: Collection[Any]) -> None:
        self._collection = collection

    def new_key(self) -> str:
        """A key that nothing has; keys sort by when they were made."""
        return self._collection._collections.components.ids.new().hex()

    def value(self, document: Any) -> Any:
        """What the collection holds for a plain document. Raises SchemaValidationFailed."""
        return self._collection._typed.from_plain(document)

    async def commit(self, values: Mapping[str, tuple[Any, WriteOptions]]) -> None:
        """Put values under keys as one commit, as `set_many` does. Raises what that raises."""
        collection = self._collection
        storage = await collection._require()
        several = ((key, value, options) for key, (value, options) in values.items())
        steps = await collection._puts(storage, several)
        await collection._transact(
            storage, steps, {key: value for key, (value, _) in values.items()}
        )


def kind_of(collection: Collection[Any]) -> Any:
    """The type of its documents, as the collection was given it."""
    return collection._typed.kind


def components_of(collection: Collection[Any]) -> Components:
    """Clock and ids of its database."""
    return collection._collections.components


def runtime_of(collection: Collection[Any]) -> Runtime:
    """How its handle waits."""
    return collection._collections.gate.runtime
