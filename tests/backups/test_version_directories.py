"""Saved versions as directories amid full disks, wrong places, and files that somebody rewrote."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from holdfast.backups import version_directories
from holdfast.backups.version_directories import read_version, write_version
from holdfast.contract.errors import IntegrityFailed, InvalidInput, StorageFull, StoreNotFound
from tests.store.scene import Scene


def rewritten(directory: Path, rows: bytes) -> None:
    """Put other rows into a version, whose digest agrees with them."""
    facts = directory / version_directories.FACTS
    for path in (directory, facts, directory / version_directories.ROWS):
        path.chmod(0o755)
    told = json.loads(facts.read_bytes())
    (directory / version_directories.ROWS).write_bytes(rows)
    facts.write_text(json.dumps(told | {"sha256": hashlib.sha256(rows).hexdigest()}))


@pytest.mark.parametrize(
    "rows", [b"[]\n", b"x\n", b'{"key":"a"}\n', b'{"key":5,"value":"x"}\n', b"5\n", b"\xff\n",
             b'{"key64":"!","value":"x"}\n'],
)  # fmt: skip
async def test_a_line_that_is_no_row_is_told_and_not_shown(
    kept_scene: Scene, tmp_path: Path, rows: bytes
) -> None:
    async with kept_scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        await store.set(b"a", b"1")
        await store.save_version()
        directory = await write_version(store, 1, tmp_path / "versions")
    assert list(read_version(directory)) == [(b"a", b"1")]
    rewritten(directory, rows)
    with pytest.raises(IntegrityFailed, match="no row"):
        list(read_version(directory))


async def test_what_the_file_system_has_against_a_version_is_told(
    kept_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "in the way"
    in_the_way.touch()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with kept_scene.open() as db:
        store = await db.stores.create("ledger", kind="iavl")
        await store.set(b"a", b"1")
        await store.save_version()
        with pytest.raises(InvalidInput, match="another root directory"):
            await write_version(store, 1, in_the_way)
        with pytest.raises(StoreNotFound):
            list(read_version(in_the_way))
        with monkeypatch.context() as patch:
            patch.setattr(version_directories, "_finish", full)
            with pytest.raises(StorageFull, match="no room"):
                await write_version(store, 1, tmp_path / "versions")
        directory = await write_version(store, 1, tmp_path / "versions")
    assert list(read_version(directory)) == [(b"a", b"1")]
