"""Many entries at once: pairs, options of their own, several commits, deleting what matches."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import Conflict, Pattern, StoreKey
from holdfast.contract.errors import InvalidInput, InvalidKey, SerializationFailed
from tests.store.scene import Scene, listed


async def test_pairs_are_written_with_options_of_their_own(scene: Scene) -> None:
    async with scene.open() as db:
        later = datetime.fromtimestamp(scene.clock.now_ms() / 1000, UTC) + timedelta(hours=2)
        made = await db.entries.set_many(
            [
                ("a", 1),
                (StoreKey("b"), 2, {"ttl": 60, "tags": ["own"]}),
                ("c", 3, {"expires_at": later, "modified_by": "eve"}),
            ],
            modified_by="ada",
            tags=iter(["all"]),
            ttl=3600,
        )
        assert list(made) == ["a", "b", "c"]
        assert len({entry.revision for entry in made.values()}) == 1
        a, b, c = (entry.metadata for entry in made.values())
        assert (a.modified_by, b.modified_by, c.modified_by) == ("ada", "ada", "eve")
        assert (a.tags, b.tags, c.tags) == (["all"], ["own"], ["all"])
        assert a.expires_at_ms - scene.clock.now_ms() == 3_600_000
        assert b.expires_at_ms - scene.clock.now_ms() == 60_000
        assert c.expires_at == later
        with pytest.raises(Conflict):
            await db.entries.set_many([("d", 1), ("a", 2, {"if_absent": True})])
        assert not await db.entries.has("d")
        assert (await db.entries.set_many(iter([("d", 4)])))["d"].value == 4  # type: ignore[index]
        assert await db.entries.set_many([]) == {}


async def test_items_that_cannot_be_are_refused(scene: Scene) -> None:
    async with scene.open() as db:
        wrong: list[tuple[Any, str]] = [
            (["ab"], "a key and a value"),
            ([("a", 1, 2)], "a key and a value"),
            ([("a",)], "a key and a value"),
            ([("a", 1, {"tll": 5})], "did you mean 'ttl'"),
        ]
        for values, words in wrong:
            with pytest.raises(InvalidInput, match=words):
                await db.entries.set_many(values)
        with pytest.raises(InvalidInput, match="once"):
            await db.entries.set_many([("a", 1), ("a", 2)])
        assert await db.entries.count() == 0


async def test_more_than_one_commit_holds_is_split_on_request_alone(scene: Scene) -> None:
    async with scene.open() as db:

        def pairs(count: int) -> Iterator[tuple[str, int]]:
            return ((f"n:{number:06}", number) for number in range(count))

        with pytest.raises(InvalidInput, match="atomic=False"):
            await db.entries.set_many(pairs(10_001))
        assert await db.entries.count() == 0
        told: list[int] = []
        made = await db.entries.set_many(pairs(10_001), atomic=False, progress=told.append)
        assert len(made) == await db.entries.count() == 10_001
        assert told == [*range(1000, 10_001, 1000), 10_001]
        assert len({entry.revision for entry in made.values()}) == 11
        # The last value of a key wins, as in the order given.
        again = await db.entries.set_many([("a", 1), ("b", 2), ("a", 3)], atomic=False)
        assert (again["a"].value, len(again)) == (3, 2)  # type: ignore[index]


async def test_an_error_half_way_says_how_many_are_written(scene: Scene) -> None:
    async with scene.open() as db:
        items: list[Any] = [(f"n:{number:04}", number) for number in range(2500)]
        items[2100] = ("n:bad", object())
        with pytest.raises(SerializationFailed) as caught:
            await db.entries.set_many(items, atomic=False)
        assert caught.value.details["written"] == 2000
        assert await db.entries.count() == 2000
        with pytest.raises(InvalidKey) as refused:
            await db.entries.set_many([("a", 1), ("b/c", 1)], atomic=False)
        assert refused.value.details["written"] == 0


async def test_what_matches_is_deleted_in_small_commits(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"n:{number:04}": number for number in range(2500)})
        await db.entries.set("m", 1)
        begin = await db.head()
        told: list[int] = []
        deleted = await db.entries.delete_matching(
            "n/#", modified_by="ada", comment="old", keys_per_commit=1000, progress=told.append
        )
        assert deleted == 2500
        assert told[-1] == 2500
        assert await db.entries.count() == 1
        async with db.watch("#", since=begin) as changes:
            seen = [await anext(changes) for _ in range(2500)]
        assert {one.op for one in seen} == {"delete"}
        revisions = [one.revision for one in seen]
        assert max(revisions.count(one) for one in set(revisions)) <= 1000
        [past] = await listed(db.entries.history("n:0001"))
        assert (past.end_cause, past.end_comment) == ("delete", "old")
        assert await db.entries.delete_matching("n/#") == 0


async def test_deleting_takes_a_limit_a_glob_and_a_tag(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"n:{number}": number for number in range(20)}, tags=["odd"])
        await db.entries.set_many({f"n:{number}": number for number in range(0, 20, 2)}, tags=[])
        assert await db.entries.delete_matching("#", limit=3) == 3
        assert await db.entries.delete_matching(Pattern.glob("n:1*"), tag="odd") == 5
        assert await db.entries.delete_matching("#", tag="odd", keys_per_commit=1) == 4
        assert await db.entries.count(tag="odd") == 0
        assert await db.entries.count() == 8
        with pytest.raises(InvalidInput, match="keys_per_commit"):
            await db.entries.delete_matching("#", keys_per_commit=0)
        with pytest.raises(TypeError):
            await db.entries.delete_matching()  # type: ignore[call-arg]


async def test_an_entry_that_loses_its_tag_meanwhile_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.open() as db:
        await db.entries.set_many({"a": 1, "b": 2, "c": 3}, tags=["old"])
        other = scene.handle()
        async with other:
            entries: Any = db.entries
            write, told = entries.write, 0

            async def interfered(writes: Any) -> Any:
                nonlocal told
                told += 1
                if told == 1:
                    await other.entries.touch("b", tags=[])
                    await other.entries.touch("c", tags=["old", "new"])
                return await write(writes)

            monkeypatch.setattr(entries, "write", interfered)
            assert await db.entries.delete_matching("#", tag="old") == 2
            assert told == 2
        assert [str(entry.key) async for entry in db.entries.items()] == ["b"]


async def test_deleting_that_was_cancelled_goes_on_when_it_is_called_again(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set_many({f"n:{number:03}": number for number in range(300)})
        told: list[int] = []

        def stop(count: int) -> None:
            told.append(count)
            if count >= 100:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await db.entries.delete_matching("n/#", keys_per_commit=50, progress=stop)
        left = await db.entries.count()
        assert left == 300 - told[-1]
        assert await db.entries.delete_matching("n/#") == left
