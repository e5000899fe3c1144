"""Bad input, odd cells, and files that are none, for adapters: named, and nothing half-written."""

from __future__ import annotations

import io
import math
import os
import stat
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from langchain_core.outputs import Generation

import holdfast.sync
from holdfast.adapters.arrow import from_arrow, to_arrow
from holdfast.adapters.csv import from_csv, to_csv
from holdfast.adapters.dogpile import HoldfastBackend
from holdfast.adapters.fsspec import HoldfastFileSystem
from holdfast.adapters.json_lines import from_json_lines, to_json_lines
from holdfast.adapters.key_value import KeyValue
from holdfast.adapters.langchain import HoldfastByteStore, HoldfastCache
from holdfast.adapters.langgraph_checkpoints import HoldfastSaver
from holdfast.adapters.langgraph_store import HoldfastStore
from holdfast.adapters.litestar import LitestarStore
from holdfast.adapters.parquet import from_parquet, to_parquet
from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue

pytestmark = pytest.mark.anyio

Database = holdfast.sync.Database

# --- Tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_whatever_ends_a_line_somewhere_stays_inside_its_cell(db: Database, end: str) -> None:
    documents = {"a": {"text": f"one{end}two", "n": 1, f"na{end}me": "x"}}
    db.collection("all").set_many(documents)
    out = io.StringIO(newline="")
    to_csv(db.collection("all"), out)
    assert from_csv(db.collection("back"), io.BytesIO(out.getvalue().encode())) == 1
    assert dict(db.collection("back").entries()) == documents


WRITERS: dict[str, Callable[[Any, Any], int]] = {
    "csv": to_csv, "json lines": to_json_lines, "parquet": to_parquet,
}  # fmt: skip
READERS: dict[str, Callable[[Any, Any], int]] = {
    "csv": from_csv, "json lines": from_json_lines, "parquet": from_parquet,
}  # fmt: skip


@pytest.mark.parametrize("name", ["csv", "json lines"])
def test_a_fifo_is_written_to_and_not_replaced(db: Database, name: str, tmp_path: Path) -> None:
    db.collection("all").set("a", {"n": 1})
    fifo, got = tmp_path / "fifo", list[str]()
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_text()), daemon=True)
    reader.start()
    assert WRITERS[name](db.collection("all"), fifo) == 1
    reader.join(10)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert len(got) == 1
    assert "1" in got[0]


