"""Documents written on condition that what stands there is what its writer saw."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contract.errors import Conflict, InvalidInput
from tests.store.scene import Scene

BIG = "x" * 600_000


@pytest.mark.row("I-107")
async def test_a_document_that_changed_meanwhile_is_not_written_over(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("n", "n")
        await things.set("a", {"n": 1}, if_absent=True)
        for number in (2, 3):
            seen = await things.find("a")
            assert seen is not None
            facts = seen.metadata
            await things.set("a", {"n": number}, if_version=facts.version)
        assert await things.get("a") == {"n": 3}
        stale: list[dict[str, Any]] = [
            {"if_version": facts.version},
            {"if_version": (1, facts.version)},
            {"if_revision": facts.revision},
            {"if_hash": facts.data_hash},
            {"if_revision": 0},
        ]
        for condition in stale:
            with pytest.raises(Conflict) as refused:
                await things.set("a", {"n": 9}, **condition)
            assert refused.value.current is not None
            assert refused.value.current.value == {"n": 3}
            with pytest.raises(Conflict):
                await things.patch("a", {"n": 9}, **condition)
            with pytest.raises(Conflict):
                await things.delete("a", **condition)
        with pytest.raises(Conflict):
            await things.set("a", {"n": 9}, if_absent=True)
        assert await things.get("a") == {"n": 3}
        now = await things.find("a")
        assert now is not None
        assert await things.patch("a", {"n": 4}, if_hash=now.metadata.data_hash) == {"n": 4}
        now = await things.find("a")
        assert now is not None
        assert await things.delete("a", if_revision=now.metadata.revision)
        await things.set("a", {"n": 5}, if_revision=0)
        assert await db.check() == []


@pytest.mark.row("I-107")
async def test_absent_documents_and_conditions_that_cannot_be(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        with pytest.raises(Conflict):
            await things.delete("a", if_version=1)
        assert not await things.delete("a", if_revision=0)
        with pytest.raises(Conflict):
            await things.set("a", 1, if_version=1)
        with pytest.raises(Conflict):
            await things.patch("a", {"n": 1}, if_version=1)
        assert not await things.has("a")
        for wrong in ({"if_version": -1}, {"if_revision": True}, {"if_hash": "short"}):
            with pytest.raises(InvalidInput):
                await things.set("a", 1, **wrong)
        await things.set("soon", 1, ttl=1)
        scene.clock.advance(2)
        await things.set("soon", 2, if_absent=True)


async def test_what_stands_there_is_told_with_its_value_however_big(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("a", {"text": BIG})
        for refusing in (
            things.set("a", 1, if_absent=True),
            things.delete("a", if_version=7),
            things.patch("a", {"n": 1}, if_version=7),
        ):
            with pytest.raises(Conflict) as refused:
                await refusing
            assert refused.value.current is not None
            assert refused.value.current.value == {"text": BIG}


async def test_conditions_hold_inside_a_transaction(scene: Scene) -> None:
    async with scene.open() as db:
        await db.collection("things").set("a", 1)
        async with db.transaction() as transaction:
            things = transaction.collection("things")
            await things.set("a", 2, if_version=1)
            with pytest.raises(Conflict):
                await things.set("a", 3, if_version=1)
            await things.set("a", 4, if_version=2)
        assert await db.collection("things").get("a") == 4
