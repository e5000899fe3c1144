"""A collection without its queries: typed values under text keys."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

import holdfast
from holdfast.contract.batch import Draft
from holdfast.contract.errors import (
    Conflict,
    DuplicateKey,
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    InvalidName,
    InvalidValue,
    KeyNotFound,
    ReadOnly,
    SchemaValidationFailed,
    SerializationFailed,
    StoreNotFound,
    Unsupported,
)
from holdfast.documents.collection import REMOVE
from holdfast.store.transaction import TransactionEngine
from tests.store.scene import Scene, engine_of, first, listed


@dataclass
class Address:
    city: str
    zip: str = ""


@dataclass
class User:
    name: str
    age: int
    joined: datetime | None = None
    address: Address | None = None
    tags: list[str] = field(default_factory=list)


class Point(msgspec.Struct):
    x: int
    y: float = 0.0


class Card(pydantic.BaseModel):
    title: str
    due: datetime | None = None


class Row(TypedDict):
    name: str
    size: int


ADA = User("Ada", 36, datetime(2024, 1, 2, tzinfo=UTC), Address("London"), ["a", "b"])


@pytest.mark.row("I-001")
async def test_the_simplest_use() -> None:
    async with holdfast.open("memory://") as db:
        await db.collection("users").set("ada", {"age": 36})
        assert await db.collection("users").get("ada") == {"age": 36}


@pytest.mark.row("I-002")
@pytest.mark.parametrize(
    ("kind", "value", "bad"),
    [
        (User, ADA, User("Ada", "old")),  # type: ignore[arg-type]
        (Point, Point(1, 2.5), Point("x")),  # type: ignore[arg-type]
        (
            Card,
            Card(title="a", due=datetime(2024, 1, 1, tzinfo=UTC)),
            Card.model_construct(title=1),
        ),
        (Row, {"name": "a", "size": 3}, {"name": "a"}),
        (dict, {"anything": [1, None, b"x"]}, {"a": {1, 2}}),
        (None, [1, "two"], object()),
    ],
)
async def test_values_of_every_type_come_back_equal(
    scene: Scene, kind: Any, value: Any, bad: Any
) -> None:
    async with scene.open() as db:
        things = db.collection("things", type=kind)
        await things.set("one", value)
        found = await things.get("one")
        assert found == value
        assert type(found) is type(value)
        assert await things.require("one") == value
        with pytest.raises((SchemaValidationFailed, SerializationFailed, InvalidValue)):
            await things.set("two", bad)
        assert not await things.has("two")


async def test_what_is_stored_and_does_not_fit_is_told(scene: Scene) -> None:
    async with scene.open() as db:
        await db.collection("users").set("x", {"name": 1, "age": 2})
        with pytest.raises(SchemaValidationFailed) as caught:
            await db.collection("users", type=User).get("x")
        assert caught.value.violations[0][0] == "$.name"


@pytest.mark.row("I-007")
async def test_missing_differs_from_stored_none(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        missing = object()
        assert await things.get("k") is None
        assert await things.get("k", missing) is missing
        await things.set("k", None)
        assert await things.has("k")
        assert await things.get("k") is None
        assert await things.get("k", missing) is None


@pytest.mark.row("I-008", "I-009", "I-010")
async def test_set_replaces_and_delete_says_whether_there_was_one(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        assert await things.delete("k") is False
        assert await things.has("k") is False
        told: Any = [await things.set("k", 1), await things.set("k", 2)]  # type: ignore[func-returns-value]
        assert told == [None, None]
        assert await things.get("k") == 2
        assert await things.has("k") is True
        assert await things.delete("k") is True
        assert await things.delete("k") is False
        assert await things.has("k") is False


@pytest.mark.row("I-011")
async def test_clear_leaves_other_collections_and_entries(scene: Scene) -> None:
    async with scene.open() as db:
        one, other = db.collection("one"), db.collection("other")
        await one.set_many({f"k{at}": at for at in range(2500)})
        await other.set("k", 1)
        await db.entries.set("one:k", 1)
        assert await one.clear() == 2500
        assert await one.size() == 0
        assert await other.size() == 1
        assert (await db.entries.get("one:k")).value == 1  # type: ignore[union-attr]


@pytest.mark.row("I-012")
async def test_size_skips_the_expired(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("a", "a")
        await things.set("short", {"a": 1}, ttl=1)
        await things.set("long", {"a": 1}, ttl=timedelta(seconds=60))
        assert await things.size() == 2
        scene.clock.advance(2)
        assert await things.size() == 1
        assert await things.count(a=1) == 1
        assert await things.find_many(a=1, hint="a") == [{"a": 1}]
        assert await db.sweep() == 1
        assert [one.entries for one in await things.list_indexes()] == [1]


@pytest.mark.row("I-013")
async def test_walks_are_lazy_and_in_order(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        rows = {f"k{at:04}": {"at": at} for at in range(3000)}
        await things.set_many(rows)
        assert await listed(things.keys()) == sorted(rows)
        assert [one async for one in things.values()] == list(rows.values())
        assert [one async for one in things.entries()] == list(rows.items())
        walk = things.keys()
        assert await anext(walk) == "k0000"
        await walk.aclose()  # type: ignore[attr-defined]


@pytest.mark.row("I-014")
async def test_a_walk_sees_the_moment_of_its_beginning(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        rows = {f"k{at:03}": at for at in range(200)}
        await things.set_many(rows)
        seen = []
        walk = things.keys()
        async for key in walk:
            seen.append(key)
            await things.delete(f"k{199 - len(seen) % 200:03}")
            await things.set(f"x{len(seen)}", 1)
        assert seen == list(rows)


@pytest.mark.row("I-015")
@pytest.mark.parametrize("key", ["", "x" * 70_000, 7, None, "\ud800"])
async def test_keys_that_cannot_be(scene: Scene, key: Any) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        for known in (False, True):
            with pytest.raises(InvalidKey):
                await things.set(key, 1)
            with pytest.raises(InvalidKey):
                await things.delete(key)
            if not known:
                await things.set("there", 1)
        assert await things.size() == 1


async def test_keys_are_never_parsed(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("a/b:c", history="values")
        keys = ["a/b:c", "users:1", "%", "\0", "a\0b", "é", "__x", " "]
        for key in keys:
            await things.set(key, key)
            await things.set(key, key + "!")
        assert {key: value async for key, value in things.entries()} == {k: k + "!" for k in keys}
        assert await listed(things.keys()) == sorted(keys)


@pytest.mark.row("I-016")
async def test_values_are_isolated(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        value = {"list": [1]}
        await things.set("k", value)
        value["list"].append(2)
        found = await things.require("k")
        assert found == {"list": [1]}
        found["list"].append(3)
        assert await things.get("k") == {"list": [1]}


@pytest.mark.row("I-017", "I-018", "I-019")
async def test_many_at_once(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("warm", 0)
        before = await db.head()
        await things.set_many({f"k{at}": at for at in range(1000)})
        assert await db.head() == before + 1
        assert await things.get_many(["k1", "absent", "k2", "k1"]) == {"k1": 1, "k2": 2}
        assert await things.delete_many(["k1", "absent", "k2", "k1"]) == 2
        assert await things.size() == 999
        await things.set_many({})
        assert await things.get_many([]) == {}
        assert await things.delete_many([]) == 0


async def test_set_many_is_all_or_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", type=User)
        with pytest.raises(InvalidValue):
            await users.set_many({"a": ADA, "b": 7})  # type: ignore[dict-item]
        assert await users.size() == 0


@pytest.mark.row("I-020", "I-021")
async def test_a_batch_is_all_or_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("n", "n", unique=True)
        await things.set("old", {"n": 1})
        before = await db.head()
        done = await things.batch([("set", "a", {"n": 2}), ("clear",), ("set", "b", {"n": 1})])
        assert (done.success, done.operations, done.errors) == (True, 3, [])
        assert await listed(things.keys()) == ["b"]
        assert await db.head() == before + 1
        failed = await things.batch([("clear",), ("set", "c", {"n": 5}), ("set", "", 1)])
        assert (failed.success, failed.operations) == (False, 0)
        assert [(one.position, type(one.error)) for one in failed.errors] == [(2, InvalidKey)]
        twice = await things.batch([("set", "c", {"n": 5}), ("set", "d", {"n": 5})])
        assert [(one.position, type(one.error)) for one in twice.errors] == [(1, DuplicateKey)]
        assert await listed(things.keys()) == ["b"]
        wrong: Any
        for wrong in ([("set", "a")], [("explode",)], [7], [()], [([], "k")], [(None,)]):
            with pytest.raises(InvalidInput):
                await things.batch(wrong)
        async with db.transaction() as tx:
            with pytest.raises(Unsupported):
                await tx.collection("things").batch([("clear",)])
        assert (await db.collection("new").batch([("set", "k", 1)])).success
        assert (await db.collection("absent").batch([("delete", "k"), ("clear",)])).success


@pytest.mark.row("I-020", "I-021")
async def test_a_batch_that_loses_to_another_commit_is_run_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does to the sweep of expired documents, which nobody who calls `batch` knows of."""
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("t", "t", kind="text")
        await things.set_many({"a": {"t": "one"}, "b": {"t": "two"}})
        finish, losses = TransactionEngine.finish, 3

        async def overtaken(self: TransactionEngine, *more: Any) -> int:
            nonlocal losses
            losses -= 1
            if losses >= 0:
                await things.set("a", {"t": "word " * (losses + 2)})
            return await finish(self, *more)

        monkeypatch.setattr(TransactionEngine, "finish", overtaken)
        done = await things.batch([("delete", "b"), ("set", "c", {"t": "three"})])
        assert (done.success, done.errors, losses) == (True, [], -1)
        assert await listed(things.keys()) == ["a", "c"]
        losses = 1000
        lost = await things.batch([("delete", "a")])
        assert [(one.position, type(one.error)) for one in lost.errors] == [(0, Conflict)]
        assert await things.has("a")


