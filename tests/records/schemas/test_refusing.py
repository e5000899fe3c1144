"""Refusals: where a value does not fit and why, and never what it holds."""

import asyncio
import datetime as dt
import enum
import socket
import threading
from time import perf_counter
from typing import Any, Literal, Self

import msgspec
import pydantic
import pytest

import holdfast
from holdfast.contract.errors import (
    InvalidInput,
    SchemaValidationFailed,
    SerializationFailed,
)
from holdfast.records.schemas.adapting import schema_of
from holdfast.records.schemas.schema import (
    MESSAGE_CHARACTERS_MAX,
    PATH_CHARACTERS_MAX,
    VIOLATIONS_MAX,
)
from tests.records.schemas.shapes import PEOPLE, PERSON, SECRET
from tests.store.scene import Scene

BAD: list[tuple[Any, str]] = [
    ({}, "$"),
    ({"name": 5}, "$.name"),
    ({"name": ""}, "$.name"),
    ({"name": "Ada", "age": "36"}, "$.age"),
    ({"name": "Ada", "age": -1}, "$.age"),
    ({"name": "Ada", "age": 36.5}, "$.age"),
    ({"name": "Ada", "tags": ["x", 1]}, "$.tags[1]"),
    ([], "$"),
    ("Ada", "$"),
    (None, "$"),
]


@pytest.mark.row("K-087", "K-085")
@pytest.mark.parametrize("kind", PEOPLE)
@pytest.mark.parametrize(("value", "path"), BAD, ids=[repr(value) for value, _ in BAD])
async def test_a_bad_value_is_refused_by_schemas_of_every_kind(
    kind: str, value: Any, path: str
) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        found = await db.schemas.register(PEOPLE[kind])
        await db.entries.set("good", {"name": "Ada", "age": 36, "tags": ["x"]}, schema_hash=found)
        before = await db.head()
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.entries.set("bad", value, schema_hash=found)
        assert await db.head() == before  # Nothing persisted, so no event either.
        assert await db.entries.get("bad") is None
        error = caught.value
        assert (error.schema_hash, error.key) == (found, "bad")
        places = [place for place, _ in error.violations]
        # A function says what is wrong, not where; a missing field is named where it is missing.
        assert kind == "function" or places[0].startswith(path)


@pytest.mark.row("K-091")
async def test_validate_lists_the_path_of_each_violation(scene: Scene) -> None:
    async with scene.open() as db:
        found = await db.schemas.register(PERSON)
        await db.schemas.validate({"name": "Ada"}, found)
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.schemas.validate({"age": -1, "tags": [1, "x", 2]}, found)
        assert sorted(place for place, _ in caught.value.violations) == [
            "$", "$.age", "$.tags[0]", "$.tags[2]",
        ]  # fmt: skip
        assert all(message for _, message in caught.value.violations)
        with pytest.raises(SerializationFailed):
            await db.schemas.validate({"name": object()}, found)


class Colour(enum.Enum):
    RED = "red"


class Inner(msgspec.Struct, tag="inner"):
    n: int


class Other(msgspec.Struct, tag="other"):
    n: int


class Shown(msgspec.Struct, forbid_unknown_fields=True):
    colour: Colour = Colour.RED
    one: Literal["a", "b"] = "a"
    part: Inner | Other | None = None
    number: int = 0


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


class Model(pydantic.BaseModel):
    colour: Colour = Colour.RED
    one: Literal["a", "b"] = "a"
    number: int = 0
    short: str = pydantic.Field(default="", max_length=3, pattern="^x")
    pet: Cat | Dog | None = pydantic.Field(default=None, discriminator="kind")
    identity: pydantic.UUID4 | None = None
    url: pydantic.HttpUrl | None = None


def careless(value: Any) -> bool:
    return bool(value["missing"])


