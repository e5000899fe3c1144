"""Quotas: how many documents a collection may have, counted in the commits themselves."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, InvalidInput, Unsupported
from holdfast.contract.record import Range
from holdfast.documents.indexes.definition import count_key, pack_catalogue, read_catalogue
from holdfast.documents.indexes.derived import pack_count, read_count
from holdfast.documents.storage import DocumentStorage
from holdfast.store.isolation import IsolationLevel
from holdfast.store.keyspaces import fence_of
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.transaction import TransactionEngine

#: How often the documents are counted anew because somebody wrote meanwhile.
TRIES: Final = 20
#: The highest quota.
DOCUMENTS_MAX: Final = 1 << 53


class Quota(NamedTuple):
    """How many documents a collection may have, and has.

    Attributes:
        documents_max: None: as many as you like.
        documents: those that have run out and were not swept yet among them; None without a quota.
    """

    documents_max: int | None
    documents: int | None


def checked_quota(documents: Any) -> int:
    """A quota. Raises InvalidInput."""
    if documents is None:
        return 0
    if isinstance(documents, bool) or not isinstance(documents, int) or documents < 1:
        raise InvalidInput(
            "a quota is a number of documents from 1, or None for no quota; found something else"
        )
    return min(documents, DOCUMENTS_MAX)


async def quota_of(storage: DocumentStorage) -> Quota:
    """The quota in force."""
    catalogue = await storage.catalogue()
    if not catalogue.documents_max:
        return Quota(None, None)
    [row] = await storage.engine.read((count_key(storage.number),))
    return Quota(catalogue.documents_max, read_count(None if row is None else row.value))


async def set_quota(storage: DocumentStorage, documents_max: int) -> None:
    """Set a quota (0: none), and count what there is.

    Raises:
        Conflict: somebody wrote each time while the documents were counted.
        StoreNotFound: the collection was dropped.
        Unsupported: inside a transaction.
    """
    if isinstance(storage.engine, TransactionEngine | SnapshotEngine):
        raise Unsupported("a quota is set outside of transactions and snapshots")
    for attempt in range(TRIES):
        inside = await TransactionEngine.begin(
            storage.engine, IsolationLevel.SERIALIZABLE, read_only=False
        )
        try:
            keyspace = storage.space.keyspace
            fence, row = await inside.read((keyspace.directory_key, storage.catalogue_key))
            fence_of(keyspace, fence)
            catalogue = read_catalogue(None if row is None else row.value)
            changed = msgspec.structs.replace(catalogue, documents_max=documents_max)
            count = await _count(inside, storage.whole) if documents_max else 0
            await inside.commit(
                Batch(
                    [
                        Put(storage.catalogue_key, pack_catalogue(changed)),
                        Put(count_key(storage.number), pack_count(count)),
                    ]
                )
            )
            storage.space.wrote(await inside.finish(_nobody))
        except Conflict:
            if attempt == TRIES - 1:
                raise
        else:
            return
        finally:
            inside.release()


async def _count(engine: Engine, range: Range) -> int:
    count = 0
    rest: Range | None = range
    while rest is not None:
        page = await engine.scan(rest)
        count += len(page.rows)
        rest = page.resume
    return count


def _nobody(_revision: int | None) -> None:
    """Nobody waits for it."""
