"""Collections as Arrow data and back: each value exactly, or refused by name."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings

import holdfast
import holdfast.sync
from holdfast.adapters import columns
from holdfast.adapters.arrow import arrow_stream, from_arrow, to_arrow
from holdfast.contract.errors import (
    DuplicateKey,
    InvalidInput,
    InvalidKey,
    InvalidQuery,
    InvalidValue,
    SchemaValidationFailed,
    SerializationFailed,
    StoreClosed,
    StoreError,
)
from holdfast.documents.query import F
from holdfast.documents.query.query import Query
from holdfast.documents.walking import Moment
from tests.adapters.samples import DOCUMENTS, documents, same


def filled(db: holdfast.sync.Database, name: str = "all") -> Any:
    collection = db.collection(name)
    collection.set_many(DOCUMENTS)
    return collection


def test_every_type_comes_back_equal(db: holdfast.sync.Database) -> None:
    table = to_arrow(filled(db))
    assert str(table.schema.field("number").type) == "int64"
    assert str(table.schema.field("big").type) == "uint64"
    assert str(table.schema.field("half").type) == "double"
    assert str(table.schema.field("at").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("bytes").type) == "binary"
    assert table.schema.field("key").nullable is False
    back = db.collection("back")
    assert from_arrow(back, table) == len(DOCUMENTS)
    assert dict(back.entries()) == DOCUMENTS


def test_awaited_on_a_handle_with_a_loop() -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            await db.collection("all").set_many(DOCUMENTS)
            table = await to_arrow(db.collection("all"), "number >= 0", key=None)
            assert table.num_rows == 15
            assert await from_arrow(db.collection("back"), table, key=None) == 15
            assert await db.collection("back").count() == 15

    asyncio.run(work())


@settings(max_examples=60)
@given(documents)
def test_any_documents_come_back_equal_or_are_refused(several: list[dict[str, Any]]) -> None:
    with holdfast.sync.open("memory://") as db:
        collection = db.collection("all")
        collection.set_many({str(at): one for at, one in enumerate(several)})
        try:
            table = to_arrow(collection)
        except InvalidValue:
            return
        from_arrow(db.collection("back"), table)
        back = dict(db.collection("back").entries())
        assert same(back, {str(at): one for at, one in enumerate(several)})


def test_missing_and_null_are_told_apart_or_refused(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    collection.set_many({"a": {"x": None, "in": {"y": None}}, "b": {"in": {"y": 1}}})
    with pytest.raises(InvalidValue, match="found x both missing and null"):
        to_arrow(collection)
    assert to_arrow(collection, missing="null").column("x").null_count == 2
    collection.set("a", {"x": 1, "in": {}})
    with pytest.raises(InvalidInput, match="missing is 'keep' or 'null'"):
        to_arrow(collection, missing="drop")  # type: ignore[call-overload]
    table = to_arrow(collection)
    back = db.collection("back")
    from_arrow(back, table)
    assert back.get("b") == {"in": {"y": 1}}
    assert back.get("a") == {"x": 1, "in": {}}
    from_arrow(back, pa.table({"key": ["c"], "x": pa.array([None], pa.int64())}))
    assert back.get("c") == {"x": None}
    from_arrow(back, pa.table({"key": ["c"], "x": pa.array([None], pa.int64())}), nulls="missing")
    assert back.get("c") == {}


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({"x": 1}, {"x": "1"}, "int and str in x"),
        ({"x": True}, {"x": 1}, "bool and int in x"),
        ({"x": {"y": [1]}}, {"x": {"y": [b"1"]}}, r"int and bytes in x.y\[\]"),
        ({"x": [1]}, {"x": {"y": 1}}, "list and dict in x"),
        ({"x": 2**53 + 1}, {"x": 0.5}, r"2\*\*53; found a bigger one in x"),
        ({"x": -1}, {"x": 2**64 - 1}, "some in x that fit neither"),
    ],
)
def test_values_that_fit_no_column_are_named(
    first: dict[str, Any], second: dict[str, Any], named: str
) -> None:
    with holdfast.sync.open("memory://") as db:
        collection = db.collection("all")
        collection.set_many({"a": first, "b": second})
        with pytest.raises(InvalidValue, match=named):
            to_arrow(collection)
        with pytest.raises(InvalidValue, match=named):
            arrow_stream(collection).reader()


def test_documents_without_fields_and_names_without_end_are_refused(
    db: holdfast.sync.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = db.collection("all")
    collection.set_many({"a": {"x": 1}, "b": 7})
    with pytest.raises(InvalidValue, match="found a int under the key 'b'"):
        to_arrow(collection)
    monkeypatch.setattr(columns, "FIELDS_MAX", 3)
    collection.set("b", {"in": {str(number): number for number in range(4)}})
    with pytest.raises(InvalidValue, match="at most 3 fields in one place; found more in in"):
        to_arrow(collection)


def test_a_query_says_what_and_in_which_order(db: holdfast.sync.Database) -> None:
    collection = filled(db)
    wanted = Query.of(F.number >= 0, order_by="-number", limit=2, select=["number", "inside.deep"])
    table = to_arrow(collection, wanted, key="id")
    assert table.column_names == ["id", "inside", "number"]
    assert table.column("number").to_pylist() == [14, 13]
    assert table.column("id").to_pylist() == ["k19", "k18"]
    assert to_arrow(collection, F.number >= 14).num_rows == 1
    assert to_arrow(collection, "number > 100").num_rows == 0
    with pytest.raises(InvalidQuery):
        to_arrow(collection, "number >")
    with pytest.raises(InvalidInput, match="the column 'number' is that of the keys"):
        to_arrow(collection, key="number")


def test_a_schema_chooses_columns_and_types(db: holdfast.sync.Database) -> None:
    collection = filled(db)
    schema = pa.schema([("number", pa.int8()), ("absent", pa.string())])
    table = to_arrow(collection, schema=schema)
    assert table.schema.names == ["key", "number", "absent"]
    assert table.column("absent").null_count == len(DOCUMENTS)
    with pytest.raises(InvalidValue, match="the column 'big' is of the type int8") as error:
        to_arrow(collection, schema=pa.schema([("big", pa.int8())]))
    assert str(2**63) not in str(error.value)
    with pytest.raises(InvalidInput, match=r"schema is a pyarrow.Schema; found a dict"):
        to_arrow(collection, schema={})


def test_a_stream_holds_one_batch_at_a_time(db: holdfast.sync.Database) -> None:
    collection = filled(db)
    stream = arrow_stream(collection, batch_rows=7)
    assert [batch.num_rows for batch in stream.reader()] == [7, 7, 6]
    assert pa.table(stream).equals(to_arrow(collection))
    assert pa.table(stream).num_rows == 20  # Read anew.
    for wrong in (0, 1.5, 10**9):
        with pytest.raises(InvalidInput, match="batch_rows is an int from 1"):
            arrow_stream(collection, batch_rows=wrong)  # type: ignore[arg-type]


def test_a_batch_ends_at_its_bytes(
    db: holdfast.sync.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = db.collection("all")
    collection.set_many({str(number): {"x": "y" * 1000} for number in range(10)})
    monkeypatch.setattr("holdfast.adapters.arrow.BATCH_BYTES_MAX", 3500)
    assert [batch.num_rows for batch in arrow_stream(collection).reader()] == [3, 3, 3, 1]


def test_a_stream_is_of_one_moment(db: holdfast.sync.Database) -> None:
    collection = filled(db)
    reader = arrow_stream(collection, batch_rows=5).reader()
    first = reader.read_next_batch()
    collection.set("k19", {"number": "now a text", "new": 1})
    collection.delete("k18")
    rest = reader.read_all()
    assert first.num_rows + rest.num_rows == 20
    assert rest.column("number").to_pylist()[-1] == 14


def test_a_stream_left_early_lets_go_of_its_moment(db: holdfast.sync.Database) -> None:
    collection = filled(db)
    taken, ended = [0], [0]
    begin, end = Moment.begin, Moment.end

    async def counted(self: Moment) -> Any:
        taken[0] += 1
        return await begin(self)

    def counted_end(self: Moment) -> None:
        ended[0] += self._snapshot is not None
        end(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Moment, "begin", counted)
        patch.setattr(Moment, "end", counted_end)
        reader = arrow_stream(collection, batch_rows=5).reader()
        reader.read_next_batch()
        assert ended == [0]
        del reader
        assert ended == [1]


def test_a_stream_wants_a_handle_that_is_read_without_await() -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            with pytest.raises(InvalidInput, match=r"needs a collection of holdfast\.sync"):
                arrow_stream(db.collection("all"))  # type: ignore[arg-type]

    asyncio.run(work())
    with pytest.raises(InvalidInput, match="a collection was wanted"):
        to_arrow({})  # type: ignore[call-overload]


def test_transactions_and_snapshots_are_read_as_they_see(db: holdfast.sync.Database) -> None:
    filled(db)
    with db.transaction() as transaction:
        transaction.collection("all").delete("k00")
        assert to_arrow(transaction.collection("all")).num_rows == 19
        from_arrow(transaction.collection("new"), pa.table({"key": ["a"], "x": [1]}))
    assert db.collection("new").get("a") == {"x": 1}
    with db.snapshot() as view:
        db.collection("all").delete("k01")
        assert to_arrow(view.collection("all")).num_rows == 19
    assert to_arrow(db.collection("nothing")).num_rows == 0


@dataclass
class City:
    name: str
    population: int


def test_rows_become_documents_of_the_type(db: holdfast.sync.Database) -> None:
    cities = db.collection("cities", type=City)
    from_arrow(cities, pa.table({"key": ["a"], "name": ["A"], "population": [1]}))
    assert cities.get("a") == City("A", 1)
    wrong = pa.table({"key": ["b", "c"], "name": ["B", "C"], "population": ["x", "y"]})
    with pytest.raises(SchemaValidationFailed, match="row 1:"):
        from_arrow(cities, wrong)
    assert cities.size() == 1


def test_what_was_committed_before_a_refused_row_stays(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    table = pa.table({"key": ["a", "b", "c", "d"], "x": [1.0, 2.0, float("nan"), 4.0]})
    with pytest.raises(SerializationFailed, match=r"rows? 3 to 4"):
        from_arrow(collection, table, commit_rows=2)
    assert sorted(collection.keys()) == ["a", "b"]
    with pytest.raises(SerializationFailed, match="first 2 rows are written") as error:
        from_arrow(collection, table, commit_rows=2)
    assert error.value.details["written"] == 2
    with pytest.raises(SerializationFailed, match="Of this import nothing is written"):
        from_arrow(collection, table)
    with pytest.raises(InvalidInput, match="commit_rows is an int from 1"):
        from_arrow(collection, table, commit_rows=0)


def test_keys_are_texts_and_may_be_made(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    with pytest.raises(InvalidInput, match="a column 'key' with the keys was wanted"):
        from_arrow(collection, pa.table({"x": [1]}))
    with pytest.raises(InvalidKey, match=r"row 2: .* found a NoneType"):
        from_arrow(collection, pa.table({"key": ["a", None], "x": [1, 2]}))
    with pytest.raises(InvalidKey, match=r"row 1: .* found a int in the column 'x'"):
        from_arrow(collection, pa.table({"x": [1]}), key="x")
    assert from_arrow(collection, pa.table({"x": [3, 1, 2]}), key=None) == 3
    assert [one["x"] for one in collection.values()] == [3, 1, 2]  # New keys sort by their time.


INSTANT = datetime(2025, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None], pa.int8()), [1, None]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([0.5], pa.float32()), [0.5]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array([b"ab"], pa.binary(2)), [b"ab"]),
        (pa.array([[1, 2]], pa.list_(pa.int32(), 2)), [[1, 2]]),
        (pa.array([[1], None], pa.large_list(pa.int32())), [[1], None]),
        (pa.array([INSTANT], pa.timestamp("s", "Europe/Berlin")), [INSTANT]),
        (pa.array([INSTANT], pa.timestamp("ns", "UTC")), [INSTANT]),
        (pa.array([None, None]), [None, None]),
        (pa.array([{"a": {"b": [None]}}]), [{"a": {"b": [None]}}]),
        (pa.array([INSTANT, None], pa.timestamp("us", "UTC")).dictionary_encode(), [INSTANT, None]),
    ],
    ids=lambda one: str(one.type) if isinstance(one, pa.Array) else "",
)
def test_types_that_documents_have_are_taken(column: Any, expected: list[Any]) -> None:
    with holdfast.sync.open("memory://") as db:
        from_arrow(db.collection("all"), pa.table({"x": column}), key=None)
        assert [one["x"] for one in db.collection("all").values()] == expected


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (pa.array([1], pa.timestamp("us")), r"timestamp\[us\]; .* column x: give it a time zone"),
        (pa.array([1], pa.date32()), "date32"),
        (pa.array([1], pa.duration("s")), "duration"),
        (pa.array([1], pa.decimal128(5)), r"decimal128\(5, 0\)"),
        (pa.array([{"a": 1}], pa.struct([("a", pa.time32("s"))])), r"column x\.a: cast it"),
        (pa.array([[1]], pa.list_(pa.date64())), r"column x\[\]"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "map<string, int8>"),
    ],
    ids=lambda one: str(one.type) if isinstance(one, pa.Array) else "",
)
def test_types_that_documents_have_not_are_named(column: Any, named: str) -> None:
    with holdfast.sync.open("memory://") as db:
        with pytest.raises(InvalidInput, match=named):
            from_arrow(db.collection("all"), pa.table({"x": column}), key=None)
        assert db.collection("all").size() == 0


def test_an_instant_finer_than_microseconds_is_refused(db: holdfast.sync.Database) -> None:
    column = pa.array([1_000_001], pa.timestamp("ns", "UTC"))
    with pytest.raises(InvalidValue, match=r"the column 'x' .* without loss"):
        from_arrow(db.collection("all"), pa.table({"x": column}), key=None)


def test_columns_of_nothing_stay_what_they_are_at_each_depth(db: holdfast.sync.Database) -> None:
    documents = {
        "a": {"n": None, "l": [], "ll": [[]], "d": {"n": None, "l": []}, "e": {}},
        "b": {"n": None, "l": [], "ll": [], "d": {"n": None, "l": []}, "e": {}},
    }
    collection = db.collection("all")
    collection.set_many(documents)
    from_arrow(db.collection("back"), to_arrow(collection))
    assert dict(db.collection("back").entries()) == documents


def test_what_is_no_arrow_data_is_refused(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    with pytest.raises(InvalidInput, match="Arrow data was wanted"):
        from_arrow(collection, [{"key": "a"}])
    with pytest.raises(InvalidInput, match="nulls is 'null' or 'missing'"):
        from_arrow(collection, pa.table({"key": ["a"]}), nulls="")  # type: ignore[call-overload]
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(InvalidInput, match="found 'x' twice"):
        from_arrow(collection, twice, key=None)
    batch = pa.record_batch({"key": ["a"], "x": [1]})
    assert from_arrow(collection, batch, modified_by="ada", comment="why") == 1
    found = collection.find("a")
    assert found is not None
    assert (found.metadata.modified_by, found.metadata.comment) == ("ada", "why")


def test_a_closed_database_says_so() -> None:
    with holdfast.sync.open("memory://") as db:
        collection = filled(db)
    with pytest.raises(StoreClosed):
        to_arrow(collection)
    with pytest.raises(StoreError):
        from_arrow(collection, pa.table({"key": ["a"]}))


def test_handlers_have_their_say_and_are_told(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    told: list[str] = []

    def refuse(key: str, value: Any) -> None:
        if value["x"] < 0:
            raise ValueError("x is 0 or more")

    collection.on("before:set", refuse)
    collection.on("change", lambda changes: told.extend(one.key for one in changes))
    from_arrow(collection, pa.table({"key": ["a", "b"], "x": [1, 2]}))
    assert told == ["a", "b"]
    with pytest.raises(ValueError, match="x is 0 or more"):
        from_arrow(collection, pa.table({"key": ["c", "d"], "x": [1, -1]}))
    assert sorted(collection.keys()) == ["a", "b"]


def test_a_unique_value_that_is_taken_refuses_its_rows(db: holdfast.sync.Database) -> None:
    collection = db.collection("all")
    collection.create_index("x", "x", unique=True)
    with pytest.raises(DuplicateKey, match="row 3 to 4"):
        from_arrow(collection, pa.table({"key": list("abcd"), "x": [1, 2, 3, 1]}), commit_rows=2)
    assert sorted(collection.keys()) == ["a", "b"]
