"""Bloom filters: the stated error rate holds, no item is lost, and bad input is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue, QuotaExceeded
from holdfast.state import MockStoreAdapter, build_store
from holdfast.state.areas.bloom import BloomInfo
from holdfast.state.filters import (
    FILTER_BYTES_MAX,
    FILTER_ITEMS_MAX,
    HASHES_MAX,
    bits_of,
    block_of,
    digest_of,
    shape_of,
)
from holdfast.state.mock.filters import MemoryFilter
from tests.state.conftest import command, opened, run
from tests.state.places import Place
from tests.state.workers import add_to_filter, run_in_processes


@pytest.mark.parametrize(
    ("capacity", "rate", "strangers"),
    [(1, 0.5, 4_000), (30_000, 0.1, 20_000), (20_000, 0.01, 30_000), (10_000, 0.001, 60_000)],
)
def test_the_stated_rate_holds_when_the_filter_is_full(
    capacity: int, rate: float, strangers: int
) -> None:
    full = MemoryFilter(shape_of(capacity, rate))
    for number in range(capacity):
        full.add(digest_of(f"item {number}"))
    assert all(full.has(digest_of(f"item {number}")) for number in range(capacity))
    wrong = sum(full.has(digest_of(f"stranger {number}")) for number in range(strangers))
    # Digests are always the same, so this is no matter of luck.
    assert wrong <= strangers * rate
    # And it is no larger than it has to be: within a fifth of what theory asks for.
    assert full.shape.blocks == 1 or wrong >= strangers * rate * 0.7


def test_the_size_is_near_that_of_theory() -> None:
    for rate, bits in ((0.1, 4.8), (0.01, 9.6), (0.001, 14.4), (1e-6, 28.8)):
        shape = shape_of(1_000_000, rate)
        assert bits <= shape.blocks * 4096 / 1_000_000 <= bits * 1.2
        assert shape.hashes <= HASHES_MAX
    # Of one digest each rate takes what it needs, and blocks are used evenly.
    shape = shape_of(100_000, 1e-6)
    assert len(bits_of(digest_of("a"), shape)) == 20
    used = [block_of(digest_of(str(number)), shape) for number in range(20_000)]
    assert len(set(used)) == shape.blocks
    assert max(map(used.count, range(20))) < 3 * len(used) / shape.blocks


@pytest.mark.row("D-069", "D-129")
def test_a_filter_in_each_place(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as root:
            store = root.scope("org", 1)
            bloom = store.bloom
            assert await bloom.info("seen") is None
            assert await bloom.create("seen", 1000, 0.01, ttl=60)
            assert not await bloom.create("seen", 1000, 0.01)
            with pytest.raises(InvalidInput, match=r"one for 1000 at 0\.01"):
                await bloom.create("seen", 1001, 0.01)
            assert await bloom.add("seen", "ada@example.com")
            assert not await bloom.add("seen", b"ada@example.com")
            assert await bloom.contains("seen", "ada@example.com")
            assert not await bloom.contains("seen", "bob@example.com")
            # In one call, too, the second of two equal ones is no new one.
            assert await bloom.add_many("seen", ["a", "b", "a"]) == [True, True, False]
            assert await bloom.contains_many("seen", ["b", "c", "a"]) == [True, False, True]
            assert await bloom.add_many("seen", []) == []
            assert await bloom.info("seen") == BloomInfo(1000, 0.01, 3, 512 * 3)
            key = f"holdfast:state:{service}:org:1:bloom:seen"
            assert 0 < await command(root, "PTTL", key) <= 60_000
            await bloom.create("small", 2)
            with pytest.raises(QuotaExceeded):
                await bloom.add_many("small", ["1", "2", "3"])
            assert await bloom.add_many("small", ["1", "2"]) == [True, True]
            assert await bloom.add_many("small", ["1", "2"]) == [False, False]
            with pytest.raises(QuotaExceeded):
                await bloom.add("small", "3")
            assert (await store.purge_scope()).removed == {"bloom": 2}
            assert await bloom.info("small") is None
            assert not await bloom.remove("small")

    run(main())


def test_many_processes_add_to_one_filter(place: Place, service: str) -> None:
    """Each item is new to exactly one of those who add it, and none is lost."""

    async def main() -> None:
        async with opened(place, service) as store:
            await store.bloom.create("shared", 10_000, 0.0001)
            told = await asyncio.to_thread(
                run_in_processes, add_to_filter, 4, place.url, service, 200
            )
            found = await store.bloom.contains_many("shared", [f"item {n}" for n in range(200)])
            assert found == [True] * 200
            info = await store.bloom.info("shared")
            assert info is not None
            assert sum(told) == info.items
            assert 198 <= info.items <= 200

    run(main())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0,), "capacity is a whole number from 1"),
        ((2.5,), "capacity is a whole number from 1"),
        ((True,), "capacity is a whole number from 1"),
        ((1000.0,), "capacity is a whole number from 1"),
        (([1000],), "capacity is a whole number from 1"),
        ((10, [0.1]), "error_rate is a number; found a list"),
        ((10, 0), "error_rate lies from"),
        ((10, 0.9), "error_rate lies from"),
        ((10, float("nan")), "error_rate lies from"),
        ((10, "0.1"), "error_rate is a number; found a str"),
        ((FILTER_BYTES_MAX, 0.01), f"at most {FILTER_BYTES_MAX} bytes"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: Any, said: str) -> None:
    async def main() -> None:
        shape_of(1000, 0.01)  # What is known already makes nothing else pass for it.
        adapter = MockStoreAdapter()
        store = build_store(adapter, "api")
        with pytest.raises(InvalidInput, match=said):
            await store.bloom.create("a", *arguments)
        assert adapter.calls == []

    run(main())


def test_what_is_no_item_is_refused() -> None:
    async def main() -> None:
        adapter = MockStoreAdapter()
        bloom = build_store(adapter, "api").bloom
        wrong: list[Any] = [1, None, "\ud800", bytearray(b"a")]
        for item in wrong:
            with pytest.raises(InvalidInput, match="an item is a text"):
                await bloom.add("a", item)
            with pytest.raises(InvalidInput, match="an item is a text"):
                await bloom.contains("a", item)
        with pytest.raises(InvalidInput, match="several items are wanted; found one"):
            await bloom.add_many("a", "abc")
        with pytest.raises(InvalidInput, match=f"at most {FILTER_ITEMS_MAX} items"):
            await bloom.contains_many("a", (str(n) for n in range(10**9)))
        with pytest.raises(InvalidKey):
            await bloom.add("", "a")
        with pytest.raises(InvalidValue):
            await bloom.create("a", 5, ttl=0)
        assert adapter.calls == []

    run(main())


def test_it_joins_a_transaction_and_leaves_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with holdfast.open(f"lmdb:///{tmp_path}/db") as db:
            store = build_store(db, "api")
            await store.bloom.create("f", 100)

            async def broken_off() -> None:
                async with db.transaction() as tx:
                    assert await store.on(tx).bloom.add("f", "a")
                    assert await store.on(tx).bloom.contains("f", "a")
                    raise RuntimeError

            with pytest.raises(RuntimeError):
                await broken_off()
            assert not await store.bloom.contains("f", "a")
            async with db.transaction() as tx:
                await store.on(tx).bloom.add("f", "a")
                await tx.entries.set("a", 1)
            assert await store.bloom.contains("f", "a")
            assert await db.check() == []
            await store.bloom.remove("f")
            assert await db.check() == []

    run(main())


def test_without_a_loop(tmp_path: Path) -> None:
    with holdfast.sync.open(f"lmdb:///{tmp_path}/db") as db:
        store = holdfast.sync.state_store(db, "api")
        assert store.bloom.create("f", 100)
        assert store.bloom.add_many("f", ["a", "b"]) == [True, True]
        assert store.bloom.contains("f", "a")
        assert not store.bloom.contains("f", "c")
