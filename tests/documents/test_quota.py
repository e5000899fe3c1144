"""Quotas: how many documents a collection may have, whoever writes."""

import asyncio

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.errors import InvalidInput, QuotaExceeded, Unsupported
from holdfast.documents.indexes.definition import count_key
from holdfast.documents.indexes.derived import pack_count
from holdfast.documents.indexing.quota import Quota
from tests.store.scene import Scene, engine_of


@pytest.mark.row("I-109")
async def test_of_ten_documents_the_eleventh_is_refused(scene: Scene) -> None:
    async with scene.open() as db, scene.handle() as other:
        things = db.collection("things")
        await things.set_many({f"k{number}": {"n": number} for number in range(8)})
        await things.set_quota(10)
        assert await things.quota() == Quota(10, 8)
        await things.set("k8", {"n": 8})
        await other.collection("things").set("k9", {"n": 9})
        head = await db.head()
        for attempt in (
            things.set("k10", {}),
            other.collection("things").set("k10", {}),
            things.set_many({"k0": {}, "k10": {}}),
            things.modify("k10", lambda _: {}),
        ):
            with pytest.raises(QuotaExceeded) as refused:
                await attempt
            assert refused.value.code == "QUOTA_EXCEEDED"
            assert refused.value.details["limit"] == 10
        assert await db.head() == head
        await things.set("k0", {"n": "replaced"})
        result = await things.batch([("delete", "k1"), ("set", "k10", {})])
        assert result.success
        assert await things.quota() == Quota(10, 10)
        async with db.transaction() as tx:
            inside = tx.collection("things")
            await inside.delete("k2")
            await inside.set("k11", {})
            with pytest.raises(QuotaExceeded):
                await inside.set("k12", {})
        assert await things.size() == 10
        await things.set_quota(3)  # Lower than what there is: it can only become less.
        await things.set("k0", {"n": 0})
        with pytest.raises(QuotaExceeded):
            await things.set("new", {})
        await things.clear()
        assert await things.quota() == Quota(3, 0)
        await things.create_index("by_n", "n")
        await things.set("new", {"n": 1})
        assert await things.quota() == Quota(3, 1)
        await things.set_quota(None)
        await things.set_many({f"k{number}": {} for number in range(20)})
        assert await things.quota() == Quota(None, None)


async def test_what_runs_out_makes_room(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set_quota(1)
        await things.set("short", {}, ttl=5)
        with pytest.raises(QuotaExceeded):
            await things.set("other", {})
        scene.clock.advance(6)
        await things.set("short", {})  # The same key anew: one goes, one comes.
        await things.delete("short")
        await things.set("short", {}, ttl=5)
        scene.clock.advance(6)
        await db.sweep()
        await things.set("other", {})
        assert await things.quota() == Quota(1, 1)


async def test_many_at_once_never_exceed_it(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        writing = [asyncio.create_task(things.set(f"k{number}", {})) for number in range(30)]
        await things.set_quota(25)
        writing += [asyncio.create_task(things.set(f"l{number}", {})) for number in range(30)]
        done = await asyncio.gather(*writing, return_exceptions=True)
        assert all(one is None or isinstance(one, QuotaExceeded) for one in done)
        count = await things.size()
        assert await things.quota() == Quota(25, count)
        refused = sum(isinstance(one, QuotaExceeded) for one in done)
        assert count == 60 - refused


async def test_what_cannot_be_is_refused_and_a_wrong_count_is_found(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        things = db.collection("things")
        assert await things.quota() == Quota(None, None)
        for wrong in (0, -1, True, "1", 1.5):
            with pytest.raises(InvalidInput, match="quota"):
                await things.set_quota(wrong)  # type: ignore[arg-type]
        await things.set_quota(5)
        await things.set("k", {})
        async with db.transaction() as tx:
            with pytest.raises(Unsupported):
                await tx.collection("things").set_quota(5)
        assert await db.check() == []
        storage = await things._require()
        await engine_of(db).commit(Batch([Put(count_key(storage.number), pack_count(4))]))
        [fault] = await db.check()
        assert "counts 4 documents; found 1" in fault