async def test_add_makes_keys_in_order(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        keys = [await things.add(at) for at in range(20)]
        assert keys == sorted(set(keys))
        assert [one async for one in things.values()] == list(range(20))


async def test_patch_is_a_merge_patch_that_has_to_fit(scene: Scene) -> None:
    async with scene.open() as db:
        users = db.collection("users", type=User)
        await users.set("ada", ADA)
        changed = await users.patch("ada", {"age": 37, "address": {"zip": "N1"}, "joined": None})
        assert changed == User("Ada", 37, None, Address("London", "N1"), ["a", "b"])
        assert await users.get("ada") == changed
        with pytest.raises(SchemaValidationFailed):
            await users.patch("ada", {"age": "old"})
        with pytest.raises(KeyNotFound):
            await users.patch("bob", {"age": 1})
        with pytest.raises(InvalidInput):
            await users.patch("ada", [1])  # type: ignore[arg-type]
        assert await users.get("ada") == changed


async def test_modify_is_one_step(scene: Scene) -> None:
    async with scene.open() as db:
        counters = db.collection("counters")

        async def bump() -> None:
            for _ in range(10):
                await counters.modify("n", lambda n: (n or 0) + 1)

        await asyncio.gather(*[bump() for _ in range(5)])
        assert await counters.get("n") == 50
        assert await counters.modify("n", lambda _: REMOVE) is None
        assert not await counters.has("n")
        assert await counters.modify("absent", lambda _: REMOVE) is None
        await counters.set("n", 1)
        wrongs: list[Any] = [lambda _: None, bump]
        for wrong in wrongs:
            with pytest.raises(InvalidInput):
                await counters.modify("n", wrong)
        assert await counters.get("n") == 1


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, ValueError])
async def test_what_a_function_raises_leaves_everything(
    scene: Scene, error: type[BaseException]
) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("k", {"n": [1]})

        def failing(value: Any) -> Any:
            value["n"].append(2)
            raise error

        with pytest.raises(BaseException):  # noqa: B017, PT011 - a StopIteration comes out wrapped
            await things.modify("k", failing)
        assert await things.get("k") == {"n": [1]}


