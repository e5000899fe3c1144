"""The one interface of entry stores: the core, and every decorator around it.

Nine verbs do the work: `get`, `get_many`, `has`, `keys`, `items`, `history`, `find_by_tag`,
`write` and `subscribe`. Everything else is spelled in terms of them here, once, so a decorator
that handles the verbs has handled every call, and none can slip past it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from holdfast.codecs.digest import Digest
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import NOT_NOW, _NotNow
from holdfast.contract.errors import KeyNotFound, VersionNotFound
from holdfast.records.options import (
    KEEP,
    NO_CONDITIONS,
    NO_OPTIONS,
    Keep,
    TimeToLive,
    conditions,
    write_options,
)
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import DELETE, Modify, Rename, SetValue, Write
from holdfast.store.change import Change
from holdfast.store.feed_row import Cause
from holdfast.store.versions.entry import Entry, PastVersion

#: A version of the latest incarnation, or (incarnation, version).
Version = int | tuple[int, int]


class KeyValueStoreInterface(ABC):
    """Entries in namespaces.

    Keys are `StoreKey` or their text: `users/active:123` is the name 123 in the namespace
    users/active. Values are what MessagePack holds: None, bool, int, float, str, bytes, aware
    datetime, and lists and str-keyed dicts of them. What is returned never aliases what is
    stored: change it as you like.
    """

    # --- The verbs --------------------------------------------------------------------------

    @abstractmethod
    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[Any] | None:
        """The entry, or None.

        Args:
            key: which.
            version: a version of the latest incarnation, or (incarnation, version).
            at: as of a revision, or as of an aware instant. As of a revision an entry that has
                run out since is what it was then.
            expect: a schema or its digest: the value is of this shape, migrated if need be.
            write_back: whether a living entry that had to be migrated is stored so.

        Raises:
            InvalidKey, InvalidInput: the arguments cannot be.
            SchemaMigrationMissing, SchemaValidationFailed: the value is not as expected, and no
                steps lead there.
        """

    @abstractmethod
    async def get_many(self, keys: Iterable[StoreKey | str]) -> dict[StoreKey, Entry[Any]]:
        """The entries that exist, by key, all of one moment."""

    @abstractmethod
    def keys(
        self, pattern: Pattern | str = "#", *, reverse: bool = False
    ) -> AsyncIterator[StoreKey]:
        """The keys that match, in key order; see `Pattern`.

        Read page by page, each page of one moment: writes meanwhile may show in later pages. For
        one moment throughout, walk a snapshot or inside a transaction.
        """

    @abstractmethod
    def items(
        self, pattern: Pattern | str = "#", *, reverse: bool = False
    ) -> AsyncIterator[Entry[Any]]:
        """The entries whose keys match, in key order; page by page like `keys`."""

    @abstractmethod
    def history(
        self, key: StoreKey | str, *, reverse: bool = False
    ) -> AsyncIterator[PastVersion[Any]]:
        """Past versions, oldest first, earlier incarnations included; the living one is not."""

    @abstractmethod
    def find_by_tag(self, tag: str, pattern: Pattern | str = "#") -> AsyncIterator[Entry[Any]]:
        """The entries that carry the tag and match, in key order, found by an index."""

    @abstractmethod
    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Carry out several writes as one commit, in the order given: all of them, or none.

        Each names another key. The outcomes hold the entries before and after, as the commit
        itself saw them.
        """

    @abstractmethod
    async def has(self, key: StoreKey | str) -> bool:
        """Whether there is an entry; reads no big value."""

    @abstractmethod
    def subscribe(
        self, pattern: Pattern | str, callback: Callable[[Change], object]
    ) -> Callable[[], None]:
        """Have `callback` called with each change of keys that match; ends when called.

        It gets the changes committed after this call, each once, in commit order, whoever makes
        them. A plain callback runs after the commit and before the writer goes on, unless it has
        fallen behind; a coroutine function runs as a task. What it raises harms neither the
        writer nor other subscribers. One that is too slow is called in a thread from then on.

        Raises:
            InvalidInput: the callback cannot be called here.
            PatternInvalid: there is no such pattern.
        """

    # --- The same at once ---------------------------------------------------------------------

    def peek(self, key: StoreKey | str) -> Entry[Any] | Literal[_NotNow.NOT_NOW] | None:
        """The living entry without a coroutine, or NOT_NOW where it has to be waited for."""
        return NOT_NOW

    def write_now(self, write: Write) -> Outcome | None:
        """`write` of one without a coroutine; None, and nothing done, where it may have to wait.

        Whoever changes what `write` does and not this has it answer None.
        """
        return None

    # --- Reading ----------------------------------------------------------------------------

    async def require(self, key: StoreKey | str) -> Entry[Any]:
        """The entry. Raises KeyNotFound when there is none."""
        entry = await self.get(key)
        if entry is None:
            raise KeyNotFound(
                f"an entry {str(key)!r} was wanted; there is none. `get` returns None instead",
                key=str(key),
            )
        return entry

    async def count(self, pattern: Pattern | str = "#") -> int:
        """How many keys match."""
        counted = 0
        async for _ in self.keys(pattern):
            counted += 1
        return counted

    # --- Writing ----------------------------------------------------------------------------

    async def set(
        self,
        key: StoreKey | str,
        value: Any,
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
    ) -> Entry[Any]:
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
        return outcome.require()

    async def set_many(
        self,
        values: Mapping[StoreKey | str, Any],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        tags: Iterable[str] | None = None,
        ttl: TimeToLive | Keep = None,
        expires_at: datetime | None = None,
        schema_hash: str | None = None,
        if_absent: bool = False,
        if_changed: bool = False,
    ) -> dict[StoreKey, Entry[Any]]:
        """Write several entries as one commit: all of them, or none. Options are for each."""
        options = write_options(modified_by, comment, tags, ttl, expires_at, schema_hash)
        required = conditions(None, None, None, if_absent)
        writes = [
            Write(key, SetValue(value), options, required, if_changed)
            for key, value in values.items()
        ]
        entries = [one.require() for one in await self.write(writes)]
        return {entry.key: entry for entry in entries}

    async def modify(
        self,
        key: StoreKey | str,
        change: Callable[[Any], Any],
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
    ) -> Entry[Any]:
        """Read, change and write as one step: no update of others is lost.

        `change` gets the value (None when there is no entry) and returns the new one. It runs
        inside the commit, so it should be quick, and on some engines more than once. The expiry
        stays unless `ttl` says otherwise. What `change` raises is raised here; nothing is written.

        Raises:
            InvalidInput: `change` is a coroutine function, or returned None where a value stood
                and `allow_none` does not say that this is meant.
        """
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

    async def delete_many(
        self,
        keys: Iterable[StoreKey | str],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> int:
        """Remove several entries as one commit; how many there were."""
        options = write_options(modified_by, comment, None, None, None, None)
        outcomes = await self.write([Write(key, DELETE, options) for key in keys])
        return sum(one.before is not None for one in outcomes)

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
    ) -> Entry[Any] | None:
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
    ) -> Entry[Any]:
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
    ) -> Entry[Any]:
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
    ) -> Entry[Any]:
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
    ) -> Entry[Any]:
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
