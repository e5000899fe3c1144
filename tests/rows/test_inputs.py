"""Rows of bad input: refused by its own error before the engine is asked anything."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Decide, Delete, DeleteRange, Put, Receipt
from holdfast.contract.engine import Layer, Snapshot
from holdfast.contract.errors import InvalidKey, InvalidValue, SerializationFailed, StoreError
from holdfast.contract.record import Page, Range, Record
from holdfast.records.interface import KeyValueStoreInterface
from tests.store.scene import Scene, core_of, engine_of, rows_of, storage_of


class Spy(Layer):
    """Counts what an engine is asked."""

    calls = 0

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self.calls += 1
        return await super().read(keys, at=at)

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        self.calls += 1
        return await super().scan(range, at=at)

    async def commit(self, batch: Batch) -> Receipt:
        self.calls += 1
        return await super().commit(batch)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        self.calls += 1
        return await super().transact(keys, decide, previous=previous)


Store = KeyValueStoreInterface
Calls = Callable[[Store], list[Awaitable[Any]]]


async def refused_unasked(scene: Scene, error: type[StoreError], calls: Calls) -> None:
    """Each call ends in the error, and the engine was not asked once."""
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        before = await rows_of(db)
        spy = Spy(engine_of(db))
        store = core_of(db, storage=storage_of(db).on(spy))
        for call in calls(store):
            with pytest.raises(error) as caught:
                await call
            assert caught.value.code is error.code
        assert spy.calls == 0
        assert await store.get("kept") is not None
        assert spy.calls == 1, "the spy sees what the engine is asked"
        assert await rows_of(db) == before


@pytest.mark.row("I-015", "I-110", "E-011")
@pytest.mark.parametrize("key", ["", 5, None, b"a", "\ud800", "a:\udfff", "a/b"], ids=ascii)
async def test_a_bad_key_never_reaches_the_engine(scene: Scene, key: Any) -> None:
    await refused_unasked(
        scene,
        InvalidKey,
        lambda store: [
            store.set(key, 1), store.get(key), store.has(key), store.delete(key),
            store.set_many({"good": 1, key: 2}), store.get_many(["kept", key]),
            store.modify(key, lambda _: 1),
        ],
    )  # fmt: skip


@pytest.mark.row("I-015")
async def test_a_key_of_seventy_kilobytes_is_refused(scene: Scene) -> None:
    key = "k" * 70_000
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        before = await rows_of(db)
        for write in (
            db.entries.set(key, 1), db.entries.set_many({"good": 1, key: 2}),
            db.entries.modify(key, lambda _: 1), db.entries.rename("kept", key),
        ):  # fmt: skip
            with pytest.raises(InvalidKey):
                await write
        assert await rows_of(db) == before


@pytest.mark.row("I-110")
@pytest.mark.parametrize(
    "value", [object(), {1, 2}, float("nan"), 1j], ids=lambda one: type(one).__name__
)
async def test_a_bad_value_never_reaches_the_engine(scene: Scene, value: Any) -> None:
    await refused_unasked(
        scene,
        SerializationFailed,
        lambda store: [store.set("kept", value), store.set_many({"good": 1, "bad": value})],
    )


@pytest.mark.row("I-020")
async def test_a_mixed_batch_is_carried_out_in_its_order_or_not_at_all(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        mine = Range.prefix(b"\xf0")
        a, b = b"\xf0a", b"\xf0b"
        await engine.commit(Batch([Put(b"\xf0old", b"1")]))
        before = await engine.head()
        await engine.commit(Batch([Put(a, b"1"), DeleteRange(mine), Put(b, b"2")]))
        assert await engine.head() == before + 1
        assert [(key, one.value) for key, one in await rows_of(db, mine)] == [(b, b"2")]

        rows, head = await rows_of(db), await engine.head()
        wrong: Any = "no bytes"
        for third, error in ((Put(b"", b"3"), InvalidKey), (Put(a, wrong), InvalidValue)):
            with pytest.raises(error):
                await engine.commit(Batch([Put(a, b"1"), Delete(b), third]))
        assert await rows_of(db) == rows
        assert await engine.head() == head
        await engine.commit(Batch([DeleteRange(mine)]))


@pytest.mark.row("I-111")
@pytest.mark.parametrize("value", ["circle", "object"])
async def test_what_cannot_be_serialized_is_refused_with_its_key(scene: Scene, value: str) -> None:
    circle: list[Any] = []
    circle.append({"again": circle})
    bad = {"circle": circle, "object": object()}[value]
    async with scene.open() as db:
        await db.entries.set("kept", 1)
        before = await rows_of(db)
        writes: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("users:1", lambda: db.entries.set("users:1", bad)),
            ("users:2", lambda: db.entries.set_many({"users:1": 1, "users:2": bad})),
            ("kept", lambda: db.entries.modify("kept", lambda _: bad)),
        ]
        for key, write in writes:
            with pytest.raises(SerializationFailed) as caught:
                await write()
            assert caught.value.code == "SERIALIZATION_FAILED"
            assert caught.value.details["key"] == key
        assert await rows_of(db) == before


@pytest.mark.row("I-111")
@pytest.mark.parametrize("size", [10, 600_000], ids=["small", "in chunks"])
async def test_cut_bytes_are_an_error_with_the_key(scene: Scene, size: int) -> None:
    async with scene.open_unchecked() as db:
        entry = await db.entries.set("users:1", ["x" * size])
        engine = engine_of(db)
        [(place, whole)] = [row for row in await rows_of(db) if row[1].value == entry.stored]
        for length in (2, 50, len(whole.value) - 1):
            await engine.commit(Batch([Put(place, whole.value[:length])]))
            with pytest.raises(StoreError) as caught:
                _ = (await db.entries.require("users:1")).value
            assert caught.value.code in ("DESERIALIZATION_FAILED", "INTEGRITY_FAILED")
            assert caught.value.details["key"] == "users:1"
        await engine.commit(Batch([Put(place, whole.value)]))
        assert (await db.entries.require("users:1")).value == ["x" * size]
