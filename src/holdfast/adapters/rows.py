"""Documents as rows of a table: a key, and a plain document of named fields, all of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from holdfast.contract.errors import InvalidInput, InvalidValue, StoreError
from holdfast.documents.collection import Collection
from holdfast.documents.queries import Queries, as_query
from holdfast.documents.query.query import Query
from holdfast.documents.query.select import compile_select
from holdfast.documents.storage import Put, Step
from holdfast.documents.walking import Moment, Results
from holdfast.records.options import WriteOptions, write_options
from holdfast.store.versions.entry import Entry

R = TypeVar("R")

#: A batch of rows ends before it holds more than that, as stored.
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
#: How many rows a batch of a table has unless told otherwise.
BATCH_ROWS: Final = 10_000
#: The most rows that one commit of an import takes.
COMMIT_ROWS_MAX: Final = 5_000
#: How many rows one commit of an import takes unless told otherwise.
COMMIT_ROWS: Final = 1_000

#: The key of a document, its fields, and its size as stored, in bytes.
Row = tuple[str, dict[str, Any], int]


class Rows:
    """What a query finds, as often as it is asked for, all of one moment.

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
        self._moment = Moment(collection._collections.engine)  # noqa: SLF001 - a view of its own
        self._view: Queries[Any] | None = None

    async def __aenter__(self) -> Self:
        collections = self._collection._collections  # noqa: SLF001 - see above
        collections.gate.check()
        typed, history = self._collection._typed, self._collection._history  # noqa: SLF001
        try:
            view = collections.on(await self._moment.begin(), None)
            self._view = Queries(self._collection.name, typed, view, history)
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

    def walk(self) -> AsyncIterator[Row]:
        """The rows from the first on. Raises InvalidValue for a document without fields."""

        def row(key: str, document: Any, entry: Entry[Any]) -> Row:
            if type(document) is not dict:
                raise InvalidValue(
                    f"a row of a table has named fields; found a {type(document).__name__} under "
                    f"the key {key[:80]!r}. Leave such documents out by a condition",
                    type=type(document).__name__,
                )
            return key, document, len(entry.stored)

        return self._walk(row)

    def values(self) -> AsyncIterator[tuple[str, Any, datetime | None]]:
        """The keys, the plain documents, whatever they are, and when these expire."""
        return self._walk(lambda key, document, entry: (key, document, entry.metadata.expires_at))

    def _walk(self, make: Callable[[str, Any, Entry[Any]], R]) -> AsyncIterator[R]:
        assert self._view is not None, "used in an async with"
        select = self._query.select
        kept = None if select is None else compile_select(select)

        def made(found: tuple[str, Any, Entry[Any]]) -> R:
            key, document, entry = found
            # What was found of a document may be only what the query looks at.
            return make(key, entry.value if kept is None else kept(document), entry)

        return Results(self._view._begin(self._query, self._hint), made)  # noqa: SLF001


class Writer:
    """Writes rows into a collection, some of them in each commit.

    Used in an `async with`, whose end commits the last of them. What was committed before a row
    that is refused stays there, and the error says how much that is.

    Args:
        collection: where to.
        commit_rows: how many rows one commit takes at most.
        modified_by, comment: who and why.

    Attributes:
        accepted: how many rows were given and not refused.
        written: how many rows are committed.

    Raises:
        InvalidInput: `commit_rows` is out of its range.
    """

    def __init__(self, collection: Collection[Any], commit_rows: int, **options: Any) -> None:
        if not isinstance(commit_rows, int) or not 1 <= commit_rows <= COMMIT_ROWS_MAX:
            raise InvalidInput(
                f"commit_rows is an int from 1 to {COMMIT_ROWS_MAX}; found {commit_rows!r}",
                limit=COMMIT_ROWS_MAX,
            )
        self._collection = collection
        self._commit_rows = commit_rows
        self._author = (options.get("modified_by"), options.get("comment"))
        self._typed = collection._typed  # noqa: SLF001 - values are made as it makes them
        self._ids = collection._collections.components.ids  # noqa: SLF001
        self._waiting: dict[str, tuple[Any, WriteOptions]] = {}
        self._usual = write_options(*self._author, None, None, None, None)
        self._weight = 0
        self.accepted = self.written = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.flush()
        except StoreError as failure:
            raise self._told(failure) from failure.__cause__
        if isinstance(error, StoreError):
            self._told(error)

    def _told(self, error: StoreError) -> StoreError:
        """The error, saying how much of the import is there."""
        there = f"the first {self.written:,} rows are written" if self.written else (
            "nothing is written"
        )  # fmt: skip
        error.message = f"{error.message}. Of this import {there}"
        error.details = error.details | {"written": self.written}
        return error

    async def add(
        self,
        key: str | None,
        document: Any,
        weight: int = 0,
        expires_at: datetime | None = None,
    ) -> None:
        """One more row.

        Args:
            key: which; None: a new one, which sorts by when it was made.
            document: plain.
            weight: about how many bytes it holds.
            expires_at: an aware instant; None: it stays.

        Raises:
            InvalidKey, InvalidValue, SchemaValidationFailed: it cannot be stored.
        """
        key = self._ids.new().hex() if key is None else key
        if key in self._waiting or self._weight + weight > BATCH_BYTES_MAX:
            await self.flush()
        options = self._usual
        if expires_at is not None:
            options = write_options(*self._author, None, None, expires_at, None)
        self._waiting[key] = self._typed.from_plain(document), options
        self._weight += weight
        self.accepted += 1
        if len(self._waiting) >= self._commit_rows:
            await self.flush()

    async def flush(self) -> None:
        """Commit what waits."""
        waiting, self._waiting, self._weight = self._waiting, {}, 0
        if not waiting:
            return
        try:
            await self._commit(waiting)
        except StoreError as error:
            raise blamed(error, f"{self.written + 1} to {self.written + len(waiting)}") from error
        self.written += len(waiting)

    async def _commit(self, waiting: dict[str, tuple[Any, WriteOptions]]) -> None:
        # As `set_many` does, with options for each.
        collection = self._collection
        storage = await collection._require()  # noqa: SLF001
        steps = []
        for key, (value, options) in waiting.items():
            put = await collection._put(storage, value, options)  # noqa: SLF001
            steps.append(Step(key, partial(_decided, put), options))
        values = {key: value for key, (value, _) in waiting.items()}
        await collection._transact(storage, steps, values)  # noqa: SLF001


def _decided(put: Put, _entry: Entry[Any] | None) -> Put:
    return put


def blamed(error: StoreError, rows: int | str) -> StoreError:
    """The error, saying which rows are to blame, counted from 1."""
    if "row" not in error.details:
        error.message = f"row {rows}: {error.message}"
        error.details = error.details | {"row": rows}
    return error
