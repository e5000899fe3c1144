"""Past versions: contiguous, readable by version, revision and instant, and never rewritten."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import Entry, digest
from holdfast.contract.errors import (
    Conflict,
    DuplicateKey,
    InvalidInput,
    KeyNotFound,
    VersionNotFound,
)
from tests.store.scene import Scene, core_of, listed


@pytest.mark.row("K-012", "K-018")
async def test_a_hundred_sets_leave_ninety_nine_versions_without_a_gap(scene: Scene) -> None:
    async with scene.open() as db:
        for n in range(1, 101):
            scene.clock.advance(1)
            await db.entries.set("a:b", n, modified_by=n, comment=f"c{n}")
        history = await listed(db.entries.history("a:b"))
        assert [one.metadata.version for one in history] == list(range(1, 100))
        assert [one.value for one in history] == list(range(1, 100))
        assert [one.metadata.modified_by for one in history] == list(range(1, 100))
        assert [one.metadata.comment for one in history] == [f"c{n}" for n in range(1, 100)]
        assert [one.metadata.data_hash for one in history] == [digest(n).hex for n in range(1, 100)]
        revisions = [one.revision for one in history]
        assert revisions == sorted(set(revisions))
        moments = [one.metadata.updated_at for one in history]
        assert moments == sorted(set(moments))
        assert await listed(db.entries.history("a:b", reverse=True)) == history[::-1]
        living = await db.entries.require("a:b")
        assert [one.ended_at_revision for one in history] == [*revisions[1:], living.revision]
        assert {one.end_cause for one in history} == {"set"}


async def test_history_spans_lives_and_says_how_each_ended(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.set("a", 2)
        scene.clock.advance(1)
        gone_at = scene.clock.now_ms()
        await db.entries.delete("a", modified_by="bob", comment="obsolete")
        after_delete = await db.head()
        await db.entries.set("a", 3, ttl=1)
        scene.clock.advance(1)
        await db.sweep()
        await db.entries.set("a", 4)
        history = await listed(db.entries.history("a"))
        places = [(one.metadata.incarnation, one.metadata.version, one.value) for one in history]
        assert places == [(1, 1, 1), (1, 2, 2), (2, 1, 3)]
        assert [one.end_cause for one in history] == ["set", "delete", "expired"]
        assert (history[1].end_modified_by, history[1].end_comment) == ("bob", "obsolete")
        assert history[1].end_at == datetime.fromtimestamp(gone_at / 1000, UTC)
        assert history[1].ended_at_revision == after_delete
        living = await db.entries.require("a")
        assert (living.metadata.incarnation, living.metadata.version) == (3, 1)
        assert await listed(db.entries.history("a", reverse=True)) == history[::-1]


async def test_a_deleted_key_keeps_its_history_and_others_have_none(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.set("a:b", 9)
        assert await listed(db.entries.history("a")) == []
        await db.entries.delete("a")
        assert [one.value for one in await listed(db.entries.history("a"))] == [1]
        assert await listed(db.entries.history("a:b")) == []
        assert await listed(db.entries.history("never")) == []


async def test_versions_are_read_by_number_and_by_life(scene: Scene) -> None:
    async with scene.open() as db:
        for value in (1, 2, 3):
            await db.entries.set("a", value)
        await db.entries.delete("a")
        latest = await db.entries.get("a", version=3)
        assert latest is not None
        assert latest.value == 3
        for value in (4, 5):
            await db.entries.set("a", value)

        async def read(version: Any) -> Any:
            found = await db.entries.get("a", version=version)
            return None if found is None else found.value

        assert [await read(n) for n in (1, 2, 3)] == [4, 5, None]
        assert [await read((1, n)) for n in (1, 2, 3, 4)] == [1, 2, 3, None]
        assert [await read((2, n)) for n in (1, 2, 3)] == [4, 5, None]
        assert await read((3, 1)) is None
        assert await read(2**70) is None
        assert await read((2**70, 1)) is None
        living = await db.entries.get("a", version=2)
        assert living == await db.entries.get("a")


@pytest.mark.parametrize(
    "arguments",
    [
        {"version": 0}, {"version": -1}, {"version": "1"}, {"version": True}, {"version": 1.0},
        {"version": ("1", 1)}, {"version": (1,)}, {"version": (1, 2, 3)}, {"version": (0, 1)},
        {"version": (True, 1)}, {"version": (1, 1.5)}, {"at": -1}, {"at": "x"}, {"at": True},
        {"at": 1.5}, {"at": datetime(2024, 1, 1)}, {"at": 10**9}, {"version": 1, "at": 1},  # noqa: DTZ001
    ],
    ids=repr,
)  # fmt: skip
async def test_a_past_that_cannot_be_is_refused(scene: Scene, arguments: dict[str, Any]) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        with pytest.raises(InvalidInput):
            await db.entries.get("a", **arguments)


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "delete", "wait", "other", "big"]), st.integers(1, 3)
    ),
    max_size=30,
)


@settings(max_examples=25)
@given(steps=STEPS)
def test_every_moment_of_the_past_reads_as_it_was(steps: list[Step]) -> None:
    scene = Scene("memory", Path())

    async def play() -> None:
        async with scene.open() as db:
            by_revision: dict[int, Entry[Any] | None] = {await db.head(): None}
            by_instant: dict[int, Entry[Any] | None] = {scene.clock.now_ms(): None}
            scene.clock.advance(0.001)
            for number, (act, amount) in enumerate(steps):
                if act == "set":
                    await db.entries.set("a", number)
                elif act == "big":
                    await db.entries.set("a", "x" * 300_000 + str(number))
                elif act == "delete":
                    await db.entries.delete("a")
                elif act == "other":
                    await db.entries.set("b", number)
                else:
                    scene.clock.advance(amount)
                now = await db.entries.get("a")
                by_revision[await db.head()] = now
                by_instant[scene.clock.now_ms()] = now
                scene.clock.advance(0.001)
            for revision, wanted in by_revision.items():
                found = await db.entries.get("a", at=revision)
                assert _same(found, wanted), revision
            for instant_ms, wanted in by_instant.items():
                moment = datetime.fromtimestamp(instant_ms / 1000, UTC)
                assert _same(await db.entries.get("a", at=moment), wanted), moment

    asyncio.run(play())


def _same(found: Entry[Any] | None, wanted: Entry[Any] | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return found == wanted and found.value == wanted.value


async def test_an_instant_in_the_past_knows_what_had_expired_by_then(scene: Scene) -> None:
    async with scene.open() as db:
        start = datetime.fromtimestamp(scene.clock.now_ms() / 1000, UTC)
        await db.entries.set("a", 1, ttl=10)
        scene.clock.advance(100)

        async def value(seconds: float) -> Any:
            found = await db.entries.get("a", at=start + timedelta(seconds=seconds))
            return None if found is None else found.value

        for _ in ("unswept", "swept", "overwritten"):
            assert [await value(-1), await value(0), await value(9.999)] == [None, 1, 1]
            assert [await value(10), await value(99)] == [None, None]
            if not await db.sweep():
                await db.entries.set("a", 2)


@pytest.mark.row("K-011")
async def test_restore_writes_the_old_value_as_a_new_version(scene: Scene) -> None:
    async with scene.open() as db:
        entries = core_of(db)
        schema = await db.schemas.register({"type": "object"})
        await entries.set("a", {"n": 1}, tags=["x"], schema_hash=schema, comment="old")
        await entries.set("a", {"n": 2}, tags=["y"])
        restored = await entries.restore("a", 1, modified_by="ada", comment="undo")
        assert restored.value == {"n": 1}
        assert restored.metadata.version == 3
        assert (restored.metadata.tags, restored.metadata.schema_hash) == (["x"], schema)
        assert (restored.metadata.modified_by, restored.metadata.comment) == ("ada", "undo")
        assert [one.value["n"] for one in await listed(entries.history("a"))] == [1, 2]
        with pytest.raises(VersionNotFound, match="version 9"):
            await entries.restore("a", 9)
        with pytest.raises(VersionNotFound):
            await entries.restore("never", 1)
        with pytest.raises(Conflict):
            await entries.restore("a", 1, if_revision=1)


async def test_undelete_brings_back_the_last_state_once(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.set("a", 2, tags=["t"])
        await db.entries.delete("a")
        back = await db.entries.undelete("a", modified_by="ada")
        assert (back.value, back.metadata.incarnation, back.metadata.version) == (2, 2, 1)
        assert back.metadata.tags == ["t"]
        with pytest.raises(Conflict) as caught:
            await db.entries.undelete("a")
        assert caught.value.current == back
        await db.entries.set("b", 1)
        with pytest.raises(Conflict):
            await db.entries.undelete("b")
        with pytest.raises(VersionNotFound):
            await db.entries.undelete("never")


async def test_rename_is_refused_where_something_stands_or_stood(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.set("b", 2)
        await db.entries.set("c", 3)
        await db.entries.delete("c")
        before = await db.head()
        for target in ("b", "c", "a"):
            with pytest.raises(DuplicateKey):
                await db.entries.rename("a", target)
        with pytest.raises(KeyNotFound):
            await db.entries.rename("nope", "d")
        with pytest.raises(Conflict):
            await db.entries.rename("a", "d", if_revision=1)
        assert await db.head() == before


@pytest.mark.row("trap 20")
async def test_what_has_run_out_is_past_before_it_is_swept(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        await db.entries.set("a", 2, ttl=1)
        scene.clock.advance(1)
        told = []
        for _ in ("unswept", "swept"):
            history = await listed(db.entries.history("a"))
            told.append([(one.value, one.end_cause) for one in history])
            assert await listed(db.entries.history("a", reverse=True)) == history[::-1]
            assert await db.entries.get("a", version=2) == history[-1]
            assert await db.entries.get("a", version=(1, 1)) == history[0]
            await db.sweep()
        assert told == [[(1, "set"), (2, "expired")]] * 2


@pytest.mark.row("trap 23")
async def test_later_writes_do_not_change_a_past_version(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("a", {"n": [1]}, comment="c", tags=["t"], modified_by="ada", ttl=100)
        await db.entries.set("a", {"n": [2]})
        [past] = await listed(db.entries.history("a"))
        frozen = (past.stored, past.revision, past.metadata, past.value)
        for n in range(20):
            await db.entries.set("a", n)
        await db.entries.delete("a")
        await db.entries.set("a", "again")
    async with kept_scene.open() as db:
        past = (await listed(db.entries.history("a")))[0]
        assert (past.stored, past.revision, past.metadata, past.value) == frozen
