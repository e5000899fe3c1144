"""What the engine notes about the database itself: rows of LMDB's main tree.

    holdfast            name and version of the format
    features            what a program has to know to open the database; from version 2
    head                newest revision; how many processes may have acknowledged more than that
    lineage             the line of history that revisions belong to
    relaxed <owner>     a process that acknowledges writes before they are flushed
    journal             what of the journal is not here yet, see `journal_format.py`
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

#: A database that needs no feature has the first version, so that all can open it.
_PLAIN_VERSION = 1
FORMAT_VERSION = 2
#: Commits may lie in the journal alone.
JOURNAL = "journal"
#: The features that this version knows.
FEATURES = frozenset((JOURNAL,))

_FORMAT = b"holdfast"
_HEAD = b"head"
_LINEAGE = b"lineage"
_OWNER = b"relaxed "
_FEATURES = b"features"
_JOURNAL = b"journal"
_NAME = b"holdfast lmdb"
_VERSION = struct.Struct(">I")
_HEAD_ROW = struct.Struct(">QI")
_pack_head, _unpack_head = _HEAD_ROW.pack, _HEAD_ROW.unpack
_make = tuple.__new__
_JOURNAL_ROW = struct.Struct(">?Q16s16s")


class Head(NamedTuple):
    """The newest revision, and how many processes may have acknowledged more than that."""

    revision: int
    owners: int


class JournalFact(NamedTuple):
    """What is said of the journal. It changes in the commits that write rows from there.

    Attributes:
        unapplied: acknowledged commits may lie in the journal and not here.
        generation: the first that is not here; of a journal with nothing unapplied, the last that
            was given out.
        nonce: that the records of the generation bear (16).
        journal: names the file (16).
    """

    unapplied: bool
    generation: int
    nonce: bytes
    journal: bytes


def read_head(transaction: lmdb.Transaction[bytes]) -> Head:
    """The head as the transaction sees it."""
    found = transaction.get(_HEAD)
    if found is None or len(found) != _HEAD_ROW.size:
        raise IntegrityFailed("the head row of the database is damaged; restore a backup")
    return _make(Head, _unpack_head(found))


def write_head(transaction: lmdb.Transaction[bytes], revision: int, owners: int) -> None:
    """Note the head."""
    transaction.put(_HEAD, _pack_head(revision, owners))


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
    unknown = sorted(features(transaction) - FEATURES)
    if unknown:
        raise FormatTooNew(
            f"a newer Holdfast wrote the database {url}, which needs {', '.join(unknown)}; this "
            "one does not know that. Upgrade holdfast",
            found=", ".join(unknown),
            supported=", ".join(sorted(FEATURES)),
        )
    return True


def read_version(transaction: lmdb.Transaction[bytes]) -> int:
    """The version of the format; the first as long as no feature is used, see `require`."""
    version: int
    (version,) = _VERSION.unpack((transaction.get(_FORMAT) or b"")[len(_NAME) :])
    return version


def features(transaction: lmdb.Transaction[bytes]) -> frozenset[str]:
    """What a program has to know to open the database."""
    return frozenset((transaction.get(_FEATURES) or b"").decode(errors="replace").split())


def require(transaction: lmdb.Transaction[bytes], feature: str) -> None:
    """Shut out every version that does not know the feature, from this commit on.

    A version that knows of no features refuses the number. So the names stand in a row of their
    own: it would take a longer row of the format for that of another program.
    """
    needed = features(transaction)
    if feature not in needed:
        transaction.put(_FORMAT, _NAME + _VERSION.pack(FORMAT_VERSION))
        transaction.put(_FEATURES, " ".join(sorted(needed | {feature})).encode())


def read_journal(transaction: lmdb.Transaction[bytes]) -> JournalFact | None:
    """What is said of the journal; None: there never was one."""
    found = transaction.get(_JOURNAL)
    if found is None:
        return None
    if len(found) != _JOURNAL_ROW.size:
        raise IntegrityFailed("the row of the journal is damaged; restore a backup")
    return JournalFact(*_JOURNAL_ROW.unpack(found))


def write_journal(transaction: lmdb.Transaction[bytes], fact: JournalFact) -> None:
    """Say which generation of the journal is not here."""
    require(transaction, JOURNAL)
    transaction.put(_JOURNAL, _JOURNAL_ROW.pack(*fact))


def create(transaction: lmdb.Transaction[bytes], lineage: str) -> None:
    """Note the facts of a new database."""
    transaction.put(_FORMAT, _NAME + _VERSION.pack(_PLAIN_VERSION))
    write_head(transaction, 0, 0)
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
        write_head(transaction, head.revision, head.owners + 1)


def remove_owner(transaction: lmdb.Transaction[bytes], owner: int) -> None:
    """Note that everything the process acknowledged is flushed, or given up."""
    if transaction.delete(_OWNER + owner.to_bytes(8, "big")):
        head = read_head(transaction)
        write_head(transaction, head.revision, head.owners - 1)
