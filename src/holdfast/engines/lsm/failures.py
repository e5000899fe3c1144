"""What RocksDB and LevelDB say, in the words of the contract. Both tell it by their texts."""

from __future__ import annotations

from pathlib import Path

from holdfast.contract.errors import (
    IntegrityFailed,
    PermissionDenied,
    QuotaExceeded,
    ReadOnly,
    StoreClosed,
    StoreError,
    StoreLocked,
)
from holdfast.engines.embedded.file_failures import full

_NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large", "NoSpace")
_LOCKED = (
    "lock hold by current process",
    "While lock file",
    "already held by process",
    "/LOCK: Resource temporarily unavailable",
)
_NO_RIGHT = ("Permission denied", "Operation not permitted")
_TOO_MANY = ("Too many open files", "Cannot allocate memory")
_DAMAGED = ("Corruption", "does not match", "checksum mismatch", "No such file or directory")


def translate(error: Exception, directory: Path) -> StoreError:
    """The error of the contract that says what the driver means."""
    said, path = _text(error), str(directory)

    def tells(texts: tuple[str, ...]) -> bool:
        return any(text in said for text in texts)

    if type(error).__name__ == "DbClosedError":
        return StoreClosed(f"the database {path} is closed; open it again")
    if tells(_LOCKED):
        return StoreLocked(
            f"the driver itself finds {path} open ({said}); close it there", path=path
        )
    if tells(_NO_ROOM):
        return full(directory, said)
    if "Read-only file system" in said:
        return ReadOnly(
            f"the database {path} lies on a file system that cannot be written ({said})", path=path
        )
    if tells(_NO_RIGHT):
        return PermissionDenied(
            f"the database {path} could not be opened ({said}); check the rights of the directory "
            "and of the files in it",
            path=path,
        )
    if tells(_TOO_MANY):
        return QuotaExceeded(
            f"the system gives this process no more files or memory for the database {path} "
            f"({said}); raise the limit (`ulimit -n`), or close something",
            path=path,
        )
    if tells(_DAMAGED):
        return IntegrityFailed(
            f"the database {path} is damaged ({said}); restore a backup", path=path
        )
    return StoreError(
        f"the database {path} failed ({said}); check the medium and the system's log", path=path
    )


def _text(error: Exception) -> str:
    """What the driver said; LevelDB's binding hands it out as bytes."""
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(error)
