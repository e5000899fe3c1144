"""What the engine notes about the database itself: rows of LMDB's main tree.

    holdfast            name and version of the format
    head                newest revision; how many processes may have acknowledged more than that
    lineage             the line of history that revisions belong to
    relaxed <owner>     a process that acknowledges writes before they are flushed
    subtree             see `long_keys.py`

The rows of the database lie in the named tree `rows`, those of long keys in `long`, the ids of
batches in `batches`. The main tree is written by every commit anyway, so a head kept there costs
no page of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import lmdb

from holdfast.contract.errors import FormatTooNew, IntegrityFailed, NotADatabase

FORMAT_VERSION = 1

_FORMAT = b"holdfast"
_HEAD = b"head"
_LINEAGE = b"lineage"
_OWNER = b"relaxed "
_NAME = b"holdfast lmdb"
_VERSION = struct.Struct(">I")
_HEAD_ROW = struct.Struct(">QI")
_pack_head, _unpack_head = _HEAD_ROW.pack, _HEAD_ROW.unpack


class Head(NamedTuple):
    """The newest revision, and how many processes may have acknowledged more than that."""

    revision: int
    owners: int


def read_head(transaction: lmdb.Transaction[bytes]) -> Head:
    """The head as the transaction sees it."""
    found = transaction.get(_HEAD)
    if found is None or len(found) != _HEAD_ROW.size:
        raise IntegrityFailed("the head row of the database is damaged; restore a backup")
    return Head(*_unpack_head(found))


def write_head(transaction: lmdb.Transaction[bytes], head: Head) -> None:
    """Note the head."""
    transaction.put(_HEAD, _pack_head(*head))


def read_lineage(transaction: lmdb.Transaction[bytes]) -> str:
    """The lineage."""
    return (transaction.get(_LINEAGE) or b"").decode()


def write_lineage(transaction: lmdb.Transaction[bytes], lineage: str) -> None:
    """Start another line of history."""
    transaction.put(_LINEAGE, lineage.encode())


def recognise(transaction: lmdb.Transaction[bytes], url: str) -> bool:
    """Whether there is a database of this format; False when the file is empty.

    Raises:
        NotADatabase: another program wrote the file.
        FormatTooNew: a newer Holdfast wrote it.
    """
    found = transaction.get(_FORMAT)
    if found is None:
        if transaction.stat()["entries"] == 0:
            return False
        raise NotADatabase(
            f"{url} is an LMDB file of another program; point the URL at another directory"
        )
    if not found.startswith(_NAME) or len(found) != len(_NAME) + _VERSION.size:
        raise NotADatabase(f"{url} is an LMDB file of another program")
    (version,) = _VERSION.unpack(found[len(_NAME) :])
    if version > FORMAT_VERSION:
        raise FormatTooNew(
            f"a newer Holdfast wrote the database {url} in format {version}; this one reads up to "
            f"{FORMAT_VERSION}. Upgrade holdfast",
            found=version,
            supported=FORMAT_VERSION,
        )
    return True


def create(transaction: lmdb.Transaction[bytes], lineage: str) -> None:
    """Note the facts of a new database."""
    transaction.put(_FORMAT, _NAME + _VERSION.pack(FORMAT_VERSION))
    write_head(transaction, Head(0, 0))
    write_lineage(transaction, lineage)


def owners(transaction: lmdb.Transaction[bytes]) -> Iterator[int]:
    """Who acknowledges, or acknowledged, writes before they are flushed."""
    cursor = transaction.cursor()
    try:
        found = cursor.set_range(_OWNER)
        while found and cursor.key().startswith(_OWNER):
            yield int.from_bytes(cursor.key()[len(_OWNER) :], "big")
            found = cursor.next()
    finally:
        cursor.close()


def add_owner(transaction: lmdb.Transaction[bytes], owner: int) -> None:
    """Note that this process acknowledges writes before they are flushed."""
    if transaction.put(_OWNER + owner.to_bytes(8, "big"), b"", overwrite=False):
        head = read_head(transaction)
        write_head(transaction, head._replace(owners=head.owners + 1))


def remove_owner(transaction: lmdb.Transaction[bytes], owner: int) -> None:
    """Note that everything the process acknowledged is flushed, or given up."""
    if transaction.delete(_OWNER + owner.to_bytes(8, "big")):
        head = read_head(transaction)
        write_head(transaction, head._replace(owners=head.owners - 1))
