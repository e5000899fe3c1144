"""Who owns an open database: cancelled openings and closings, forgotten handles, replaced files."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import threading
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import ConfigInvalid, InvalidInput, StoreClosed, StoreError
from holdfast.store.opened import _registry
from tests.store.scene import Scene, until


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def remove_all(folder: Path) -> None:
    for file in list(folder.iterdir()):
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()


def threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("holdfast")}


async def cancelled_at(step: int, call: Callable[[], Awaitable[Any]]) -> bool:
    """Cancel a call at its n-th turn of the loop; whether it was there to be cancelled."""
    task = asyncio.ensure_future(call())
    for _ in range(step):
        if task.done():
            break
        await asyncio.sleep(0)
    there = not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, StoreClosed):
        await task
    return there


async def test_an_opening_cancelled_at_any_moment_leaves_the_path_free(kept_scene: Scene) -> None:
    async with kept_scene.handle() as db:
        await db.entries.set("a", 1)
    before, running = descriptors(), threads()
    reached = 0
    for step in range(40):
        handle = kept_scene.handle(housekeeping=True)
        reached += await cancelled_at(step, handle.open)
        await handle.close()
        async with asyncio.timeout(20), kept_scene.handle() as db:
            assert (await db.entries.require("a")).value == 1
    assert reached > 3
    await until(lambda: descriptors() <= before)
    await until(lambda: threads() <= running)


async def test_a_close_cancelled_at_any_moment_goes_on_and_can_be_repeated(
    kept_scene: Scene,
) -> None:
    before, running = descriptors(), threads()
    for step in range(25):
        handle = await kept_scene.handle(housekeeping=True, logged=True).open()
        await handle.entries.set("a", step)
        await cancelled_at(step, handle.close)
        if step % 2:
            await handle.close()
        async with asyncio.timeout(20), kept_scene.handle() as db:
            assert (await db.entries.require("a")).value == step
        await handle.close()
    await until(lambda: descriptors() <= before)
    await until(lambda: threads() <= running)


async def test_a_cancelled_close_leaves_other_handles_alone(scene: Scene) -> None:
    async with scene.open() as other:
        for step in range(12):
            handle = await scene.handle().open()
            await cancelled_at(step, handle.close)
            await handle.close()
            await handle.close()
            await other.entries.set("a", step)


async def test_a_close_that_fails_can_be_repeated(kept_scene: Scene) -> None:
    handle = await kept_scene.handle().open()
    shared = handle._require_shared()
    close = shared.engine.close

    async def failing() -> None:
        raise InterruptedError

    shared.engine.close = failing  # type: ignore[method-assign]
    with pytest.raises(InterruptedError):
        await handle.close()
    shared.engine.close = close  # type: ignore[method-assign]
    await handle.close()
    async with kept_scene.open():
        pass


async def test_a_handle_closed_while_it_opens_is_closed(scene: Scene) -> None:
    for step in range(8):
        handle = scene.handle()
        opening = asyncio.ensure_future(handle.open())
        for _ in range(step):
            await asyncio.sleep(0)
        await handle.close()
        with contextlib.suppress(StoreClosed):
            await opening
        with pytest.raises(StoreClosed):
            _ = handle.entries
        assert not [one for name, one in _registry.items() if one.busy or one.database]


async def test_a_handle_is_opened_once(scene: Scene) -> None:
    handle = scene.handle()
    outcomes = await asyncio.gather(handle.open(), handle.open(), return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert all(isinstance(one, InvalidInput) for one in refused)
    assert len(refused) < 2
    await handle.entries.set("a", 1)
    await handle.close()
    assert not _registry


async def test_many_may_open_and_close_at_once(kept_scene: Scene) -> None:
    async def one(number: int) -> None:
        async with kept_scene.handle(housekeeping=True) as db:
            await db.entries.set(f"k{number}", number)

    async with asyncio.timeout(30):
        await asyncio.gather(*(one(number) for number in range(30)))
    async with kept_scene.open() as db:
        assert len([key async for key in db.entries.keys("#")]) == 30
    assert not _registry


def test_handles_that_nobody_closed_are_let_go(tmp_path: Path) -> None:
    before, running = descriptors(), threads()
    for engine in ("lmdb", "sqlite"):
        for number in range(5):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", ResourceWarning)
                db = holdfast.sync.open(f"{engine}:///{tmp_path}/{number}.{engine}").__enter__()
                db.entries.set("a", 1)
                del db
                # The housekeeping may be in a round, which holds it for a moment.
                for _ in range(100):
                    gc.collect()
                    if told:
                        break
                    threading.Event().wait(0.05)
            assert any("never closed" in str(one.message) for one in told)
        with holdfast.sync.open(f"{engine}:///{tmp_path}/0.{engine}") as db:
            assert db.entries.require("a").value == 1
    for _ in range(200):
        if descriptors() <= before and threads() <= running:
            break
        threading.Event().wait(0.05)
    assert descriptors() <= before
    assert threads() <= running


@pytest.mark.parametrize("gone", ["removed", "replaced"])
async def test_a_second_handle_joins_no_database_whose_files_are_gone(
    kept_scene: Scene, gone: str, tmp_path: Path
) -> None:
    first = await kept_scene.handle().open()
    await first.entries.set("a", "first")
    remove_all(tmp_path)
    second = await kept_scene.handle().open()
    assert second._require_shared() is not first._require_shared()
    await second.entries.set("a", "second")
    if gone == "replaced":
        third = await kept_scene.handle().open()
        assert third._require_shared() is second._require_shared()
        await first.close()
        assert (await third.entries.require("a")).value == "second"
        await third.close()
    await second.close()
    with contextlib.suppress(StoreError):
        await first.close()
    async with kept_scene.open() as db:
        assert (await db.entries.require("a")).value == "second"


async def test_other_settings_are_refused_while_it_is_open(tmp_path: Path) -> None:
    url = f"lmdb:///{tmp_path}/app"
    async with holdfast.open(url):
        with pytest.raises(ConfigInvalid):
            await holdfast.open(f"{url}?durability=relaxed")
    async with holdfast.open(f"{url}?durability=relaxed"):
        pass
