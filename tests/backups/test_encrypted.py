"""Backups and standbys of an encrypted database hold its rows as they are stored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.backups.following import Round
from holdfast.contract.errors import (
    ConfigInvalid,
    DecryptionFailed,
    InvalidInput,
    Unsupported,
)
from holdfast.database.handle import Database
from holdfast.encryption import Encryption, FileKeys
from tests.store.scene import until


@pytest.fixture
def keys(tmp_path: Path) -> str:
    """The place of the keys, as a URL names it."""
    FileKeys.create(tmp_path / "keys")
    return f"?encryption=file:{tmp_path / 'keys'}"


def others(folder: Path) -> list[Path]:
    """The files of another database."""
    return list(folder.glob("other.db*"))


async def rotated(db: Database) -> None:
    """Put all rows under a new key, and destroy the one before."""
    await db.data_keys.rotate()
    await db.data_keys.forget()


@pytest.mark.parametrize("engine", ["sqlite", "lmdb"])
async def test_a_standby_follows_through_writes_and_rotations(
    tmp_path: Path, keys: str, engine: str
) -> None:
    url, standby = f"{engine}:///{tmp_path / 'app'}{keys}", f"{engine}:///{tmp_path / 'standby'}"
    rounds: list[Round] = []
    async with holdfast.open(url) as db:
        await db.entries.set("a:kept", "from before the rotation", tags=["red"])
        task = asyncio.create_task(
            holdfast.follow(url, standby, interval=0.001, progress=rounds.append)
        )
        for n in range(4):
            await db.entries.set("a:1", n, tags=["red"])
            await until(
                lambda: task.done() or (bool(rounds) and rounds[-1].revision >= db.revision)
            )
            if n == 1:
                await rotated(db)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        followed = db.revision
    assert (await holdfast.promote(standby)).followed == followed
    with pytest.raises(DecryptionFailed):
        await holdfast.open(standby).open()
    async with holdfast.open(standby + keys) as db:
        assert (await db.entries.require("a:1")).value == 3
        assert (await db.entries.require("a:kept")).value == "from before the rotation"
        assert await db.check() == []


async def test_the_feed_of_an_encrypted_source_says_where_to_look(
    tmp_path: Path, keys: str
) -> None:
    url, standby = f"lmdb:///{tmp_path / 'app'}{keys}", f"lmdb:///{tmp_path / 'standby'}"
    rounds: list[Round] = []
    async with holdfast.open(url) as db:
        store = await db.stores.create("ledger")
        await db.entries.set_many({f"a:{n}": n for n in range(50)})
        task = asyncio.create_task(
            holdfast.follow(url, standby, interval=0.001, progress=rounds.append)
        )

        async def level() -> set[str]:
            """Why all rows were compared on the way there."""
            wanted = await db.head()
            await until(lambda: task.done() or (bool(rounds) and rounds[-1].revision >= wanted))
            reasons = {one.reason for one in rounds}
            rounds.clear()
            return reasons

        assert await level() != {""}
        for n in range(3):
            await db.entries.set("a:1", n, tags=["red" if n % 2 else "green"])
            await db.entries.delete(f"a:{n + 10}")
            await store.set(b"k", b"%d" % n)
            assert await level() == {""}
        await db.data_keys.rotate()
        assert any("changed" in reason for reason in await level())
        await db.entries.set("a:2", "under the new key")
        assert await level() == {""}
        task.cancel()
        await asyncio.wait([task])
    await holdfast.promote(standby)
    async with holdfast.open(standby + keys) as db:
        assert await db.entries.count(tag="green") == 1
        assert await db.entries.count(tag="red") == 0
        assert (await db.entries.require("a:2")).value == "under the new key"
        assert not await db.entries.has("a:11")
        assert await (await db.stores.get("ledger")).get(b"k") == b"2"
        assert await db.check() == []


async def test_backups_after_a_rotation_do_not_lean_on_rows_under_the_destroyed_key(
    tmp_path: Path, keys: str
) -> None:
    url, place = f"sqlite:///{tmp_path / 'app.db'}{keys}", tmp_path / "shipped"
    async with holdfast.open(url) as db:
        await db.entries.set("a:kept", 1)
        await db.backup(tmp_path / "full")
        await holdfast.follow(url, place, once=True)
        await rotated(db)
        await db.entries.set("a:1", 2)
        taken = await db.backup(tmp_path / "more", since=tmp_path / "full")
        await holdfast.follow(url, place, once=True)
        assert taken.written == taken.rows
        await db.entries.set("a:2", 3)
        again = await db.backup(tmp_path / "again", since=tmp_path / "more")
        assert again.written < again.rows  # The keys did not change since.
    for number, files in enumerate(
        ([tmp_path / "full", tmp_path / "more", tmp_path / "again"], [place])
    ):
        target = f"sqlite:///{tmp_path / f'{number}.db'}"
        await holdfast.restore(files, target)
        async with holdfast.open(target + keys) as db:
            assert (await db.entries.require("a:kept")).value == 1
            assert (await db.entries.require("a:1")).value == 2
            assert await db.check() == []


async def test_a_moment_between_backups_of_an_encrypted_database_is_refused(
    tmp_path: Path, keys: str
) -> None:
    async with holdfast.open(f"sqlite:///{tmp_path / 'app.db'}{keys}") as db:
        first = await db.entries.set("a:1", 1)
        await db.entries.set("a:1", 2)
        await db.backup(tmp_path / "full")
    with pytest.raises(Unsupported, match="with `to`"):
        await holdfast.restore(
            [tmp_path / "full"], f"sqlite:///{tmp_path / 'at.db'}", at=first.revision
        )


async def test_keys_and_layers_of_a_target_are_never_left_out_without_a_word(
    tmp_path: Path, keys: str
) -> None:
    """What was asked to be encrypted, and would stand there in the clear, is not written."""
    url = f"sqlite:///{tmp_path / 'app.db'}"
    full, target = tmp_path / "full", f"sqlite:///{tmp_path / 'other.db'}"
    async with holdfast.open(url) as db:
        await db.entries.set("a:1", "Bergthora")
        await db.backup(full)
        with pytest.raises(ConfigInvalid, match="through no layers; found layers=compress"):
            await db.copy_to(target + "?layers=compress")
        with pytest.raises(ConfigInvalid, match="is not encrypted: its rows would stand there"):
            await holdfast.restore([full], target + keys)
        place = f"file:{tmp_path / 'keys'}"
        for given in (place, Encryption(FileKeys(tmp_path / "keys"))):
            for at in (None, 1):
                with pytest.raises(ConfigInvalid, match="full is not encrypted"):
                    await holdfast.restore([full], target, encryption=given, at=at)
        with pytest.raises(ConfigInvalid, match="file:PATH or env:VARIABLE"):
            await holdfast.restore([full], target, encryption="a key in its place")
        with pytest.raises(ConfigInvalid, match="the source is not encrypted"):
            await holdfast.follow(url, target + keys, once=True)
        for call in (
            lambda: holdfast.restore([full], target + "?layers=compress"),
            lambda: holdfast.follow(url, target + "?layers=compress", once=True),
        ):
            with pytest.raises(ConfigInvalid, match="through no layers"):
                await call()
        assert not others(tmp_path)
        await db.copy_to(target + keys)
    async with holdfast.open(target + keys) as db:
        assert (await db.entries.require("a:1")).value == "Bergthora"
        await db.backup(tmp_path / "encrypted")
        await holdfast.follow(
            target + keys, f"sqlite:///{tmp_path / 'standby.db'}{keys}", once=True
        )
    again = f"sqlite:///{tmp_path / 'again.db'}{keys}"
    await holdfast.restore([tmp_path / "encrypted"], again)
    named = f"sqlite:///{tmp_path / 'named.db'}"
    await holdfast.restore([tmp_path / "encrypted"], named, encryption=place)
    assert (tmp_path / "named.db").exists()
    async with holdfast.open(again) as db:
        assert (await db.entries.require("a:1")).value == "Bergthora"


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), "1", None])
async def test_an_interval_that_is_no_time_is_refused(tmp_path: Path, interval: Any) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    async with holdfast.open(url) as db:
        await db.entries.set("a:1", 1)
    for target in (f"sqlite:///{tmp_path / 'standby.db'}", tmp_path / "shipped"):
        with pytest.raises(InvalidInput, match="a time above zero"):
            await holdfast.follow(url, target, interval=interval, once=True)
