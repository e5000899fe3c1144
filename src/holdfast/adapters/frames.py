"""Collections as frames of pandas and Polars, and frames into collections.

They pass through Arrow, with its types: a frame of pandas has `ArrowDtype` columns, so that ints
beside nulls stay ints. A frame is held in memory; `arrow_stream` is read batch by batch.
"""

from __future__ import annotations

from typing import Any

from holdfast.adapters.arrow import from_arrow, to_arrow
from holdfast.adapters.columns import Missing
from holdfast.adapters.handles import either
from holdfast.adapters.incoming import Nulls
from holdfast.adapters.requirement import requires
from holdfast.adapters.rows import COMMIT_ROWS
from holdfast.contract.errors import InvalidInput
from holdfast.documents.collection import Collection


@either
async def to_pandas(
    collection: Collection[Any],
    query: Any = None,
    *,
    key: str | None = "key",
    missing: Missing = "keep",
    hint: str | None = None,
) -> Any:
    """The documents that a query finds as a `pandas.DataFrame`; see `to_arrow`.

    With a collection of `holdfast.sync` nothing is awaited.
    """
    with requires("pandas>=2.2", "pyarrow>=20"):
        import pandas as pd
    table = await to_arrow(collection, query, key=key, missing=missing, hint=hint)
    return table.to_pandas(types_mapper=pd.ArrowDtype)


@either
async def from_pandas(
    collection: Collection[Any],
    frame: Any,
    *,
    key: str | None = "key",
    nulls: Nulls = "null",
    commit_rows: int = COMMIT_ROWS,
    modified_by: str | int | None = None,
    comment: str | None = None,
) -> int:
    """Write the rows of a `pandas.DataFrame` as documents; how many. See `from_arrow`.

    NaN is a null, as everywhere in pandas. The index is left out, unless it has a name: then it is
    a column. A column of objects of several types is refused.
    """
    with requires("pandas>=2.2", "pyarrow>=20"):
        import pandas as pd
        import pyarrow as pa
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInput(f"a pandas.DataFrame was wanted; found a {type(frame).__name__}")
    named = all(name is not None for name in frame.index.names)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=named)
    except (pa.ArrowException, TypeError) as error:
        # Without the library's own words, which show values.
        raise InvalidInput(
            "a column of a frame holds values of one type; found one with several, or with "
            "objects. Convert it first, such as frame.convert_dtypes()"
        ) from error
    return await from_arrow(
        collection, table, key=key, nulls=nulls, commit_rows=commit_rows,
        modified_by=modified_by, comment=comment,
    )  # fmt: skip


@either
async def to_polars(
    collection: Collection[Any],
    query: Any = None,
    *,
    key: str | None = "key",
    missing: Missing = "keep",
    hint: str | None = None,
) -> Any:
    """The documents that a query finds as a `polars.DataFrame`; see `to_arrow`.

    With a collection of `holdfast.sync` nothing is awaited.
    """
    with requires("polars>=1.30", "pyarrow>=20"):
        import polars as pl
    table = await to_arrow(collection, query, key=key, missing=missing, hint=hint)
    return pl.DataFrame(table)


@either
async def from_polars(
    collection: Collection[Any],
    frame: Any,
    *,
    key: str | None = "key",
    nulls: Nulls = "null",
    commit_rows: int = COMMIT_ROWS,
    modified_by: str | int | None = None,
    comment: str | None = None,
) -> int:
    """Write the rows of a `polars.DataFrame` as documents; how many. See `from_arrow`.

    NaN is no null in Polars, and is refused: `fill_nan(None)` makes it one.
    """
    with requires("polars>=1.30", "pyarrow>=20"):
        import polars as pl
    if not isinstance(frame, pl.DataFrame):
        raise InvalidInput(
            f"a polars.DataFrame was wanted; found a {type(frame).__name__}. Collect a lazy one"
        )
    return await from_arrow(
        collection, frame, key=key, nulls=nulls, commit_rows=commit_rows,
        modified_by=modified_by, comment=comment,
    )  # fmt: skip
