"""Collections as Arrow tables, and Arrow data into collections.

    table = await to_arrow(cities, F.population > 1_000_000)
    await from_arrow(cities, table, key="name")

With a collection of `holdfast.sync` the same calls return their results themselves, and
`arrow_stream` gives what any library takes that knows the Arrow C stream: pandas, Polars, DuckDB.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from functools import partial
from types import ModuleType
from typing import Any, Final

from holdfast.adapters.columns import Missing, Place, checked_missing
from holdfast.adapters.dialects import checked_text
from holdfast.adapters.files import offload
from holdfast.adapters.handles import collection_of, either
from holdfast.adapters.incoming import Nulls, incoming
from holdfast.adapters.requirement import requires
from holdfast.adapters.rows import BATCH_BYTES_MAX, BATCH_ROWS, COMMIT_ROWS, Row, Rows
from holdfast.contract.errors import InvalidInput, InvalidValue
from holdfast.documents.collection import Collection
from holdfast.runtime.drive import DrivenIterator
from holdfast.sync.documents import Collection as SyncCollection

#: The most rows of one batch.
BATCH_ROWS_MAX: Final = 1_000_000


@either
async def to_arrow(
    collection: Collection[Any],
    query: Any = None,
    *,
    key: str | None = "key",
    schema: Any = None,
    missing: Missing = "keep",
    hint: str | None = None,
) -> Any:
    """The documents that a query finds as a `pyarrow.Table`, all of one moment.

    They are read twice, first for the types of the columns, unless a schema says them.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        query: a condition such as `F.age >= 18`, its text or JSON form, or a whole `Query`, with
            order, limit and select; None: every document.
        key: the name of the column with the keys; None: there is none.
        schema: a `pyarrow.Schema` of the columns wanted; other fields are left out.
        missing: `keep` refuses what Arrow's one null cannot tell apart; `null` makes missing
            fields null.
        hint: the index to use.

    Raises:
        InvalidValue: the values of a field fit no column; the message names the field.
        InvalidInput: a document has a field of the name that the keys were to have.
        InvalidQuery, PatternInvalid: the query is malformed.
        DriverMissing: pyarrow is not installed.
    """
    export = Export(collection, query, key, schema, missing, hint, BATCH_ROWS)

    async with export.rows as rows:
        found = await export.schema(rows)
        batches = [batch async for batch in export.batches(rows, found)]
    return export.arrow.Table.from_batches(batches, found)


def arrow_stream(
    collection: SyncCollection[Any],
    query: Any = None,
    *,
    key: str | None = "key",
    schema: Any = None,
    missing: Missing = "keep",
    hint: str | None = None,
    batch_rows: int = BATCH_ROWS,
) -> ArrowStream:
    """The same batch by batch, for whatever takes an Arrow C stream; see `to_arrow`.

    Args:
        collection: of `holdfast.sync`, because a stream is read without `await`.
        query, key, schema, missing, hint: as of `to_arrow`.
        batch_rows: how many rows a batch has at most; it also ends at 16 MiB of documents.
    """
    if not isinstance(collection, SyncCollection):
        raise InvalidInput(
            "an Arrow stream is read without await and needs a collection of holdfast.sync; found "
            f"a {type(collection).__name__}. Use to_arrow, or open with holdfast.sync.open"
        )
    return ArrowStream(Export(collection, query, key, schema, missing, hint, batch_rows))


class ArrowStream:
    """Documents as a stream of record batches; read anew, and as of then, each time.

    Made by `arrow_stream`. At most one batch is in memory at a time.
    """

    def __init__(self, export: Export) -> None:
        self._export = export

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The stream as a PyCapsule of the Arrow C stream interface."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def reader(self) -> Any:
        """The stream as a `pyarrow.RecordBatchReader`; close it, or read it to its end."""
        export = self._export
        found: list[Any] = []

        async def steps() -> AsyncGenerator[Any, None]:
            async with export.rows as rows:
                schema = await export.schema(rows)
                found.append(schema)
                yield schema
                async for batch in export.batches(rows, schema):
                    yield batch

        walk: Iterator[Any] = DrivenIterator(steps())
        schema = next(walk)
        return export.arrow.RecordBatchReader.from_batches(schema, walk)


class Export:
    """How documents are made into batches."""

    def __init__(
        self,
        collection: Collection[Any] | SyncCollection[Any],
        query: Any,
        key: str | None,
        schema: Any,
        missing: Missing,
        hint: str | None,
        batch_rows: int,
    ) -> None:
        with requires("pyarrow>=20"):
            import pyarrow as pa
        self.arrow: ModuleType = pa
        if (
            not isinstance(batch_rows, int)
            or isinstance(batch_rows, bool)
            or not 1 <= batch_rows <= BATCH_ROWS_MAX
        ):
            raise InvalidInput(
                f"batch_rows is an int from 1 to {BATCH_ROWS_MAX}; found {batch_rows!r}",
                limit=BATCH_ROWS_MAX,
            )
        if schema is not None and not isinstance(schema, self.arrow.Schema):
            raise InvalidInput(f"schema is a pyarrow.Schema; found a {type(schema).__name__}")
        self._collection = collection_of(collection)
        self._query, self._hint = query, hint
        self._key = None if key is None else checked_text("key", key)
        self._wanted = schema
        self._missing = checked_missing(missing)
        self._batch_rows = batch_rows
        self.rows  # noqa: B018 - what is malformed is refused before anything is read

    @property
    def rows(self) -> Rows:
        """The documents, of a moment that begins when they are entered."""
        return Rows(self._collection, self._query, self._hint)

    async def schema(self, rows: Rows) -> Any:
        """The columns: as wanted, or of what all of the documents hold."""
        arrow, name = self.arrow, self._key
        if self._wanted is not None:
            if name is None or name in self._wanted.names:
                return self._wanted
            return self._wanted.insert(0, arrow.field(name, arrow.string(), nullable=False))
        seen = Place()
        async for _, document, _ in rows.walk():
            seen.see(document, "")
        fields = seen.struct(arrow, "", self._missing)
        if name is not None:
            if name in seen.fields:
                raise InvalidInput(
                    f"the column {name!r} is that of the keys; found a field of that name. Name "
                    "another with key=, or None for no column of keys"
                )
            fields.insert(0, arrow.field(name, arrow.string(), nullable=False))
        return arrow.schema(fields)

    async def batches(self, rows: Rows, schema: Any) -> AsyncGenerator[Any, None]:
        """The documents as record batches of that schema."""
        waiting: list[Row] = []
        weight = 0
        async for row in rows.walk():
            if waiting and weight + row[2] > BATCH_BYTES_MAX:
                yield await self._offloaded(waiting, schema)
                waiting, weight = [], 0
            waiting.append(row)
            weight += row[2]
            if len(waiting) == self._batch_rows:
                yield await self._offloaded(waiting, schema)
                waiting, weight = [], 0
        if waiting:
            yield await self._offloaded(waiting, schema)

    async def _offloaded(self, rows: list[Row], schema: Any) -> Any:
        return await offload(self._collection, partial(self._batch, rows, schema))

    def _batch(self, rows: list[Row], schema: Any) -> Any:
        arrow = self.arrow
        columns = []
        for field in schema:
            if field.name == self._key:
                values: list[Any] = [key for key, _, _ in rows]
            else:
                values = [document.get(field.name) for _, document, _ in rows]
            try:
                columns.append(arrow.array(values, field.type))
            except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
                # Without the library's own words, which show values.
                raise InvalidValue(
                    f"the column {field.name!r} is of the type {field.type}; found values that do "
                    "not fit. Give another schema, or leave it out"
                ) from error
        return arrow.RecordBatch.from_arrays(columns, schema=schema)


@either
async def from_arrow(
    collection: Collection[Any],
    data: Any,
    *,
    key: str | None = "key",
    nulls: Nulls = "null",
    commit_rows: int = COMMIT_ROWS,
    modified_by: str | int | None = None,
    comment: str | None = None,
) -> int:
    """Write the rows of Arrow data as documents; how many.

    Rows are written some at a time, each time as one commit. What was committed before a row that
    is refused stays there.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        data: a table or whatever else has an Arrow C stream: of pyarrow, pandas, Polars, DuckDB.
        key: the column of the keys, which is no field of the documents; None: keys are made.
        nulls: what a null becomes: `null`, or `missing`; of a column that says itself that its
            nulls are missing fields, they are.
        commit_rows: how many rows one commit takes at most.
        modified_by, comment: who and why.

    Raises:
        InvalidInput: a column is of a type that documents do not have, or no column has the keys.
        InvalidValue: a value cannot be stored without loss; the message names the column.
        SchemaValidationFailed, InvalidKey: a row does not fit the type of the collection.
        DriverMissing: pyarrow is not installed.
    """
    return await incoming(
        collection, data, key, nulls, commit_rows, modified_by=modified_by, comment=comment
    )


__all__ = ["ArrowStream", "arrow_stream", "from_arrow", "to_arrow"]
