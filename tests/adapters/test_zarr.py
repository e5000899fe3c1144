"""zarr's own tests of stores, and what only a database can promise."""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import zarr
from hypothesis.stateful import run_state_machine_as_test
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.testing.stateful import ZarrStoreStateMachine
from zarr.testing.store import StoreTests

import holdfast.sync
from holdfast.adapters.place import close_databases, database_at
from holdfast.adapters.zarr import ZarrStore
from holdfast.contract.engine import Layer, Snapshot
from holdfast.contract.errors import InvalidInput, InvalidKey
from holdfast.contract.record import Record
from holdfast.store.versions.chunks import CHUNK_BYTES


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_databases()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"lmdb:///{tmp_path}/arrays?durability=relaxed"


@pytest.mark.anyio
@pytest.mark.usefixtures("anyio_backend")  # its plain tests have fixtures that are coroutines
class TestZarrsOwnSuite(StoreTests[ZarrStore, cpu.Buffer]):
    store_cls = ZarrStore
    buffer_cls = cpu.Buffer

    @pytest.fixture
    def store_kwargs(self, address: str) -> dict[str, Any]:
        return {"database": address}

    async def set(self, store: ZarrStore, key: str, value: Buffer) -> None:
        store._place.store.set(key.encode(), value.to_bytes())

    async def get(self, store: ZarrStore, key: str) -> Buffer:
        return self.buffer_cls.from_bytes(store._place.store.get(key.encode()))

    def test_store_repr(self, store: ZarrStore) -> None:
        assert repr(store) == f"ZarrStore({store._place!r}, read_only=False)"
        assert str(store).startswith("holdfast store 'zarr' of lmdb://")

    def test_store_supports_writes(self, store: ZarrStore) -> None:
        assert store.supports_writes
        assert store.supports_deletes

    def test_store_supports_listing(self, store: ZarrStore) -> None:
        assert store.supports_listing


def test_zarrs_own_random_operations() -> None:
    """Sets, gets, parts, deletes and listings in any order, beside a dict."""
    with holdfast.sync.open("memory://") as db:
        numbers = itertools.count()

        class Machine(ZarrStoreStateMachine):
            def __init__(self) -> None:
                super().__init__(ZarrStore(db, name=f"random-{next(numbers)}"))

        run_state_machine_as_test(
            Machine,
            settings=hypothesis.settings(max_examples=10, stateful_step_count=25, deadline=None),
        )


class Counting(Layer):
    """Counts the rows that are read by key: that of the value, and those of its pieces."""

    keys: list[bytes] = []  # noqa: RUF012 - one count for the test

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        Counting.keys += keys
        return await super().read(keys, at=at)


def test_a_part_of_a_chunk_reads_only_the_pieces_it_lies_in() -> None:
    over_two = (CHUNK_BYTES - 1, CHUNK_BYTES + 1)
    data = np.random.default_rng(1).bytes(10 * CHUNK_BYTES)
    with holdfast.sync.open("memory://", layers=(Counting,)) as db:
        store = ZarrStore(db)
        store.set_sync("c/0", cpu.Buffer.from_bytes(data))
        for part, bounds, pieces in (
            (RangeByteRequest(5, 100), (5, 100), 1),
            (RangeByteRequest(CHUNK_BYTES - 1, CHUNK_BYTES + 1), over_two, 2),
            (SuffixByteRequest(16), (-16, None), 1),
            (OffsetByteRequest(9 * CHUNK_BYTES), (9 * CHUNK_BYTES, None), 1),
            (None, (0, None), 10),
        ):
            Counting.keys.clear()
            found = store.get_sync("c/0", byte_range=part)
            assert found is not None
            assert found.to_bytes() == data[slice(*bounds)]
            assert len(set(Counting.keys)) == pieces + 1


