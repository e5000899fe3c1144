"""Documents changed and removed by what they hold, in commits of a bounded size."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from holdfast.contract.errors import (
    DuplicateKey,
    InvalidInput,
    InvalidQuery,
    SchemaValidationFailed,
)
from holdfast.documents import REMOVE, F
from tests.store.scene import Scene, listed


@dataclasses.dataclass
class Ticket:
    state: str
    weight: int = 0


def many(count: int) -> dict[str, Any]:
    return {f"k{at:04}": {"n": at, "state": "old" if at % 2 else "new"} for at in range(count)}


@pytest.mark.parametrize("indexed", [True, False])
async def test_what_matches_goes_and_the_rest_stays(scene: Scene, *, indexed: bool) -> None:
    async with scene.open() as db:
        things: Any = db.collection("things")
        assert await things.delete_matching(n=1) == 0
        await things.set_many(many(300))
        if indexed:
            await things.create_index("state", "state")
        revision = db.revision
        told: list[int] = []
        gone = await things.delete_matching(
            F.n >= 10, state="old", keys_per_commit=50, progress=told.append, comment="aged"
        )
        assert gone == 145
        assert told == [50, 100, 145]
        assert db.revision == revision + 3
        left = [one for one, value in many(300).items() if value["n"] < 10 or not value["n"] % 2]
        assert await listed(things.keys()) == left
        assert await things.count(state="old") == 5
        assert await things.delete_matching("n >= 0", order_by="-n", limit=3) == 3
        assert (await things.find_one(order_by="-n"))["n"] == 292
        assert await db.check() == []


@pytest.mark.parametrize("indexed", [True, False])
async def test_each_is_changed_once_wherever_it_moves(scene: Scene, *, indexed: bool) -> None:
    """Also inside a transaction, where a walk sees what is written behind and before it."""
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many(many(40))
        if indexed:
            await things.create_index("n", "n")

        def further(thing: dict[str, Any]) -> Any:
            return REMOVE if thing["n"] == 7 else {**thing, "n": thing["n"] + 5}

        assert await things.modify_matching(further, F.n >= 5, keys_per_commit=3) == 35
        moved = sorted([*range(5), *(n + 5 for n in range(5, 40) if n != 7)])
        assert [one["n"] for one in await things.find_many(order_by="n")] == moved
        async with await things.begin_transaction() as inside:
            assert await inside.modify_matching(
                lambda thing: {**thing, "n": thing["n"] + 5}, F.n >= 20, keys_per_commit=3
            ) == sum(n >= 20 for n in moved)
        moved = sorted(n + 5 if n >= 20 else n for n in moved)
        assert [one["n"] for one in await things.find_many(order_by="n")] == moved
        assert await things.patch_matching({"state": "done"}) == len(moved)
        assert await things.count(state="done") == len(moved)
        assert await db.check() == []


async def test_what_does_not_match_any_more_stays(scene: Scene) -> None:
    """Somebody else writes between the search and a commit."""
    async with scene.open() as db:
        things: Any = db.collection("things")
        await things.create_index("state", "state")
        await things.set_many(many(20))

        told: list[int] = []
        walk = things._parts

        async def parts(*arguments: Any) -> Any:
            async for part in walk(*arguments):
                # Found, and then changed before it is removed.
                await things.patch(part[0], {"state": "saved"})
                yield part

        things._parts = parts
        assert (
            await things.delete_matching(state="old", keys_per_commit=4, progress=told.append) == 7
        )
        assert told == [3, 6, 7]
        assert await things.count(state="saved") == 3
        assert await things.count(state="old") == 0


async def test_a_commit_that_fails_tells_what_was_done(scene: Scene) -> None:
    async with scene.open() as db:
        tickets = db.collection("tickets", type=Ticket)
        await tickets.create_index("weight", "weight", unique=True)
        await tickets.set_many({f"t{at}": Ticket("new", at) for at in range(6)})
        with pytest.raises(DuplicateKey) as taken:
            await tickets.patch_matching({"weight": 9}, F.weight >= 2, keys_per_commit=1)
        assert taken.value.details["changed"] == 1
        assert [one.weight for one in await tickets.find_many(order_by="weight")] == [
            0,
            1,
            3,
            4,
            5,
            9,
        ]
        with pytest.raises(SchemaValidationFailed) as unfit:
            await tickets.patch_matching({"weight": "heavy"})
        assert unfit.value.details["changed"] == 0
        with pytest.raises(ZeroDivisionError):
            await tickets.modify_matching(lambda one: one.weight // 0, state="new")  # type: ignore[arg-type, return-value]
        assert await tickets.count(state="new") == 6
        assert await db.check() == []


async def test_hooks_are_told_of_each(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_many(many(4))
        told: list[Any] = []
        things.on("before:delete", lambda key: told.append(("before", key)))
        things.on("after:delete", lambda key, existed: told.append((key, existed)))
        things.on("after:set", lambda key, value: told.append((key, value["state"])))
        assert await things.delete_matching(n=1) == 1
        assert told == [("before", "k0001"), ("k0001", True)]
        told.clear()
        assert await things.patch_matching({"state": "seen"}, F.n >= 2) == 2
        assert told == [("k0002", "seen"), ("k0003", "seen")]


async def test_expiry_stays_and_the_expired_do_not_count(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("short", {"n": 1}, ttl=10)
        await things.set("long", {"n": 1}, ttl=100)
        assert await things.patch_matching({"m": 2}, n=1) == 2
        scene.clock.advance(50)
        assert await things.patch_matching({"m": 3}, n=1) == 1
        scene.clock.advance(60)
        assert await things.delete_matching(n=1) == 0
        assert await listed(things.keys()) == []


async def test_calls_that_cannot_be_write_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        things: Any = db.collection("things")
        await things.set_many(many(3))
        revision = db.revision
        with pytest.raises(InvalidInput, match=r"clear\(\)"):
            await things.delete_matching()
        wrongs: list[tuple[type[Exception], Any]] = [
            (InvalidInput, lambda: things.delete_matching(n=1, keys_per_commit=0)),
            (InvalidQuery, lambda: things.delete_matching(n=object())),
            (InvalidQuery, lambda: things.delete_matching(n=1, limit=-1)),
            (InvalidInput, lambda: things.patch_matching([1], n=1)),
            (InvalidInput, lambda: things.modify_matching(5, n=1)),
            (InvalidInput, lambda: things.modify_matching(things.get, n=1)),
        ]
        for kind, wrong in wrongs:
            with pytest.raises(kind):
                await wrong()
        absent = db.collection("absent")
        assert await absent.patch_matching({"n": 1}) == 0
        assert db.revision == revision
