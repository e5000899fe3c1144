"""The indexes of a collection, as its users make and see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from holdfast.contract.errors import StoreNotFound
from holdfast.documents.indexing import build as building
from holdfast.documents.indexing import quota as quotas
from holdfast.documents.indexing.defining import defined, index_facts
from holdfast.documents.indexing.encrypted import fit_for_encryption
from holdfast.documents.indexing.quota import Quota
from holdfast.documents.observed import Observed
from holdfast.documents.results import IndexFacts
from holdfast.documents.storage import DocumentStorage
from holdfast.runtime.working import checked_progress

T = TypeVar("T")
R = TypeVar("R")

#: How often a write begins anew because others dropped the collection.
DROPS_MAX: Final = 10


class Indexed(Observed[T]):
    """The part of a collection that has indexes."""

    # --- Indexes ----------------------------------------------------------------------------

    async def create_index(
        self,
        name: str,
        fields: Any,
        *,
        kind: str = "btree",
        unique: bool = False,
        sparse: bool = False,
        weights: Iterable[float] | None = None,
        language: str | None = None,
        dimensions: int | None = None,
        metric: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Make an index, and take in every document there is.

        Writes go on meanwhile, and keep it from the first moment on; queries use it once it is
        built. A build that was broken off goes on when the same index is asked for again.

        Args:
            name: of the index, in this collection.
            fields: one, or several, the most important first: `F.age`, `-F.age`, `"age"`, `"-age"`.
            kind: `btree` for equality, ranges and order; `hash` for equality of long values;
                `text` for full-text search; `geo` for points near and within; `vector` for what is
                nearest to a vector.
            unique: refuse a document that has a value which another one has. Null and missing are
                no values.
            sparse: leave out documents that have none of the fields.
            weights: of a text index, how much a word in each field counts.
            language: of a text index: the Snowball name, for stems and stop words.
            dimensions: of a vector index, how many numbers each vector has.
            metric: of a vector index: `cosine`, `dot` or `l2`; left out: `cosine`.
            progress: called now and then with how many documents were taken in.

        Raises:
            IndexExists: there is one of that name.
            DuplicateKey: two documents share values that are to be unique; `list_indexes` shows
                the index as failed.
            InvalidName, InvalidInput, InvalidQuery: the arguments cannot be.
            Unsupported: inside a transaction; or the database is encrypted, and the index would
                hold values of fields in the clear that `Encryption.plain_indexes` does not name.
        """
        checked_progress(progress)
        wanted = defined(name, fields, kind, unique, sparse, weights, language, dimensions, metric)
        storage = await self._require()
        wanted = fit_for_encryption(storage, wanted)
        await self._in_living(storage, lambda living: building.create(living, wanted, progress))

    async def drop_index(self, name: str) -> None:
        """Remove an index. Raises IndexNotFound."""
        storage = await self._find()
        if storage is None:
            raise building.no_index(name)
        await self._in_living(storage, lambda living: building.drop(living, name))

    async def list_indexes(self) -> list[IndexFacts]:
        """The indexes there are, by name, with how they fare."""
        storage = await self._find()
        if storage is None:
            return []
        catalogue = await storage.catalogue()
        return [await index_facts(storage, one) for one in catalogue.indexes]

    # --- Quota ------------------------------------------------------------------------------

    async def set_quota(self, documents: int | None) -> None:
        """Say how many documents the collection may have; None: as many as you like.

        From then on a write that would make it more raises QuotaExceeded, and nothing of it is
        written; what stands there can be replaced and removed. The commits themselves count.

        Raises:
            InvalidInput: the argument cannot be.
            Unsupported: inside a transaction.
        """
        wanted = quotas.checked_quota(documents)
        storage = await self._require()
        await self._in_living(storage, lambda living: quotas.set_quota(living, wanted))

    async def quota(self) -> Quota:
        """How many documents the collection may have, and has."""
        storage = await self._find()
        return Quota(None, None) if storage is None else await quotas.quota_of(storage)

    async def _in_living(
        self, storage: DocumentStorage, act: Callable[[DocumentStorage], Awaitable[R]]
    ) -> R:
        """What `act` makes of the collection as it is by now.

        Somebody may have dropped it since it was looked for: then the write begins anew, as if that
        had been known; in a transaction it is a Conflict, see `Collections.lost`.
        """
        for _ in range(DROPS_MAX):
            try:
                return await act(storage)
            except StoreNotFound as gone:
                await self._collections.lost(self._name, storage.engine, gone)
            storage = await self._require()
        return await act(storage)