@pytest.mark.parametrize("name", WRITERS)
def test_a_private_file_is_private_while_it_is_written(
    db: Database, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.collection("all").set("a", {"n": 1})
    file, modes = tmp_path / "secret", list[int]()
    file.touch(0o600)
    sync = os.fsync

    def look(descriptor: int) -> None:
        modes.extend(stat.S_IMODE(one.stat().st_mode) for one in tmp_path.glob("*.partial"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    file.chmod(0o600)
    assert WRITERS[name](db.collection("all"), file) == 1
    assert modes
    assert set(modes) == {0o600}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("given", [5, None, b"key,n", "a\0b", "\ud800", object()])
@pytest.mark.parametrize("name", READERS)
def test_files_that_are_none_are_named(db: Database, name: str, given: Any) -> None:
    with pytest.raises(InvalidInput, match=r"path of a file"):
        READERS[name](db.collection("all"), given)
    with pytest.raises(InvalidInput, match=r"path of a file"):
        WRITERS[name](db.collection("all"), given)


@pytest.mark.parametrize("name", ["csv", "json lines"])
def test_streams_of_the_other_kind_are_named(db: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match="stream of bytes"):
        READERS[name](db.collection("all"), io.StringIO("key,n\na,1\n"))
    with pytest.raises(InvalidInput, match="stream of text"):
        WRITERS[name](db.collection("all"), io.BytesIO())


@pytest.mark.parametrize(
    "options",
    [
        {"header": 5}, {"header": "key"}, {"header": [1, 2]}, {"encoding": 5}, {"encoding": "nope"},
        {"encoding": "zlib"}, {"encoding": "utf-16"}, {"delimiter": "ab"}, {"delimiter": "\ud800"},
        {"null": None}, {"types": 5}, {"types": {"zz": "int"}}, {"commit_rows": True}, {"key": 5},
    ],
    ids=repr,
)  # fmt: skip
def test_options_of_reading_csv_are_looked_at(db: Database, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        from_csv(db.collection("all"), io.BytesIO(b"key,n\na,1\n"), **options)
    assert db.collection("all").size() == 0


@pytest.mark.parametrize(
    "options",
    [{"key": 5}, {"columns": "n"}, {"columns": 5}, {"columns": [5]}, {"columns": ["n", "n"]},
     {"null": 5}, {"null": "\ud800"}, {"missing": []}, {"delimiter": 5}],
    ids=repr,
)  # fmt: skip
def test_options_of_writing_csv_are_looked_at(db: Database, options: dict[str, Any]) -> None:
    db.collection("all").set("a", {"n": 1})
    with pytest.raises(InvalidInput):
        to_csv(db.collection("all"), io.StringIO(), **options)


def test_arrow_data_that_documents_cannot_hold_is_named(db: Database) -> None:
    far = pa.table({"key": ["a"], "at": pa.array([2**62], pa.timestamp("us", "UTC"))})
    with pytest.raises(InvalidValue, match="'at'"):
        from_arrow(db.collection("all"), far)
    with pytest.raises(InvalidInput, match="single column"):
        from_arrow(db.collection("all"), pa.array([1]))
    with pytest.raises(InvalidInput, match="key"):
        to_arrow(db.collection("all"), key=5)  # type: ignore[call-overload]
    with pytest.raises(InvalidInput, match="commit_rows"):
        from_arrow(db.collection("all"), far, commit_rows=True)


@pytest.mark.parametrize("compression", ["nope", 5, None])
def test_a_compression_that_is_none_is_named(
    db: Database, compression: Any, tmp_path: Path
) -> None:
    db.collection("all").set("a", {"n": 1})
    with pytest.raises(InvalidInput, match="compression"):
        to_parquet(db.collection("all"), tmp_path / "a", compression=compression)
    assert not list(tmp_path.glob("*.partial"))


# --- Stores ---------------------------------------------------------------------------------

NO_TIMES = [math.nan, math.inf, "5", 10**400, 1e300]


@pytest.mark.parametrize("ttl", [*NO_TIMES, -1e300, timedelta.max], ids=str)
async def test_times_that_litestar_hands_on_are_looked_at(
    ttl: Any, async_db: holdfast.Database
) -> None:
    store = LitestarStore(async_db)
    with pytest.raises(InvalidInput, match="ttl"):
        await store.set("k", b"v", expires_in=ttl)
    await store.set("k", b"v", expires_in=50)
    with pytest.raises(InvalidInput, match="ttl"):
        await store.get("k", renew_for=ttl)
    assert await store.get("k") == b"v"
    with pytest.raises(InvalidValue, match="surrogate"):
        await store.set("k", "\ud800")
    with pytest.raises(InvalidKey):
        store.with_namespace(5)  # type: ignore[arg-type]


async def test_one_text_is_not_taken_for_several_keys(
    db: Database, async_db: holdfast.Database
) -> None:
    store = HoldfastByteStore(db)
    store.mset([("a", b"1")])
    saver = HoldfastSaver(db)
    backend = HoldfastBackend({"address": db})
    for call in (
        lambda: store.mdelete("abc"), lambda: store.mget("abc"), lambda: saver.prune("abc"),
        lambda: saver.delete_for_runs("abc"), lambda: backend.delete_multi("abc"),
        lambda: backend.get_serialized_multi("abc"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="several"):
            call()
    assert store.mget(["a"]) == [b"1"]
    kept = KeyValue(async_db)
    for work in (
        kept.get_many("ab"), kept.delete_many("ab"), kept.put_many("ab", [{"n": 1}, {"n": 2}]),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="several keys"):
            await work


@pytest.mark.parametrize("content", [5, "text", None, [1]], ids=repr)
def test_a_file_holds_bytes_and_no_number_of_zeros(content: Any) -> None:
    files = HoldfastFileSystem(address="memory://?name=hostile-files")
    files.pipe_file("file", memoryview(b"abc"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a file holds bytes"):
        files.pipe_file("file", content)
    assert files.cat_file("file") == b"abc"


@pytest.mark.parametrize("odd", [math.nan, math.inf, object()])
def test_an_answer_that_json_would_change_is_refused(db: Database, odd: Any) -> None:
    cache = HoldfastCache(db)
    with pytest.raises(InvalidValue, match="plain data"):
        cache.update("p", "m", [Generation(text="x", generation_info={"a": odd})])
    assert cache.lookup("p", "m") is None


def checkpoint(id: Any = "1") -> Any:
    return {
        "v": 1, "id": id, "ts": "", "channel_values": {"c": 1}, "channel_versions": {"c": "1"},
        "versions_seen": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "id"),
    [({"checkpoint_id": 5}, "1"), ({"checkpoint_ns": 5}, "1"), ({}, 5), ({}, None)],
    ids=str,
)
def test_a_checkpoint_that_could_not_be_read_is_not_written(
    db: Database, place: dict[str, Any], id: Any
) -> None:
    """One such row made every list of all threads fail."""
    saver = HoldfastSaver(db)
    saver.put({"configurable": {"thread_id": "a"}}, checkpoint(), {}, {"c": "1"})
    with pytest.raises(InvalidInput):
        saver.put({"configurable": {"thread_id": "a", **place}}, checkpoint(id), {}, {"c": "1"})
    good: Any = {"configurable": {"thread_id": "a", "checkpoint_id": "1"}}
    for writes, task in (([(5, 1)], "t"), ([("c", 1)], 5)):
        with pytest.raises(InvalidInput):
            saver.put_writes(good, writes, task)  # type: ignore[arg-type]
    assert [one.config["configurable"]["checkpoint_id"] for one in saver.list(None)] == ["1"]


@pytest.mark.parametrize("config", [{"configurable": 5}, 5, {}], ids=str)
def test_configurations_that_name_no_place_are_refused(db: Database, config: Any) -> None:
    saver = HoldfastSaver(db)
    with pytest.raises(InvalidInput):
        saver.put(config, checkpoint(), {}, {})
    for odd in ({"limit": "x"}, {"filter": 5}, {"before": 5}):
        with pytest.raises(InvalidInput):
            list(saver.list(None, **odd))


def test_items_and_pages_of_memory_that_are_none_are_named(db: Database) -> None:
    store = HoldfastStore(db)
    for value in (5, "text", [1]):
        with pytest.raises(InvalidInput, match="mapping"):
            store.put(("a",), "k", value)  # type: ignore[arg-type]
    for ttl in (*NO_TIMES, 0, -1, True, timedelta(1)):
        with pytest.raises(InvalidInput, match="ttl"):
            store.put(("a",), "k", {"n": 1}, ttl=ttl)  # type: ignore[arg-type]
    for odd in ({"limit": "x"}, {"limit": None}, {"offset": -1}, {"limit": True}, {"filter": 5}):
        with pytest.raises(InvalidInput):
            store.search(("a",), **odd)
    for odd in ({"limit": "x"}, {"offset": -1}, {"max_depth": -1}):
        with pytest.raises(InvalidInput):
            store.list_namespaces(**odd)
    assert store.search(("a",)) == []