async def test_a_time_to_live_ends_and_touch_changes_it(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("k", 1, ttl=10)
        await things.modify("k", lambda n: (n or 0) + 1)
        assert await things.touch("k", 100) is True
        scene.clock.advance(50)
        assert await things.get("k") == 2
        scene.clock.advance(60)
        assert await things.get("k") is None
        assert not await things.has("k")
        assert await things.touch("k", 5) is False
        await things.set("k", 3)
        found = await things.find("k")
        assert found is not None
        assert (found.metadata.incarnation, found.metadata.version) == (2, 1)


@pytest.mark.row("I-067", "I-122")
async def test_changes_are_told_with_before_and_after(scene: Scene) -> None:
    async with scene.open() as db:
        watch = db.watch("users:#", view="documents")
        users = db.collection("users", type=User)
        await users.set("ada", ADA)
        await db.collection("other").set("x", 1)
        await users.patch("ada", {"age": 37})
        await users.delete("ada")
        await users.set("bob", User("Bob", 1), ttl=1)
        scene.clock.advance(5)
        await db.sweep()
        changes = await first(watch, 5)
        told = [
            (c.op, c.key, c.cause, c.before and c.before["age"], c.after and c.after["age"])
            for c in changes
        ]
        assert told == [
            ("set", "ada", "write", None, 36),
            ("set", "ada", "write", 36, 37),
            ("delete", "ada", "write", 37, None),
            ("set", "bob", "write", None, 1),
            ("delete", "bob", "expired", 1, None),
        ]
        await watch.aclose()
        standing = db.watch("other:#", view="documents", snapshot=True)
        [one, end] = await first(standing, 2)
        assert (one.op, one.key, one.after) == ("set", "x", 1)
        assert end.op == "snapshot_end"
        await standing.aclose()


async def test_the_setting_of_history(scene: Scene) -> None:
    async with scene.open() as db:
        for history in ("values", "versions", "none"):
            things = db.collection(history, history=history)
            await things.set("k", 1)
            await things.set("k", 2)
            await things.delete("k")
            await things.set("k", 3, ttl=1)
            with pytest.raises(InvalidInput):
                await db.collection(history, history="none" if history != "none" else "values").set(
                    "k", 1
                )
        with pytest.raises(InvalidInput):
            db.collection("x", history="some")  # type: ignore[call-overload]
        with pytest.raises(InvalidName):
            db.collection("")
        with pytest.raises(InvalidInput):
            db.collection("x", type=int)


async def test_big_documents(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        big = {"name": "big", "text": "x" * 700_000}
        await things.set("a", big)
        await things.create_index("name", "name")
        await things.set("b", big | {"name": "b"})
        await things.patch("a", {"name": "a"})
        assert (await things.require("a"))["text"] == big["text"]
        assert [one.key async for one in things.query(name="a")] == ["a"]
        assert await things.count(name="big") == 0
        assert await listed(things.keys()) == ["a", "b"]
        await things.delete("a")
        assert [one.entries for one in await things.list_indexes()] == [1]


async def test_a_chunk_that_is_missing_is_told_by_queries_too(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        things = db.collection("things")
        await things.set("a", {"name": "a", "text": "x" * 700_000})
        await things.create_index("name", "name")
        storage = await things._find()
        assert storage is not None
        [row] = await storage.engine.read((storage.data_key("a"),))
        assert row is not None
        draft = Draft()
        draft.rows.update(dict.fromkeys(storage.rows.blob_keys(row.value)))
        await storage.engine.transact([], lambda *_: draft)
        for reading in (things.get("a"), things.find_many(name="a"), things.find_many()):
            with pytest.raises(IntegrityFailed, match="chunk"):
                await reading


async def test_drop(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        with pytest.raises(StoreNotFound):
            await things.drop()
        await things.set("k", 1)
        await things.create_index("a", "a")
        other = db.collection("things")
        await things.drop()
        assert await other.get("k") is None
        await other.set("k", 2)
        assert await things.get("k") == 2
        assert await things.list_indexes() == []


@pytest.mark.row("I-118", "I-054")
async def test_in_a_transaction(scene: Scene) -> None:
    async with scene.open() as db:
        await db.collection("users").create_index("age", "age")
        await db.collection("users").set_many({"a": {"age": 1}, "b": {"age": 2}})
        async with db.transaction() as tx:
            users = tx.collection("users")
            await users.set("c", {"age": 3})
            assert db.revision == await db.head()
            await users.delete("a")
            await users.patch("b", {"age": 9})
            assert [one.key async for one in users.query(order_by="age")] == ["c", "b"]
            assert await users.count(age=9) == 1
            assert await users.size() == 2
            assert await db.collection("users").size() == 2
            assert await db.collection("users").count(age=1) == 1
            with pytest.raises(Unsupported):
                await users.create_index("x", "x")
            with pytest.raises(Unsupported):
                await users.drop()
        assert await db.collection("users").find_many(order_by="age") == [{"age": 3}, {"age": 9}]
        tx = await db.transaction().begin()
        await tx.collection("users").clear()
        await tx.rollback()
        assert await db.collection("users").count() == 2


async def test_a_transaction_over_every_view(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("ledger")
        async with db.transaction() as tx:
            await tx.collection("new", history="none").set("k", 1)
            await tx.entries.set("k", 2)
            await (await tx.stores.get("ledger")).set(b"k", b"3")
        assert await db.collection("new").get("k") == 1
        assert (await db.entries.get("k")).value == 2  # type: ignore[union-attr]
        assert await store.get(b"k") == b"3"


async def test_a_snapshot_stays(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("n", "n")
        await things.set("k", {"n": 1})
        async with await db.snapshot() as view:
            await things.set("k", {"n": 2})
            assert await view.collection("things").get("k") == {"n": 1}
            assert await view.collection("things").find_one(n=1) == {"n": 1}
            assert await view.collection("absent").get("k") is None


async def test_another_handle_and_a_restart(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.collection("things").set("k", {"n": 1})
        async with kept_scene.open() as second:
            assert await second.collection("things").get("k") == {"n": 1}
    async with kept_scene.open() as db:
        assert await db.collection("things").get("k") == {"n": 1}
        assert engine_of(db).capabilities.writable


async def test_reading_only(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.collection("things").set("k", {"n": 1})
    url = kept_scene.url + ("&" if "?" in kept_scene.url else "?") + "read_only=true"
    async with kept_scene.open(url=url) as db:
        assert await db.collection("things").find_one(n=1) == {"n": 1}
        assert await db.collection("absent").find_one(n=1) is None
        with pytest.raises(ReadOnly):
            await db.collection("things").set("k", 1)
        with pytest.raises(ReadOnly):
            await db.collection("absent").set("k", 1)
