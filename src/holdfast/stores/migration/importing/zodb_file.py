"""ZODB: the root mapping of a `FileStorage`, with plain values and the containers of ZODB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from holdfast.codecs.plain import NESTING_MAX
from holdfast.contract.errors import (
    DeserializationFailed,
    DriverMissing,
    IntegrityFailed,
    InvalidInput,
)
from holdfast.stores.migration.importing import pickles
from holdfast.stores.migration.importing.source import Item, Source, foreign, looks, shown, text_key

_MAGIC: Final = (b"FS21", b"FS30")
#: How many items are read before what ZODB remembers of them is let go.
CACHED_ITEMS: Final = 1_000


def is_zodb(path: Path) -> bool:
    """Whether a file begins as a `FileStorage` does."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) in _MAGIC


class ZodbSource(Source):
    """The root mapping of a `FileStorage`, read as of when it was opened.

    A value of the root that is a BTree or a PersistentMapping is a table, and its items are read
    one by one; every other value is an item itself. Within values PersistentMapping and BTrees
    are dicts, PersistentList is a list; objects of classes of your own are refused.

    Args:
        path: of the file, usually `Data.fs`.
        table: which value of the root; empty: all.
        unpickle: has to be said: all of a ZODB is pickles, so only a source that you trust.

    Raises:
        DriverMissing: the package `ZODB` is not installed.
        InvalidInput: a foreign file, no such table, or `unpickle` was not given.
        IntegrityFailed: the file is truncated or damaged.
    """

    kind = "zodb"

    def __init__(self, path: Path, *, table: str = "", unpickle: bool = False) -> None:
        if not is_zodb(path):
            foreign(self.kind, path, "a foreign file" if path.exists() else "nothing of that name")
        if not unpickle:
            raise pickles.refuse("all objects are pickles", self.kind)
        try:
            from ZODB import DB, POSException
            from ZODB.FileStorage import FileStorage
        except ModuleNotFoundError as error:
            raise DriverMissing(
                "the importer of ZODB needs the package ZODB; it is not installed. Next: "
                "pip install ZODB",
                driver="ZODB",
            ) from error
        self._path, self._table = path, table
        with ExitStack() as opened:
            try:
                storage = FileStorage(str(path), read_only=True)
                opened.callback(storage.close)
                database = DB(storage)
                opened.callback(database.close)
                self._connection: Any = database.open()
                opened.callback(self._connection.close)
                self._root: Any = self._connection.root()
            except (POSException.POSError, OSError, ValueError) as error:
                raise IntegrityFailed(
                    f"the ZODB file {path} cannot be read ({type(error).__name__}): it is "
                    "truncated or damaged. Copy it again, or run fsrecover",
                    path=str(path),
                ) from None
            if table and table not in self._root:
                names = ", ".join(sorted(map(str, self._root)))
                raise InvalidInput(f"a table {table!r} was wanted in the root; found {names}")
            self._open = opened.pop_all()

    def items(self) -> Iterator[Item]:
        for name in [self._table] if self._table else list(self._root):
            value = self._loaded(name)
            if not _is_mapping(value) or type(value) is dict:
                yield self._item(name, value, "")
                continue
            for count, (key, part) in enumerate(self._parts(name, value), 1):
                yield self._item(key, part, "" if self._table else str(name))
                if count % CACHED_ITEMS == 0:
                    self._connection.cacheMinimize()

    def look(self) -> object:
        return looks([self._path])

    def close(self) -> None:
        self._open.close()

    def _loaded(self, name: Any) -> Any:
        return self._guarded(name, lambda: self._root[name])

    def _parts(self, name: Any, table: Any) -> Iterator[tuple[Any, Any]]:
        """The items of a table, whose parts are loaded on the way."""
        rest = self._guarded(name, lambda: iter(table.items()))
        while (pair := self._guarded(name, lambda: next(rest, None))) is not None:
            yield pair

    def _item(self, key: Any, value: Any, table: str) -> Item:
        name = text_key(key)
        return Item(name, self._guarded(name, lambda: _plain(value, 0, shown(name))), None, table)

    def _guarded(self, name: Any, work: Any) -> Any:
        try:
            return work()
        except InvalidInput:
            raise
        except Exception as error:  # noqa: BLE001 - classes of users are run, and raise anything
            key = shown(name if isinstance(name, str | bytes) else str(name))
            raise DeserializationFailed(
                f"the object under the key {key} cannot be loaded ({type(error).__name__}): it is "
                "damaged, or of a class that this program does not have. Import it where the "
                "module of the class can be imported",
                key=key,
            ) from None


def _is_mapping(value: Any) -> bool:
    # A BTree is registered as no Mapping; it has its own kind of keys.
    return isinstance(value, Mapping) or (hasattr(value, "minKey") and hasattr(value, "items"))


def _plain(value: Any, depth: int, key: str) -> Any:
    if depth > NESTING_MAX:
        raise InvalidInput(
            f"values within values to a depth of {NESTING_MAX} were wanted; found more under the "
            f"key {key}, or an object that holds itself",
            key=key,
        )
    if _is_mapping(value):
        return {text_key(name): _plain(part, depth + 1, key) for name, part in value.items()}
    if hasattr(value, "_p_jar") and not isinstance(value, Sequence):
        raise InvalidInput(
            f"plain values and containers of ZODB can be imported; found an object of the class "
            f"{type(value).__name__} under the key {key}. Write its state as a dict first",
            key=key,
        )
    if isinstance(value, list) or (hasattr(value, "_p_jar") and isinstance(value, Sequence)):
        return [_plain(part, depth + 1, key) for part in value]
    return value
