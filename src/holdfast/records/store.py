"""`KeyValueStore`: entries with metadata, history and conditions, from five injected services.

It holds no logic of its own. A write is always the same sequence: the key service names the key,
the storage serialises the value, the hashing service fingerprints it, the lock service holds the
namespace, and inside one commit of the storage the metadata service makes the next metadata of
what stands there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from holdfast.codecs.digest import Digest
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidInput, KeyNotFound
from holdfast.contract.runtime import Clock
from holdfast.records.entry import Entry, PastVersion, milliseconds
from holdfast.records.options import (
    KEEP,
    NO_CONDITIONS,
    Conditions,
    Keep,
    TimeToLive,
    WriteOptions,
    conditions,
    write_options,
)
from holdfast.records.services import (
    Decision,
    EntryStorage,
    HashingService,
    KeyService,
    LockService,
    MetadataService,
    Outcome,
    Past,
    Proposal,
    Serialized,
)

#: How many keys one atomic call may name.
KEYS_MAX = 10_000


class KeyValueStore:
    """Entries in namespaces.

    Keys are `StoreKey` or their text: `users/active:123` is the name 123 in the namespace
    users/active. Values are what MessagePack holds: None, bool, int, float, str, bytes, aware
    datetime, and lists and str-keyed dicts of them. What is returned never aliases what is
    stored: change it as you like.

    Args:
        storage, keys, hashing, metadata, locks: the services; see `records/services.py`.
        clock: what `ttl` counts from.
    """

    def __init__(
        self,
        *,
        storage: EntryStorage,
        keys: KeyService,
        hashing: HashingService,
        metadata: MetadataService,
        locks: LockService,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._keys = keys
        self._hashing = hashing
        self._metadata = metadata
        self._locks = locks
        self._clock = clock

    # --- Reading ----------------------------------------------------------------------------

    async def get(
        self,
        key: StoreKey | str,
        *,
        version: int | tuple[int, int] | None = None,
        at: int | datetime | None = None,
    ) -> Entry[Any] | None:
        """The entry, or None.

        Args:
            key: which.
            version: a version of the latest incarnation, or (incarnation, version).
            at: as of a revision, or as of an aware instant.

        Raises:
            InvalidKey, InvalidInput: the arguments cannot be.
        """
        text = self._keys.serialize(key)
        if version is None and at is None:
            return await self._storage.get(text)
        return await self._get_past(text, version, at)

    async def require(self, key: StoreKey | str) -> Entry[Any]:
        """The entry. Raises KeyNotFound when there is none."""
        text = self._keys.serialize(key)
        entry = await self._storage.get(text)
        if entry is None:
            raise KeyNotFound(
                f"an entry {text!r} was wanted; there is none. `get` returns None instead",
                key=text,
            )
        return entry

    async def get_many(self, keys: Iterable[StoreKey | str]) -> dict[StoreKey, Entry[Any]]:
        """The entries that exist, by key, all of one moment."""
        texts = self._texts(keys)
        entries = await self._storage.get_many(texts)
        return {entry.key: entry for entry in entries if entry is not None}

    async def has(self, key: StoreKey | str) -> bool:
        """Whether there is an entry."""
        return await self._storage.has(self._keys.serialize(key))

    async def keys(
        self, pattern: Pattern | str = "#", *, reverse: bool = False
    ) -> AsyncIterator[StoreKey]:
        """The keys that match, in key order; see `Pattern`."""
        async for key in self._storage.keys(Pattern.of(pattern), reverse=reverse):
            yield key

    async def items(
        self, pattern: Pattern | str = "#", *, reverse: bool = False
    ) -> AsyncIterator[Entry[Any]]:
        """The entries whose keys match, in key order."""
        async for entry in self._storage.scan(Pattern.of(pattern), reverse=reverse):
            yield entry

    async def count(self, pattern: Pattern | str = "#") -> int:
        """How many keys match."""
        counted = 0
        async for _ in self._storage.keys(Pattern.of(pattern), reverse=False):
            counted += 1
        return counted

    async def history(
        self, key: StoreKey | str, *, reverse: bool = False
    ) -> AsyncIterator[PastVersion[Any]]:
        """Past versions, oldest first, earlier incarnations included; the living one is not."""
        text = self._keys.serialize(key)
        async for past in self._storage.history(text, reverse=reverse):
            yield past

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
        if_version: tuple[int, int] | int | None = None,
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
        text = self._keys.serialize(key)
        options = write_options(
            self._clock, modified_by=modified_by, comment=comment, tags=tags, ttl=ttl,
            expires_at=expires_at, schema_hash=schema_hash,
        )  # fmt: skip
        required = conditions(if_revision, if_version, if_hash, if_absent)
        serialized = await self._storage.serialize(value)
        digest = self._hashing.calculate_data_hash(serialized.canonical)
        decide = self._decide_set(text, serialized, digest, options, required, if_changed)
        outcome = await self._locks.with_lock(
            self._keys.namespace(text), lambda: self._storage.transact([text], [decide], options)
        )
        after = outcome[0].after
        assert after is not None
        return after

    async def set_many(
        self,
        values: Mapping[StoreKey | str, Any],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        tags: Iterable[str] | None = None,
        ttl: TimeToLive | Keep = None,
        expires_at: datetime | None = None,
    ) -> dict[StoreKey, Entry[Any]]:
        """Write several entries as one commit: all of them, or none. Options are for each."""
        texts = self._texts(values)
        options = write_options(
            self._clock, modified_by=modified_by, comment=comment, tags=tags, ttl=ttl,
            expires_at=expires_at, schema_hash=None,
        )  # fmt: skip
        decisions: list[Decision] = []
        for text, value in zip(texts, values.values(), strict=True):
            serialized = await self._storage.serialize(value)
            digest = self._hashing.calculate_data_hash(serialized.canonical)
            decisions.append(
                self._decide_set(text, serialized, digest, options, NO_CONDITIONS, if_changed=False)
            )
        outcomes = await self._transact(texts, decisions, options)
        return {one.after.key: one.after for one in outcomes if one.after is not None}

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
    ) -> Entry[Any]:
        """Read, change and write as one step: no update of others is lost.

        `change` gets the value (None when there is no entry) and returns the new one. It runs
        inside the commit, so it should be quick, and on some engines more than once. The expiry
        stays unless `ttl` says otherwise. What `change` raises is raised here; nothing is written.
        """
        text = self._keys.serialize(key)
        options = write_options(
            self._clock, modified_by=modified_by, comment=comment, tags=tags, ttl=ttl,
            expires_at=None, schema_hash=schema_hash,
        )  # fmt: skip
        storage, hashing, metadata = self._storage, self._hashing, self._metadata

        def decide(current: Entry[Any] | None, past: Past | None) -> Proposal:
            value = change(None if current is None else current.value)
            serialized = storage.serialize_now(value)
            digest = hashing.calculate_data_hash(serialized.canonical)
            if current is None:
                return Proposal(metadata.generate_new_metadata(digest, options, past), serialized)
            return Proposal(
                metadata.generate_next_version(current.metadata, digest, options), serialized
            )

        outcome = await self._locks.with_lock(
            self._keys.namespace(text), lambda: self._storage.transact([text], [decide], options)
        )
        after = outcome[0].after
        assert after is not None
        return after

    async def delete(
        self,
        key: StoreKey | str,
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
        if_revision: int | None = None,
        if_version: tuple[int, int] | int | None = None,
        if_hash: str | Digest | None = None,
    ) -> bool:
        """Remove the entry; whether there was one. Its versions stay in the history.

        Raises:
            Conflict: a condition does not hold.
        """
        text = self._keys.serialize(key)
        options = write_options(
            self._clock, modified_by=modified_by, comment=comment, tags=None, ttl=None,
            expires_at=None, schema_hash=None,
        )  # fmt: skip
        required = conditions(if_revision, if_version, if_hash, if_absent=False)
        decide = _decide_delete(text, required)
        outcome = await self._locks.with_lock(
            self._keys.namespace(text), lambda: self._storage.transact([text], [decide], options)
        )
        return outcome[0].before is not None

    async def delete_many(
        self,
        keys: Iterable[StoreKey | str],
        *,
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> int:
        """Remove several entries as one commit; how many there were."""
        texts = self._texts(keys)
        options = write_options(
            self._clock, modified_by=modified_by, comment=comment, tags=None, ttl=None,
            expires_at=None, schema_hash=None,
        )  # fmt: skip
        decisions = [_decide_delete(text, NO_CONDITIONS) for text in texts]
        outcomes = await self._transact(texts, decisions, options)
        return sum(one.before is not None for one in outcomes)

    # --- Inside -----------------------------------------------------------------------------

    def _decide_set(
        self,
        text: str,
        serialized: Serialized,
        digest: bytes,
        options: WriteOptions,
        required: Conditions,
        if_changed: bool,
    ) -> Decision:
        metadata = self._metadata

        def decide(current: Entry[Any] | None, past: Past | None) -> Proposal | None:
            if required is not NO_CONDITIONS:
                required.check(text, current)
            if current is None:
                return Proposal(metadata.generate_new_metadata(digest, options, past), serialized)
            previous = current.metadata
            if if_changed and previous.digest == digest:
                return None
            return Proposal(metadata.generate_next_version(previous, digest, options), serialized)

        return decide

    async def _transact(
        self, texts: list[str], decisions: list[Decision], options: WriteOptions
    ) -> list[Outcome]:
        """Several keys in one commit, under the lock of each of their namespaces in order."""
        if not texts:
            return []
        namespaces = sorted({self._keys.namespace(text) for text in texts})

        async def locked(place: int) -> list[Outcome]:
            if place == len(namespaces):
                return await self._storage.transact(texts, decisions, options)
            return await self._locks.with_lock(namespaces[place], lambda: locked(place + 1))

        return await locked(0)

    def _texts(self, keys: Iterable[StoreKey | str]) -> list[str]:
        texts = [self._keys.serialize(key) for key in keys]
        if len(texts) > KEYS_MAX:
            raise InvalidInput(f"one call names at most {KEYS_MAX} keys; found {len(texts)}")
        if len(set(texts)) != len(texts):
            raise InvalidInput("one call names each key once; found one twice")
        return texts

    async def _get_past(
        self, text: str, version: int | tuple[int, int] | None, at: int | datetime | None
    ) -> Entry[Any] | None:
        if version is not None and at is not None:
            raise InvalidInput("give version or at, not both")
        if version is not None:
            incarnation = None
            if isinstance(version, tuple):
                incarnation, version = version
            if not isinstance(version, int) or isinstance(version, bool) or version < 1:
                raise InvalidInput(f"a version is an int from 1; found {version!r}")
            return await self._storage.version(text, incarnation, version)
        if isinstance(at, datetime):
            if at.tzinfo is None:
                raise InvalidInput("at is a revision or an aware datetime; found a naive one")
            return await self._storage.at(text, revision=None, instant_ms=milliseconds(at))
        if not isinstance(at, int) or isinstance(at, bool) or at < 0:
            raise InvalidInput(f"at is a revision or an aware datetime; found {at!r}")
        return await self._storage.at(text, revision=at, instant_ms=None)


def _decide_delete(text: str, required: Conditions) -> Decision:
    def decide(current: Entry[Any] | None, past: Past | None) -> Proposal:
        if required is not NO_CONDITIONS:
            required.check(text, current)
        return Proposal(None, None)

    return decide
