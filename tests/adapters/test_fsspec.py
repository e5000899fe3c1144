"""fsspec's own tests of file systems, and what only a database can promise."""

from __future__ import annotations

import contextlib
import errno
import gc
import itertools
import json
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.tests import abstract

import holdfast.sync
from holdfast.adapters import fsspec as adapter
from holdfast.adapters.fsspec import HoldfastFileSystem
from holdfast.adapters.place import close_databases
from holdfast.adapters.zarr import ZarrStore
from holdfast.contract.errors import InvalidKey

FileSystem = Any  # fsspec ships no types

_numbers = itertools.count()


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    HoldfastFileSystem.clear_instance_cache()
    close_databases()


@pytest.fixture
def fs() -> FileSystem:
    return HoldfastFileSystem(f"memory://?name=files-{next(_numbers)}")


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]  # ships no types
    @pytest.fixture
    def fs(self) -> FileSystem:
        return HoldfastFileSystem("memory://?name=abstract")

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def fs_path(self) -> str:
        return f"tests-{next(_numbers)}"

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return True


class TestFsspecsCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestFsspecsGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestFsspecsPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


class TestFsspecsOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


class TestFsspecsPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass


def test_files_and_directories(fs: FileSystem) -> None:
    assert fs.ls("") == []
    fs.pipe({"a/b/one": b"1", "a/b-c": b"22", "a/two": b"333", "top": b""})
    assert fs.ls("", detail=False) == ["a", "top"]
    assert fs.ls("a") == [
        {"name": "a/b", "size": 0, "type": "directory"},
        {"name": "a/b-c", "size": 2, "type": "file"},
        {"name": "a/two", "size": 3, "type": "file"},
    ]
    assert fs.ls("/a/two/", detail=False) == ["a/two"]
    assert fs.find("") == ["a/b-c", "a/b/one", "a/two", "top"]
    assert fs.glob("a/**/one") == ["a/b/one"]
    assert fs.info("holdfast://a/b")["type"] == "directory"
    assert fs.du("a") == 6
    assert [fs.isfile("a/two"), fs.isdir("a/two"), fs.isdir("a"), fs.exists("x")] == [
        True, False, True, False,
    ]  # fmt: skip
    with pytest.raises(FileNotFoundError):
        fs.ls("missing")
    with pytest.raises(FileNotFoundError):
        fs.info("to")


def test_a_directory_that_was_made_stays_and_one_that_was_not_goes(fs: FileSystem) -> None:
    fs.makedirs("made/inside")
    fs.pipe("made/inside/f", b"1")
    fs.pipe("implied/f", b"1")
    with pytest.raises(OSError, match="not empty") as error:
        fs.rmdir("made/inside")
    assert error.value.errno == errno.ENOTEMPTY
    fs.rm(["made/inside/f", "implied/f"])
    assert fs.isdir("made/inside")
    assert not fs.exists("implied")
    fs.rmdir("made/inside")
    assert not fs.exists("made/inside")
    with pytest.raises(FileNotFoundError):
        fs.rmdir("made/inside")
    with pytest.raises(FileExistsError):
        fs.mkdir("")
    fs.mkdir("made")
    with pytest.raises(FileExistsError):
        fs.mkdir("made")
    fs.makedirs("made", exist_ok=True)
    with pytest.raises(FileNotFoundError):
        fs.mkdir("no/parent", create_parents=False)
    with pytest.raises(FileNotFoundError):
        fs.rm("missing")


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, 5), (3, None), (-4, None), (None, -4), (2, -2), (-5, -3), (8, 3), (50, 60)],
)
def test_parts_of_files_are_slices(fs: FileSystem, start: int | None, end: int | None) -> None:
    data = bytes(range(10))
    fs.pipe("f", data)
    assert fs.cat_file("f", start, end) == data[start:end]


def test_reading_seeks_in_big_files(fs: FileSystem) -> None:
    data = os.urandom(3 * 1024 * 1024)
    with fs.open("big", "wb", block_size=256 * 1024) as file:
        for begin in range(0, len(data), 100_000):
            file.write(data[begin : begin + 100_000])
        assert not fs.exists("big")  # Not before it is closed.
    with fs.open("big", "rb", block_size=64 * 1024) as file:
        file.seek(2_000_000)
        assert file.read(1000) == data[2_000_000:2_001_000]
        file.seek(-10, 2)
        assert file.read() == data[-10:]
    with fs.open("big", "ab") as file:
        file.write(b"more")
    assert fs.cat("big") == data + b"more"
    before = fs.ukey("big"), fs.checksum("big")
    fs.pipe("big", data + b"else")
    assert fs.ukey("big") != before[0]
    assert fs.checksum("big") != before[1]


