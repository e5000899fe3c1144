"""A file system of fsspec in a store of a database: for pandas, Dask, and whatever opens URLs.

    import fsspec

    fs = fsspec.filesystem("holdfast", address="lmdb:///app")
    with fs.open("reports/2026.csv", "wb") as file:
        file.write(data)
    mapper = fs.get_mapper("reports")

A file is there, whole, when it is closed, and a block that raises leaves the file as it was. What
is written inside `with fs.transaction:` is one commit. Reading a part touches only the pieces of
256 KiB that it lies in. Directories need not be made; one that was made stays when it is empty.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Final

from holdfast.adapters.expiring import text_key
from holdfast.adapters.paths import SLASH, children
from holdfast.adapters.place import Place, address_of
from holdfast.adapters.ranges import PAGE_KEYS
from holdfast.adapters.requirement import requires
from holdfast.adapters.steps import one_step
from holdfast.contract.record import after_prefix
from holdfast.stores.limits import VALUE_BYTES_MAX
from holdfast.sync import Store, StoreTransaction

with requires("fsspec>=2025.3"):
    from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
    from fsspec.transaction import Transaction

#: The most bytes that a file can have.
FILE_BYTES_MAX: Final = VALUE_BYTES_MAX


class OneCommit(Transaction):  # type: ignore[misc]  # ships no types
    """What was written inside `with fs.transaction:`, as one commit or not at all."""

    fs: Any
    files: Any

    def complete(self, commit: bool = True) -> None:
        """Commit all files, or forget them."""
        files, self.files = list(self.files), deque()
        try:
            if commit:
                for file in files:
                    file.close()
                kept = {file.path: file.content() for file in files if not file.dropped}
                self.fs.put_files(kept)
        finally:
            for file in files:
                file.discard()
            self.fs._intrans = False  # noqa: SLF001 - as the class above does
            self.fs._transaction = None  # noqa: SLF001
            self.fs = None


class HoldfastFileSystem(AbstractFileSystem):  # type: ignore[misc]  # ships no types
    """Files as values of a store, under their paths.

    Args:
        address: or path of the database, which is opened once in each process that uses it.
        store: name of the store in it, made at the first use.
        storage_options: what every file system of fsspec takes.
    """

    protocol = "holdfast"
    root_marker = ""
    transaction_type = OneCommit

    def __init__(
        self, address: str | os.PathLike[str], store: str = "files", **storage_options: Any
    ) -> None:
        super().__init__(address=address_of(address), store=store, **storage_options)
        self._place = Place(address, store)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return os.fspath(path).removeprefix("holdfast://").strip("/")

    # --- Looking ----------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size in bytes and type of a file or directory. Raises FileNotFoundError."""
        path = self._strip_protocol(path)
        store, key = self._store, text_key(path)
        if key:
            try:
                return {"name": path, "size": store.length(key), "type": "file"}
            except KeyError:
                if not _is_directory(store, key):
                    raise _missing(path) from None
        return {"name": path, "size": 0, "type": "directory"}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What stands directly in a directory, in order; of a file, the file."""
        path = self._strip_protocol(path)
        known = self.info(path)
        if known["type"] == "file":
            found = [known]
        else:
            key = text_key(path)
            found = []
            for child in children(self._store, key + SLASH if key else b""):
                name = f"{path}/{child.name.decode()}".lstrip("/")
                if child.is_directory:
                    found.append({"name": name, "size": 0, "type": "directory"})
                elif (size := self._length(text_key(name))) is not None:
                    found.append({"name": name, "size": size, "type": "file"})
        found.sort(key=lambda one: str(one["name"]))
        return found if detail else [one["name"] for one in found]

    def ukey(self, path: str) -> str:
        """A digest (SHA-256) of the content of a file: another one after each change."""
        return hashlib.sha256(self.cat_file(path)).hexdigest()

    def checksum(self, path: str) -> int:
        """The same as a number."""
        return int(self.ukey(path), 16)

    # --- Files ------------------------------------------------------------------------------

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """The bytes of a file from `start` to `end`; negative ones count from its end."""
        path = self._strip_protocol(path)
        key = self._file_key(path)
        try:
            if start is None and end is None:
                return self._store.get(key)
            if (start or 0) >= 0 and (end is None or end >= 0):
                first = start or 0
                length = None if end is None else max(0, end - first)
                return self._store.get_range(key, first, length)
            with self._store.transaction(read_only=True) as moment:
                first, behind, _step = slice(start, end).indices(moment.length(key))
                return moment.get_range(key, first, max(0, behind - first))
        except KeyError:
            raise self._absent(path) from None

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Write a file as a whole.

        Args:
            path, value: which, and its bytes.
            mode: `overwrite`, or `create`, which refuses a file that is there.

        Raises:
            FileExistsError: it is there.
            IsADirectoryError, NotADirectoryError: the path cannot be one of a file.
            OSError: the file is too big (EFBIG).
        """
        path = self._strip_protocol(path)
        if self._intrans and mode != "create":
            super().pipe_file(path, value)
            return
        self.put_files({path: _content(value)}, create=mode == "create")

    def put_files(self, files: dict[str, bytes], *, create: bool = False) -> None:
        """Write files as one commit: all of them, or none; see `pipe_file`."""
        stripped = {self._strip_protocol(path): content for path, content in files.items()}
        for path, content in stripped.items():
            if len(content) > FILE_BYTES_MAX:
                raise _too_big(path)

        def step(store: StoreTransaction) -> None:
            for path, content in stripped.items():
                # What is looked at is still so when it is committed.
                key = self._writable_key(path, store)
                if create and store.has(key):
                    there = key.decode()
                    raise FileExistsError(errno.EEXIST, "the file is there already", there)
                store.set(key, content)

        one_step(self._store, step)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file, or make a directory like another."""
        source = self._strip_protocol(path1)
        if self.isdir(source):
            self.makedirs(path2, exist_ok=True)
        else:
            self.pipe_file(path2, self.cat_file(source))

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Make a file empty; without `truncate` one that is there stays as it is."""
        if truncate or not self.exists(path):
            self.pipe_file(path, b"")

    def _rm(self, path: str) -> None:
        path = self._strip_protocol(path)
        if not self._store.delete(self._file_key(path)):
            raise self._absent(path)

    def rm(
        self, path: str | Sequence[str], recursive: bool = False, maxdepth: int | None = None
    ) -> None:
        """Remove files; directories too if `recursive`, a thousand files in each commit."""
        expanded = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        store, files, directories = self._store, list[bytes](), list[str]()
        for one in expanded:
            key = text_key(one)
            if key and store.has(key):
                files.append(key)
            elif not key or _is_directory(store, key):
                directories.append(one)
            else:
                raise _missing(one)
        _delete(store, files)
        for one in sorted(directories, key=len, reverse=True):
            # One that nobody made went away with the last file in it.
            if one and self.isdir(one):
                self.rmdir(one)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> HoldfastFile:
        path = self._strip_protocol(path)
        if mode == "rb":
            if self.isdir(path):
                raise IsADirectoryError(errno.EISDIR, "this is a directory", path)
        elif mode in {"wb", "xb", "ab"}:
            if "x" in mode and self.exists(path):
                raise FileExistsError(errno.EEXIST, "the file is there already", path)
            self._writable_key(path, self._store)
        else:
            raise ValueError(f"wanted the mode r, w, x or a; found {mode!r}")
        return HoldfastFile(
            self, path, mode, block_size, autocommit, cache_options=cache_options, **kwargs
        )

    # --- Directories ------------------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a directory. Raises FileExistsError, FileNotFoundError, NotADirectoryError."""
        path = self._strip_protocol(path)
        if not path or self.exists(path):
            raise FileExistsError(errno.EEXIST, "this is there already", path)
        parent = self._parent(path)
        if not create_parents and not self.isdir(parent):
            raise _missing(parent)

        def step(store: StoreTransaction) -> None:
            key = self._writable_key(path, store)
            if store.has(key):
                raise FileExistsError(errno.EEXIST, "this is there already", path)
            store.set(key + SLASH, b"")

        one_step(self._store, step)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a directory with those above it."""
        path = self._strip_protocol(path)
        if exist_ok and self.isdir(path):
            return
        self.mkdir(path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory. Raises FileNotFoundError, OSError (ENOTEMPTY)."""
        path = self._strip_protocol(path)
        key = text_key(path) + SLASH

        def step(store: StoreTransaction) -> None:
            found = list(store.keys(key, after_prefix(key), limit=2))
            if not found:
                raise _missing(path)
            if found != [key]:
                raise OSError(errno.ENOTEMPTY, "the directory is not empty", path)
            store.delete(key)

        one_step(self._store, step)

    # --- Inside -----------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        return self._place.store

    def _length(self, key: bytes) -> int | None:
        try:
            return self._store.length(key)
        except KeyError:  # It was removed since it was listed.
            return None

    def _file_key(self, path: str) -> bytes:
        if not path:
            raise IsADirectoryError(errno.EISDIR, "this is the root", path)
        return text_key(path)

    def _writable_key(self, path: str, store: Store | StoreTransaction) -> bytes:
        """The key of a path that can become a file."""
        key = self._file_key(path)
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise ValueError(f"a path has no empty part, no '.' and no '..'; found {path!r}")
        parent = key
        while b"/" in parent:
            parent = parent.rpartition(SLASH)[0]
            if store.has(parent):
                above = parent.decode()
                raise NotADirectoryError(errno.ENOTDIR, "a file stands above", above)
        if _is_directory(store, key):
            raise IsADirectoryError(errno.EISDIR, "this is a directory", path)
        return key

    def _absent(self, path: str) -> OSError:
        if _is_directory(self._store, text_key(path)):
            return IsADirectoryError(errno.EISDIR, "this is a directory", path)
        return _missing(path)


