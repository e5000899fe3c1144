"""`Cached`: entries read again are served from memory while nobody has changed them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidKey
from holdfast.records.decorators.base import Decorator
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.services.keys import PathKeyService
from holdfast.records.services.protocols import Outcome
from holdfast.records.verbs import Version
from holdfast.records.write import Rename, Write
from holdfast.runtime.gate import Gate
from holdfast.store.versions.cache import UNKNOWN, CacheStats, EntryCache
from holdfast.store.versions.entry import Entry


class Cached(Decorator):
    """Keeps what `get` reads, absence too, and serves it to `get` and `has`.

    What this store writes is never served old. What other handles and processes write is seen
    within 100 ms. Each read gets an entry of its own: changing its value changes nobody else's.
    Reads of several entries, of the past, and in transactions go to the database.

    Args:
        inner: the store below.
        cache: what it has read; None: serve nothing from memory.
        gate: of the handle.
    """

    def __init__(self, inner: KeyValueStoreInterface, cache: EntryCache | None, gate: Gate) -> None:
        super().__init__(inner)
        self._gate = gate
        self._serialize = PathKeyService().serialize
        self._cache = cache
        if cache is None:
            self.get = inner.get  # type: ignore[method-assign]
            self.has = inner.has  # type: ignore[method-assign]
            self.write = inner.write  # type: ignore[method-assign]

    def around(self, inner: KeyValueStoreInterface) -> Cached:
        # A transaction or a snapshot reads its own moment, which no cache knows.
        return Cached(inner, None, self._gate)

    def stats(self) -> CacheStats:
        """Hits, misses and what it holds."""
        return CacheStats(0, 0, 0, 0, 0, 0) if self._cache is None else self._cache.stats()

    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[Any] | None:
        cache = self._known()
        text = self._serialize(key)
        if version is not None or at is not None:
            return await self.inner.get(
                key, version=version, at=at, expect=expect, write_back=write_back
            )
        if expect is not None:
            try:
                return await self.inner.get(key, expect=expect, write_back=write_back)
            finally:
                cache.forget((text,))  # It may have been migrated.
        self._gate.check()
        await cache.look()
        found = cache.find(text)
        if found is UNKNOWN:
            changes = cache.changes
            entry = await self.inner.get(key)
            cache.keep(text, entry, changes)
            return entry
        return found

    async def has(self, key: StoreKey | str) -> bool:
        cache = self._known()
        text = self._serialize(key)
        self._gate.check()
        await cache.look()
        found = cache.find(text)
        return await self.inner.has(key) if found is UNKNOWN else found is not None

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        try:
            return await self.inner.write(writes)
        finally:
            # Also when it failed: an error may come after the commit, and cancelling withdraws
            # nothing. What is committed later than now is found by the looks, like that of others.
            self._known().forget(self._named(writes))

    def _named(self, writes: Sequence[Write]) -> list[str]:
        """The keys that writes concern, as the cache has them."""
        keys: list[StoreKey | str] = [write.key for write in writes]
        keys += [write.action.new_key for write in writes if isinstance(write.action, Rename)]
        texts = []
        for key in keys:
            try:
                texts.append(self._serialize(key))
            except InvalidKey:
                continue  # It was refused for that.
        return texts

    def _known(self) -> EntryCache:
        assert self._cache is not None
        return self._cache
