"""`SavedStore`: a saved version of a store, to be read for as long as it is open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from types import TracebackType
from typing import Final, Self, TypeVar

from holdfast.contract.engine import Engine
from holdfast.contract.errors import KeyNotFound
from holdfast.contract.record import MISSING, Missing
from holdfast.store.snapshot import SnapshotEngine
from holdfast.stores.content import Bounds, Pair
from holdfast.stores.iavl.loading import NodeStore
from holdfast.stores.iavl.versions import saved_root, saved_versions
from holdfast.stores.iavl.view import View
from holdfast.stores.ics23.wire import encode
from holdfast.stores.limits import checked_key
from holdfast.stores.versions.rows import EngineRows
from holdfast.stores.versions.tree_content import TreeContent

T = TypeVar("T")

#: How many pairs a walk takes at a time.
WALK_PART: Final = 500


class SavedStore:
    """The keys and values of one saved version; nobody can change them.

    It holds a snapshot of the engine, where the engine has snapshots. Close it, or use it as an
    asynchronous context manager.

    Attributes:
        name: of the store.
        version: its number.
        root: its root hash, 32 bytes.
    """

    def __init__(self, content: TreeContent, engine: Engine, view: View, *, held: bool) -> None:
        self.name = content.space.keyspace.name
        self.version = view.version
        self.root = view.root_hash
        self._content = content
        self._engine = engine
        self._view = view
        self._held = held

    def __repr__(self) -> str:
        return f"<SavedStore {self.name!r} version {self.version}>"

    async def get(self, key: bytes, default: T | Missing = MISSING) -> bytes | T:
        """The value under a key; see `Store.get`."""
        checked = checked_key(key)
        value = await self._content.asked(lambda: self._view.get(checked))
        if value is not None:
            return value
        if not isinstance(default, Missing):
            return default
        raise KeyNotFound(
            f"version {self.version} of the store {self.name!r} has no value under the key of "
            f"{len(key)} bytes; `get(key, default)` returns a default instead",
            key=key,
        )

    async def has(self, key: bytes) -> bool:
        """Whether there is a value under the key."""
        return await self.get(key, None) is not None

    async def count(self) -> int:
        """How many keys there are."""
        return await self._content.asked(lambda: len(self._view))

    async def iterate(self, ascending: bool = True) -> AsyncIterator[Pair]:
        """Every (key, value) in key order."""
        async for pair in self.iterate_range(ascending=ascending):
            yield pair

    async def iterate_range(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        ascending: bool = True,
        *,
        limit: int | None = None,
    ) -> AsyncIterator[Pair]:
        """The (key, value) pairs with `start <= key < end`, in key order; see the store's."""
        bounds = Bounds.checked(start, end, reverse=not ascending, limit=limit)
        items = islice(
            self._view.items(bounds.start, bounds.end, reverse=bounds.reverse), bounds.limit
        )
        while part := await self._content.asked(lambda: list(islice(items, WALK_PART))):
            for pair in part:
                yield pair

    async def prove(self, key: bytes) -> bytes:
        """The ICS-23 proof of a key's value here, or of its absence; see `Store.prove`."""
        checked = checked_key(key)
        return await self._content.asked(lambda: encode(self._view.prove(checked)))

    async def close(self) -> None:
        """Let go of the version; closing twice does nothing."""
        self._view.close()
        if self._held:
            self._held = False
            await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


async def open_saved(content: TreeContent, version: int) -> SavedStore:
    """A saved version of a store. Raises VersionNotFound."""
    engine = content.space.engine
    held = engine.capabilities.snapshots
    moment = SnapshotEngine(engine, await engine.snapshot()) if held else engine
    try:
        rows = EngineRows(moment, content.number, content.origins)
        nodes = NodeStore(rows, content.cache)
        root = await content.asked(lambda: saved_root(nodes, version))

        def is_pruned(wanted: int) -> bool:
            first, latest = saved_versions(rows)
            return not first <= wanted <= latest

        return SavedStore(content, moment, View(nodes, version, root, is_pruned), held=held)
    except BaseException:
        if held:
            await moment.close()
        raise
