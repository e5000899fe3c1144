"""Saved versions as directories, `<root>/<store>/versions/<number>`: written once, never changed.

version.json   which store and version, its root hash, how many rows, the SHA-256 of rows.jsonl
rows.jsonl     a row a line, in the order of keys: `key` and `value` as text, or `key64` and
               `value64` as base64 where they are none

A directory appears under its name when all of it is flushed, so a reader sees all of it or nothing.
Files and directory are for reading only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import orjson

from holdfast.contract.errors import (
    IntegrityFailed,
    InvalidInput,
    NotADatabase,
    StorageFull,
    StoreError,
    StoreExists,
    StoreNotFound,
)
from holdfast.contract.files import NO_ROOM, flush_directory
from holdfast.contract.runtime import Runtime
from holdfast.runtime.system import system_components

FACTS, ROWS = "version.json", "rows.jsonl"
#: So much is gathered before it is written.
_WRITTEN_AT_ONCE = 1 << 20


class Root(Protocol):
    """What identifies a version."""

    @property
    def number(self) -> int: ...

    @property
    def root(self) -> bytes: ...


class Rows(Protocol):
    """A version that is read."""

    def iterate(self) -> AsyncIterator[tuple[bytes, bytes]]: ...


class Versioned(Protocol):
    """A store that keeps the values of its versions, such as one of kind `iavl`."""

    @property
    def name(self) -> str: ...

    async def root(self, version: int | None = None) -> Any: ...

    async def at_version(self, version: int) -> AbstractAsyncContextManager[Any]: ...


def directory_of(root: Path, store: str, version: int) -> Path:
    """Where a version lies below the root."""
    # A quoted name is one part of the path; of dots alone it would lead out of the root.
    name = quote(store, safe="")
    if name in (".", ".."):
        name = name.replace(".", "%2E")
    return root / name / "versions" / str(version)


async def write_version(store: Versioned, version: int, root: Path) -> Path:
    """Write a saved version as a directory; its path.

    One that is there already is left as it is, if it is of the same root hash.

    Raises:
        VersionNotFound: it is not saved, or not any more.
        StoreExists: another version has this place; nothing was written.
        StorageFull, InvalidInput: the file system says no.
    """
    saved = await store.root(version)
    target = directory_of(root, store.name, version)
    try:
        return await _written(store, version, saved, target)
    except StoreError:
        raise  # Some of ours are errors of the system too.
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(
                f"there is no room for the version {target}; make some and write it again"
            ) from error
        raise InvalidInput(
            f"the version {target} cannot be written: {error.strerror}; give another root directory"
        ) from error


async def _written(store: Versioned, version: int, saved: Any, target: Path) -> Path:
    components = system_components()
    runtime = components.host.runtime()
    if await runtime.offload(lambda: _is_there(target, saved.root)):
        return target
    # Of its own: another process may be writing the same version.
    beside = target.with_name(f".{version}.{components.ids.new().hex()}")
    try:
        await _write(runtime, store, version, saved.root, beside)
        await runtime.offload(lambda: _publish(beside, target, saved.root))
    finally:
        await runtime.offload(lambda: shutil.rmtree(beside, ignore_errors=True))
    return target


async def _write(
    runtime: Runtime, store: Versioned, version: int, root: bytes, beside: Path
) -> None:
    """Write the files of a version."""
    await runtime.offload(lambda: _begin(beside))
    digest, count, gathered = hashlib.sha256(), 0, bytearray()
    async with await store.at_version(version) as old:
        async for key, value in old.iterate():
            gathered += _line(key, value)
            count += 1
            if len(gathered) >= _WRITTEN_AT_ONCE:
                await _append(runtime, beside, digest, gathered)
    await _append(runtime, beside, digest, gathered)
    told = {
        "holdfast": "version", "store": store.name, "version": version, "root": root.hex(),
        "rows": count, "sha256": digest.hexdigest(),
    }  # fmt: skip
    await runtime.offload(lambda: _finish(beside, told))


def read_version(directory: Path) -> Iterator[tuple[bytes, bytes]]:
    """The rows of a version that was written, in the order of keys.

    Raises:
        StoreNotFound, NotADatabase: there is no such directory.
        IntegrityFailed: it was changed; raised before the first row.
    """
    facts = _facts(directory)
    rows = directory / ROWS
    if not rows.is_file():
        raise IntegrityFailed(
            f"{directory} was changed: its {ROWS} is gone; write the version again, to another "
            "root directory",
            path=str(directory),
        )
    with rows.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != facts["sha256"]:
            raise IntegrityFailed(
                f"{rows} was changed: its SHA-256 is {found}, and {FACTS} says {facts['sha256']}; "
                "write the version again, to another root directory",
                path=str(directory),
            )
        file.seek(0)
        for line in file:
            try:
                row = orjson.loads(line)
                pair = _bytes(row, "key"), _bytes(row, "value")
            except (ValueError, LookupError, TypeError, AttributeError):
                # Its text is not told: it holds what the store does.
                raise IntegrityFailed(
                    f"{rows} holds a line that is no row, though its SHA-256 agrees; write the "
                    "version again, to another root directory",
                    path=str(directory),
                ) from None
            yield pair


def _facts(directory: Path) -> dict[str, Any]:
    try:
        facts: Any = orjson.loads((directory / FACTS).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreNotFound(
            f"there is no version at {directory}; it holds no {FACTS}", path=str(directory)
        ) from None
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or facts.get("holdfast") != "version":
        raise NotADatabase(f"{directory / FACTS} is of no saved version", path=str(directory))
    if not all(isinstance(facts.get(name), str) for name in ("root", "sha256")):
        raise IntegrityFailed(
            f"{directory / FACTS} was changed: it names no root or no sha256; write the version "
            "again, to another root directory",
            path=str(directory),
        )
    return facts


def _is_there(target: Path, root: bytes) -> bool:
    """Whether the version lies there. Raises StoreExists where another one does."""
    if not target.exists():
        return False
    facts = _facts(target)
    if facts["root"] != root.hex():
        raise StoreExists(
            f"{target} holds a version with the root {facts['root']}, and the one to write has "
            f"{root.hex()}; give another root directory",
            path=str(target),
        )
    return True


def _begin(beside: Path) -> None:
    beside.mkdir(parents=True, mode=0o700)
    (beside / ROWS).touch()


async def _append(runtime: Runtime, beside: Path, digest: Any, gathered: bytearray) -> None:
    data = bytes(gathered)
    gathered.clear()
    digest.update(data)

    def append() -> None:
        with (beside / ROWS).open("ab") as file:
            file.write(data)

    await runtime.offload(append)


def _finish(beside: Path, facts: dict[str, Any]) -> None:
    """Write what the version says of itself, and flush all of it."""
    (beside / FACTS).write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    for path in (beside / ROWS, beside / FACTS):
        with path.open("r+b") as file:
            os.fsync(file.fileno())
        path.chmod(0o444)
    flush_directory(beside)


def _publish(beside: Path, target: Path, root: bytes) -> None:
    """Give it its name, unless another process was faster."""
    try:
        beside.rename(target)
    except OSError:
        if not _is_there(target, root):
            raise
        return
    target.chmod(0o555)
    flush_directory(target.parent)


def _line(key: bytes, value: bytes) -> bytes:
    row = {}
    for name, data in (("key", key), ("value", value)):
        try:
            row[name] = data.decode()
        except UnicodeDecodeError:
            row[f"{name}64"] = b64encode(data).decode()
    return orjson.dumps(row) + b"\n"


def _bytes(row: dict[str, str], name: str) -> bytes:
    text = row.get(name)
    return b64decode(row[f"{name}64"], validate=True) if text is None else text.encode()
