"""Versions on an engine whose driver is a server, without snapshots: with and without a loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.store import registry
from holdfast.stores.proofs import proven
from tests.engines.remote.conftest import loopback_server
from tests.engines.remote.loopback_engine import LoopbackConfig, loopback_config
from tests.store.scene import listed

__all__ = ["loopback_server"]


@pytest.fixture(autouse=True)
def loopback_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the registry know the engine of these tests."""
    target = "tests.engines.remote.loopback_engine:LoopbackEngine"
    monkeypatch.setitem(registry._OURS, LoopbackConfig.scheme, target)


async def contents(store: Any) -> dict[bytes, bytes]:
    return dict(await listed(store.iterate()))


@pytest.mark.parametrize("fast_index", [False, True])
def test_versions_on_a_server(tmp_path: Path, fast_index: bool) -> None:
    config = loopback_config(str(tmp_path))

    async def work() -> None:
        async with holdfast.open(config) as db:
            assert not db.capabilities.snapshots
            tree = await db.stores.create("t", "iavl", {"fast_index": fast_index})
            plain = await db.stores.create("p")
            for store in (tree, plain):
                await store.set_many({b"%02d" % n: b"v%d" % n for n in range(30)})
                one = await store.save_version()
                await store.set(b"07", b"other")
                await store.delete(b"08")
                two = await store.save_version()
                assert (one.number, two.number) == (1, 2)
                assert len([change async for change in store.diff(1, 2)]) == 2
                proof = await store.prove(b"07", 1)
                assert proven(store.config.kind, one.root, proof, b"07") is not None
                assert await store.verify() > 0
            async with await tree.at_version(1) as old:
                assert await old.get(b"07") == b"v7"
            assert len(await contents(tree)) == 29
            await tree.load_version(1)
            assert len(await contents(tree)) == 30
            async with tree.transaction() as tx:
                assert await tx.get(b"07") == b"v7"
                await tx.set(b"07", b"mine")
                assert await tx.count() == 30
            branch = await tree.branch("b", 2)
            assert await branch.get(b"07") == b"other"
            if fast_index:
                assert await branch.build_index() == 29
                assert await tree.build_index() == 29
                assert await branch.get(b"07") == b"other"
            together = await db.stores.save_version()
            assert len(together.stores) == 3
            assert await tree.prune(1) == 1
            head = await db.audit.seal()
            assert (await db.audit.verify(head)).holds
            await asyncio.gather(*(writes(tree, n) for n in range(4)), tree.save_version())
            assert len(await contents(tree)) == 34
            last = await tree.save_version()
            async with await tree.at_version(last.number) as saved:
                assert dict(await listed(saved.iterate())) == await contents(tree)
            assert {key: await tree.get(key) for key in await contents(tree)} == await contents(
                tree
            )
            assert await db.check() == []

    asyncio.run(work())


async def writes(store: Any, number: int) -> None:
    await store.set(b"more %d" % number, b"x")


def test_versions_without_a_loop(tmp_path: Path) -> None:
    with holdfast.sync.open(loopback_config(str(tmp_path))) as db:
        tree = db.stores.create("t", "iavl")
        tree.set_many({b"%02d" % n: b"v%d" % n for n in range(30)})
        one = tree.save_version()
        tree.set(b"07", b"other")
        tree.save_version()
        assert proven("iavl", one.root, tree.prove(b"07", 1), b"07") == b"v7"
        tree.load_version(1)
        assert dict(tree.iterate())[b"07"] == b"v7"
        with tree.at_version(2) as saved:
            assert saved.get(b"07") == b"other"
        with tree.transaction() as tx:
            tx.set(b"07", b"mine")
        assert [tuple(change) for change in tree.diff(1, 2)] == [(b"07", b"v7", b"other")]
        assert db.check() == []
