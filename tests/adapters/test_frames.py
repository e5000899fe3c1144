"""Frames of pandas and Polars, both ways, with the types that their users have."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import polars as pl
import pytest

import holdfast
import holdfast.sync
from holdfast.adapters.arrow import arrow_stream, from_arrow
from holdfast.adapters.frames import from_pandas, from_polars, to_pandas, to_polars
from holdfast.contract.errors import InvalidInput, SerializationFailed
from tests.adapters.samples import DOCUMENTS

#: Frames have one null, so these have no field that is missing in some.
WHOLE: dict[str, dict[str, Any]] = {
    key: {name: value for name, value in document.items() if name not in ("list", "only_some")}
    for key, document in DOCUMENTS.items()
}


def test_both_ways_through_pandas(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    collection.set_many(WHOLE)
    frame = to_pandas(collection)
    assert str(frame.dtypes["maybe"]) == "int64[pyarrow]"  # Beside nulls it stays one of ints.
    assert from_pandas(db.collection("back"), frame) == 20
    assert dict(db.collection("back").entries()) == WHOLE


def test_both_ways_through_polars(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    collection.set_many(WHOLE)
    frame = to_polars(collection)
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    assert from_polars(db.collection("back"), frame) == 20
    assert dict(db.collection("back").entries()) == WHOLE
    assert pl.DataFrame(arrow_stream(collection, batch_rows=3)).equals(frame)


def test_awaited_on_a_handle_with_a_loop() -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            await db.collection("all").set_many(WHOLE)
            assert (
                await from_pandas(db.collection("a"), await to_pandas(db.collection("all"))) == 20
            )
            assert (
                await from_polars(db.collection("b"), await to_polars(db.collection("all"))) == 20
            )

    asyncio.run(work())


def test_frames_as_their_users_make_them(db: holdfast.sync.Database) -> None:
    zoned = pd.to_datetime(["2024-01-01", "2025-01-01"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame(
        {
            "number": [1.5, None],
            "text": ["a", None],
            "zoned": zoned,
            "kind": pd.Categorical(["x", "y"], categories=["unused", "y", "x"], ordered=True),
            "zoned_kind": pd.Categorical(zoned, categories=[*zoned, zoned[0] + pd.Timedelta("1D")]),
        },
        index=pd.Index(["a", "b"], name="key"),
    )
    collection = db.collection("all")
    assert from_pandas(collection, frame) == 2
    instant = datetime(2024, 12, 31, 23, tzinfo=UTC)
    assert collection.get("b") == {
        "number": None, "text": None, "zoned": instant, "kind": "y", "zoned_kind": instant,
    }  # fmt: skip
    from_pandas(collection, pd.DataFrame({"x": [1]}), key=None)  # An index without a name.
    assert [one for one in collection.values() if "x" in one] == [{"x": 1}]


def test_what_is_no_column_of_one_type_is_refused_without_its_values(
    db: holdfast.sync.Database,
) -> None:
    frame = pd.DataFrame({"key": ["a", "b"], "x": [1, "secret"]}, dtype=object)
    with pytest.raises(InvalidInput, match="values of one type") as error:
        from_pandas(db.collection("all"), frame)
    assert "secret" not in str(error.value)
    for function in (from_pandas, from_polars):
        with pytest.raises(InvalidInput, match="DataFrame was wanted; found a list"):
            function(db.collection("all"), [])
    with pytest.raises(InvalidInput, match="Collect a lazy one"):
        from_polars(db.collection("all"), pl.LazyFrame({"key": ["a"]}))


def test_nan_is_a_null_to_pandas_and_a_number_to_polars(db: holdfast.sync.Database) -> None:
    values = {"key": ["a"], "x": [float("nan")]}
    from_pandas(db.collection("all"), pd.DataFrame(values))
    assert db.collection("all").get("a") == {"x": None}
    with pytest.raises(SerializationFailed, match="NaN"):
        from_polars(db.collection("all"), pl.DataFrame(values))


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pl.Series(["a", "b"], dtype=pl.Categorical), ["a", "b"]),
        (pl.Series(["a", None], dtype=pl.Enum(["a", "z"])), ["a", None]),
        (pl.Series([[1, 2], []], dtype=pl.List(pl.Int16)), [[1, 2], []]),
        (pl.Series([[1, 2]], dtype=pl.Array(pl.UInt8, 2)), [[1, 2]]),
        (pl.Series([{"a": None}], dtype=pl.Struct({"a": pl.Boolean})), [{"a": None}]),
        (pl.Series([b"x"], dtype=pl.Binary), [b"x"]),
        (pl.Series([None], dtype=pl.Null), [None]),
        (pl.Series([1.5], dtype=pl.Float32), [1.5]),
    ],
    ids=lambda one: str(one.dtype) if isinstance(one, pl.Series) else "",
)
def test_types_of_polars(series: Any, expected: list[Any]) -> None:
    with holdfast.sync.open("memory://") as db:
        from_arrow(db.collection("all"), pl.DataFrame({"x": series}), key=None)
        assert [one["x"] for one in db.collection("all").values()] == expected


@pytest.mark.parametrize("dtype", [pl.Date, pl.Time, pl.Duration, pl.Datetime, pl.Decimal(5, 2)])
def test_types_of_polars_that_documents_have_not(dtype: Any) -> None:
    with holdfast.sync.open("memory://") as db, pytest.raises(InvalidInput, match="column x: "):
        from_polars(
            db.collection("all"), pl.DataFrame({"x": pl.Series([None], dtype=dtype)}), key=None
        )
