"""Where an adapter keeps its values: a store, by handle, or by the address of its database.

Libraries make their stores and caches from settings, pickle them to other processes and fork. What
is given by address is opened once in each process, at the first use, and shared by all who name it.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from holdfast.contract.config import masked
from holdfast.contract.errors import InvalidInput
from holdfast.database.address import config_of
from holdfast.sync import Database, Store
from holdfast.sync import open as open_database

_opened: Final[dict[str, Database]] = {}
_opening: Final = [threading.Lock()]


def address_of(given: str | os.PathLike[str]) -> str:
    """An address as given, or that of a path, which stays the same wherever the process goes."""
    if isinstance(given, str):
        return given
    return config_of(Path(os.path.abspath(given))).url_with_secrets  # noqa: PTH100 - no links


def database_at(address: str) -> Database:
    """The database at an address, open, and the same one for everybody in this process."""
    found = _opened.get(address)
    if found is None:
        with _opening[0]:
            found = _opened.get(address)
            if found is None:
                found = _opened[address] = open_database(address)
    return found


def close_databases() -> None:
    """Close what `database_at` opened; who asks again has it opened again."""
    # One that cannot be closed does not keep the others open.
    with _opening[0], ExitStack() as closing:
        while _opened:
            closing.callback(_opened.popitem()[1].close)


def _forget() -> None:
    """In a forked child: what is open belongs to the parent, and so may the lock."""
    _opened.clear()
    _opening[0] = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(close_databases)


class Place:
    """A store of a database.

    Args:
        database: an open database of `holdfast.sync`, or the address or path of one. Only what
            has an address can be pickled and used by forked children.
        name: of the store, made at the first use.
    """

    def __init__(self, database: Database | str | os.PathLike[str], name: str) -> None:
        if not isinstance(database, Database | str | os.PathLike):
            raise InvalidInput(
                "wanted the address of a database, such as lmdb:///app, or a database of "
                f"holdfast.sync; found a {type(database).__name__}"
            )
        self.address = None if isinstance(database, Database) else address_of(database)
        self.name = name
        self._database = database if isinstance(database, Database) else None
        self._store: tuple[Database, Store] | None = None

    @property
    def database(self) -> Database:
        """The database, open in this process."""
        if self.address is not None:
            return database_at(self.address)
        assert self._database is not None
        return self._database

    @property
    def store(self) -> Store:
        """The store, open in this process."""
        database, found = self.database, self._store
        if found is None or found[0] is not database:
            found = self._store = (database, database.stores.open(self.name))
        return found[1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Place):
            return NotImplemented
        return (self.address, self._database, self.name) == (
            other.address,
            other._database,
            other.name,
        )

    def __hash__(self) -> int:
        return hash((self.address, id(self._database), self.name))

    def __repr__(self) -> str:
        # An address may hold a password.
        where = self.database.config.url if self.address is None else masked(self.address)
        return f"store {self.name!r} of {where}"

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        if self.address is None:
            raise TypeError(
                "an open database cannot be pickled; give its address instead, such as lmdb:///app"
            )
        return type(self), (self.address, self.name)
