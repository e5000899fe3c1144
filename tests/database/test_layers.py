"""Layers above the engine, by URL and as objects: whatever is read or written passes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import ConfigInvalid, ReadOnly, Unsupported
from holdfast.contract.record import Page, Range
from tests.store.scene import Scene


class Counting(Layer):
    """Counts the pages that are read."""

    pages = 0

    async def scan(self, range: Range, *, at: object = None) -> Page:
        Counting.pages += 1
        return await self.inner.scan(range, at=at)  # type: ignore[arg-type]


async def test_layers_stand_above_the_engine_of_every_handle(scene: Scene) -> None:
    async with scene.open(layers=[Counting]) as db, scene.open(layers=[Counting]) as other:
        assert (await db.explain())["stack"][1] == "Counting"
        await db.entries.set("a", 1)
        before = Counting.pages
        assert [str(key) async for key in other.entries.keys("#")] == ["a"]
        assert Counting.pages > before
        with pytest.raises(ConfigInvalid, match="layers"):
            await scene.handle().open()


async def test_layers_are_named_in_the_address(kept_scene: Scene) -> None:
    async with kept_scene.open() as db:
        await db.entries.set("a", 1)
    for url in (
        f"{kept_scene.url}?layers=read_only",
        f"{kept_scene.url}?layers=read_only&durability=full",
        f"{kept_scene.url}?durability=full&layers=read_only",
    ):
        async with kept_scene.handle(url) as db:
            assert (await db.entries.require("a")).value == 1
            with pytest.raises(ReadOnly):
                await db.entries.set("a", 2)
    with pytest.raises(ConfigInvalid, match="read_only"):
        await kept_scene.handle(f"{kept_scene.url}?layers=readonly").open()


def test_what_makes_no_layer_is_refused() -> None:
    def none(_engine: Engine) -> Engine:
        return None  # type: ignore[return-value]

    with pytest.raises(ConfigInvalid):
        holdfast.sync.open("memory://", layers=[none]).open()


class Without(Layer):
    """An engine that keeps no moments, and decides outside its commit."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities, snapshots=False, transacts_once=False)


async def test_what_is_emulated_is_told_and_can_be_refused(scene: Scene) -> None:
    async with scene.open(emulation=False) as db:
        told = (await db.explain())["abilities"]
        assert told["transactions"]["source"] == told["snapshots"]["source"] == "native"
        assert told["history"]["source"] == "emulated"
    async with scene.open_unchecked(layers=[Without]) as db:
        told = (await db.explain())["abilities"]
        assert told["transactions"]["source"] == "emulated"
        assert "Conflict" in told["transactions"]["remark"]
        assert told["snapshots"]["source"] == "unsupported"
        async with db.transaction() as tx:
            await tx.entries.set("a", 1)
        assert (await db.entries.require("a")).revision == tx.revision
    with pytest.raises(Unsupported, match="emulation=False"):
        await scene.handle(layers=[Without], emulation=False).open()
