"""LMDB's errors in the contract's words."""

from __future__ import annotations

import errno

import lmdb

from holdfast.contract.errors import (
    IntegrityFailed,
    NotADatabase,
    Overloaded,
    ReadOnly,
    StorageFull,
    StoreError,
    StoreLocked,
)
from holdfast.contract.files import NO_ROOM
from holdfast.contract.memory import no_memory

_DAMAGED = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.ProblemError)
_FOREIGN = (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.IncompatibleError)


def code_of(error: lmdb.Error) -> int:
    """LMDB's or the system's number of the error; 0 when it has none."""
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else 0


def found_no_room(error: lmdb.Error, room_bytes: int, wanted_bytes: int) -> bool:
    """Whether a write failed because map or disk are full.

    LMDB reports a write that the disk took only in part as an input/output error, so what room
    the disk has decides that case.
    """
    code = code_of(error)
    if isinstance(error, lmdb.MapFullError) or code in NO_ROOM:
        return True
    return code == errno.EIO and room_bytes < wanted_bytes


def translate(error: lmdb.Error, url: str) -> StoreError:
    """The contract's error for one of LMDB's."""
    if isinstance(error, _DAMAGED):
        translated: StoreError = IntegrityFailed(
            f"the database {url} is damaged ({error}); close it, run a check, and restore a "
            "backup if that finds anything"
        )
    elif isinstance(error, _FOREIGN):
        translated = NotADatabase(f"{url} does not hold a database of this engine ({error})")
    elif isinstance(error, lmdb.ReadersFullError):
        translated = Overloaded(
            f"all readers of the database {url} are in use; close snapshots, or open it "
            "everywhere with a larger readers_max"
        )
    elif isinstance(error, lmdb.MapFullError):
        translated = full(url)
    elif isinstance(error, lmdb.MemoryError) or code_of(error) == errno.ENOMEM:
        translated = no_memory(f"work with the database {url}", lighter="close other things")
    elif isinstance(error, lmdb.ReadonlyError):
        translated = ReadOnly(f"the database {url} was opened for reading only")
    elif "already open in this process" in str(error):
        translated = StoreLocked(
            f"the database {url} is open in this process already, and LMDB files cannot be "
            "opened twice in one process, nor in a child that was forked while one was open; use "
            "the handle that is open, or close it first (fork first, open then)"
        )
    else:
        translated = StoreError(f"LMDB failed on the database {url}: {error}")
    translated.__cause__ = error
    return translated


def full(url: str) -> StorageFull:
    """The refusal of a write that found no room."""
    return StorageFull(
        f"there is no room for this write in the database {url}; nothing was written, reads and "
        "deletes still work. Free disk space, raise map_size_max, or delete something"
    )