def test_text_and_compression(fs: FileSystem) -> None:
    with fs.open("t.txt.gz", "wt", compression="infer", encoding="utf-8") as file:
        file.write("grüß\n")
    with fs.open("t.txt.gz", "rt", compression="infer", encoding="utf-8") as file:
        assert file.read() == "grüß\n"


def test_a_block_that_raises_leaves_the_file_as_it_was(fs: FileSystem) -> None:
    fs.pipe("f", b"before")

    def write(error: type[BaseException]) -> None:
        with fs.open("f", "wb") as file:
            file.write(b"half")
            raise error

    for error in (ValueError, KeyboardInterrupt, StopIteration):
        with pytest.raises(error):
            write(error)
        assert fs.cat("f") == b"before"
    with fs.transaction, contextlib.suppress(ValueError):
        write(ValueError)
    assert fs.cat("f") == b"before"


def test_a_file_that_cannot_be_put_where_it_belongs_is_given_up(fs: FileSystem) -> None:
    file = fs.open("f", "wb")
    file.write(b"1")
    fs.pipe("f/below", b"somebody made it a directory meanwhile")
    with pytest.raises(IsADirectoryError):
        file.close()
    assert file.closed
    file.close()
    del file
    gc.collect()  # What is left of it would be told here.
    assert fs.find("") == ["f/below"]


def test_files_are_made_together_or_not_at_all(fs: FileSystem) -> None:
    fs.put_files({"holdfast://a": b"1", "/b/": b"2"}, create=True)
    assert fs.cat(["a", "b"]) == {"a": b"1", "b": b"2"}
    with pytest.raises(FileExistsError, match="b"):
        fs.put_files({"c": b"3", "b": b"4"}, create=True)
    assert fs.find("") == ["a", "b"]


def test_a_transaction_is_one_commit_or_nothing(fs: FileSystem) -> None:
    fs.pipe("first", b"")
    head = fs._place.database.head()
    with fs.transaction:
        fs.pipe("a", b"1")
        with fs.open("b", "wb") as file:
            file.write(b"2")
        assert not fs.exists("a")
    assert fs.cat(["a", "b"]) == {"a": b"1", "b": b"2"}
    assert fs._place.database.head() == head + 1
    for error in (RuntimeError, KeyboardInterrupt):
        with contextlib.suppress(error), fs.transaction:
            fs.pipe("c", b"3")
            raise error
        assert not fs.exists("c")
    with contextlib.suppress(IsADirectoryError), fs.transaction:
        fs.pipe({"d": b"4", "e": b"5"})
        fs._place.store.set(b"e/below", b"somebody made the file a directory meanwhile")
    assert not fs.exists("d")
    with fs.transaction:
        left_open = fs.open("f", "wb")
        left_open.write(b"whole")
    assert fs.cat("f") == b"whole"
    fs.pipe("after", b"6")  # Outside of a transaction it is written at once.
    assert fs.cat("after") == b"6"


def test_bad_paths_are_named_and_nothing_is_written(fs: FileSystem) -> None:
    fs.pipe("file", b"1")
    fs.makedirs("folder")
    for path, error in (
        ("file/below", NotADirectoryError),
        ("folder", IsADirectoryError),
        ("", IsADirectoryError),
        ("a//b", ValueError),
        ("../up", ValueError),
        ("\udcff", InvalidKey),
        ("k" * 5000, InvalidKey),
    ):
        with pytest.raises(error):
            fs.pipe_file(path, b"2")
        with pytest.raises(error):
            fs.open(path, "wb").close()
    for path in ("folder", ""):
        with pytest.raises(IsADirectoryError):
            fs.cat_file(path)
        with pytest.raises(IsADirectoryError):
            fs.open(path, "rb")
    with pytest.raises(ValueError, match="mode"):
        fs.open("file", "r+b")
    assert fs.find("", withdirs=True) == ["file", "folder"]


