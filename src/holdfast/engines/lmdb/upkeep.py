"""Checking a database, loading rows into it, and compacting it."""

from __future__ import annotations

from collections.abc import Callable

import lmdb

from holdfast.contract.errors import StorageFull, StoreLocked
from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.failures import translate
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.records import REVISION_BYTES

#: After so many findings a check ends: the database is damaged, whatever follows.
FINDINGS_MAX = 100


def check(medium: Medium, transaction: lmdb.Transaction[bytes]) -> list[str]:
    """Walk everything; one line for each thing wrong."""
    wrong: list[str] = []
    head = facts.read_head(transaction).revision
    tree = medium.tree(transaction)
    before = b""
    reached = pointers = 0
    try:
        for key, stored in tree.walk(None, None):
            revision = int.from_bytes(stored[:REVISION_BYTES])
            if key <= before:
                wrong.append(f"the key {key!r} stands behind {before!r}")
            if len(stored) < REVISION_BYTES or not 0 < revision <= head:
                wrong.append(f"the key {key!r} has revision {revision}; the head is {head}")
            if len(wrong) >= FINDINGS_MAX:
                return wrong
            before = key
            reached += 1
        for pointer, holds in tree.pointers():
            pointers += 1
            if not holds:
                wrong.append(f"the pointer {pointer!r} leads to nothing")
        if tree.count() != reached + pointers:
            wrong.append(
                f"{reached} keys and {pointers} pointers are reached; "
                f"{tree.count()} rows are stored"
            )
    except lmdb.Error as error:
        wrong.append(f"LMDB cannot read on behind the key {before!r}: {error}")
    return wrong


def compact(medium: Medium, retire: Callable[[lmdb.Environment], None]) -> int:
    """Copy what is in use to a new file and put it in the place of the old; bytes freed.

    Snapshots go on with the old file, whose space is given back when the last of them closes.

    LMDB uses freed pages again and never gives them back, so this is the only way to a smaller
    file. It needs the database to itself, and room for the copy.

    Raises:
        StoreLocked: another process has the database open.
        StorageFull: there is no room for the copy; nothing was changed.
    """
    place, locks = medium.place, medium.locks
    with locks.door(medium.config.lock_timeout), locks.alone() as alone:
        if not alone:
            raise StoreLocked(
                f"compacting the database {medium.url} needs it to itself, and another process "
                "has it open; close it there first"
            )
        before = place.file.stat().st_size
        place.compacting.unlink(missing_ok=True)
        try:
            with place.compacting.open("xb") as copy:
                medium.env.copyfd(copy.fileno(), compact=True)
        except (lmdb.Error, OSError) as error:
            place.compacting.unlink(missing_ok=True)
            if place.room_bytes() < before:
                raise StorageFull(
                    f"compacting the database {medium.url} needs room for a copy of what is in "
                    "use; nothing was changed. Free disk space first"
                ) from error
            if isinstance(error, lmdb.Error):
                raise translate(error, medium.url) from error
            raise
        place.swap_in_compacted()
        retire(medium.reopen())
        return max(0, before - place.file.stat().st_size)