class HoldfastFile(AbstractBufferedFile):  # type: ignore[misc]  # ships no types
    """A file that is read in parts, or written as a whole when it is closed."""

    #: Whether what was written is not wanted.
    dropped = False

    def _initiate_upload(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        if "a" in self.mode and self.fs.exists(self.path):
            self._keep(self.fs.cat_file(self.path))

    def _upload_chunk(self, final: bool = False) -> bool:
        self._keep(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def _keep(self, part: bytes) -> None:
        self.length += len(part)
        if self.length > FILE_BYTES_MAX:
            self.discard()
            self.closed = True
            raise _too_big(self.path)
        self.parts.append(part)

    def content(self) -> bytes:
        """What was written."""
        return b"".join(self.parts)

    def commit(self) -> None:
        """Put the file where it belongs."""
        self.fs.put_files({self.path: self.content()}, create="x" in self.mode)

    def discard(self) -> None:
        """Forget what was written."""
        self.dropped = True
        self.parts = []

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is not None and self.writable() and not self.closed:
            # Half a file is worse than none.
            self.discard()
            self.closed = True
        self.close()


def _is_directory(store: Store | StoreTransaction, key: bytes) -> bool:
    below = key + SLASH
    return next(iter(store.keys(below, after_prefix(below), limit=1)), None) is not None


def _delete(store: Store, keys: Iterable[bytes]) -> None:
    left = list(keys)
    for begin in range(0, len(left), PAGE_KEYS):
        store.delete_many(left[begin : begin + PAGE_KEYS])


def _content(value: Any) -> bytes:
    """The bytes of a file: of a number `bytes` would make as many zeros. Raises TypeError."""
    try:
        return bytes(memoryview(value))
    except TypeError:
        raise TypeError(f"a file holds bytes; found a {type(value).__name__}") from None


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "there is no such file or directory", path)


def _too_big(path: str) -> OSError:
    return OSError(errno.EFBIG, f"a file has at most {FILE_BYTES_MAX} bytes; split it", path)
