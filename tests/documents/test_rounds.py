"""A commit of several views, of which each has to read more than once."""

from collections.abc import Sequence

from holdfast.contract.batch import Need
from holdfast.contract.record import Record
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
