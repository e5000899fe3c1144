"""Conditions of a write: who comes second is told, and sees what won."""

import asyncio
import pickle
from typing import Any

import pytest

from holdfast import Conflict, Entry, digest
from holdfast.contract.errors import InvalidInput
from tests.store.scene import Scene


async def refused(scene: Scene, db: Any, write: Any) -> Conflict:
    """The conflict that the write ends in; nothing was written."""
    before = await db.head()
    with pytest.raises(Conflict) as caught:
        await write
    assert await db.head() == before
    return caught.value


@pytest.mark.row("E-029")
async def test_if_revision_is_the_token_across_delete_and_new_life(scene: Scene) -> None:
    async with scene.open() as db:
        first = await db.entries.set("a", 1)
        second = await db.entries.set("a", 2, if_revision=first.revision)
        conflict = await refused(scene, db, db.entries.set("a", 3, if_revision=first.revision))
        assert conflict.current == second
        assert conflict.current.value == 2
        await db.entries.delete("a", if_revision=second.revision)
        conflict = await refused(scene, db, db.entries.set("a", 3, if_revision=second.revision))
        assert conflict.current is None
        again = await db.entries.set("a", 3, if_revision=0)
        assert again.metadata.incarnation == 2
        # Same version number, other life: the revision tells them apart.
        conflict = await refused(scene, db, db.entries.set("a", 4, if_revision=first.revision))
        assert conflict.current == again
        await refused(scene, db, db.entries.delete("a", if_revision=first.revision))
        await refused(
            scene, db, db.entries.modify("a", lambda value: value, if_revision=first.revision)
        )


@pytest.mark.row("I-107")
async def test_if_version_compares_the_life_too_when_given(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.delete("a")
        await db.entries.set("a", 2)
        await refused(scene, db, db.entries.set("a", 3, if_version=(1, 1)))
        await refused(scene, db, db.entries.set("a", 3, if_version=2))
        await refused(scene, db, db.entries.set("b", 3, if_version=1))
        entry = await db.entries.set("a", 3, if_version=(2, 1))
        assert entry.metadata.version == 2
        await db.entries.set("a", 4, if_version=2)
        await refused(scene, db, db.entries.delete("a", if_version=(2, 2)))
        assert await db.entries.delete("a", if_version=(2, 3))


async def test_if_hash_compares_the_value(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", {"x": 1})
        there = digest({"x": 1})
        await refused(scene, db, db.entries.set("a", 2, if_hash=digest({"x": 2})))
        await refused(scene, db, db.entries.set("b", 2, if_hash=there))
        await db.entries.set("a", {"x": 1}, if_hash=there)
        await db.entries.set("a", {"x": 3}, if_hash=there.hex)
        await refused(scene, db, db.entries.delete("a", if_hash=there))
        assert await db.entries.delete("a", if_hash=digest({"x": 3}))


async def test_if_absent_lets_one_writer_through(scene: Scene) -> None:
    async with scene.open() as db:
        results = await asyncio.gather(
            *(db.entries.set("a", n, if_absent=True) for n in range(20)), return_exceptions=True
        )
        [won] = [one for one in results if isinstance(one, Entry)]
        lost = [one for one in results if isinstance(one, Conflict)]
        assert len(lost) == 19
        assert all(one.current == won for one in lost)
        assert await db.entries.get("a") == won


async def test_set_many_writes_nothing_when_one_key_is_taken(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("b", 0)
        conflict = await refused(
            scene, db, db.entries.set_many({"a": 1, "b": 2, "c": 3}, if_absent=True)
        )
        assert conflict.key == "b"
        assert await db.entries.count() == 1


async def test_a_conflict_says_what_was_wanted_and_found_and_travels(scene: Scene) -> None:
    async with scene.open() as db:
        made = await db.entries.set("users:1", {"secret": "s3cr3t"})
        conflict = await refused(
            scene, db, db.entries.set("users:1", 2, if_revision=made.revision + 5)
        )
        assert conflict.retryable
        assert "users:1" in str(conflict)
        assert str(made.revision) in str(conflict)
        assert str(made.revision + 5) in str(conflict)
        assert "s3cr3t" not in str(conflict) + repr(conflict)
        again = pickle.loads(pickle.dumps(conflict))
        assert again.current == made
        assert again.current.value == {"secret": "s3cr3t"}


async def test_what_was_compared_is_data(scene: Scene) -> None:
    async with scene.open() as db:
        made = await db.entries.set("a", 1)
        there = digest(1).hex
        cases: list[tuple[dict[str, Any], str, object, object]] = [
            ({"if_revision": made.revision + 5}, "revision", made.revision + 5, made.revision),
            ({"if_revision": 0}, "revision", None, made.revision),
            ({"if_version": 7}, "version", 7, 1),
            ({"if_version": (2, 1)}, "version", (2, 1), (1, 1)),
            ({"if_hash": "0" * 64}, "hash", "0" * 64, there),
            ({"if_absent": True}, "absent", None, made.revision),
        ]
        for condition, name, expected, found in cases:
            conflict = await refused(scene, db, db.entries.set("a", 2, **condition))
            assert (conflict.key, conflict.condition) == ("a", name)
            assert (conflict.expected, conflict.found) == (expected, found), condition
            assert conflict.current == made
            assert "`current`" in str(conflict)
        for condition in ({"if_revision": 9}, {"if_version": 9}, {"if_hash": there}):
            conflict = await refused(scene, db, db.entries.set("b", 2, **condition))
            assert (conflict.found, conflict.current) == (None, None)
            assert "`current`" not in str(conflict)


async def test_a_conflict_over_a_big_value_holds_the_value_too(scene: Scene) -> None:
    async with scene.open() as db:
        big = "x" * 600_000
        made = await db.entries.set("a", big)
        conflict = await refused(scene, db, db.entries.set("a", 1, if_absent=True))
        assert conflict.current == made
        assert conflict.current.value == big
        kept = await db.entries.set("a", big, if_changed=True)
        assert kept.value == big


@pytest.mark.parametrize(
    "condition",
    [
        {"if_revision": -1}, {"if_revision": "1"}, {"if_revision": True}, {"if_revision": 1.0},
        {"if_version": "1"}, {"if_version": (1,)}, {"if_version": (1, 2, 3)},
        {"if_version": (1, "2")}, {"if_version": 1.5}, {"if_version": True}, {"if_version": -1},
        {"if_hash": 5}, {"if_hash": "xyz"}, {"if_hash": b"a" * 32},
    ],
    ids=repr,
)  # fmt: skip
async def test_a_condition_that_cannot_be_is_no_conflict(
    scene: Scene, condition: dict[str, Any]
) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        before = await db.head()
        with pytest.raises(InvalidInput):
            await db.entries.set("a", 2, **condition)
        with pytest.raises(InvalidInput):
            await db.entries.delete("a", **condition)
        assert await db.head() == before
