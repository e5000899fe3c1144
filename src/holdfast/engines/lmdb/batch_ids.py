"""Ids of batches, remembered for some minutes so that a batch repeated is not applied twice.

Tree `batches`: `i` + digest of the id -> revision and instant, 8 bytes each, big endian;
`t` + instant + digest -> nothing, which is the order they are forgotten in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import lmdb

from holdfast.engines.embedded.group import BATCH_ID_MS

#: How many more forgotten ids than new ones a commit clears away.
CLEARED_MAX = 16

_BY_ID, _BY_TIME = b"i", b"t"
_DIGEST_BYTES = 16


def recall(
    transaction: lmdb.Transaction[bytes], tree: lmdb._Database, id: bytes, now_ms: int
) -> int | None:
    """The revision of the batch with the id, while remembered."""
    found = transaction.get(_BY_ID + _digest(id), None, tree)
    if found is None or int.from_bytes(found[8:]) < now_ms - BATCH_ID_MS:
        return None
    return int.from_bytes(found[:8])


def remember(
    transaction: lmdb.Transaction[bytes],
    tree: lmdb._Database,
    ids: Mapping[bytes, int],
    now_ms: int,
) -> None:
    """Note ids with their revisions, and clear some away that are too old."""
    _forget(transaction, tree, now_ms, CLEARED_MAX + len(ids))
    instant = now_ms.to_bytes(8)
    for id, revision in ids.items():
        digest = _digest(id)
        transaction.put(_BY_ID + digest, revision.to_bytes(8) + instant, db=tree)
        transaction.put(_BY_TIME + instant + digest, b"", db=tree)


def _forget(
    transaction: lmdb.Transaction[bytes], tree: lmdb._Database, now_ms: int, most: int
) -> None:
    oldest = _BY_TIME + max(0, now_ms - BATCH_ID_MS).to_bytes(8)
    cursor = transaction.cursor(tree)
    try:
        for _ in range(most):
            if not cursor.set_range(_BY_TIME) or cursor.key() >= oldest:
                return
            noted = cursor.key()
            cursor.delete()
            name = _BY_ID + noted[-_DIGEST_BYTES:]
            known = transaction.get(name, None, tree)
            # The id may have been noted again since.
            if known is not None and known[8:] == noted[1:9]:
                transaction.delete(name, b"", tree)
    finally:
        cursor.close()


def _digest(id: bytes) -> bytes:
    return hashlib.blake2b(id, digest_size=_DIGEST_BYTES).digest()
