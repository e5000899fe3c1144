"""Collections as Parquet files, and Parquet files into collections, batch by batch."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import Any, Final

from holdfast.adapters.arrow import Export
from holdfast.adapters.columns import Missing
from holdfast.adapters.files import held, offload, path_of, replaced
from holdfast.adapters.handles import either
from holdfast.adapters.incoming import Nulls, incoming
from holdfast.adapters.requirement import requires
from holdfast.adapters.rows import BATCH_ROWS, COMMIT_ROWS
from holdfast.contract.errors import InvalidInput, InvalidValue
from holdfast.documents.collection import Collection

#: What a file may be compressed with.
COMPRESSIONS: Final = ("none", "snappy", "gzip", "zstd", "lz4", "brotli")


@either
async def to_parquet(
    collection: Collection[Any],
    path: str | PathLike[str],
    query: Any = None,
    *,
    key: str | None = "key",
    schema: Any = None,
    missing: Missing = "keep",
    hint: str | None = None,
    batch_rows: int = BATCH_ROWS,
    compression: str = "zstd",
) -> int:
    """Write the documents that a query finds into a Parquet file; how many.

    The file is there when all of it was written, and not before.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        path: of the file; one that is there is replaced.
        query, key, schema, missing, hint: as of `to_arrow`.
        batch_rows: how many rows are in memory at a time, and in a row group.
        compression: `none`, `snappy`, `gzip`, `zstd`, `lz4` or `brotli`.

    Raises:
        InvalidValue: the values of a field fit no column; the message names the field.
        InvalidInput, InvalidQuery, PatternInvalid, DriverMissing: as of `to_arrow`.
        OSError: the file cannot be written.
    """
    with requires("pyarrow>=20"):
        from pyarrow import parquet
    if compression not in COMPRESSIONS:
        raise InvalidInput(
            f"compression is one of {', '.join(COMPRESSIONS)}; found {str(compression)[:80]!r}"
        )
    export = Export(collection, query, key, schema, missing, hint, batch_rows)
    written = 0
    with replaced(path, collection) as beside:
        async with export.rows as rows:
            found = await export.schema(rows)
            _check_structs(export.arrow, found)
            with parquet.ParquetWriter(beside, found, compression=compression) as writer:
                async for batch in export.batches(rows, found):
                    await offload(collection, partial(writer.write_batch, batch))
                    written += batch.num_rows
    return written


@either
async def from_parquet(
    collection: Collection[Any],
    path: str | PathLike[str],
    *,
    key: str | None = "key",
    nulls: Nulls = "null",
    commit_rows: int = COMMIT_ROWS,
    modified_by: str | int | None = None,
    comment: str | None = None,
) -> int:
    """Write the rows of a Parquet file as documents; how many.

    Args:
        collection: with one of `holdfast.sync` nothing is awaited.
        path: of the file.
        key, nulls, commit_rows, modified_by, comment: as of `from_arrow`.

    Raises:
        InvalidInput: it is no Parquet file; and as of `from_arrow`.
        InvalidValue, SchemaValidationFailed, InvalidKey, DriverMissing: as of `from_arrow`.
        OSError: the file cannot be read.
    """
    with requires("pyarrow>=20"):
        import pyarrow as pa
        from pyarrow import parquet

    file_path = path_of(path)

    def open_file() -> Any:
        try:
            return parquet.ParquetFile(file_path)
        except pa.ArrowInvalid as error:
            raise InvalidInput(
                "a Parquet file was wanted; found another one, or a damaged one"
            ) from error

    async with held(collection, open_file) as file:
        batches = file.iter_batches(batch_size=BATCH_ROWS)
        reader = pa.RecordBatchReader.from_batches(file.schema_arrow, batches)
        return await incoming(
            collection, reader, key, nulls, commit_rows, modified_by=modified_by, comment=comment
        )


def _check_structs(arrow: Any, schema: Any) -> None:
    """Refuse what Arrow can hold and Parquet cannot: a mapping that never has a field."""
    for field in schema:
        if _has_empty_struct(arrow, field.type):
            raise InvalidValue(
                f"Parquet has no mappings without fields; found {{}} in the column {field.name!r}, "
                "and nothing else. Leave the column out with select"
            )


def _has_empty_struct(arrow: Any, type: Any) -> bool:
    inner = [type.field(at).type for at in range(type.num_fields)]
    return (arrow.types.is_struct(type) and not inner) or any(
        _has_empty_struct(arrow, one) for one in inner
    )