EVERYTHING: dict[str, Any] = {
    "properties": {
        "colour": {"enum": ["red"]}, "one": {"const": 1}, "number": {"type": "integer"},
        "short": {"maxLength": 3, "pattern": "^x", "format": "date"},
        "either": {"oneOf": [{"type": "integer"}, {"maxLength": 1}]},
        "any": {"anyOf": [{"type": "integer"}, {"not": {"type": "string"}}]},
        "never": {"not": {}}, "false": False, "list": {"uniqueItems": True, "contains": False},
        "closed": {"additionalProperties": {"type": "integer"}},
    }
}  # fmt: skip

SHOWN: list[tuple[Any, dict[str, Any]]] = [
    *(
        (EVERYTHING, {name: SECRET})
        for name in EVERYTHING["properties"]
        if name not in ("closed", "list")
    ),
    (EVERYTHING, {"list": [SECRET, SECRET]}),
    (EVERYTHING, {"closed": {"a": SECRET}}),
    (EVERYTHING, {"short": SECRET.encode()}),
    *((Shown, {name: SECRET}) for name in ("colour", "one", "part", "number")),
    (Shown, {"part": {"type": SECRET}}),
    *((Model, {name: SECRET}) for name in Model.model_fields if name != "pet"),
    (Model, {"pet": {"kind": SECRET}}),
    (careless, {"a": SECRET}),
    (lambda value: False, {"a": SECRET}),
]


@pytest.mark.parametrize("place", range(len(SHOWN)))
async def test_no_refusal_shows_what_the_value_holds(place: int) -> None:
    given, value = SHOWN[place]
    function = callable(given) and not isinstance(given, type)
    schema = schema_of(given, "check" if function else None)
    with pytest.raises(SchemaValidationFailed) as caught:
        schema.validate(value)
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.details}"


async def test_what_a_refusal_tells_is_bounded(scene: Scene) -> None:
    schema = schema_of(
        {"items": {"type": "string"}, "properties": {"a": {}}, "additionalProperties": False}
    )
    with pytest.raises(SchemaValidationFailed) as caught:
        schema.validate([1] * 100_000)
    assert len(caught.value.violations) == VIOLATIONS_MAX
    with pytest.raises(SchemaValidationFailed) as caught:
        schema.validate({"x" * 1_000_000: 1})
    [(_, message)] = caught.value.violations
    assert len(message) == MESSAGE_CHARACTERS_MAX
    with pytest.raises(SchemaValidationFailed) as caught:
        schema_of({"additionalProperties": {"type": "string"}}).validate({"x" * 1_000_000: 1})
    [(path, _)] = caught.value.violations
    assert len(path) == PATH_CHARACTERS_MAX


# --- Patterns and references -----------------------------------------------------------------


async def test_a_pattern_that_backtracks_elsewhere_ends_at_once(scene: Scene) -> None:
    """`(a+)+$` against thirty a's, and against very many, while the loop goes on."""
    async with scene.open() as db:
        found = await db.schemas.register({"type": "string", "pattern": "^(a+)+$"})
        other = await db.schemas.register({"patternProperties": {"^(a+)+$": {"type": "null"}}})
        started = perf_counter()
        with pytest.raises(SchemaValidationFailed):
            await db.entries.set("a", "a" * 30 + "!", schema_hash=found)
        await db.entries.set("b", {"a" * 30 + "!": 1}, schema_hash=other)
        assert perf_counter() - started < 5
        with pytest.raises(SchemaValidationFailed):
            await db.entries.set("a", "a" * 100_000 + "!", schema_hash=found)


@pytest.mark.parametrize(
    "pattern", ["(?=a)b", "(?<!a)b", r"(a)\1", "(?P<n>a)(?P=n)", "(a{1000}){1000}"]
)
async def test_patterns_that_cannot_run_in_linear_time_are_refused(
    scene: Scene, pattern: str
) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput, match=r"linear time") as caught:
            await db.schemas.register({"properties": {"a": {"pattern": pattern}}})
        assert caught.value.path == "$.properties.a.pattern"


