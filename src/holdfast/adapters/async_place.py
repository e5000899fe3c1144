"""Where an adapter on an event loop keeps its values: a store, by handle or by address.

Applications make their stores and middleware when they are imported, before there is a loop. What
is given by address is opened at the first use, once for each loop that uses it.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from dataclasses import dataclass, field

from holdfast.adapters.place import address_of
from holdfast.contract.errors import InvalidInput
from holdfast.database.handle import Database
from holdfast.database.open import open as open_database
from holdfast.stores.store import Store


@dataclass(slots=True)
class _Opened:
    """What is open on one loop. `turn`: of several first calls one opens."""

    database: Database | None = None
    store: Store | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class AsyncPlace:
    """A store of a database.

    Args:
        database: a database that is open, or the address or path of one.
        name: of the store, made at the first use.
    """

    def __init__(self, database: Database | str | os.PathLike[str], name: str) -> None:
        if not isinstance(database, Database | str | os.PathLike):
            raise InvalidInput(
                "wanted the address of a database, such as lmdb:///app, or what `holdfast.open` "
                f"returns; found a {type(database).__name__}"
            )
        self.name = name
        self._database = database if isinstance(database, Database) else address_of(database)
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Opened] = (
            weakref.WeakKeyDictionary()
        )

    async def store(self) -> Store:
        """The store, open on this loop."""
        opened = self._loops.get(asyncio.get_running_loop())
        if opened is not None and opened.store is not None:
            return opened.store
        opened = self._here()
        async with opened.turn:
            if opened.store is None:
                database = await self._open(opened)
                opened.store = await database.stores.open(self.name)
        return opened.store

    async def database(self) -> Database:
        """The database, open on this loop."""
        opened = self._here()
        async with opened.turn:
            return await self._open(opened)

    async def close(self) -> None:
        """Close what was opened on this loop; a database that was given stays open."""
        opened = self._loops.get(asyncio.get_running_loop())
        if opened is None:
            return
        # In its turn: what a first call is opening would stay open behind it.
        async with opened.turn:
            database, opened.database, opened.store = opened.database, None, None
            if database is not None and isinstance(self._database, str):
                await database.close()

    def _here(self) -> _Opened:
        return self._loops.setdefault(asyncio.get_running_loop(), _Opened())

    async def _open(self, opened: _Opened) -> Database:
        if opened.database is None:
            if isinstance(self._database, str):
                database = open_database(self._database)
                try:
                    await database.open()
                except BaseException:
                    # A cancellation may come when it is open already.
                    await database.close()
                    raise
                opened.database = database
            else:
                opened.database = self._database
        return opened.database
