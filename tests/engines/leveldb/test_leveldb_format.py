"""The files are LevelDB's: a reader written by others finds the rows in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from chromium_reader.leveldb import KeyState, RawLevelDb

import holdfast.sync
from holdfast.contract.batch import Batch, Put
from holdfast.runtime.system import drive
from tests.engines.lsm.lsm_database import delete, opened, put, tables

#: What every whole table ends with.
TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")


def _read_by_others(path: Path) -> dict[bytes, bytes]:
    """What the other reader finds, the newest of each key; rows alone, without their revisions."""
    newest: dict[bytes, tuple[int, bytes | None]] = {}
    copy = path.with_name(f"copy-{len(list(path.parent.iterdir()))}")
    shutil.copytree(path / "leveldb", copy)
    for table in copy.glob("*.ldb"):
        # A compaction that the end came upon leaves half a table, which LevelDB does not name: the
        # other reader takes every file there is.
        if table.read_bytes()[-8:] != TABLE_MAGIC:
            table.unlink()
    with RawLevelDb(copy) as database:
        for record in database.iterate_records_raw():
            known = newest.get(record.user_key)
            if known is None or known[0] < record.seq:
                living = record.state is KeyState.LIVE
                newest[record.user_key] = (record.seq, record.value if living else None)
    return {
        key[1:]: value[8:]
        for key, (_, value) in newest.items()
        if value is not None and key.startswith(b"r")
    }


@pytest.mark.row("E-079", "trap 34")
def test_another_reader_finds_every_row(tmp_path: Path) -> None:
    path = tmp_path / "app"
    expected = {b"key %04d" % number: b"value %d" % number * 20 for number in range(3000)}
    with opened("leveldb", path, write_buffer=64 * 1024) as engine:
        rows = list(expected.items())
        for start in range(0, len(rows), 100):
            batch = [Put(key, value) for key, value in rows[start : start + 100]]
            drive(engine.commit(Batch(batch)))
        delete(engine, b"key 0007", b"key 1234")
        put(engine, b"key 0008", b"written again")
    expected |= {b"key 0008": b"written again"}
    del expected[b"key 0007"], expected[b"key 1234"]
    assert tables(path), "some of them stand in tables, and some in the log"
    assert _read_by_others(path) == expected
    with opened("leveldb", path) as engine:
        drive(engine.compact())
    assert _read_by_others(path) == expected


@pytest.mark.row("E-079", "trap 34")
def test_compaction_leaves_fewer_and_smaller_files(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with opened("leveldb", path, write_buffer=64 * 1024, compression="none") as engine:
        for turn in range(10):
            rows = [Put(b"%04d" % number, b"%d" % turn * 200) for number in range(500)]
            drive(engine.commit(Batch(rows)))
        before = tables(path)
        size = sum(file.stat().st_size for file in before)
        freed = drive(engine.compact())
        after = tables(path)
        left = sum(file.stat().st_size for file in after)
        assert freed > 0
        assert len(after) <= len(before)
        assert left < size
        assert left < 3 * 500 * 200, "one version of each row is left"


@pytest.mark.row("E-079")
def test_transactions_and_saved_versions(tmp_path: Path) -> None:
    url = f"leveldb:///{tmp_path / 'app'}"
    with holdfast.sync.open(url) as db:
        prices = db.stores.create("prices", kind="iavl")
        prices.set(b"apple", b"3")
        one = prices.save_version()
        with db.transaction() as transaction:
            changed = transaction.stores.get("prices")
            changed.set(b"apple", b"5")
            changed.set(b"pear", b"2")

        def fail() -> None:
            with db.transaction() as transaction:
                transaction.stores.get("prices").set(b"apple", b"never")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        prices.save_version()
    with holdfast.sync.open(url) as db:
        prices = db.stores.get("prices")
        assert prices.get(b"apple") == b"5"
        with prices.at_version(one.number) as old:
            assert old.get(b"apple") == b"3"
        assert db.check() == []
