"""`restore`: from backup files to a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.contract.config import EngineConfig
from holdfast.contract.runtime import Components
from holdfast.runtime.system import system_components

if TYPE_CHECKING:
    from holdfast.backups.chain import BackupFacts
    from holdfast.backups.restoring import Restored


async def restore(
    files: Sequence[Path | str],
    address: str | EngineConfig,
    *,
    to: int | datetime | None = None,
    progress: Callable[[int], None] | None = None,
    components: Components | None = None,
) -> Restored:
    """Make a database of a full backup and the backups that continue it.

    Every file is verified before anything is written. The database goes on from the revision of
    the backup, under a new lineage: cursors of the old one raise `Compacted`.

    Args:
        files: paths, or URLs that fsspec knows, in whatever order; or one directory that `follow`
            shipped to (a URL of one ends with a slash).
        address: of the new database; nothing may stand there.
        to: restore the newest backup no newer than this revision or aware instant.
        progress: called after each step with how many rows are in place; from another thread.
        components: clock, ids and ways to wait other than the machine's; for tests.

    Raises:
        StoreExists: something stands at the address.
        InvalidInput: the files do not belong together, or one is missing.
        NotADatabase, FormatTooNew, IntegrityFailed: a file cannot be restored.
        VersionNotFound: all of them are newer than `to`.
    """
    from holdfast.backups import restoring

    return await restoring.restore(
        files, address, to=to, progress=progress, components=components or system_components()
    )


async def verify_backups(
    files: Sequence[Path | str], *, components: Components | None = None
) -> list[BackupFacts]:
    """Read backup files, compare all their checksums, and return what each is of.

    Raises:
        NotADatabase, FormatTooNew, IntegrityFailed: a file cannot be restored.
    """
    from holdfast.backups import restoring

    return await restoring.verify(files, components or system_components())
