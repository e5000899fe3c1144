"""The fast index: one row for each key of the latest version, so a get is one look-up.

A row of the index is not hashed into the root, so it carries a check sum of its own; and what the
index does not have is looked for in the tree, so a lost row is found out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zlib import crc32

from holdfast.contract.errors import IntegrityFailed
from holdfast.stores.iavl.encoding import (
    HASH_BYTES,
    MalformedNode,
    length,
    read_unsigned,
    read_zigzag,
    zigzag,
)
from holdfast.stores.iavl.rows import INDEX, INDEX_COMPLETE, RowBatch, Rows
from holdfast.stores.iavl.saving import root_hash
from holdfast.stores.iavl.steps import Saved

_FORMAT = "1.1.0"
_CHECK_BYTES = 4
#: How many bytes of keys and values a batch of a new index has before the next one begins.
BATCH_BYTES = 8 << 20


def index_row(key: bytes, value: bytes, version: int) -> tuple[bytes, bytes]:
    """The row of a key whose value was last set in `version`."""
    row = zigzag(version) + length(len(value)) + value
    return INDEX + key, row + _check_sum(key, row)


def index_value(rows: Rows, key: bytes) -> bytes | None:
    """The value the index has for a key, or None. Raises IntegrityFailed; see `value_in`."""
    found = rows.get(INDEX + key)
    return None if found is None else value_in(key, found)


def value_in(key: bytes, found: bytes) -> bytes:
    """The value in a row of the index.

    Raises:
        IntegrityFailed: the row is not what was written.
    """
    row = found[:-_CHECK_BYTES]
    if _check_sum(key, row) == found[-_CHECK_BYTES:]:
        try:
            _, at = read_zigzag(row, 0)
            size, at = read_unsigned(row, at)
        except (MalformedNode, IndexError):
            pass
        else:
            if at + size == len(row):
                return row[at:]
    raise damaged(key, "is not what was written")


def damaged(key: bytes, what: str) -> IntegrityFailed:
    """The error for a row of the index."""
    return IntegrityFailed(
        f"the row of the fast index for a key of {len(key)} bytes {what}; that says "
        "nothing of the tree. Build the index anew with build_index",
        key=key,
    )


def write(
    batch: RowBatch,
    changes: Iterable[tuple[bytes, bytes | None]],
    version: int,
    hash: bytes,
) -> None:
    """Put into a batch what makes the index that of `version`."""
    for key, value in changes:
        if value is None:
            batch.deletes.append(INDEX + key)
        else:
            batch.puts.append(index_row(key, value, version))
    batch.puts.append(complete_row(version, hash))


def without_index(batch: RowBatch) -> None:
    """Take out of a batch what `write` put there; the index stays that of the version before."""
    batch.puts = [row for row in batch.puts if not _is_index(row[0])]
    batch.deletes = [key for key in batch.deletes if not _is_index(key)]


def rebuilt(leaves: Iterable[tuple[bytes, bytes]], version: int, hash: bytes) -> Iterator[RowBatch]:
    """The batches that make the index anew; it is complete with the last one, not before."""
    yield RowBatch(deletes=[INDEX_COMPLETE], ranges=[(INDEX, bytes([INDEX[0] + 1]))])
    batch, room = RowBatch(), BATCH_BYTES
    for key, value in leaves:
        batch.puts.append(index_row(key, value, version))
        room -= len(key) + len(value)
        if room <= 0:
            yield batch
            batch, room = RowBatch(), BATCH_BYTES
    batch.puts.append(complete_row(version, hash))
    yield batch


def complete_row(version: int, hash: bytes) -> tuple[bytes, bytes]:
    """The row that says for which version the index is complete.

    The number alone would not do: who keeps no index may roll back, and save another version under
    it.
    """
    return INDEX_COMPLETE, f"{_FORMAT}-{version}".encode() + hash


def is_complete(rows: Rows, saved: Saved) -> bool:
    """Whether the index is that of the latest version; of nothing it is complete."""
    if not saved.latest:
        return True
    wanted = complete_row(saved.latest, root_hash(saved.root))[1]
    return rows.get(INDEX_COMPLETE) == wanted


def version_in(row: bytes) -> tuple[int, bytes]:
    """For which version, with which root hash, a row says that the index is complete.

    Raises:
        IntegrityFailed: the row is not what was written.
    """
    head, _, number = row[:-HASH_BYTES].partition(b"-")
    if head != _FORMAT.encode() or not number.isdigit():
        raise IntegrityFailed(
            "the row that says for which version the fast index is complete is not what was "
            "written. Build the index anew with build_index",
            row="storage_version",
        )
    return int(number), row[-HASH_BYTES:]


def _is_index(key: bytes) -> bool:
    return key.startswith(INDEX) or key == INDEX_COMPLETE


def _check_sum(key: bytes, row: bytes) -> bytes:
    return crc32(row, crc32(key)).to_bytes(_CHECK_BYTES, "big")
