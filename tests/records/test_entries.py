"""Entries: what a write answers, what its metadata says, and what the next write keeps."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import KEEP, Entry, KeyNotFound, StoreKey, digest
from holdfast.contract.errors import InvalidInput
from tests.store.scene import Scene, core_of, listed

VALUES: list[Any] = [
    None, False, True, 0, 1, -1, 2**63 - 1, -(2**63), 0.0, 1.5, "", "text", "é\0\U0001f600", b"",
    b"\x00\xff", [], {}, [[], {}, None], {"a": {"b": [1, "1", True, None]}},
]  # fmt: skip


@pytest.mark.row("K-042", "K-056", "K-023")
async def test_set_get_and_delete_are_coroutines_that_answer_entry_entry_and_bool(
    scene: Scene,
) -> None:
    async with scene.open() as db:
        for verb in (db.entries.set, db.entries.get, db.entries.delete):
            assert inspect.iscoroutinefunction(verb)
        made = await db.entries.set("users/active:123", {"name": "Ada"})
        assert isinstance(made, Entry)
        assert await db.entries.get("users/active:123") == made
        assert await db.entries.delete("users/active:123") is True
        assert await db.entries.delete("users/active:123") is False
        assert await db.entries.get("users/active:123") is None


@pytest.mark.row("K-048", "K-019")
async def test_the_entry_that_set_returns_equals_a_later_get(scene: Scene) -> None:
    async with scene.open() as db:
        made = await db.entries.set("a:b", [1], modified_by="ada", tags=["x"], ttl=60)
        found = await db.entries.get("a:b")
        assert found is not None
        assert found == made
        assert (found.value, found.metadata, found.key) == (made.value, made.metadata, made.key)
        assert found.revision == made.revision == db.revision == await db.head()
        assert (found.value, found.metadata.version) == ([1], 1)


@pytest.mark.row("K-054", "K-021")
async def test_a_missing_key_is_none_and_reading_makes_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        before = await db.head()
        assert await db.entries.get("a") is None
        assert await db.entries.get("a", version=1) is None
        assert await db.entries.get("a", at=before) is None
        assert await db.entries.get_many(["a", "b"]) == {}
        assert not await db.entries.has("a")
        assert await listed(db.entries.keys()) == []
        with pytest.raises(KeyNotFound) as caught:
            await db.entries.require("users:zoe")
        assert caught.value.key == "users:zoe"
        assert await db.head() == before


@pytest.mark.row("E-009", "K-021")
@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_every_value_comes_back_as_it_was(scene: Scene, value: Any) -> None:
    async with scene.open() as db:
        made = await db.entries.set("a:b", value)
        found = await db.entries.require("a:b")
        for entry in (made, found):
            assert entry.value == value
            assert type(entry.value) is type(value)
        assert await db.entries.has("a:b")
        assert await db.entries.count() == 1


async def test_an_empty_value_is_not_a_missing_one_for_conditions_and_modify(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", None)
        seen: list[Any] = []

        def noting(new: Any) -> Callable[[Any], Any]:
            def change(value: Any) -> Any:
                seen.append(value)
                return new

            return change

        await db.entries.modify("a", noting(0))
        assert (await db.entries.require("a")).value == 0
        await db.entries.modify("a", noting([]))
        await db.entries.modify("missing", noting(1))
        assert seen == [None, 0, None]
        assert (await db.entries.require("a")).metadata.version == 3
        assert (await db.entries.require("missing")).metadata.version == 1


@pytest.mark.row("K-020", "trap 23", "E-010")
async def test_what_was_handed_out_never_reaches_what_is_stored(scene: Scene) -> None:
    async with scene.open() as db:
        given = {"list": [1, 2], "inner": {"a": 1}}
        made = await db.entries.set("a:b", given, tags=["x"])
        given["list"].append(3)  # type: ignore[attr-defined]
        made.value["inner"]["a"] = 99
        made.metadata.tags.append("y")
        await db.entries.set("a:b", {"list": []})
        [past] = await listed(db.entries.history("a:b"))
        past.value["list"].clear()
        past.metadata.tags.clear()
        (await db.entries.require("a:b")).value["list"].append(7)
        many = await db.entries.get_many(["a:b"])
        many[StoreKey.parse("a:b")].value["list"].append(8)
        for entry in await listed(db.entries.items()):
            entry.value["list"].append(9)

        [past] = await listed(db.entries.history("a:b"))
        assert past.value == {"list": [1, 2], "inner": {"a": 1}}
        assert past.metadata.tags == ["x"]
        now = await db.entries.require("a:b")
        assert now.value == {"list": []}
        assert digest(now.value).hex == now.metadata.data_hash
        assert digest(past.value).hex == past.metadata.data_hash


@pytest.mark.row("K-012")
async def test_entries_and_their_metadata_cannot_be_changed(scene: Scene) -> None:
    async with scene.open() as db:
        entry: Any = await db.entries.set("a:b", 1)
        for attribute in ("version", "comment", "digest", "updated_at_ms", "tags", "data_hash"):
            with pytest.raises(AttributeError):
                setattr(entry.metadata, attribute, 7)
        for attribute in ("key", "value", "metadata"):
            with pytest.raises(AttributeError):
                setattr(entry, attribute, 7)
        with pytest.raises(AttributeError):
            entry.other = 1


@pytest.mark.parametrize("touched", [False, True])
async def test_entries_pickle_and_copy_read_or_unread(scene: Scene, touched: bool) -> None:
    async with scene.open() as db:
        await db.entries.set("a:b", {"n": [1]}, modified_by="ada", tags=["x"])
        await db.entries.set("a:b", {"n": [2]})
        [past] = await listed(db.entries.history("a:b"))
        for entry in (await db.entries.require("a:b"), past):
            if touched:
                _ = entry.value, entry.metadata
            for again in (
                pickle.loads(pickle.dumps(entry)),
                copy.deepcopy(entry),
                copy.copy(entry),
            ):
                assert again == entry
                assert (again.value, again.metadata) == (entry.value, entry.metadata)


@pytest.mark.row("K-008", "K-014", "K-015", "K-029", "K-030")
async def test_metadata_follows_the_versions(scene: Scene) -> None:
    start = datetime.fromtimestamp(scene.clock.now_ms() / 1000, UTC)
    async with scene.open() as db:
        first = (await db.entries.set("a:b", 1)).metadata
        assert (first.version, first.incarnation) == (1, 1)
        assert first.created_at == first.updated_at == start
        assert (first.tags, first.comment, first.modified_by, first.schema_hash) == (
            [],
            None,
            None,
            None,
        )
        assert first.expires_at is None
        for version in range(2, 6):
            scene.clock.advance(1)
            now = (await db.entries.set("a:b", version)).metadata
            assert now.version == version
            assert now.incarnation == 1
            assert now.created_at == start
            assert now.updated_at == start + timedelta(seconds=version - 1)
            assert now.identity == first.identity
            assert now.data_hash == digest(version).hex


@pytest.mark.row("K-015")
async def test_the_update_instant_never_goes_back_with_the_clock(scene: Scene) -> None:
    async with scene.open() as db:
        first = (await db.entries.set("a:b", 1)).metadata
        scene.clock.advance(-10)
        second = (await db.entries.set("a:b", 2)).metadata
        assert second.updated_at == first.updated_at
        assert second.created_at == first.created_at
        await db.entries.delete("a:b")
        scene.clock.advance(-10)
        third = (await db.entries.set("a:b", 3)).metadata
        assert third.incarnation == 2
        assert third.updated_at >= second.updated_at
        moments = [one.metadata.updated_at for one in await listed(db.entries.history("a:b"))]
        assert moments == sorted(moments)


@pytest.mark.row("K-009", "K-010", "K-011", "K-055")
async def test_options_survive_a_reopening(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        schema = await db.schemas.register({"type": "integer"})
        await core_of(db).set(
            "a:int", 1, modified_by=7, schema_hash=schema, comment="c", tags=["x", "y"]
        )
        await db.entries.set("a:str", 1, modified_by="7", ttl=60)
        await db.entries.set("a:int", 2, modified_by=8)
    async with kept_scene.open() as db:
        number = (await db.entries.require("a:int")).metadata
        text = (await db.entries.require("a:str")).metadata
        assert (number.modified_by, text.modified_by) == (8, "7")
        [past] = await listed(db.entries.history("a:int"))
        assert type(past.metadata.modified_by) is int
        assert past.metadata.schema_hash == schema
        assert (past.metadata.comment, past.metadata.tags) == ("c", ["x", "y"])
        assert number.schema_hash is None
        assert number.data_hash == digest(2).hex
        assert text.expires_at is not None


@pytest.mark.row("K-055")
async def test_an_unknown_option_is_a_type_error(scene: Scene) -> None:
    async with scene.open() as db:
        entries: Any = db.entries
        with pytest.raises(TypeError):
            await entries.set("a", 1, author="ada")
        assert await db.entries.get("a") is None


@pytest.mark.row("K-013", "K-120")
async def test_a_comment_belongs_to_its_own_version(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1, comment="a")
        assert (await db.entries.require("a")).metadata.comment == "a"
        await db.entries.set("a", 2, comment="b")
        await db.entries.set("a", 3)
        comments = [one.metadata.comment for one in await listed(db.entries.history("a"))]
        assert comments == ["a", "b"]
        assert (await db.entries.require("a")).metadata.comment is None


@pytest.mark.row("K-017")
async def test_tags_stay_until_they_are_given_and_an_empty_list_clears_them(scene: Scene) -> None:
    async with scene.open() as db:

        async def tags() -> list[str]:
            return (await db.entries.require("a")).metadata.tags

        async def found(tag: str) -> list[str]:
            return [str(entry.key) for entry in await listed(db.entries.find_by_tag(tag))]

        await db.entries.set("a", 1)
        assert await tags() == []
        await db.entries.set("a", 2, tags=["vip", "new", "vip"])
        assert await tags() == ["vip", "new"]
        await db.entries.set("a", 3)
        await db.entries.modify("a", lambda value: value + 1)
        await db.entries.touch("a", ttl=60)
        assert await tags() == ["vip", "new"]
        assert (await found("vip"), await found("new"), await found("vi")) == (["a"], ["a"], [])
        await db.entries.set("a", 5, tags=("old", "new"))
        assert (await found("vip"), await found("new"), await found("old")) == ([], ["a"], ["a"])
        await db.entries.set("a", 6, tags=[])
        assert await tags() == []
        assert (await found("new"), await found("old")) == ([], [])
        await db.entries.set("a", 7, tags=["x"])
        await db.entries.delete("a")
        assert await found("x") == []


@pytest.mark.row("K-032")
async def test_an_equal_value_makes_a_version_unless_told_otherwise(scene: Scene) -> None:
    async with scene.open() as db:
        first = await db.entries.set("a", {"x": 1, "y": 2})
        second = await db.entries.set("a", {"y": 2, "x": 1})
        assert second.metadata.version == 2
        assert second.metadata.data_hash == first.metadata.data_hash
        before = await db.head()
        third = await db.entries.set("a", {"x": 1, "y": 2}, if_changed=True)
        assert third == second
        assert await db.head() == before
        fourth = await db.entries.set("a", {"x": 1, "y": 3}, if_changed=True)
        assert fourth.metadata.version == 3
        assert (await db.entries.set("b", 1, if_changed=True)).metadata.version == 1


@pytest.mark.row("K-024")
async def test_keys_items_and_count_tell_the_living_keys_in_order(scene: Scene) -> None:
    async with scene.open() as db:
        for text in ("users:2", "users:10", "users/active:1", "users", "zebra", "app:x"):
            await db.entries.set(text, text)
        await db.entries.delete("zebra")
        wanted = sorted(
            map(StoreKey.parse, ("users:2", "users:10", "users/active:1", "users", "app:x")),
            key=lambda key: key.segments,
        )
        assert await listed(db.entries.keys()) == wanted
        assert await listed(db.entries.keys(reverse=True)) == wanted[::-1]
        assert [one.key for one in await listed(db.entries.items())] == wanted
        assert [one.value for one in await listed(db.entries.items())] == list(map(str, wanted))
        assert await db.entries.count() == 5
        assert await db.entries.count("users/+") == 2
        below = ["users", "users:10", "users:2", "users/active:1"]
        assert sorted(map(str, await listed(db.entries.keys("users/#")))) == sorted(below)
        assert [str(key) for key in await listed(db.entries.keys("users/active/1"))] == [
            "users/active:1"
        ]


@pytest.mark.row("E-015")
async def test_a_long_listing_is_whole_and_in_order_while_others_write(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"n:{n:05}": n for n in range(2500)})
        found = []
        async for entry in db.entries.items("n/#"):
            found.append(entry.value)
            if entry.value == 10:
                await db.entries.delete("n:00020")
                await db.entries.set("n:02400", -1)
                await db.entries.set("m:1", -2)
        # What nobody touched is there once and in order.
        assert [value for value in found if value not in (20, -1, 2400)] == [
            n for n in range(2500) if n not in (20, 2400)
        ]


async def test_get_many_answers_by_key_and_leaves_out_what_is_not_there(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({"a": 1, "x/y:b": 2, "c": 3})
        await db.entries.set("d", 4, ttl=1)
        scene.clock.advance(2)
        found = await db.entries.get_many(["c", "nope", StoreKey("b", ("x", "y")), "d"])
        assert {str(key): entry.value for key, entry in found.items()} == {"c": 3, "x/y:b": 2}
        assert found[StoreKey.parse("c")].value == 3


@pytest.mark.row("trap 43")
async def test_set_many_is_one_commit(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a:1", 0)
        before = await db.head()
        made = await db.entries.set_many(
            {"a:1": 1, "b:2": 2, "c": 3}, modified_by="ada", comment="many", tags=["t"], ttl=60
        )
        assert await db.head() == before + 1
        assert {entry.revision for entry in made.values()} == {before + 1}
        assert {str(key): entry.value for key, entry in made.items()} == {
            "a:1": 1,
            "b:2": 2,
            "c": 3,
        }
        assert made[StoreKey.parse("a:1")].metadata.version == 2
        for entry in made.values():
            assert (entry.metadata.modified_by, entry.metadata.comment) == ("ada", "many")
            assert entry.metadata.tags == ["t"]
            assert entry.metadata.expires_at is not None
        assert await db.entries.delete_many(["a:1", "nope", "c"]) == 2
        assert await db.head() == before + 2
        assert await listed(db.entries.keys()) == ["b:2"]
        assert await db.entries.set_many({}) == {}
        assert await db.entries.delete_many([]) == 0
        assert await db.head() == before + 2


@pytest.mark.row("K-049", "trap 25")
async def test_two_hundred_writers_at_once_make_two_hundred_versions(scene: Scene) -> None:
    async with scene.open() as db:
        start = await db.head()
        made = await asyncio.gather(*(db.entries.set("a:b", n) for n in range(200)))
        assert sorted(entry.metadata.version for entry in made) == list(range(1, 201))
        assert len({entry.revision for entry in made}) == 200
        history = await listed(db.entries.history("a:b"))
        assert [one.metadata.version for one in history] == list(range(1, 200))
        last = await db.entries.require("a:b")
        assert {one.value for one in [*history, last]} == set(range(200))
        assert last.metadata.version == 200
        assert await db.head() == start + 200


async def test_modify_loses_no_update(scene: Scene) -> None:
    async with scene.open() as db:
        await asyncio.gather(
            *(db.entries.modify("n", lambda value: (value or 0) + 1) for _ in range(100))
        )
        entry = await db.entries.require("n")
        assert (entry.value, entry.metadata.version) == (100, 100)


async def test_what_a_change_raises_is_raised_and_nothing_is_written(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("n", 1)
        before = await db.head()

        def failing(value: Any) -> Any:
            raise ZeroDivisionError("mine")

        outcomes: list[Any] = await asyncio.gather(
            db.entries.modify("n", lambda value: value + 1),
            db.entries.modify("n", failing),
            return_exceptions=True,
        )
        assert [type(one) for one in outcomes] == [Entry, ZeroDivisionError]
        assert await db.head() == before + 1
        assert (await db.entries.require("n")).value == 2


async def test_touch_renews_without_changing_the_value(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register({"type": "array"})
        first = await db.entries.set("a", [1], ttl=10, schema_hash=schema, comment="c")
        assert await db.entries.touch("nope") is None
        touched = await db.entries.touch("a", ttl=100, modified_by="bob")
        assert touched is not None
        assert touched.value == [1]
        assert (touched.metadata.version, touched.metadata.schema_hash) == (2, schema)
        assert touched.metadata.data_hash == first.metadata.data_hash
        scene.clock.advance(50)
        again = await db.entries.touch("a")
        assert again is not None
        assert again.metadata.expires_at == touched.metadata.expires_at
        dropped = await db.entries.touch("a", ttl=None)
        assert dropped is not None
        assert dropped.metadata.expires_at is None


async def test_rename_takes_history_tags_and_expiry_along(scene: Scene) -> None:
    async with scene.open() as db:
        schema = await db.schemas.register({"type": "integer"})
        await db.entries.set("a:old", 1, tags=["t"], ttl=50)
        last = await db.entries.set("a:old", 2, ttl=KEEP, schema_hash=schema)
        before = await db.head()
        moved = await db.entries.rename("a:old", "b:new", modified_by="ada")
        assert await db.head() == before + 1
        assert (str(moved.key), moved.value, moved.metadata.version) == ("b:new", 2, 3)
        assert moved.metadata.identity == last.metadata.identity
        assert moved.metadata.expires_at == last.metadata.expires_at
        assert (moved.metadata.tags, moved.metadata.schema_hash) == (["t"], schema)
        assert await db.entries.get("a:old") is None
        assert [one.value for one in await listed(db.entries.history("b:new"))] == [1, 2]
        assert [str(one.key) for one in await listed(db.entries.find_by_tag("t"))] == ["b:new"]
        # The old key is free for another life.
        fresh = await db.entries.set("a:old", 3)
        assert (fresh.metadata.version, fresh.metadata.incarnation) == (1, 1)
        assert fresh.metadata.identity != moved.metadata.identity
        scene.clock.advance(60)
        assert await db.sweep() == 1
        assert await db.entries.get("b:new") is None


async def test_what_modify_returns_by_mistake_is_refused(scene: Scene) -> None:
    async def later(value: Any) -> Any:
        return value

    async with scene.open() as db:
        await db.entries.set("a", {"n": 1})
        before = await db.head()
        with pytest.raises(InvalidInput, match="allow_none=True"):
            await db.entries.modify("a", lambda value: value.update(n=2))
        with pytest.raises(InvalidInput, match="plain function"):
            await db.entries.modify("a", later)
        assert await db.head() == before
        assert (await db.entries.require("a")).value == {"n": 1}
        assert (await db.entries.modify("a", lambda _value: None, allow_none=True)).value is None
        # None where None stands, or where nothing stood, is no mistake.
        assert (await db.entries.touch("a")) is not None
        assert (await db.entries.modify("b", lambda value: value)).value is None
