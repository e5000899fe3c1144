"""Each saved version as a directory of its own, which nothing changes any more."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

import holdfast
from holdfast.backups.version_directories import directory_of, read_version, write_version
from holdfast.contract.errors import (
    IntegrityFailed,
    NotADatabase,
    StorageFull,
    StoreExists,
    StoreNotFound,
    VersionNotFound,
)

FIRST = {b"apple": b"3", b"\x00\xff": b"\xff\x00", b"pear": "Grüße\n".encode()}


async def _save(url: str, root: Path) -> list[Path]:
    async with holdfast.open(url) as db:
        prices = await db.stores.create("prices/of fruit", kind="iavl")
        await prices.set_many(FIRST)
        await prices.save_version()
        await prices.set(b"apple", b"5")
        await prices.delete(b"pear")
        await prices.save_version()
        with pytest.raises(VersionNotFound):
            await write_version(prices, 3, root)
        return [await write_version(prices, number, root) for number in (1, 2)]


@pytest.mark.row("E-064")
def test_each_saved_version_has_a_directory_that_stays_as_it_is(tmp_path: Path) -> None:
    url, root = f"file:///{tmp_path / 'app'}", tmp_path / "root"
    one, two = asyncio.run(_save(url, root))
    (store,) = root.iterdir()
    assert sorted(path.name for path in (store / "versions").iterdir()) == ["1", "2"]
    assert dict(read_version(one)) == FIRST
    assert dict(read_version(two)) == {b"apple": b"5", b"\x00\xff": b"\xff\x00"}
    assert list(dict(read_version(one))) == sorted(FIRST)
    facts = json.loads((one / "version.json").read_text())
    assert (facts["version"], facts["rows"], len(facts["root"])) == (1, 3, 64)
    lines = [json.loads(line) for line in (one / "rows.jsonl").read_text("utf-8").splitlines()]
    assert {"key": "apple", "value": "3"} in lines
    for path in (one, *one.iterdir()):
        assert path.stat().st_mode & 0o222 == 0, "nobody may write"

    async def write_again() -> None:
        before = {path: path.stat() for path in (one, *one.iterdir())}
        async with holdfast.open(url) as db:
            prices = await db.stores.get("prices/of fruit")
            await prices.set(b"apple", b"7")
            assert await write_version(prices, 1, root) == one
        assert {path: path.stat() for path in (one, *one.iterdir())} == before

    asyncio.run(write_again())


@pytest.mark.row("E-064")
def test_another_version_does_not_take_its_place(tmp_path: Path) -> None:
    async def work() -> None:
        async with holdfast.open(f"file:///{tmp_path / 'other'}") as db:
            prices = await db.stores.create("prices/of fruit", kind="iavl")
            await prices.set(b"another", b"1")
            await prices.save_version()
            with pytest.raises(StoreExists, match="give another root directory"):
                await write_version(prices, 1, tmp_path / "root")

    one, _ = asyncio.run(_save(f"file:///{tmp_path / 'app'}", tmp_path / "root"))
    asyncio.run(work())
    assert dict(read_version(one)) == FIRST


@pytest.mark.row("E-064")
def test_a_directory_that_was_changed_is_noticed_before_its_first_row(tmp_path: Path) -> None:
    one, _ = asyncio.run(_save("memory://", tmp_path / "root"))
    rows = one / "rows.jsonl"
    rows.chmod(0o644)
    rows.write_bytes(rows.read_bytes().replace(b'"3"', b'"4"'))
    with pytest.raises(IntegrityFailed, match="was changed"):
        next(read_version(one))
    one.chmod(0o755)
    rows.unlink()
    with pytest.raises(IntegrityFailed, match="is gone"):
        next(read_version(one))
    with pytest.raises(StoreNotFound):
        next(read_version(tmp_path))
    for text in ("no JSON", "[]", "{}"):
        (tmp_path / "version.json").write_text(text)
        with pytest.raises(NotADatabase):
            next(read_version(tmp_path))
    (tmp_path / "version.json").write_text('{"holdfast": "version"}')
    with pytest.raises(IntegrityFailed, match="names no root"):
        next(read_version(tmp_path))


@pytest.mark.parametrize("name", [".", "..", "a/../b"])
def test_no_name_of_a_store_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    path = directory_of(root, name, 1)
    assert path.resolve().parents[2] == root.resolve()
    assert path.resolve() != directory_of(root, "other", 1).resolve()


def test_a_writer_that_is_broken_off_leaves_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageFull, match="no room"):
            asyncio.run(_save("memory://", root))
    assert list(root.glob("*/versions/*")) == []
    one, _ = asyncio.run(_save("memory://", root))
    assert dict(read_version(one)) == FIRST
    assert sorted(path.name for path in root.glob("*/versions/*")) == ["1", "2"]


@pytest.mark.row("E-064")
def test_two_that_write_one_version_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            prices = await db.stores.create("prices", kind="iavl")
            await prices.set_many(FIRST)
            await prices.save_version()
            paths = await asyncio.gather(*(write_version(prices, 1, tmp_path) for _ in range(8)))
            assert set(paths) == {tmp_path / "prices" / "versions" / "1"}
            assert dict(read_version(paths[0])) == FIRST
            assert len(list((tmp_path / "prices" / "versions").iterdir())) == 1

    asyncio.run(work())
