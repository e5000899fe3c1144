"""A commit of several views, of which each has to read more than once."""

from collections.abc import Sequence
from typing import Any

import pytest

from holdfast.contract.batch import Need
from holdfast.contract.record import Record
from holdfast.documents import F
from holdfast.store.plan import Plan
from holdfast.store.space import Writer, commit
from tests.store.scene import Scene


async def test_each_writer_sees_what_it_asked_for_in_every_round(scene: Scene) -> None:
    async with scene.open() as db:
        things = db.collection("things")
        await things.set("first", 1)
        storage = await things._find()
        assert storage is not None
        space = storage.space
        rows = {f"k{at}".encode(): f"v{at}".encode() for at in range(8)}

        def put(plan: Plan, _records: Sequence[Record | None]) -> Need | None:
            for key, value in rows.items():
                plan.put(storage.catalogue_key + key, value)
            return None

        await space.commit((), put)
        seen: dict[str, list[list[bytes]]] = {"one": [], "two": []}

        def asking(name: str, wanted: list[list[int]]) -> Writer:
            def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
                seen[name].append([one.value for one in records if one is not None])
                turn = len(seen[name]) - 1
                if turn >= len(wanted):
                    return None
                return Need([storage.catalogue_key + f"k{at}".encode() for at in wanted[turn]])

            return Writer(space, (storage.catalogue_key + b"k0",), write)

        await commit([asking("one", [[1], [2, 3]]), asking("two", [[4, 5], [], [6]])])
        assert seen["one"] == [
            [b"v0"], [b"v0", b"v1"], [b"v0", b"v1", b"v2", b"v3"], [b"v0", b"v1", b"v2", b"v3"],
        ]  # fmt: skip
        assert seen["two"] == [
            [b"v0"], [b"v0", b"v4", b"v5"], [b"v0", b"v4", b"v5"], [b"v0", b"v4", b"v5", b"v6"],
        ]  # fmt: skip
        await things.drop()


#: More than the rounds that a commit may take, so that it fails where each document takes one.
MANY = 40


@pytest.mark.parametrize("kind", ["btree", "hash", "text", "geo", "vector"])
async def test_many_documents_of_an_index_change_in_one_commit(scene: Scene, kind: str) -> None:
    def cities(shift: int) -> dict[str, dict[str, Any]]:
        return {
            f"{number}": {
                "btree": number + shift,
                "hash": number + shift,
                "text": f"word{(number + shift) % 5} of all",
                "geo": [float(number), float(shift)],
                "vector": [float(number), shift + 1.0],
            }
            for number in range(MANY)
        }

    async with scene.open() as db:
        things = db.collection("things")
        await things.create_index("it", kind, kind=kind, dimensions=2 if kind == "vector" else None)
        for shift in (0, 1):
            await things.set_many(cities(shift))
        async with db.transaction() as transaction:
            await transaction.collection("things").set_many(cities(2))
        if kind == "text":
            assert await things.count(F.text.matches("all")) == MANY
            assert await things.count(F.text.matches("word1")) == MANY // 5
        assert await db.check() == []
        gone = [f"{number}" for number in range(MANY // 2)]
        assert await things.delete_many(gone) == len(gone)
        assert await things.clear() == MANY - len(gone)
        if kind == "text":
            assert await things.count(F.text.matches("all")) == 0
        assert await db.check() == []
        await things.drop()
