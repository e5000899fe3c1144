"""`Collection`: typed documents under text keys, with queries and indexes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from holdfast.contract.errors import ConfigInvalid, Unsupported
from holdfast.documents.caching import CacheConfig, EntryCache
from holdfast.documents.changing import merge_patch
from holdfast.documents.matching import Matching
from holdfast.documents.serialization import SerializationConfig
from holdfast.documents.steps import REMOVE
from holdfast.documents.transacting import CollectionTransaction, begun
from holdfast.store.retrying import RETRIES, retried
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.chunks import Values

T = TypeVar("T")
Done = TypeVar("Done")


class Collection(Matching[T]):
    """Documents of one type under text keys.

    Made by `db.collection`. A collection exists from its first write on; before it is empty. Every
    write is one commit, told in the feed (`db.watch` with `view="documents"`); inside a transaction
    it is part of that. A missing document is None; `require` raises.
    """

    # --- Transactions -----------------------------------------------------------------------

    async def transaction(
        self,
        work: Callable[[CollectionTransaction[T]], Awaitable[Done]],
        *,
        isolation: str = "serializable",
        timeout: float | timedelta | None = None,
        read_only: bool = False,
        retries: int = RETRIES,
    ) -> Done:
        """Run `work(transaction)` and commit; what it returned. What it raises rolls back.

        Args:
            work: is given this collection inside the transaction.
            isolation: `read_uncommitted` (the same here as the next), `read_committed`,
                `repeatable_read` (also `snapshot`) or `serializable`.
            timeout: seconds or timedelta after which it is rolled back.
            read_only: whether writes are refused.
            retries: how often it is run again after a Conflict.

        Raises:
            Conflict: it lost every time.
            TransactionAborted: it took too long.
            InvalidInput: the arguments cannot be.
            Unsupported: inside a transaction or a snapshot.
        """

        async def attempt() -> Done:
            async with await self.begin_transaction(
                isolation=isolation, timeout=timeout, read_only=read_only
            ) as transaction:
                return await work(transaction)

        return await retried(attempt, self._collections.components, retries)

    async def begin_transaction(
        self,
        *,
        isolation: str = "serializable",
        timeout: float | timedelta | None = None,
        read_only: bool = False,
    ) -> CollectionTransaction[T]:
        """A transaction that begins now; see `transaction`. Commit it, or roll it back."""
        if isinstance(self._collections.engine, TransactionEngine | SnapshotEngine):
            raise Unsupported(
                "a transaction begins on the database; this is inside one, or a snapshot. Use "
                "savepoints here"
            )
        return await begun(
            self._collections, self._name, self._typed, self._history, isolation, timeout,
            read_only, self._values,
        )  # fmt: skip

    # --- Settings of this object ------------------------------------------------------------

    def stored_as(self, config: SerializationConfig) -> Collection[T]:
        """The same collection; what is written through it is serialised so from now on.

        What stands there stays as it is, and everybody reads both.

        Raises:
            ConfigInvalid, DriverMissing: the configuration cannot be.
        """
        if not isinstance(config, SerializationConfig):
            raise ConfigInvalid(
                f"a SerializationConfig was wanted; found a {type(config).__name__}"
            )
        return self._same(config.values(self._collections.components.host), self._cache)

    def cached(self, config: CacheConfig) -> Collection[T]:
        """The same collection; documents read by key come from memory if nobody wrote meanwhile.

        `cache_facts` tells its hits and misses. Inside transactions nothing is cached.
        """
        return self._same(self._values, EntryCache(config, self._collections.components.clock))

    def cache_facts(self) -> dict[str, int]:
        """How the cache of this object fares: entries, hits and misses; all 0 without one."""
        cache = self._cache
        if cache is None:
            return {"entries": 0, "hits": 0, "misses": 0}
        return {"entries": len(cache), "hits": cache.hits, "misses": cache.misses}

    def _same(self, values: Values | None, cache: EntryCache | None) -> Collection[T]:
        other = Collection(self._name, self._typed, self._collections, self._history)
        other._values, other._cache = values, cache
        return other


__all__ = ["REMOVE", "Collection", "merge_patch"]