@pytest.mark.parametrize("engine", ["sqlite", "lmdb", "memory"])
def test_an_array_is_kept(tmp_path: Path, engine: str) -> None:
    where = "memory://?name=arrays" if engine == "memory" else f"{engine}:///{tmp_path}/a.db"
    values = np.arange(10_000, dtype="i4").reshape(100, 100)
    array = zarr.create_array(
        ZarrStore(where), shape=values.shape, dtype=values.dtype, chunks=(10, 10), shards=(50, 50)
    )
    array[:] = values
    if engine != "memory":
        close_databases()
    read = zarr.open_array(ZarrStore(where, read_only=True), mode="r")
    assert np.array_equal(np.asarray(read[:]), values)
    assert np.array_equal(np.asarray(read[31:47, 8]), values[31:47, 8])


def test_groups_list_their_members(address: str) -> None:
    root = zarr.open_group(ZarrStore(address), mode="w")
    for name in ("a", "a-b", "ab"):
        root.create_array(name, shape=(2,), dtype="i1")[:] = 1
    root.create_group("deep/er")
    assert sorted(root.keys()) == ["a", "a-b", "ab", "deep"]
    del root["a"]
    assert sorted(zarr.open_group(ZarrStore(address), mode="r").keys()) == ["a-b", "ab", "deep"]


def value_of(store: ZarrStore, key: str = "k") -> bytes | None:
    found = store.get_sync(key)
    return None if found is None else found.to_bytes()


def test_it_goes_to_another_process_by_address(address: str) -> None:
    store = ZarrStore(address, name="sent")
    store.set_sync("k", cpu.Buffer.from_bytes(b"parent"))
    sent = pickle.dumps(store)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            inherited, received = store, pickle.loads(sent)
            found = [value_of(one) for one in (inherited, received)]
            received.set_sync("k", cpu.Buffer.from_bytes(b"child"))
            close_databases()
            code = 0 if found == [b"parent", b"parent"] else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert value_of(store) == b"child"


def test_an_open_database_is_not_pickled() -> None:
    with holdfast.sync.open("memory://") as db, pytest.raises(TypeError, match="its address"):
        pickle.dumps(ZarrStore(db))
    with pytest.raises(InvalidInput, match="address"):
        ZarrStore(7)  # type: ignore[arg-type]


def test_threads_open_one_database(address: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {id(one) for one in pool.map(lambda _: database_at(address), range(32))}
    assert len(found) == 1


@pytest.mark.anyio
async def test_of_many_who_set_what_is_not_there_one_does(address: str) -> None:
    store = await ZarrStore.open(address)
    values = [cpu.Buffer.from_bytes(b"%d" % number) for number in range(12)]
    await asyncio.gather(*(store.set_if_not_exists("k", value) for value in values))
    first = value_of(store)
    await store.set_if_not_exists("k", cpu.Buffer.from_bytes(b"late"))
    assert value_of(store) == first
    assert first in {value.to_bytes() for value in values}


@pytest.mark.anyio
async def test_bad_input_is_named(address: str) -> None:
    store = await ZarrStore.open(address)
    with pytest.raises(TypeError, match="wanted a Buffer"):
        await store.set("k", b"bytes")  # type: ignore[arg-type]
    for key in ("", "\udcff", 7):
        with pytest.raises(InvalidKey):
            await store.set(key, cpu.Buffer.from_bytes(b""))  # type: ignore[arg-type]
    assert not [key async for key in store.list()]


@pytest.mark.anyio
async def test_a_listing_passes_over_what_is_deeper(address: str) -> None:
    store = await ZarrStore.open(address)
    empty = cpu.Buffer.from_bytes(b"")
    await store._set_many(
        [(f"a/c/{number}", empty) for number in range(2_500)]
        + [("a/zarr.json", empty), ("b", empty)]
    )
    assert sorted([name async for name in store.list_dir("a")]) == ["c", "zarr.json"]
    assert sorted([name async for name in store.list_dir("")]) == ["a", "b"]
    assert len([name async for name in store.list_dir("a/c")]) == 2_500
    assert len([key async for key in store.list_prefix("a/")]) == 2_501
    await store.delete_dir("a/c")
    assert [key async for key in store.list()] == ["a/zarr.json", "b"]
    await store.clear()
    assert await store.get("b", default_buffer_prototype()) is None
