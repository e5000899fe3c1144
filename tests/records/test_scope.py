"""Scopes: literal segments that no key and no pattern leaves, whatever a user is called."""

import asyncio
from functools import partial
from typing import Any

import pytest

from holdfast import Change, Conflict, Pattern, StoreKey
from holdfast.contract.errors import InvalidInput, InvalidKey, KeyNotFound
from holdfast.database.handle import Database
from tests.store.scene import Scene, listed, until

#: What users call themselves, with meaning in patterns, keys and paths.
CALLED = ["+", "#", "ada", "%2B", "a/b", "a:b", "*", "__ada", "..", "%252B", " ", "ü"]


async def filled(db: Database) -> None:
    for name in CALLED:
        user = db.entries.scope("users", name)
        await user.set("settings", name, tags=["kept"])
        await user.set("notes:1", f"{name} 1")
        # The key that the scope itself would have is not within it.
        await db.entries.set(StoreKey(name, ("users",)), "beside", tags=["kept"])


def texts(found: list[Any]) -> list[str]:
    return sorted(str(getattr(one, "key", one)) for one in found)


@pytest.mark.parametrize("name", CALLED)
async def test_a_user_sees_their_own_keys_whatever_they_are_called(scene: Scene, name: str) -> None:
    async with scene.open() as db:
        await filled(db)
        user = db.entries.scope("users", name)
        own = ["notes:1", "settings"]
        assert texts(await listed(user.keys())) == own
        assert texts(await listed(user.keys("#"))) == own
        assert texts(await listed(user.keys("+"))) == ["settings"]
        assert texts(await listed(user.keys("notes/#"))) == ["notes:1"]
        assert texts(await listed(user.keys("notes:+"))) == ["notes:1"]
        assert texts(await listed(user.keys("+/1"))) == ["notes:1"]
        assert texts(await listed(user.keys("settings"))) == ["settings"]
        assert texts(await listed(user.keys(Pattern.glob("*")))) == own
        assert texts(await listed(user.keys(Pattern.glob("n*"), limit=1))) == ["notes:1"]
        assert texts(await listed(user.keys(Pattern.regex(".*s"), limit=1))) == ["settings"]
        assert texts(await listed(user.find_by_tag("kept"))) == ["settings"]
        assert texts(await listed(user.find_by_tag("kept", limit=1))) == ["settings"]
        assert texts(await listed(user.find_by_tag("kept", Pattern.glob("n*")))) == []
        assert await user.count() == 2
        entry = await user.require("settings")
        assert (str(entry.key), entry.value) == ("settings", name)
        assert {str(one.key): one.value async for one in user.items()} == {
            "settings": name,
            "notes:1": f"{name} 1",
        }
        assert (await user.get_many(["settings", "none"])).keys() == {"settings"}
        # From the root it is an entry like any other.
        found = await db.entries.require(StoreKey("settings", ("users", name)))
        assert found.value == name
        assert found.revision == entry.revision


async def test_no_pattern_and_no_key_leaves_a_scope(scene: Scene) -> None:
    async with scene.open() as db:
        await filled(db)
        user = db.entries.scope("users", "+")
        own = {"settings", "notes:1"}
        patterns: list[Pattern | str] = [
            "#", "+", "+/#", "+/+", "+/+/+", "users/#", "users/+/settings", "users:+", ":+",
            "%2B/#", "../#", Pattern.glob("**"), Pattern.glob("users/*"), Pattern.regex(".*"),
            Pattern.regex("users/.*"), "notes/1", "settings",
        ]  # fmt: skip
        for pattern in patterns:
            assert {str(key) async for key in user.keys(pattern)} <= own
            assert {str(one.key) async for one in user.items(pattern)} <= own
            assert await user.count(pattern) <= 2
        for key in ["users:ada", "users/ada:settings", "../ada:settings", "..", "ada"]:
            assert await user.get(key) is None
            assert await user.delete(key) is False
        await user.set("users/ada:settings", "mine")
        assert (await db.entries.require("users/ada:settings")).value == "ada"
        assert await user.delete_matching("#") == 3
        assert await db.entries.count("users/#") == 3 * len(CALLED) - 2


