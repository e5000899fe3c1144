"""A collection in one readable JSON file, with a journal beside it.

Every write goes into the journal, so it costs what it changes and survives a kill. The file itself
is written when the storage is closed or `compact` is called: whole, and never torn. A file that
somebody else has changed meanwhile is read when the storage is opened: then it is the truth.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar

from holdfast.codecs.typed_json import from_json, parse, to_json
from holdfast.contract.errors import (
    ConfigInvalid,
    DeserializationFailed,
    InvalidInput,
    StorageFull,
)
from holdfast.database.address import file_of
from holdfast.database.handle import Database
from holdfast.database.open import check_switches
from holdfast.database.storage_adapter import StorageAdapter, T
from holdfast.documents.collection import Collection
from holdfast.engines.file.config import FileConfig

R = TypeVar("R")

#: The keyspace of bytes that remembers the file as it was written last.
_MEMORY: Final = "json file"
_WRITTEN: Final = b"written"
#: How many documents one commit of an import has.
IMPORT_DOCUMENTS: Final = 1000


class JSONStorageAdapter(StorageAdapter[T]):
    """A collection in a JSON file: an object with a document under each key.

    Args:
        file_path: the file; beside it a folder of the same name with `.journal` at its end.
        encoding: of the file.
        pretty: whether documents are spread over lines, two spaces deep.
        atomic: whether the file is written beside itself and then put in its place; False: in
            place, for programs that watch this very file. Either way the journal has everything.
        type, common: see `StorageAdapter`.
    """

    def __init__(
        self,
        file_path: str | Path,
        *,
        encoding: str = "utf-8",
        pretty: bool = False,
        atomic: bool = True,
        type: type[T] | None = None,
        **common: Any,
    ) -> None:
        try:
            codecs.lookup(encoding)
        except (LookupError, TypeError) as error:
            raise ConfigInvalid(
                f"encoding is one that Python knows; found {str(encoding)[:40]!r}",
                parameter="encoding",
            ) from error
        check_switches(pretty=pretty, atomic=atomic)
        self.path = file_of(file_path, "file_path")
        self.encoding = encoding
        self.pretty = pretty
        self.atomic = atomic
        journal = self.path.with_name(f"{self.path.name}.journal")
        common.setdefault("id", "json")
        super().__init__(FileConfig(path=journal), "storage", type=type, **common)

    async def compact(self) -> None:
        """Write the file now. Raises StoreClosed."""
        self._require()
        assert self._db is not None
        await self._write(self._db)

    # --- Inside -----------------------------------------------------------------------------

    async def _opened(self, db: Database) -> Collection[T]:
        data = await _apart(db, self._read)
        if data is not None and _digest(data) != await _written(db):
            await self._import(db, data)
        return await super()._opened(db)

    async def _closing(self, db: Database) -> None:
        await self._write(db)

    def _read(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    async def _import(self, db: Database, data: bytes) -> None:
        """Make the collection what the file says."""
        try:
            text = data.decode(self.encoding)
        except UnicodeError as error:
            raise ConfigInvalid(
                f"the file is to be in {self.encoding}; found bytes that are not. Give the "
                "encoding that it was written in",
                parameter="encoding",
            ) from error
        found = self._readable(parse, text) if text.strip() else {}
        if not isinstance(found, dict):
            raise ConfigInvalid(
                f"the file {self.path.name!r} is to hold an object with a document under each "
                f"key; found a {type(found).__name__}"
            )
        plain = db.collection("storage")
        standing = plain.keys()
        gone = [key async for key in standing if key not in found]
        for start in range(0, len(gone), IMPORT_DOCUMENTS):
            await plain.delete_many(gone[start : start + IMPORT_DOCUMENTS])
        changed: dict[str, Any] = {}
        for key, value in found.items():
            document = self._readable(from_json, value)
            if await plain.get(key, _ABSENT) != document:
                changed[key] = document
            if len(changed) == IMPORT_DOCUMENTS:
                await plain.set_many(changed)
                changed = {}
        await plain.set_many(changed)
        await _remember(db, data)

    def _readable(self, read: Callable[[Any], Any], written: Any) -> Any:
        """What is read of the file, or of a part of it. Raises DeserializationFailed."""
        try:
            return read(written)
        except InvalidInput as error:
            raise DeserializationFailed(
                f"the file {self.path.name!r} is to hold JSON; {error}. Correct it, or move it away"
            ) from error

    async def _write(self, db: Database) -> None:
        """Write the file, if it is not what it would be."""
        text = await self._text(db)
        data = text.encode(self.encoding)
        if await _apart(db, self._read) != data:
            try:
                await _apart(db, lambda: self._put(data))
            except OSError as error:
                raise StorageFull(
                    f"the file {self.path.name!r} could not be written: {error.strerror}. The "
                    "journal has everything; make room and close the storage again"
                ) from error
        await _remember(db, data)

    async def _text(self, db: Database) -> str:
        lines = []
        plain = db.collection("storage")
        async for key, document in plain.entries():
            value = json.dumps(
                to_json(document), ensure_ascii=False, indent=2 if self.pretty else None
            )
            if self.pretty:
                value = value.replace("\n", "\n  ")
            lines.append(f"{json.dumps(key, ensure_ascii=False)}: {value}")
        indent = "  " if self.pretty else ""
        return "{\n" + ",\n".join(indent + line for line in lines) + "\n}\n" if lines else "{}\n"

    def _put(self, data: bytes) -> None:
        if not self.atomic:
            with self.path.open("r+b" if self.path.exists() else "wb") as file:
                file.write(data)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            return
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise


class _Absent:
    """Equals no document."""


_ABSENT: Final = _Absent()


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


async def _apart(db: Database, work: Callable[[], R]) -> R:
    """Run work on files where it does not hold up a loop."""
    return await db._components.host.runtime().offload(work)  # noqa: SLF001 - ours


async def _written(db: Database) -> bytes | None:
    """The digest of the file as it was written last."""
    if not await db.stores.exists(_MEMORY):
        return None
    return await (await db.stores.get(_MEMORY)).get(_WRITTEN)


async def _remember(db: Database, data: bytes) -> None:
    if not await db.stores.exists(_MEMORY):
        await db.stores.create(_MEMORY)
    await (await db.stores.get(_MEMORY)).set(_WRITTEN, _digest(data))
