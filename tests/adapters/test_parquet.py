"""Parquet files: written whole, read batch by batch."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import holdfast
import holdfast.sync
from holdfast.adapters.parquet import from_parquet, to_parquet
from holdfast.contract.errors import InvalidInput, InvalidValue
from tests.adapters.samples import DOCUMENTS


def test_documents_come_back_equal(db: holdfast.sync.Database, tmp_path: Path) -> None:
    file = tmp_path / "all.parquet"
    collection = db.collection("all")
    collection.set_many(DOCUMENTS)
    assert to_parquet(collection, file, batch_rows=8) == 20
    assert pq.ParquetFile(file).num_row_groups == 3
    assert from_parquet(db.collection("back"), file, commit_rows=6) == 20
    assert dict(db.collection("back").entries()) == DOCUMENTS
    assert to_parquet(collection, str(file), "number == 0") == 1  # It is replaced.
    assert pq.read_table(file).num_rows == 1


def test_awaited_on_a_handle_with_a_loop(tmp_path: Path) -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            await db.collection("all").set_many(DOCUMENTS)
            assert await to_parquet(db.collection("all"), tmp_path / "a.parquet") == 20
            assert await from_parquet(db.collection("back"), tmp_path / "a.parquet") == 20

    asyncio.run(work())


def test_a_file_is_there_whole_or_not_at_all(db: holdfast.sync.Database, tmp_path: Path) -> None:
    file = tmp_path / "all.parquet"
    file.write_bytes(b"as it was")
    collection = db.collection("all")
    collection.set_many({"a": {"x": 1}, "b": {"x": "1"}})
    with pytest.raises(InvalidValue):
        to_parquet(collection, file)
    collection.set_many({"a": {"x": {}}, "b": {"x": {}}})
    with pytest.raises(InvalidValue, match=r"no mappings without fields; .* column 'x'"):
        to_parquet(collection, file)
    with pytest.raises(FileNotFoundError):
        to_parquet(db.collection("none"), tmp_path / "no" / "such.parquet")
    assert file.read_bytes() == b"as it was"
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".partial"] == []


def test_what_is_no_parquet_file_is_refused(db: holdfast.sync.Database, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("key,x\na,1\n")
    with pytest.raises(InvalidInput, match="a Parquet file was wanted"):
        from_parquet(db.collection("all"), file)
    with pytest.raises(FileNotFoundError):
        from_parquet(db.collection("all"), tmp_path / "absent")


def test_one_that_is_cancelled_waits_for_its_thread_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, open_writers = threading.Event(), threading.Event(), [0]
    write, close = pq.ParquetWriter.write_batch, pq.ParquetWriter.close

    def slow(self: Any, batch: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        assert open_writers == [0]  # Nobody closed it meanwhile.
        write(self, batch)

    def closed(self: Any) -> None:
        open_writers[0] += 1
        close(self)

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", slow)
    monkeypatch.setattr(pq.ParquetWriter, "close", closed)

    async def work() -> None:
        async with holdfast.open("memory://") as db:
            await db.collection("all").set_many(DOCUMENTS)
            task = asyncio.ensure_future(to_parquet(db.collection("all"), tmp_path / "a.parquet"))
            await asyncio.to_thread(begun.wait, 10)
            for _ in range(2):  # However often.
                task.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert not task.done()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []
