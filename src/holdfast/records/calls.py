"""Calls on one entry, spelled in verbs: handling the verbs handles these."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from holdfast.codecs.digest import Digest
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidInput, KeyNotFound, VersionNotFound
from holdfast.records.bulk import EntryBulk
from holdfast.records.options import (
    KEEP,
    NO_CONDITIONS,
    NO_OPTIONS,
    Keep,
    TimeToLive,
    conditions,
    write_options,
)
from holdfast.records.verbs import Version
from holdfast.records.write import DELETE, Modify, Rename, SetValue, Write
from holdfast.store.feed_row import Cause
from holdfast.store.versions.entry import Entry

T = TypeVar("T")


class EntryCalls(EntryBulk[T]):
    """What is asked and done of one entry."""

    # --- Reading ----------------------------------------------------------------------------

    async def require(self, key: StoreKey | str) -> Entry[T]:
        """The entry. Raises KeyNotFound when there is none."""
        entry = await self.get(key)
        if entry is None:
            raise KeyNotFound(
                f"an entry {str(key)!r} was wanted; there is none. `get` returns None instead",
                key=str(key),
            )
        return entry

    # --- Writing ----------------------------------------------------------------------------

    async def set(
        self,
        key: StoreKey | str,
        value: T,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        tags: Iterable[str] | None = None,
        ttl: TimeToLive | Keep = None,
        expires_at: datetime | None = None,
        schema_hash: str | None = None,
        if_revision: int | None = None,
        if_version: Version | None = None,
        if_hash: str | Digest | None = None,
        if_absent: bool = False,
        if_changed: bool = False,
    ) -> Entry[T]:
        """Write a new version and return it.

        Args:
            key: which.
            value: what.
            modified_by: who, str or int, kept as given.
            comment: why; belongs to this version alone.
            tags: labels; left out they stay, `[]` clears them.
            ttl: seconds or timedelta until it expires; left out it does not expire, `KEEP` leaves
                the expiry as it is.
            expires_at: the same as an aware instant.
            schema_hash: digest of the schema the value fits.
            if_revision: write only if the entry is of this revision (0: absent).
            if_version: only if it is of this version, or (incarnation, version).
            if_hash: only if its value has this digest.
            if_absent: only if there is none.
            if_changed: write nothing when the value is equal to the one there.

        Raises:
            Conflict: a condition does not hold; `current` is the entry that stands there.
            InvalidKey, InvalidInput, SerializationFailed, ValueTooLarge: nothing was written.
        """
        options, required = NO_OPTIONS, NO_CONDITIONS
        if (
            modified_by is not None
            or comment is not None
            or tags is not None
            or ttl is not None
            or expires_at is not None
            or schema_hash is not None
        ):
            options = write_options(modified_by, comment, tags, ttl, expires_at, schema_hash)
        if if_revision is not None or if_version is not None or if_hash is not None or if_absent:
            required = conditions(if_revision, if_version, if_hash, if_absent)
        write = Write(key, SetValue(value), options, required, if_changed)
        outcome = self.write_now(write)
        if outcome is None:
            [outcome] = await self.write((write,))
        after = outcome.after
        return outcome.require() if after is None else after

    async def modify(
        self,
        key: StoreKey | str,
        change: Callable[[Any], T],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        tags: Iterable[str] | None = None,
        ttl: TimeToLive | Keep = KEEP,
        schema_hash: str | None = None,
        if_revision: int | None = None,
        if_version: Version | None = None,
        if_hash: str | Digest | None = None,
        if_changed: bool = False,
        allow_none: bool = False,
    ) -> Entry[T]:
        """Read, change and write as one step: no update of others is lost.

        `change` gets the value (None when there is no entry) and returns the new one. It runs
        inside the commit, so it should be quick, and on some engines more than once. The expiry
        stays unless `ttl` says otherwise. What `change` raises is raised here; nothing is written.

        Raises:
            InvalidInput: `change` is a coroutine function, or returned None where a value stood
                and `allow_none` does not say that this is meant.
        """
        if not callable(change):
            raise InvalidInput(f"modify calls a function; found a {type(change).__name__}")
        write = Write(
            key,
            Modify(change, allow_none=allow_none),
            write_options(modified_by, comment, tags, ttl, None, schema_hash),
            conditions(if_revision, if_version, if_hash, if_absent=False),
            if_changed,
        )
        outcome = self.write_now(write)
        if outcome is None:
            [outcome] = await self.write((write,))
        return outcome.require()

    async def delete(
        self,
        key: StoreKey | str,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        if_revision: int | None = None,
        if_version: Version | None = None,
        if_hash: str | Digest | None = None,
    ) -> bool:
        """Remove the entry; whether there was one. Its versions stay in the history.

        Raises:
            Conflict: a condition does not hold.
        """
        write = Write(
            key,
            DELETE,
            write_options(modified_by, comment, None, None, None, None),
            conditions(if_revision, if_version, if_hash, if_absent=False),
        )
        outcome = self.write_now(write)
        if outcome is None:
            [outcome] = await self.write((write,))
        return outcome.before is not None

    async def touch(
        self,
        key: StoreKey | str,
        *,
        ttl: TimeToLive | Keep = KEEP,
        expires_at: datetime | None = None,
        modified_by: str | int | None = None,
        comment: str | None = None,
        tags: Iterable[str] | None = None,
        if_revision: int | None = None,
        if_version: Version | None = None,
    ) -> Entry[T] | None:
        """Write a new version with the same value, to renew its expiry, author or tags.

        The expiry stays unless `ttl` or `expires_at` says otherwise; `ttl=None` drops it. None,
        and nothing written, when there is no entry.
        """
        if expires_at is not None and ttl is KEEP:
            ttl = None
        [outcome] = await self.write(
            (
                Write(
                    key,
                    Modify(_same, only_living=True, keeps_schema=True, allow_none=True),
                    write_options(modified_by, comment, tags, ttl, expires_at, None),
                    conditions(if_revision, if_version, None, if_absent=False),
                ),
            )
        )
        return outcome.after

    async def restore(
        self,
        key: StoreKey | str,
        version: Version,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        if_revision: int | None = None,
    ) -> Entry[T]:
        """Write the value, tags and schema of an earlier version as a new one, without expiry.

        Raises:
            VersionNotFound: there is no such version, or its value is no longer kept.
        """
        past = await self.get(key, version=version)
        if past is None:
            raise VersionNotFound(
                f"version {version} of {str(key)!r} was wanted; it was never written, or is no "
                "longer kept. `history` tells which there are",
                key=str(key),
                version=version,
            )
        return await self._bring_back(
            key, past, modified_by, comment, conditions(if_revision, None, None, if_absent=False)
        )

    async def undelete(
        self,
        key: StoreKey | str,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> Entry[T]:
        """Bring a deleted or expired entry back as it last was, as a new incarnation.

        Raises:
            Conflict: there is an entry; `current` holds it.
            VersionNotFound: the key never had one, or its last value is no longer kept.
        """
        async for past in self.history(key, reverse=True):
            return await self._bring_back(
                key, past, modified_by, comment, conditions(None, None, None, if_absent=True)
            )
        current = await self.get(key)
        if current is not None:
            conditions(None, None, None, if_absent=True).check(key, current)
        raise VersionNotFound(
            f"the last version of {str(key)!r} was wanted back; the key has no past",
            key=str(key),
        )

    async def rename(
        self,
        key: StoreKey | str,
        new_key: StoreKey | str,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        if_revision: int | None = None,
    ) -> Entry[T]:
        """Move an entry to another key; its history, tags and expiry follow.

        Raises:
            KeyNotFound: there is no entry at `key`.
            DuplicateKey: the new key has an entry, or a past of its own.
        """
        [outcome] = await self.write(
            (
                Write(
                    key,
                    Rename(str(StoreKey.of(new_key))),
                    write_options(modified_by, comment, None, KEEP, None, None),
                    conditions(if_revision, None, None, if_absent=False),
                ),
            )
        )
        return outcome.require()

    async def _bring_back(
        self,
        key: StoreKey | str,
        past: Entry[Any],
        modified_by: str | int | None,
        comment: str | None,
        required: Any,
    ) -> Entry[T]:
        metadata = past.metadata
        options = write_options(
            modified_by, comment, metadata.tags_kept, None, None, metadata.schema_hash
        )
        [outcome] = await self.write(
            (Write(key, SetValue(past.value), options, required, cause=Cause.RESTORED),)
        )
        return outcome.require()


def _same(value: Any) -> Any:
    return value
