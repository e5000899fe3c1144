"""Versions that others save, drop, load and hold at the same moment: nobody is told of damage.

What others do is done between two steps of a call, where another process may do it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from holdfast.contract.errors import Conflict, VersionNotFound
from holdfast.stores.versions.contents import ContentVersions
from holdfast.stores.versions.tree_content import TreeContent
from holdfast.stores.versions.trees import TreeVersions
from tests.store.scene import Scene
from tests.tidy import repository

Between = Callable[[type, str, Callable[[], Awaitable[object]]], None]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Has something done before a step of a call is taken for the first time."""

    def arrange(owner: type, step: str, others: Callable[[], Awaitable[object]]) -> None:
        real = getattr(owner, step)
        waiting = [others]

        async def once(self: Any, *arguments: Any) -> Any:
            if waiting:
                await waiting.pop()()
            return await real(self, *arguments)

        monkeypatch.setattr(owner, step, once)

    return arrange


@asynccontextmanager
async def two(scene: Scene, versions: int = 6) -> AsyncIterator[tuple[Any, Any]]:
    """A store with so many versions, as two handles have it."""
    async with scene.open() as one, scene.open() as other:
        mine = await one.stores.create("tree", "iavl")
        theirs = await other.stores.get("tree")
        for number in range(versions):
            await mine.set_many({b"%03d" % key: b"%d" % number for key in range(number, 90, 2)})
            await mine.save_version()
        yield mine, theirs
        assert await one.check() == []


def forget(store: Any) -> None:
    """Let nodes be read from their rows again."""
    cache = store._content.cache
    cache.forget_all([*cache.young])


@pytest.mark.row("E-100")
async def test_two_who_drop_the_same_versions(scene: Scene, between: Between) -> None:
    async with two(scene) as (mine, theirs):

        async def others() -> None:
            assert await theirs.prune(3) == 3
            forget(mine)

        between(TreeVersions, "_apart", others)
        with pytest.raises(Conflict):
            await mine.prune(3)
        assert await mine.list_versions() == [4, 5, 6]


@pytest.mark.row("E-032", "E-100")
async def test_a_version_saved_while_others_are_dropped_stays(
    scene: Scene, between: Between
) -> None:
    async with two(scene) as (mine, theirs):

        async def others() -> None:
            await theirs.set(b"000", b"new")
            assert (await theirs.save_version()).number == 7

        between(TreeVersions, "_saved_revision", others)
        with suppress(Conflict):
            await mine.prune(2)
        assert (await mine.list_versions())[-1] == 7
        await mine.load_version(7)
        assert await mine.get(b"000") == b"new"


@pytest.mark.row("E-034")
async def test_a_version_that_a_branch_begins_at_meanwhile_stays(
    scene: Scene, between: Between
) -> None:
    async with two(scene) as (mine, theirs):

        async def others() -> None:
            await theirs.branch("branch", 2)

        between(TreeVersions, "_apart", others)
        with pytest.raises(Conflict):
            await mine.prune(4)
        assert 2 in await mine.list_versions()


@pytest.mark.row("E-033")
async def test_a_version_that_is_loaded_meanwhile_stays(scene: Scene, between: Between) -> None:
    async with two(scene) as (mine, theirs):

        async def others() -> None:
            await theirs.load_version(2)

        between(TreeVersions, "_drop", others)
        with pytest.raises(Conflict):
            await mine.prune(2)
        assert await mine.current_version() == 2
        assert await mine.get(b"001") == b"1"


@pytest.mark.row("E-033")
async def test_a_version_that_is_dropped_meanwhile_is_not_loaded(
    scene: Scene, between: Between
) -> None:
    async with two(scene) as (mine, theirs):

        async def others() -> None:
            assert await theirs.prune(2) == 2

        between(TreeVersions, "_guarded", others)
        with pytest.raises(VersionNotFound):
            await mine.load_version(2)
        assert await mine.current_version() == 6
        assert await mine.get(b"005") == b"5"
        with pytest.raises(VersionNotFound):
            await mine.root(2)


@pytest.mark.row("E-035")
async def test_a_version_that_is_made_anew_meanwhile_is_no_damage(
    scene: Scene, between: Between
) -> None:
    async with two(scene) as (mine, theirs):
        assert await mine.get(b"005") == b"5"

        async def others() -> None:
            await theirs.rollback(5)
            await theirs.set_many({b"%03d" % key: b"anew" for key in range(90)})
            await theirs.save_version()
            forget(mine)

        between(TreeContent, "asked", others)
        assert await mine.get(b"005") == b"anew"


@pytest.mark.row("E-100")
@pytest.mark.parametrize("step", ["_drop", "_saved", "_apart"])
async def test_two_who_drop_the_same_versions_of_a_plain_store(
    scene: Scene, between: Between, step: str
) -> None:
    async with scene.open() as one, scene.open() as other:
        mine: Any = await one.stores.create("plain")
        theirs = await other.stores.get("plain")
        for number in range(6):
            await mine.set_many({b"%03d" % key: b"%d" % number for key in range(number, 90, 2)})
            await mine.save_version()

        async def others() -> None:
            assert await theirs.prune(3) == 3
            cache = mine._versions()._cache
            cache.forget_all([*cache.young])

        between(ContentVersions, step, others)
        with pytest.raises(Conflict):
            await mine.prune(3)
        assert await mine.list_versions() == [4, 5, 6]
        assert await one.check() == []


SAVER = """
import sys
import holdfast.sync

with holdfast.sync.open(sys.argv[1]) as db:
    store = db.stores.get("tree")
    for number in range(150):
        store.set(b"%03d" % (number * 7 % 90), b"%d" % number)
        store.save_version()
        store.get(b"001")
"""


@pytest.mark.torture
@pytest.mark.row("E-100")
async def test_processes_save_and_drop_versions_of_one_store(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        store = await db.stores.create("tree", config={"kind": "iavl", "max_versions": 2})
        await store.set_many({b"%03d" % key: b"" for key in range(90)})
        await store.save_version()
    command = [sys.executable, "-c", SAVER, kept_scene.url]
    savers = [
        await asyncio.create_subprocess_exec(*command, cwd=repository.ROOT, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for saver in savers:
        _, complaint = await saver.communicate()
        assert saver.returncode == 0, complaint.decode()[-2000:]
    async with kept_scene.open() as db:
        store = await db.stores.get("tree")
        assert len(await store.list_versions()) <= 3
        assert await db.check() == []
