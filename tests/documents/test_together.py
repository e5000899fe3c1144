"""New documents of a commit are taken by an index together: the rows are those of one by one."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codecs.keys import pack_text
from holdfast.contract.errors import DuplicateKey, InvalidValue
from holdfast.documents.entries import COMPONENT_BYTES_MAX
from holdfast.documents.indexes.definition import IndexDefinition, IndexField, State
from holdfast.documents.indexes.derived import TOGETHER_MAX
from holdfast.documents.indexes.writer import IndexWriter, Rows
from holdfast.documents.indexes.writers import index_rows, writer_of
from holdfast.documents.query import F
from holdfast.store.plan import Plan
from tests.documents.geo.places import LATITUDES, LONGITUDES
from tests.documents.strategies import DOCUMENTS, TEXTS
from tests.store.scene import Scene

LONG = [text * COMPONENT_BYTES_MAX for text in ("a", "ab", "é")]
#: Places in all their spellings, and what is none but has the names of one.
PLACES = st.one_of(
    st.builds(lambda lat, lon: {"lat": lat, "lon": lon}, LATITUDES, LONGITUDES),
    st.builds(lambda lat, lon: {"longitude": lon, "latitude": lat}, LATITUDES, LONGITUDES),
    st.builds(lambda lat, lon: [lon, lat], LATITUDES, LONGITUDES),
    st.sampled_from([None, {"lat": 1, "lon": 2}, {"type": "Point", "coordinates": [1.0, 2.0]}]),
    st.lists(
        st.builds(lambda lat, lon: {"lat": lat, "lng": lon}, LATITUDES, LONGITUDES), max_size=3
    ),
)
COMMON = st.fixed_dictionaries(
    {}, optional={"a": TEXTS | st.sampled_from(LONG) | st.integers() | st.floats(-9, 9), "b": TEXTS}
)
ANY: st.SearchStrategy[Any] = (
    COMMON
    | DOCUMENTS
    | COMMON.map(lambda one: {"a": one})
    | st.sampled_from([None, 5, "a", [{"a": 1}, {"a": 2}], []])
)
FIELDS = st.lists(
    st.builds(IndexField, st.sampled_from([("a",), ("b",), ("a", "b"), ("0",)]), st.booleans()),
    min_size=1,
    max_size=3,
).map(tuple)
BTREES = st.builds(
    lambda fields, sparse: writer_of(9, IndexDefinition("i", 1, "btree", fields, sparse=sparse)),
    FIELDS,
    st.booleans(),
)
SPATIAL = writer_of(9, IndexDefinition("i", 1, "geo", (IndexField(("at",)),)))


def taken(writer: IndexWriter, documents: dict[bytes, Any]) -> dict[bytes, bytes | None]:
    """What is put for new documents: together, and the others one by one."""
    plan = Plan(0)
    names, values = list(documents), list(documents.values())
    for place in writer.add(plan.rows, names, values):
        writer.change(plan, names[place], None, writer.values(values[place]), _unread)
    return plan.rows


def one_by_one(writer: IndexWriter, documents: dict[bytes, Any]) -> dict[bytes, bytes]:
    return {
        key: value
        for name, document in documents.items()
        for key, value in index_rows(writer, document, name).items()
    }


def _unread(_key: bytes) -> bytes | None:
    raise AssertionError("an index that takes documents together reads nothing")


IDENTIFIERS = st.text(min_size=1, max_size=4).map(pack_text)


@given(BTREES, st.dictionaries(IDENTIFIERS, ANY, max_size=6))
def test_the_rows_of_many_are_those_of_each(
    writer: IndexWriter, documents: dict[bytes, Any]
) -> None:
    assert taken(writer, documents) == one_by_one(writer, documents)


@given(st.dictionaries(IDENTIFIERS, st.builds(lambda at: {"at": at}, PLACES), max_size=6))
def test_so_are_those_of_places(documents: dict[bytes, Any]) -> None:
    assert taken(SPATIAL, documents) == one_by_one(SPATIAL, documents)


@given(BTREES | st.just(SPATIAL), st.data(), st.sampled_from(get_args(State)[:2]))
def test_a_change_leaves_the_rows_of_what_a_document_became(
    writer: IndexWriter, data: st.DataObject, state: State
) -> None:
    common = st.builds(lambda at: {"at": at}, PLACES) if writer is SPATIAL else ANY
    before, after = data.draw(common), data.draw(common)
    writer = writer_of(9, msgspec.structs.replace(writer.definition, state=state))
    rows: Rows = dict(index_rows(writer, before, b"k"))
    plan = Plan(0)
    if not writer.replace(plan.rows, b"k", before, after):
        assert plan.rows == {}
        writer.change(plan, b"k", writer.values(before), writer.values(after), _unread)
    rows.update(plan.rows)
    left = {key: value for key, value in rows.items() if value is not None}
    assert left == index_rows(writer, after, b"k")


@pytest.mark.row("I-040")
async def test_more_documents_than_are_taken_together_have_their_rows(scene: Scene) -> None:
    async with scene.open() as db:
        people = db.collection("people")
        await people.create_index("age", -F.age)
        await people.create_index("city_name", ["address.city", "name"])
        await people.create_index("at", "at", kind="geo")
        await people.create_index("mail", "mail", unique=True)
        documents: dict[str, Any] = {
            f"k{number:04}": {
                "age": [number, None] if number % 97 == 0 else number % 50,
                "address": {"city": f"c{number % 7}"} if number % 5 else None,
                "name": LONG[0] + str(number) if number % 31 == 0 else f"n{number}",
                "at": {"lat": number % 90 + 0.5, "lon": 0.25} if number % 11 else [[1, 2], [3, 4]],
                "mail": f"{number}@example.org",
            }
            for number in range(2 * TOGETHER_MAX + 10)
        }
        await people.set_many(documents)
        assert await db.check() == []
        assert await people.count(age=7) == sum(one["age"] == 7 for one in documents.values())
        for one in documents.values():
            one["age"] = 51
        await people.set_many(documents)
        assert await people.count(age=51) == len(documents)
        assert await db.check() == []
        await people.delete_many(list(documents)[: TOGETHER_MAX + 5])
        assert await db.check() == []


@pytest.mark.row("I-040")
@pytest.mark.parametrize("position", [0, TOGETHER_MAX - 1, TOGETHER_MAX + 3])
async def test_one_bad_place_among_many_is_named_and_nothing_is_written(
    scene: Scene, position: int
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("at", "at", kind="geo")
        head = await db.head()
        documents = {
            f"k{number}": {"at": {"lat": 91.0 if number == position else 1.0, "lon": 2.0}}
            for number in range(TOGETHER_MAX + 5)
        }
        with pytest.raises(InvalidValue) as refused:
            await things.set_many(documents)
        assert refused.value.details["index"] == "at"
        assert refused.value.details["key"] == f"k{position}"
        assert await db.head() == head
        documents[f"k{position}"] = {"at": {"lat": 1.0, "lon": 2.0}}
        await things.set_many(documents)
        assert await db.check() == []


@pytest.mark.row("I-044")
async def test_a_value_that_is_taken_is_refused_among_many(scene: Scene) -> None:
    async with scene.open() as db:
        people = db.collection("people")
        await people.create_index("mail", "mail", unique=True)
        await people.create_index("badge", ["site", "number"], unique=True)
        await people.set("first", {"mail": "m@x", "site": "s", "number": 7})
        head = await db.head()
        many: dict[str, Any] = {
            f"k{number}": {"mail": f"{number}@x", "site": "s", "number": number + 10}
            for number in range(TOGETHER_MAX + 5)
        }
        for key, taken_there, index in [
            ("k3", {"number": 7}, "badge"),
            ("k260", {"mail": "m@x"}, "mail"),
            ("k200", {"mail": "7@x"}, "mail"),  # By another one of the same commit.
        ]:
            with pytest.raises(DuplicateKey) as refused:
                await people.set_many(many | {key: many[key] | taken_there})
            assert refused.value.details == {"index": index, "key": key}
            assert await db.head() == head
        await people.set_many(many)
        await people.set_many(many)  # Each has its own values already.
        assert await people.count(site="s") == len(many) + 1
        assert await db.check() == []
