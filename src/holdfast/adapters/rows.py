"""Documents as rows of a table: a key, and a plain document of named fields, all of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from holdfast.contract.errors import InvalidInput, InvalidValue, StoreError
from holdfast.documents.collection import Collection
from holdfast.documents.plain import PlainReading, PlainWriting
from holdfast.records.options import WriteOptions, write_options
from holdfast.store.versions.entry import Entry

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


class Rows(PlainReading):
    """What a query finds as rows of a table."""

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

        return self.made_by(row)

    def values(self) -> AsyncIterator[tuple[str, Any, datetime | None]]:
        """The keys, the plain documents, whatever they are, and when these expire."""
        return self.made_by(lambda key, document, entry: (key, document, entry.metadata.expires_at))


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
        if (
            not isinstance(commit_rows, int)
            or isinstance(commit_rows, bool)
            or not 1 <= commit_rows <= COMMIT_ROWS_MAX
        ):
            raise InvalidInput(
                f"commit_rows is an int from 1 to {COMMIT_ROWS_MAX}; found {commit_rows!r}",
                limit=COMMIT_ROWS_MAX,
            )
        self._writing = PlainWriting(collection)
        self._commit_rows = commit_rows
        self._author = (options.get("modified_by"), options.get("comment"))
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
        key = self._writing.new_key() if key is None else key
        if key in self._waiting or self._weight + weight > BATCH_BYTES_MAX:
            await self.flush()
        options = self._usual
        if expires_at is not None:
            options = write_options(*self._author, None, None, expires_at, None)
        self._waiting[key] = self._writing.value(document), options
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
            await self._writing.commit(waiting)
        except StoreError as error:
            raise blamed(error, f"{self.written + 1} to {self.written + len(waiting)}") from error
        self.written += len(waiting)


def blamed(error: StoreError, rows: int | str) -> StoreError:
    """The error, saying which rows are to blame, counted from 1."""
    if "row" not in error.details:
        error.message = f"row {rows}: {error.message}"
        error.details = error.details | {"row": rows}
    return error
