"""`dbm` files and `shelve`: keys and values as bytes; a shelf's values are pickles."""

from __future__ import annotations

import dbm
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.stores.migration.importing import pickles
from holdfast.stores.migration.importing.source import Item, Source, foreign, looks, shown


class DbmSource(Source):
    """A `dbm` file, of whatever module of `dbm` wrote it.

    Args:
        path: as `dbm.open` takes it: without the endings that some modules add.

    Raises:
        InvalidInput: there is no such file, or it cannot be read.
    """

    kind = "dbm"
    raw = True

    def __init__(self, path: Path) -> None:
        self._path = path
        found = dbm.whichdb(str(path))
        if not found:
            foreign(self.kind, path, "nothing of that name" if found is None else "a foreign file")
        try:
            self._table: Any = dbm.open(str(path), "r")  # noqa: SIM115 - `close` does
        except (dbm.error[0], ValueError, SyntaxError, EOFError) as error:
            # `dbm.dumb` evaluates its index as literals.
            raise InvalidInput(
                f"the {found} file {path} cannot be read ({type(error).__name__}): it is damaged, "
                "truncated or in use. Copy it again while nobody writes it"
            ) from None

    def items(self) -> Iterator[Item]:
        for key in self._keys():
            try:
                value = self._table[key]
            except KeyError:
                raise IntegrityFailed(
                    f"the key {shown(key)} went while {self._path} was read. Stop who writes "
                    "there, and do it again: what is copied already is left alone",
                    path=str(self._path),
                ) from None
            yield Item(key, value)

    def _keys(self) -> Iterator[bytes]:
        # gdbm walks by itself, where keys() would make a list of all.
        if not hasattr(self._table, "firstkey"):
            yield from self._table.keys()
            return
        key = self._table.firstkey()
        while key is not None:
            yield key
            key = self._table.nextkey(key)

    def look(self) -> object:
        return looks(self._path.parent.glob(f"{_escaped(self._path.name)}*"))

    def close(self) -> None:
        self._table.close()


class ShelfSource(DbmSource):
    """A shelf: a `dbm` file whose values are pickles.

    Args:
        path: as `shelve.open` takes it.
        unpickle: load the pickles: only of a source that you trust. Without it they stay bytes.
    """

    kind = "shelve"

    def __init__(self, path: Path, *, unpickle: bool = False) -> None:
        super().__init__(path)
        self._unpickle = unpickle
        self.raw = not unpickle

    def items(self) -> Iterator[Item]:
        for key, value, *_ in super().items():
            found = pickles.load(value, shown(key)) if self._unpickle else value
            yield Item(key, found, size=len(value))


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
