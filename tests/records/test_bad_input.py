"""Bad input: each kind has its own error, nothing is written, and nothing is lost."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from holdfast import StoreKey
from holdfast.contract.errors import (
    InvalidInput,
    InvalidKey,
    PatternInvalid,
    SerializationFailed,
    StoreError,
    ValueTooLarge,
)
from holdfast.database.handle import Database
from holdfast.records.bulk import KEYS_MAX
from holdfast.records.options import (
    SCHEMA_HASH_CHARACTERS_MAX,
    TAG_CHARACTERS_MAX,
    TAGS_BYTES_MAX,
    TAGS_MAX,
)
from holdfast.store.said import AUTHOR_CHARACTERS_MAX, COMMENT_CHARACTERS_MAX
from holdfast.store.versions.chunks import VALUE_BYTES_MAX
from tests.store.scene import Scene, listed, rows_of, storage_of


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class Pairs(dict[Any, int]):
    """A mapping of a good key and then another, which may be one that no dict takes."""

    def __init__(self, key: Any) -> None:
        super().__init__()
        self._key = key

    def items(self) -> Any:
        return [("good", 1), (self._key, 2)]


KEYS: list[Any] = [
    "", "users/1", "a/b/c", "a:", "/a:b", "a/:b", "a//b:c", "a%zz:b", "a%2f:b", "\ud800",
    "a:\udfff", 5, None, b"a:b", ("a", "b"), ["a"], object(), 1.5, True,
]  # fmt: skip
VALUES: list[Any] = [
    object(), {1, 2}, float("nan"), [1, float("nan")], {"a": float("nan")}, "\ud800", {"\ud800": 1},
    2**64, -(2**63) - 1, {1: "a"}, {None: 1}, {("a",): 1}, 1j, lambda: None, open, deep(5000),
    circle(), {"a": object()}, [b"x", {3}], datetime(2024, 1, 1), Ellipsis,  # noqa: DTZ001
    "x" * 300_000 + "\ud800",
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {"modified_by": 1.5}, {"modified_by": True}, {"modified_by": b"ada"}, {"modified_by": ["ada"]},
    {"modified_by": 2**64}, {"modified_by": -(2**63) - 1}, {"modified_by": "\ud800"},
    {"modified_by": "x" * (AUTHOR_CHARACTERS_MAX + 1)},
    {"comment": 1}, {"comment": "x" * (COMMENT_CHARACTERS_MAX + 1)}, {"comment": "\ud800"},
    {"tags": "vip"}, {"tags": b"vip"}, {"tags": 5}, {"tags": [1]}, {"tags": [""]},
    {"tags": ["a\0"]}, {"tags": [None]}, {"tags": ["\ud800"]}, {"tags": [["a"]]},
    {"tags": ["x" * (TAG_CHARACTERS_MAX + 1)]}, {"tags": [str(n) for n in range(TAGS_MAX + 1)]},
    {"tags": [f"{n:03}" + "\U0001f600" * 250 for n in range(TAGS_MAX)]},
    {"schema_hash": 5}, {"schema_hash": "x" * (SCHEMA_HASH_CHARACTERS_MAX + 1)},
    {"schema_hash": "\ud800"},
]  # fmt: skip


def shown(value: Any) -> str:
    """A name for a case that is the same in every process."""
    try:
        text = ascii(value)[:40]
    except RecursionError:
        return "too deep"
    return re.sub(r" at 0x\w+", "", text)


async def refused(
    db: Database, error: type[StoreError], *writes: Callable[[], Awaitable[Any]]
) -> None:
    before, head = await rows_of(db), await db.head()
    for write in writes:
        with pytest.raises(error) as caught:
            await write()
        assert type(caught.value) is error
        assert len(str(caught.value)) < 1000
    assert await db.head() == head
    assert await rows_of(db) == before


@pytest.mark.row("E-011", "trap 19")
@pytest.mark.parametrize("key", KEYS, ids=shown)
async def test_a_key_that_cannot_be(scene: Scene, key: Any) -> None:
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        entries = db.entries
        await refused(
            db, InvalidKey,
            lambda: entries.set(key, 1), lambda: entries.set_many(Pairs(key)),
            lambda: entries.get(key), lambda: entries.has(key), lambda: entries.delete(key),
            lambda: entries.modify(key, lambda value: 1), lambda: entries.get_many([key]),
            lambda: entries.touch(key), lambda: entries.rename("kept", key),
            lambda: entries.delete_many(["kept", key]),
        )  # fmt: skip


@pytest.mark.parametrize("key", ["k:" + "x" * 5000, "n/" * 3000 + "n:k"], ids=["name", "path"])
async def test_a_key_that_is_too_long_is_never_there_and_never_written(
    scene: Scene, key: str
) -> None:
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        entries = db.entries
        await refused(
            db, InvalidKey,
            lambda: entries.set(key, 1), lambda: entries.set_many({"good": 1, key: 2}),
            lambda: entries.modify(key, lambda _: 1), lambda: entries.rename("kept", key),
        )  # fmt: skip
        assert await entries.get(key) is None
        assert await entries.get_many(["kept", key]) == {"kept": await entries.get("kept")}
        assert not await entries.has(key)
        assert await entries.delete(key) is False
        assert await listed(entries.history(key)) == []
        assert await entries.touch(key) is None


async def test_a_key_of_the_largest_size_does_everything(scene: Scene) -> None:
    key = "n:" + "x" * 3000
    async with scene.open() as db:
        await db.entries.set(key, 1, ttl=60, tags=["t"])
        await db.entries.set(key, 2, ttl=60)
        assert [past.value for past in await listed(db.entries.history(key))] == [1]
        assert [str(one.key) for one in await listed(db.entries.find_by_tag("t"))] == [key]
        scene.clock.advance(60)
        assert await db.sweep() == 1
        assert await db.entries.get(key) is None


@pytest.mark.row("K-028", "trap 13")
@pytest.mark.parametrize("value", VALUES, ids=shown)
async def test_a_value_that_cannot_be_stored(scene: Scene, value: Any) -> None:
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        await refused(
            db, SerializationFailed,
            lambda: db.entries.set("a", value), lambda: db.entries.set("kept", value),
            lambda: db.entries.set_many({"a": 1, "b": value}),
            lambda: db.entries.modify("kept", lambda _: value),
            lambda: db.entries.modify("a", lambda _: value),
        )  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=shown)
async def test_an_option_that_cannot_be(scene: Scene, options: dict[str, Any]) -> None:
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        writes: list[Callable[[], Awaitable[Any]]] = [
            lambda: db.entries.set("a", 1, **options), lambda: db.entries.set("kept", 2, **options),
            lambda: db.entries.set_many({"a": 1, "b": 2}, **options),
            lambda: db.entries.modify("kept", lambda _: 2, **options),
        ]  # fmt: skip
        if not {"tags", "schema_hash"} & options.keys():
            writes.append(lambda: db.entries.delete("kept", **options))
            writes.append(lambda: db.entries.delete_many(["kept"], **options))
        await refused(db, InvalidInput, *writes)


async def test_the_largest_options_fit_together(scene: Scene) -> None:
    wide = "\U0001f600"
    tag_characters = TAGS_BYTES_MAX // 4 // TAGS_MAX
    options: dict[str, Any] = {
        "modified_by": wide * AUTHOR_CHARACTERS_MAX,
        "comment": wide * COMMENT_CHARACTERS_MAX,
        "tags": [chr(0x1F600 + n) + wide * (tag_characters - 1) for n in range(TAGS_MAX)],
    }
    async with scene.open() as db:
        options["schema_hash"] = await db.schemas.register({"type": "integer"})
        await db.entries.set("a", 1, **options)
        metadata = (await db.entries.require("a")).metadata
        for name, value in options.items():
            assert getattr(metadata, name) == value
        found = await listed(db.entries.find_by_tag(options["tags"][3]))
        assert [str(one.key) for one in found] == ["a"]


@pytest.mark.parametrize("author", [0, -1, 2**64 - 1, -(2**63), "", "x" * AUTHOR_CHARACTERS_MAX])
async def test_the_outermost_authors_are_kept(scene: Scene, author: Any) -> None:
    async with scene.open() as db:
        metadata = (await db.entries.set("a", 1, modified_by=author)).metadata
        assert metadata.modified_by == author
        assert type(metadata.modified_by) is type(author)


async def test_a_value_over_the_limit_is_refused_with_the_limit(scene: Scene) -> None:
    class Long(bytes):
        """Says that it is longer than it is: the refusal comes before the copying."""

        def __len__(self) -> int:
            return VALUE_BYTES_MAX + 1

    async with scene.open() as db:
        await db.entries.set("kept", 1)
        before = await rows_of(db)
        with pytest.raises(ValueTooLarge) as caught:
            storage_of(db).serialize_now(Long())
        assert caught.value.limit == VALUE_BYTES_MAX
        assert await rows_of(db) == before


async def test_one_call_names_each_key_once_and_not_too_many(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        many = [f"n:{n}" for n in range(KEYS_MAX + 1)]
        await refused(
            db, InvalidInput,
            lambda: db.entries.set_many({"a": 1, ":a": 2}),
            lambda: db.entries.get_many(["a", StoreKey("a")]),
            lambda: db.entries.delete_many(["kept", "kept"]),
            lambda: db.entries.get_many(many), lambda: db.entries.delete_many(many),
            lambda: db.entries.set_many(dict.fromkeys(many, 1)),
        )  # fmt: skip


async def test_the_most_keys_of_one_call_are_one_commit(scene: Scene) -> None:
    async with scene.open() as db:
        before = await db.head()
        await db.entries.set_many({f"n:{n}": n for n in range(KEYS_MAX)}, ttl=60)
        assert await db.head() == before + 1
        assert await db.entries.count() == KEYS_MAX


@pytest.mark.parametrize("pattern", ["a/#/b", "", "a//b", 5, None, b"a"], ids=shown)
async def test_a_pattern_that_cannot_be(scene: Scene, pattern: Any) -> None:
    async with scene.open() as db:
        for read in (
            lambda: listed(db.entries.keys(pattern)), lambda: listed(db.entries.items(pattern)),
            lambda: db.entries.count(pattern), lambda: listed(db.entries.find_by_tag("t", pattern)),
        ):  # fmt: skip
            with pytest.raises(PatternInvalid):
                await read()


@pytest.mark.parametrize("tag", ["", 5, None, "\ud800", "a\0", b"t"], ids=shown)
async def test_a_tag_that_cannot_be_is_not_looked_for(scene: Scene, tag: Any) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput):
            await listed(db.entries.find_by_tag(tag))


@pytest.mark.parametrize("key", ["__schema:x", "__x", "__schema/a:b"])
async def test_reserved_names_are_not_written_by_users(scene: Scene, key: str) -> None:
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        await refused(
            db, InvalidKey, lambda: db.entries.set(key, 1), lambda: db.entries.delete(key),
            lambda: db.entries.rename("kept", key), lambda: db.entries.modify(key, lambda _: 1),
        )  # fmt: skip


@pytest.mark.row("trap 43")
async def test_the_last_bad_write_of_many_stops_the_first_ones(scene: Scene) -> None:
    async with scene.open() as db:
        await refused(
            db, SerializationFailed, lambda: db.entries.set_many({"a": 1, "b": 2, "c": object()})
        )
        await refused(db, InvalidKey, lambda: db.entries.set_many({"a": 1, "b": 2, "c/d": 3}))
        assert await asyncio.gather(*(db.entries.get(key) for key in "abc")) == [None] * 3
