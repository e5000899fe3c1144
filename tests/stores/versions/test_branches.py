"""Branches: copy on write, both sides go on, merged by what differs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Delete
from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    StoreExists,
    Unsupported,
    VersionNotFound,
)
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.space import Space
from holdfast.stores.versions import branches
from holdfast.stores.versions.state import state_key
from tests.store.scene import Scene, listed, rows_of


async def test_a_branch_begins_at_a_version_and_copies_nothing(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        with pytest.raises(VersionNotFound):
            await store.branch("early")
        await store.set_many({b"%03d" % n: b"v" for n in range(200)})
        one = await store.save_version()
        await store.set(b"000", b"later")
        await store.save_version()
        branch = await store.branch("what-if", 1)
        number = branch._content.space.keyspace.number
        rows = await rows_of(db, Range.prefix(layout.KEYSPACE + number.to_bytes(4, "big")))
        assert len(rows) == 2, "the branch has its state and its versions, and no node"
        assert await branch.list_versions() == [1]
        assert (await branch.root()).root == one.root
        assert await branch.get(b"000") == b"v"
        await branch.set(b"000", b"branched")
        await branch.delete(b"001")
        saved = await branch.save_version()
        assert saved.number == 2
        assert await store.get(b"000") == b"later"
        assert await store.get(b"001") == b"v"
        assert await branch.get(b"000") == b"branched"
        assert len(await listed(branch.iterate())) == 199
        assert await branch.verify() > 0
        deeper = await branch.branch("deeper")
        await deeper.set(b"new", b"x")
        await deeper.save_version()
        assert await deeper.get(b"050") == b"v"
        assert await deeper.get(b"000") == b"branched"
        with pytest.raises(StoreExists):
            await store.branch("deeper")
        # The origin keeps what its branches stand on.
        await store.set(b"x", b"y")
        await store.save_version()
        assert await store.prune(2) == 0
        with pytest.raises(Conflict):
            await db.stores.delete("ledger")
        with pytest.raises(Conflict):
            await branch.rollback(1)
        await db.stores.delete("deeper")
        await branch.rollback(1)
        assert await branch.get(b"000") == b"v"
        await db.stores.delete("what-if")
        assert await store.prune(2) == 2
        assert await store.get(b"050") == b"v"


async def test_merge_names_conflicts(scene: Scene) -> None:
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        await store.set_many({b"%d" % n: b"v" for n in range(6)})
        await store.save_version()
        branch = await store.branch("b")
        await store.set(b"0", b"ours")
        await store.set(b"1", b"same")
        await store.set(b"5", b"only here")
        await branch.set(b"0", b"theirs")
        await branch.set(b"1", b"same")
        await branch.delete(b"2")
        await branch.set(b"new", b"x")
        before = dict(await listed(store.iterate()))
        with pytest.raises(Conflict) as raised:
            await store.merge(branch)
        assert raised.value.details["keys"] == [b"0"]
        assert dict(await listed(store.iterate())) == before
        assert await store.merge(branch, prefer="ours") == 2
        assert await store.get(b"0") == b"ours"
        assert await store.get(b"2", None) is None
        assert await store.get(b"new") == b"x"
        assert await store.merge(branch, prefer="theirs") == 1
        assert await store.get(b"0") == b"theirs"
        assert await store.get(b"5") == b"only here"
        with pytest.raises(InvalidInput):
            await branch.merge(store)
        with pytest.raises(InvalidInput):
            await store.merge(branch, prefer="both")
        plain = await db.stores.create("plain")
        with pytest.raises(Unsupported):
            await plain.merge(branch)
        with pytest.raises(Unsupported):
            await plain.branch("x")


async def test_what_is_written_while_branches_are_compared_is_never_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write between the look at both sides and the commit of the merge."""
    merged = branches.merged_wishes
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        await store.set_many({b"a": b"v", b"b": b"v"})
        await store.save_version()
        branch = await store.branch("b")
        await branch.set(b"a", b"theirs")
        await branch.set(b"b", b"theirs")
        meanwhile: list[Callable[[], Awaitable[object]]] = []

        async def slow(*given: Any) -> Any:
            found = await merged(*given)
            if meanwhile:
                await meanwhile.pop()()
            return found

        monkeypatch.setattr(branches, "merged_wishes", slow)
        meanwhile.append(lambda: store.set(b"a", b"ours"))
        with pytest.raises(Conflict) as raised:
            await store.merge(branch)
        assert raised.value.details["keys"] == [b"a"]
        assert [await store.get(key) for key in (b"a", b"b")] == [b"ours", b"v"]

        async def saved_too() -> None:
            await store.set(b"b", b"saved")
            await store.save_version()

        meanwhile.append(saved_too)
        assert await store.merge(branch, prefer="ours") == 0
        assert await store.get(b"b") == b"saved"
        meanwhile.append(lambda: store.set(b"c", b"of no concern"))
        assert await store.merge(branch, prefer="theirs") == 2
        assert await store.get(b"a") == b"theirs"


async def test_a_branch_is_there_with_its_beginning_or_not_at_all(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off in between, it would look empty, and a merge would remove every key."""
    async with scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        await store.set(b"a", b"1")
        await store.save_version()
        commit, count = Space.commit, 0

        async def broken_off(self: Space, *given: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == 2:
                raise asyncio.CancelledError
            return await commit(self, *given, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Space, "commit", broken_off)
            with suppress(asyncio.CancelledError):
                await store.branch("what-if")
        if not await db.stores.exists("what-if"):
            await store.branch("what-if")
        branch = await db.stores.get("what-if")
        assert await branch.get(b"a") == b"1"
        assert await store.merge(branch) == 0
        # One that an earlier version left half made is refused.
        engine = db._open_engine()
        await engine.commit(Batch([Delete(state_key(branch._open().space.keyspace.number))]))
        with pytest.raises(InvalidInput, match="never made to its end"):
            await store.merge(branch)
        assert await store.get(b"a") == b"1"