class Listening:
    """A socket on this machine that counts who calls."""

    def __enter__(self) -> Self:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/schema.json"
        self.calls = 0
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()
        return self

    def listen(self) -> None:
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return
        self.calls += 1
        connection.close()

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.socket.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda url: {"$ref": url},
        lambda url: {"properties": {"a": {"items": {"$ref": f"{url}#/x"}}}},
        lambda url: {"$defs": {"unused": {"$ref": url}}},
        lambda url: {"$dynamicRef": url},
        lambda url: {"$id": url, "$ref": "other.json"},
        lambda url: {"$schema": "http://json-schema.org/draft-07/schema#",
                     "items": {"$ref": url}},
    ],
)  # fmt: skip
async def test_a_reference_that_leads_out_is_refused_by_name_and_never_fetched(make: Any) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        with (
            Listening() as listening,
            pytest.raises(InvalidInput, match="nothing is fetched") as caught,
        ):
            await db.schemas.register(make(listening.url))
        assert listening.calls == 0
        assert caught.value.reference is not None
        assert caught.value.reference.startswith(listening.url.removesuffix("schema.json"))


@pytest.mark.parametrize("reference", ["file:///etc/passwd", "other.json", "urn:example:x"])
async def test_files_and_names_are_not_looked_up_either(reference: str) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        with pytest.raises(InvalidInput, match=reference):
            await db.schemas.register({"$ref": reference})


async def test_a_recursive_reference_judges_trees(scene: Scene) -> None:
    tree = {
        "type": "object", "required": ["n"], "additionalProperties": False,
        "properties": {"n": {"type": "integer"}, "below": {"items": {"$ref": "#"}}},
    }  # fmt: skip
    async with scene.open() as db:
        found = await db.schemas.register(tree)
        await db.entries.set("a", {"n": 1, "below": [{"n": 2, "below": [{"n": 3}]}]},
                             schema_hash=found)  # fmt: skip
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.entries.set("a", {"n": 1, "below": [{"n": 2, "below": [{"n": "x"}]}]},
                                 schema_hash=found)  # fmt: skip
        assert caught.value.violations[0][0] == "$.below[0].below[0].n"


