"""Opening a database so that its file has all that was acknowledged."""

from __future__ import annotations

from dataclasses import replace

from holdfast.contract.errors import (
    IntegrityFailed,
    ReadOnly,
    StorageFull,
    StoreError,
    StoreLocked,
    Unsupported,
)
from holdfast.contract.runtime import Components
from holdfast.engines.lmdb import byte_locks, replay
from holdfast.engines.lmdb.config import LmdbConfig
from holdfast.engines.lmdb.medium import Medium

#: How often a process that only reads tries again, when writers die faster than it opens.
_ATTEMPTS_MAX = 8


def refuse_unsupported(config: LmdbConfig) -> None:
    """Raise Unsupported for what this system cannot do safely."""
    if config.durability == "relaxed" and not byte_locks.AVAILABLE:
        raise Unsupported(
            "relaxed durability of lmdb needs file locks, which this system lacks, to notice a "
            "process that died with unflushed writes; use durability=full, or sqlite",
            engine="lmdb",
        )
    if config.journal and not byte_locks.OF_OPEN_FILES:
        raise Unsupported(
            "the journal of lmdb needs locks of open files (Linux has them), which this system "
            "lacks, to keep other processes from reading while commits lie in the journal; leave "
            "journal= away",
            engine="lmdb",
        )


def open_medium(medium: Medium, components: Components) -> None:
    """Open the database, and write to its file what a dead process left in the journal.

    Raises:
        ReadOnly: something is in the journal, and the file cannot be written.
        StoreError: the directory or a file cannot be opened.
    """
    try:
        _open(medium, components)
    except OSError as error:
        raise StoreError(
            f"the database {medium.url} cannot be opened: {error.strerror}; make sure that this "
            "user may read and write its directory"
        ) from error


def _open(medium: Medium, components: Components) -> None:
    clock = components.clock
    if not medium.config.read_only:
        medium.open(lambda alone: replay.settle(medium, clock, alone=alone))
        return
    behind = True

    def look(_alone: bool) -> None:
        nonlocal behind
        behind = replay.needed(medium)

    for _ in range(_ATTEMPTS_MAX):
        medium.open(look)
        if not behind:
            return
        medium.close()
        _settle_for_reading(medium.config, components)
    raise StoreLocked(f"processes that write to the database {medium.url} die again and again")


def _settle_for_reading(config: LmdbConfig, components: Components) -> None:
    """Open the database once for writing, so that its file has everything."""
    writable = replace(config, read_only=False, create=False, journal=0)
    medium = Medium(writable, components.ids, components.clock)
    try:
        medium.open(lambda alone: replay.settle(medium, components.clock, alone=alone))
    except (IntegrityFailed, StorageFull, StoreLocked):
        raise
    except (StoreError, OSError) as error:
        raise ReadOnly(
            f"the journal of the database {config.url} has acknowledged commits that its file "
            "lacks, because a process died, and the file cannot be written here; open the database "
            "once where it can be written, without read_only"
        ) from error
    finally:
        medium.close()