async def test_every_call_works_within_a_scope(scene: Scene) -> None:
    async with scene.open() as db:
        user = db.entries.scope("users", "+")
        made = await user.set("a", 1, modified_by="ada", tags=["t"])
        assert str(made.key) == "a"
        assert (await user.modify("a", lambda value: value + 1)).value == 2
        with pytest.raises(Conflict) as caught:
            await user.set("a", 3, if_revision=made.revision)
        assert str(caught.value.current.key) == "a"
        with pytest.raises(Conflict):
            await user.set("a", 3, if_absent=True)
        touched = await user.touch("a", ttl=60)
        assert touched is not None
        assert (str(touched.key), touched.value) == ("a", 2)
        assert [(str(one.key), one.value) async for one in user.history("a")] == [
            ("a", 1),
            ("a", 2),
        ]
        walk = user.history("a", limit=1)
        await listed(walk)
        assert [one.value async for one in user.history("a", after=walk.cursor)] == [2]
        restored = await user.restore("a", 1)
        assert (str(restored.key), restored.value) == ("a", 1)
        moved = await user.rename("a", "b/c:d")
        assert str(moved.key) == "b/c:d"
        assert await db.entries.has(StoreKey("d", ("users", "+", "b", "c")))
        assert await user.delete("b/c:d") is True
        assert (await user.undelete("b/c:d")).value == 1
        assert (await user.set_many({"x": 1, "y": 2})).keys() == {"x", "y"}
        assert await user.delete_many(["x", "y"]) == 2
        with pytest.raises(KeyNotFound):
            await user.require("x")
        past = await user.get("a", version=1)
        assert past is None


async def test_pages_of_a_scope_lead_on(scene: Scene) -> None:
    async with scene.open() as db:
        user = db.entries.scope("users", "+")
        await user.set_many({f"n:{number:02}": number for number in range(30)}, tags=["t"])
        await db.entries.set_many({f"users/a:{number}": number for number in range(30)}, tags=["t"])
        walks: list[Any] = [
            user.keys,
            partial(user.items, "n:+"),
            partial(user.items, Pattern.glob("n*")),
            partial(user.items, reverse=True),
            partial(user.find_by_tag, "t"),
            partial(user.find_by_tag, "t", Pattern.glob("n*"), reverse=True),
        ]
        for walk in walks:
            found: list[Any] = []
            cursor = None
            while True:
                page = walk(limit=7, after=cursor)
                found += await listed(page)
                cursor = page.cursor
                if cursor is None:
                    break
            assert len(found) == 30
            assert found == await listed(walk())
        between = user.keys(gte="n:05", lt="n:07")
        assert texts(await listed(between)) == ["n:05", "n:06"]
        assert texts(await listed(user.keys(after="n:28"))) == ["n:29"]


async def test_scopes_stand_in_scopes_and_in_transactions_and_snapshots(scene: Scene) -> None:
    async with scene.open() as db:
        inner = db.entries.scope("tenants", "+").scope("users", "#")
        assert inner.segments == ("tenants", "+", "users", "#")
        await inner.set("a", 1)
        assert await db.entries.has(StoreKey("a", ("tenants", "+", "users", "#")))
        assert texts(await listed(db.entries.scope("tenants", "+").keys())) == ["users/#:a"]
        async with await db.snapshot() as view:
            await inner.set("a", 2)
            seen = await view.entries.scope("tenants", "+").require("users/#:a")
            assert seen.value == 1
        async with db.transaction() as tx:
            within = tx.entries.scope("tenants", "+", "users", "#")
            made = await within.set("b", 3)
            assert texts(await listed(within.keys())) == ["a", "b"]
            assert await within.delete_matching("#", tag="none") == 0
        assert made.revision == db.revision


async def test_subscribers_of_a_scope_hear_of_it_alone(scene: Scene) -> None:
    async with scene.open() as db:
        user = db.entries.scope("users", "+")
        seen: list[Change] = []
        late: list[Change] = []

        async def slowly(change: Change) -> None:
            late.append(change)

        ends = [
            user.subscribe("#", seen.append),
            user.subscribe(Pattern.glob("a*"), seen.append),
            user.subscribe("#", slowly),
        ]
        await db.entries.set("users:+", 1)
        await db.entries.set("users/ada:a", 2)
        await user.set("a", 3)
        await user.delete("a")
        await user.set("b", 4)
        await until(lambda: len(late) == 3)
        assert [(one.op, str(one.key)) for one in late] == [
            ("set", "a"), ("delete", "a"), ("set", "b"),
        ]  # fmt: skip
        assert len(seen) == 5
        assert late[1].before.value == 3
        assert str(late[1].before.key) == "a"
        for end in ends:
            end()
        await user.set("c", 5)
        await asyncio.sleep(0)
        assert len(late) == 3


async def test_segments_that_cannot_be_are_refused(scene: Scene) -> None:
    async with scene.open() as db:
        with pytest.raises(InvalidInput, match="named by its segments"):
            db.entries.scope()
        for wrong in ("", 7, None, "\ud800"):
            with pytest.raises(InvalidKey):
                db.entries.scope("users", wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidKey):
            await db.entries.scope("__schema").set("a", 1)