@pytest.mark.parametrize(
    "circle",
    [
        {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"not": {"$ref": "#"}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    ],
)  # fmt: skip
async def test_a_reference_in_a_circle_comes_to_an_end(circle: dict[str, Any]) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        found = await db.schemas.register(circle)
        try:
            await asyncio.wait_for(db.entries.set("a", 1, schema_hash=found), 5)
        except SchemaValidationFailed:
            assert await db.entries.get("a") is None


async def test_a_value_nested_without_end_is_refused_before_it_is_judged(scene: Scene) -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    async with scene.open() as db:
        found = await db.schemas.register({"items": {"$ref": "#"}})
        with pytest.raises(SerializationFailed):
            await db.entries.set("a", deep, schema_hash=found)
        with pytest.raises(SerializationFailed):
            await db.schemas.validate(deep, found)


async def test_draft_seven_is_judged_by_its_own_rules(scene: Scene) -> None:
    pair = {"items": [{"type": "string"}, {"type": "integer"}], "additionalItems": False}
    async with scene.open() as db:
        found = await db.schemas.register(
            {"$schema": "http://json-schema.org/draft-07/schema#", **pair}
        )
        await db.entries.set("a", ["x", 1], schema_hash=found)
        for bad in ([1, "x"], ["x", 1, 2]):
            with pytest.raises(SchemaValidationFailed):
                await db.entries.set("a", bad, schema_hash=found)
        # In 2020-12 `items` is one schema for all.
        with pytest.raises(InvalidInput):
            await db.schemas.register(pair)


async def test_formats_are_enforced(scene: Scene) -> None:
    async with scene.open() as db:
        found = await db.schemas.register({"type": "string", "format": "date"})
        await db.entries.set("a", "2026-11-20", schema_hash=found)
        with pytest.raises(SchemaValidationFailed):
            await db.entries.set("a", "2026-13-40", schema_hash=found)


async def test_bytes_fit_where_nothing_is_said_of_them(scene: Scene) -> None:
    async with scene.open() as db:
        found = await db.schemas.register({"properties": {"text": {"type": "string"}}})
        await db.entries.set("a", {"photo": b"\xff"}, schema_hash=found)
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.entries.set("a", {"text": b"\xff"}, schema_hash=found)
        assert caught.value.violations[0][0] == "$['text']"


# --- Kinds -----------------------------------------------------------------------------------


async def test_pydantic_judges_strictly_with_the_types_of_json(scene: Scene) -> None:
    class Event(pydantic.BaseModel):
        day: dt.date
        pair: tuple[int, int]
        photo: bytes = b""

    schema = schema_of(Event)
    schema.validate({"day": "2026-11-20", "pair": [1, 2]})
    for bad in ({"day": "2026-11-20", "pair": ["1", 2]}, {"day": 5, "pair": [1, 2]}):
        with pytest.raises(SchemaValidationFailed):
            schema.validate(bad)


class Standard:
    """What libraries with `~standard` hand out."""

    def __init__(self, answer: Any) -> None:
        vars(self)["~standard"] = {"version": 1, "vendor": "test", "validate": lambda _: answer}


async def test_objects_with_a_standard_of_their_own_are_schemas(scene: Scene) -> None:
    async with scene.open() as db:
        good = await db.schemas.register(Standard({"value": 1}), name="good")
        bad = await db.schemas.register(
            Standard({"issues": [{"message": "no", "path": ["a", {"key": 0}]}]}), name="bad"
        )
        await db.entries.set("a", 1, schema_hash=good)
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.entries.set("a", 1, schema_hash=bad)
        assert caught.value.violations == [("$.a[0]", "no")]


async def test_a_check_that_fails_by_itself_lets_nothing_through(scene: Scene) -> None:
    def broken(value: Any) -> None:
        raise RuntimeError("out of order")

    async with scene.open() as db:
        found = await db.schemas.register(broken, name="broken")
        with pytest.raises(RuntimeError, match="out of order"):
            await db.entries.set("a", 1, schema_hash=found)
        assert await db.entries.get("a") is None


class Moment(msgspec.Struct):
    at: dt.datetime | None = None
    day: dt.date | None = None
    pair: tuple[int, int] | None = None
    data: bytes = b""
    counts: dict[str, int] = {}


class PydanticMoment(pydantic.BaseModel):
    at: dt.datetime | None = None
    day: dt.date | None = None
    pair: tuple[int, int] | None = None
    data: bytes = b""
    counts: dict[str, int] = {}


@pytest.mark.parametrize("kind", [Moment, PydanticMoment])
def test_classes_take_what_can_be_stored_for_their_types(kind: type) -> None:
    schema = schema_of(kind)
    now = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    for good in (
        {"at": now}, {"at": now.isoformat()}, {"day": "2026-11-20"}, {"pair": [1, 2]},
        {"data": b"\xff"}, {"counts": {"a": 1}}, {"more": 1},
    ):  # fmt: skip
        schema.validate(good)
    for bad, path in (
        ({"at": 5}, "$.at"), ({"day": now}, "$.day"), ({"pair": [1, "2"]}, "$.pair[1]"),
        ({"pair": [1]}, "$.pair"), ({"data": 5}, "$.data"), ({"counts": {"a": "1"}}, "$.counts"),
    ):  # fmt: skip
        with pytest.raises(SchemaValidationFailed) as caught:
            schema.validate(bad)
        assert caught.value.violations[0][0].startswith(path)


@pytest.mark.parametrize(
    "kind", [Moment, PydanticMoment, {"additionalProperties": {"type": "object"}}]
)
async def test_keys_that_are_store_keys_are_judged_as_they_are_read(kind: Any) -> None:
    async with holdfast.open("memory://", housekeeping=False) as db:
        found = await db.schemas.register(kind)
        key = holdfast.StoreKey.parse("counts")
        made = await db.entries.set(
            "a", {key: {holdfast.StoreKey.parse("n"): 1}}, schema_hash=found
        )
        assert made.value == {"counts": {"n": 1}}
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.entries.set("a", {key: 5}, schema_hash=found)
        assert caught.value.violations[0][0] == "$.counts"
