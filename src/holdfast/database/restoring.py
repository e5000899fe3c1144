"""`restore`: from backup files to a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import InvalidInput
from holdfast.contract.runtime import Components
from holdfast.database.open import open
from holdfast.runtime.system import system_components
from holdfast.store.encryption.settings import Encryption, encryption_asked
from holdfast.store.registry import read_config

if TYPE_CHECKING:
    from holdfast.backups.chain import BackupFacts
    from holdfast.backups.restoring import Restored


async def restore(
    files: Sequence[Path | str],
    address: str | EngineConfig,
    *,
    to: int | datetime | None = None,
    at: int | datetime | None = None,
    encryption: Encryption | str | None = None,
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
        at: restore what stood at this revision or aware instant, also between two backups: the
            backup behind it is taken back by the past that it holds. Entries and documents come
            back with their past, revisions and indexes; settings and saved schemas of keyspaces
            stay as they were later.
        encryption: the keys that the backups want, as given to `open`. Rows come back as they stand
            there; a backup without encryption is refused where keys are named, here or in the
            address.
        progress: called after each step with how many rows are in place; from another thread.
        components: clock, ids and ways to wait other than the machine's; for tests.

    Raises:
        StoreExists: something stands at the address.
        InvalidInput: the files do not belong together, or one is missing.
        NotADatabase, FormatTooNew, IntegrityFailed: a file cannot be restored.
        VersionNotFound: all of them are newer than `to`, or older than `at`; or the past does not
            lead back to `at`: values were given up, or stores, state and collections without a
            past changed since. What was restored until then is no database; remove it.
        QuotaExceeded: more than a million keys changed since `at`.
        Unsupported: `at` of an encrypted database.
        ConfigInvalid: keys were named, and a backup is not encrypted; or the address has layers.
    """
    from holdfast.backups import restoring

    parts = components or system_components()
    keys = encryption_asked(address, encryption)
    if at is None:
        return await restoring.restore(
            files, address, to=to, encryption=keys, progress=progress, components=parts
        )
    if to is not None:
        raise InvalidInput("a restore takes `to`, a backup, or `at`, a moment; found both")
    from holdfast.database.rewinding import Rewinding

    rewinding = Rewinding(at)
    done = await restoring.restore(
        files, address, at=at, encryption=keys, taken_back=rewinding.rows, progress=progress,
        components=parts,
    )  # fmt: skip
    if rewinding.collections:
        async with open(read_config(address), housekeeping=False, components=parts) as db:
            await rewinding.indexes(db)
    return done._replace(revision=rewinding.revision)


async def verify_backups(
    files: Sequence[Path | str], *, components: Components | None = None
) -> list[BackupFacts]:
    """Read backup files, compare all their checksums, and return what each is of.

    Raises:
        NotADatabase, FormatTooNew, IntegrityFailed: a file cannot be restored.
    """
    from holdfast.backups import restoring

    return await restoring.verify(files, components or system_components())
