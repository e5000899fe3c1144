"""Opening by a path, with settings beside the address, and with a clock of one's own."""

from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import (
    ConfigInvalid,
    NotADatabase,
    ReadOnly,
    StoreClosed,
    StoreNotFound,
    TransactionClosed,
)
from tests.store.scene import Scene


@pytest.mark.parametrize(
    ("name", "engine"),
    [("app", "lmdb"), ("app.db", "sqlite"), ("a.sqlite3", "sqlite"), ("a b#?%.d", "lmdb")],
)
async def test_a_path_opens_what_is_there_or_what_its_name_says(
    tmp_path: Path, name: str, engine: str
) -> None:
    path = tmp_path / name
    async with holdfast.open(path) as db:
        assert db.capabilities.engine == engine
        await db.entries.set("a", 1)
    async with holdfast.open(path, create=False) as db:
        assert (await db.entries.require("a")).value == 1
    # What is there decides, not its name.
    moved = path.rename(tmp_path / ("odd.db" if engine == "lmdb" else "odd"))
    async with holdfast.open(moved) as db:
        assert db.capabilities.engine == engine
        assert await db.entries.has("a")
    with holdfast.sync.open(moved) as twin:
        assert twin.entries.require("a").value == 1


async def test_paths_that_name_no_database_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 1000)
    with pytest.raises(NotADatabase):
        await holdfast.open(tmp_path / "text.db")
    with pytest.raises(StoreNotFound):
        await holdfast.open(tmp_path / "none", create=False)
    odd: Any
    for odd in (7, b"app", None):
        with pytest.raises(ConfigInvalid):
            holdfast.open(odd)


async def test_settings_stand_beside_an_address_and_take_its_place(kept_scene: Scene) -> None:
    url = kept_scene.url
    async with holdfast.open(url, durability="relaxed", flush_interval=0.2) as db:
        assert db.config.durability == "relaxed"
        assert db.config.flush_interval == 0.2
        await db.entries.set("a", 1)
    async with holdfast.open(f"{url}?durability=relaxed", durability="full") as db:
        assert db.config.durability == "full"
    async with holdfast.open(url, read_only=True) as db:
        with pytest.raises(ReadOnly):
            await db.entries.set("a", 2)
    async with holdfast.open(f"{url}?read_only=true", read_only=False) as db:
        await db.entries.set("a", 2)
    wrong: Any
    for wrong in ({"durability": "some"}, {"read_only": "yes"}, {"flush_interval": 0}):
        with pytest.raises(ConfigInvalid):
            holdfast.open(url, **wrong)


async def test_a_configuration_is_read_and_made_without_importing_what_is_inside() -> None:
    config = holdfast.read_config("memory://?name=read-config")
    assert isinstance(config, holdfast.EngineConfig)
    assert config.url == "memory://?name=read-config"
    async with holdfast.open(config) as db:
        assert db.config == config


async def test_a_clock_of_ones_own_says_what_has_expired() -> None:
    clock = holdfast.ManualClock()
    async with holdfast.open("memory://", clock=clock, housekeeping=False) as db:
        await db.entries.set("a", 1, ttl=60)
        clock.advance(59)
        assert await db.entries.has("a")
        clock.advance(2)
        assert not await db.entries.has("a")
    twin_clock = holdfast.ManualClock()
    with holdfast.sync.open("memory://", clock=twin_clock, housekeeping=False) as twin:
        twin.entries.set("a", 1, ttl=60)
        twin_clock.advance(61)
        assert twin.entries.get("a") is None


def test_the_twin_is_open_when_it_comes_back_and_still_a_context_manager(tmp_path: Path) -> None:
    db = holdfast.sync.open(tmp_path / "app")
    db.entries.set("a", 1)
    with db as same:
        assert same is db
        assert same.entries.require("a").value == 1
    with pytest.raises(StoreClosed):
        db.entries.get("a")
    with pytest.raises(StoreNotFound):
        holdfast.sync.open(tmp_path / "none", create=False)


async def test_snapshots_transactions_and_locks_have_one_shape(scene: Scene) -> None:
    async with scene.open() as db:
        await db.entries.set("a", 1)
        # Each as a block ...
        async with db.snapshot() as view, db.transaction() as tx, db.lock("n") as lock:
            assert (await view.entries.require("a")).value == 1
            await tx.entries.set("a", 2)
            assert lock.held
        # ... and each awaited, to be ended by hand.
        view = await db.snapshot()
        tx = await db.transaction()
        lock = await db.lock("n")
        assert (await view.entries.require("a")).value == 2
        assert tx.active
        assert lock.held
        await tx.entries.set("a", 3)
        await tx.commit()
        assert (await view.entries.require("a")).value == 2
        await view.close()
        await lock.release()
        assert not lock.held
        assert (await db.entries.require("a")).value == 3
        async with await db.snapshot() as again:
            assert (await again.entries.require("a")).value == 3
        with pytest.raises(TransactionClosed):
            await tx
        for _ in range(200):  # Abandoned before it is taken: nothing is left behind.
            db.snapshot()


def test_the_twins_of_the_three_have_one_shape() -> None:
    with holdfast.sync.open("memory://") as db:
        db.entries.set("a", 1)
        with db.snapshot() as view, db.transaction() as tx, db.lock("n") as lock:
            assert view.entries.require("a").value == 1
            tx.entries.set("a", 2)
            assert lock.held
        view = db.snapshot()
        tx = db.transaction().begin()
        lock = db.lock("n").acquire()
        assert view.entries.require("a").value == 2
        tx.rollback()
        lock.release()
        view.close()


def test_every_public_error_can_be_imported_from_the_top() -> None:
    from holdfast.contract import errors

    for name in errors.__all__:
        assert getattr(holdfast, name) is getattr(errors, name)
        assert name in holdfast.__all__