def test_a_file_has_a_limit_with_a_name(fs: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "FILE_BYTES_MAX", 1000)
    with pytest.raises(OSError, match="at most 1000 bytes") as error:
        fs.pipe_file("f", bytes(1001))
    assert error.value.errno == errno.EFBIG
    with fs.open("f", "wb", 512) as file:
        file.write(bytes(512))
        with pytest.raises(OSError, match="at most 1000 bytes"):
            file.write(bytes(512))
    assert not fs.exists("f")


def test_of_threads_that_make_one_file_one_does(fs: FileSystem) -> None:
    def make(number: int) -> bool:
        try:
            with HoldfastFileSystem(fs._place.address).open("f", "xb") as file:
                file.write(b"%d" % number)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(12)))
    assert sum(made) == 1
    assert fs.cat("f") == b"%d" % made.index(True)


def test_many_files_are_removed_by_the_thousand(fs: FileSystem) -> None:
    fs.pipe("kept", b"")
    fs.put_files({f"many/{number // 100}/{number}": b"" for number in range(2_100)})
    head = fs._place.database.head()
    fs.rm("many", recursive=True)
    assert fs.find("", withdirs=True) == ["kept"]
    assert fs._place.database.head() == head + 3


def test_the_mapper(fs: FileSystem) -> None:
    mapper = fs.get_mapper("root")
    mapper["a/b"] = b"1"
    mapper.setitems({"a/c": b"2", "d": b"3"})
    assert dict(mapper) == {"a/b": b"1", "a/c": b"2", "d": b"3"}
    assert mapper.getitems(["a/b", "missing"], on_error="omit") == {"a/b": b"1"}
    assert mapper.pop("d") == b"3"
    del mapper["a/b"]
    assert list(mapper) == ["a/c"]
    with pytest.raises(KeyError):
        mapper["a/b"]
    mapper.clear()
    assert len(mapper) == 0


def test_urls_lead_to_it(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/files.db"
    assert fsspec.get_filesystem_class("holdfast") is HoldfastFileSystem
    with fsspec.open("holdfast://dir/f.txt", "w", address=address) as file:
        file.write("text")
    with fsspec.open("holdfast://dir/f.txt", "r", address=address) as file:
        assert file.read() == "text"
    with holdfast.sync.open(address) as db:
        assert db.stores.get("files").get(b"dir/f.txt") == b"text"


def test_it_goes_to_other_processes(tmp_path: Path) -> None:
    fs = HoldfastFileSystem(f"lmdb:///{tmp_path}/files")
    fs.pipe("f", b"parent")
    sent = pickle.dumps(fs)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert fs.cat("f") == pickle.loads(sent).cat("f") == b"parent"
            fs.pipe("f", b"child")
            close_databases()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert fs.cat("f") == b"child"
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()).cat("f") == b"child"


def test_what_zarr_wrote_is_files(tmp_path: Path) -> None:
    import zarr

    address = f"lmdb:///{tmp_path}/shared"
    zarr.create_array(ZarrStore(address, name="both"), shape=(4,), chunks=(2,), dtype="i1")[:] = 7
    fs = HoldfastFileSystem(address, store="both")
    assert fs.find("") == ["c/0", "c/1", "zarr.json"]
    assert json.loads(fs.cat("zarr.json"))["shape"] == [4]
    fs.mkdir("made")
    root = zarr.open_array(ZarrStore(address, name="both"), mode="r")
    assert root[3] == 7


def test_a_file_never_stands_above_a_file_whoever_writes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was looked at before the commit was written by another thread meanwhile."""
    files = HoldfastFileSystem(address="memory://?name=above")
    looked, both = threading.local(), threading.Barrier(2)
    is_directory = adapter._is_directory

    def slow(*arguments: Any) -> bool:
        found = is_directory(*arguments)
        if not hasattr(looked, "once"):
            looked.once = True
            both.wait(10)
        return found

    monkeypatch.setattr(adapter, "_is_directory", slow)
    refused: list[OSError] = []

    def write(path: str) -> None:
        try:
            files.pipe_file(path, b"x")
        except OSError as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=(path,)) for path in ("above", "above/below")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [type(one) for one in refused] in ([IsADirectoryError], [NotADirectoryError])
