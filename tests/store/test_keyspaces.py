"""Named keyspaces: one number for each name, for good, whoever asks first."""

import asyncio
from typing import Any

import pytest

from holdfast.codecs.keys import pack_text
from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import IntegrityFailed, InvalidName, QuotaExceeded
from holdfast.store import layout
from holdfast.store.keyspaces import (
    NAME_BYTES_MAX,
    Keyspace,
    Keyspaces,
    KeyspaceSettings,
)
from holdfast.store.layout import NUMBER_MAX
from tests.store.scene import Scene, engine_of, listed


async def make(keyspaces: Keyspaces, name: Any) -> Keyspace:
    return await keyspaces.require("entries", name, KeyspaceSettings(hashing="sha256"))


async def test_a_name_has_one_number_for_everybody(kept_scene: Scene) -> None:
    async with kept_scene.open_unchecked() as db:
        directories = [Keyspaces(engine_of(db)) for _ in range(5)]
        made = await asyncio.gather(*(make(one, "b") for one in directories))
        assert len(set(made)) == 1
        other = await make(directories[0], "a")
        assert other.number != made[0].number
        assert await directories[1].get("entries", "a") == other
        assert await directories[2].by_number(other.number) == other
        assert await directories[2].by_number(999) is None
        assert await directories[2].get("entries", "never") is None
    async with kept_scene.open_unchecked() as db:
        keyspaces = Keyspaces(engine_of(db))
        assert await keyspaces.get("entries", "b") == made[0]
        assert [one.name for one in await listed(keyspaces.list())] == ["a", "b", "entries"]


async def test_names_are_each_views_own_and_another_hash_service_is_refused(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        keyspaces = Keyspaces(engine_of(db))
        made = await make(keyspaces, "a")
        other = await keyspaces.require("documents", "a", KeyspaceSettings(hashing="sha256"))
        assert other.number != made.number
        with pytest.raises(InvalidName) as caught:
            await keyspaces.require("entries", "a", KeyspaceSettings(hashing="blake3"))
        assert caught.value.hashing == "sha256"


@pytest.mark.parametrize(
    "name", ["", None, 5, b"a", "\ud800", "x" * (NAME_BYTES_MAX + 1)], ids=ascii
)
async def test_a_name_that_cannot_be_is_refused(scene: Scene, name: Any) -> None:
    async with scene.open_unchecked() as db:
        before = await db.head()
        with pytest.raises(InvalidName):
            await make(Keyspaces(engine_of(db)), name)
        assert await db.head() == before


@pytest.mark.parametrize("name", ["../x", "a/b", "a\0b", "é", "x" * NAME_BYTES_MAX, " "], ids=ascii)
async def test_any_other_name_is_a_name_and_nothing_else(scene: Scene, name: str) -> None:
    async with scene.open_unchecked() as db:
        keyspaces = Keyspaces(engine_of(db))
        made = await make(keyspaces, name)
        assert made.name == name
        assert await Keyspaces(engine_of(db)).get("entries", name) == made


async def test_the_directory_is_bounded(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        full = Put(layout.SYSTEM_KEYSPACE_LAST, (NUMBER_MAX - 1).to_bytes(4, "big"))
        await engine.commit(Batch([full]))
        assert (await make(Keyspaces(engine), "last")).number == NUMBER_MAX
        with pytest.raises(QuotaExceeded, match=str(NUMBER_MAX)):
            await make(Keyspaces(engine), "one more")
        assert (await make(Keyspaces(engine), "last")).number == NUMBER_MAX


async def test_a_damaged_directory_is_named(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        await engine_of(db).commit(
            Batch([Put(layout.SYSTEM_KEYSPACES + pack_text("entries") + pack_text("bad"), b"\xc1")])
        )
        with pytest.raises(IntegrityFailed, match="directory"):
            await Keyspaces(engine_of(db)).get("entries", "bad")


async def test_keyspaces_do_not_see_each_other(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        keyspaces = Keyspaces(engine_of(db))
        one, two = await make(keyspaces, "one"), await make(keyspaces, "two")
        inside = layout.region(one.number, layout.DATA) + b"x"
        assert inside in layout.keyspace_range(one.number)
        assert inside not in layout.keyspace_range(two.number)
        assert layout.keyspace_of(inside) == one.number
        key = layout.expiry_key(77, inside)
        assert layout.expiry_of(key) == (77, inside)
