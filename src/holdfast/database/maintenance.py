"""What looks after a database: retention, compaction, checks, backups and copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from holdfast.contract.capability import Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import ReadOnly
from holdfast.database.lifecycle import Handle
from holdfast.runtime.drive import drive
from holdfast.runtime.working import checked_progress
from holdfast.store.check import check_rows
from holdfast.store.encrypted import below_encryption
from holdfast.store.encryption.keys import DataKeys
from holdfast.store.encryption.settings import Encryption, encryption_asked
from holdfast.store.versions.retention import Retention
from holdfast.store.versions.trimming import Trimmed

if TYPE_CHECKING:
    from holdfast.backups.restoring import Restored
    from holdfast.backups.taking import Taken
    from holdfast.store.stats import Stats


class Maintained(Handle):
    """A handle with the means to look after its database."""

    async def sweep(self) -> int:
        """End every expired entry now instead of within a second; how many there were."""
        self._guard()
        return await self._require_shared().sweep()

    @property
    def retention(self) -> Retention:
        """How much of the past is kept: `await db.retention.keep("logs", versions=0)`."""
        return self._require_shared().retention

    @property
    def data_keys(self) -> DataKeys:
        """The keys of an encrypted database: `await db.data_keys.rotate()`."""
        return DataKeys(self._open_engine(), self._require_shared().keyspaces, self._guard)

    async def compact(self, progress: Callable[[int, int], None] | None = None) -> Trimmed:
        """Give up the past that retention no longer keeps, and free space where possible.

        It also happens by itself every few minutes while somebody writes.

        Args:
            progress: called with (changes given up, changes to give up).
        """
        self._guard()
        engine = self._open_engine()
        if not engine.capabilities.writable:
            raise ReadOnly("the database was opened for reading only; open it to compact it")
        trimmed = await self.retention.trim(progress)
        if engine.capabilities.compacts:
            await engine.compact()
        return trimmed

    async def check(self, progress: Callable[[int], None] | None = None) -> list[str]:
        """Walk the whole database; one line for each thing wrong, none if all is well.

        Pages and rows of the engine, the directory, the feed, and the rows of every view; of every
        entry, living and past, the digest, and that history, feed, tags and expiry agree with it.

        Args:
            progress: called now and then with how many entries were looked at; from any thread.
        """
        self._guard()
        engine = self._open_engine()
        faults = await engine.check() if engine.capabilities.checks else []
        return faults + await check_rows(self._require_shared(), engine, progress)

    async def repair(self) -> list[str]:
        """Mend what follows from the values: tags, expiries, left-over graves, indexes.

        It looks closer at the keyspaces of entries and documents in which `check` finds something.
        Values, their past and the feed follow from nothing: where they are damaged, restore a
        backup. Writes may go on meanwhile.

        Returns:
            A line for each thing that was done; none where there was nothing to do.
        """
        self._guard()
        from holdfast.database.repairing import repair

        engine = self._open_engine()
        if not engine.capabilities.writable:
            raise ReadOnly("the database was opened for reading only; open it to mend it")
        return await repair(self._require_collections, self._require_shared(), engine)

    async def stats(self, progress: Callable[[int], None] | None = None) -> Stats:
        """What the database holds now: rows and bytes by keyspace, of the feed, of the system.

        It walks all rows, in memory that does not grow with them.

        Args:
            progress: called now and then with how many rows were counted; from another thread.
        """
        self._guard()
        from holdfast.store.stats import stats_of

        checked_progress(progress)
        engine = self._open_engine()
        if engine.capabilities.io is Io.REMOTE:
            return await stats_of(engine, progress)
        runtime = engine.components.host.runtime()
        return await runtime.offload(lambda: drive(stats_of(engine, progress)))

    async def backup(
        self,
        target: Path | str | IO[bytes],
        *,
        since: Path | str | None = None,
        compression: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Taken:
        """Write the present moment of the whole database to a file, while writes go on.

        The file gets its name once it is whole; until then it ends with `.partial`, and a backup
        that was broken off goes on there when it is asked for again. `holdfast.restore` makes a
        database of it.

        Args:
            target: a path, a binary stream, or a URL that fsspec knows, such as `s3://b/app`.
            since: an earlier backup of this database: the file holds what is newer, and restores
                together with that one.
            compression: of the rows: `zstd`, `gzip`, `lz4`, `snappy` or `none`; left out, `zstd`
                where it is installed, else `gzip`.
            progress: called after each page with (rows looked at, bytes of rows written); from
                another thread.

        Raises:
            StoreExists: a file of that name is there.
            StoreLocked: another backup is being written to it.
            StorageFull: the file system has no room for it.
            InvalidInput: the file system does not take a file of that path.
            Compacted: `since` is of another lineage; take a full backup.
            NotADatabase, IntegrityFailed: `since` is no whole backup.
        """
        self._guard()
        from holdfast.backups.taking import back_up  # Most programs take none.

        # Rows as they are stored: a backup of an encrypted database wants the same keys.
        return await back_up(
            below_encryption(self._open_engine()),
            target,
            base=since,
            compression=compression,
            progress=progress,
        )

    async def copy_to(
        self,
        address: str | EngineConfig,
        *,
        encryption: Encryption | str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Restored:
        """Make another database of the present moment of this one, on whatever engine.

        A copy of an encrypted database has the same keys, unless others are given.

        Args:
            address: of the new database; nothing may stand there.
            encryption: encrypts the new one with these keys, as in `holdfast.open`.
            progress: called after each step with how many rows are copied; from another thread.

        Raises:
            StoreExists: something stands at the address.
            ConfigInvalid, EngineNotFound, DriverMissing: the address cannot be used.
        """
        self._guard()
        from holdfast.backups.restoring import copy

        engine, anew = self._open_engine(), encryption_asked(address, encryption)
        if anew is None:
            engine = below_encryption(engine)  # Rows as they are stored.
        return await copy(engine, address, encryption=anew, progress=progress)
