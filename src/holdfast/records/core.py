"""`KeyValueStore`: entries with metadata, history and conditions, from five injected services.

It holds no logic of its own. A write is always the same sequence: the key service names the key,
the storage serialises the value, the hashing service fingerprints it, the lock service holds the
namespace, and inside one commit of the storage the metadata service makes the next metadata of
what stands there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey, several
from holdfast.contract.engine import _NotNow
from holdfast.contract.errors import InvalidInput, KeyNotFound, StoreError, Unsupported
from holdfast.records.bulk import KEYS_MAX
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.options import NO_CONDITIONS, NO_OPTIONS, WriteOptions, the_tag
from holdfast.records.parts import Part, Walked
from holdfast.records.services.granting import GrantingLockService
from holdfast.records.services.protocols import (
    PROPOSE_DELETE,
    Decision,
    EntryStorage,
    HashingService,
    KeyService,
    LockService,
    MetadataService,
    Outcome,
    Past,
    Proposal,
    Step,
)
from holdfast.records.verbs import Version
from holdfast.records.walk import Walk
from holdfast.records.write import Delete, Modify, Rename, SetValue, Write
from holdfast.store.change import Change
from holdfast.store.feed_row import NO_CONTEXT, Cause
from holdfast.store.instants import milliseconds
from holdfast.store.text_keys import RESERVED, refuse_reserved
from holdfast.store.versions.chunks import Serialized
from holdfast.store.versions.entry import Entry, PastVersion

#: Of a walk that is asked for all that matches: limit, place and bounds.
_ALL = (None,) * 6


class KeyValueStore(KeyValueStoreInterface):
    """The core: orchestrates its services.

    Args:
        storage, keys, hashing, metadata, locks: the services; see `records/services/protocols.py`.
        privileged: whether it may write into reserved namespaces; the schema registry's may.
    """

    def __init__(
        self,
        *,
        storage: EntryStorage,
        keys: KeyService,
        hashing: HashingService,
        metadata: MetadataService,
        locks: LockService,
        privileged: bool = False,
    ) -> None:
        self._storage = storage
        self._keys = keys
        self._hashing = hashing
        self._metadata = metadata
        self._locks = locks
        self._privileged = privileged
        self._serialize = keys.serialize
        #: The same, where it is known: a key that it does not take goes the other way.
        self._known: Callable[[StoreKey | str], str] = getattr(keys, "known", keys.serialize)
        self._get = storage.get
        self._peek = storage.peek
        self._serialize_small = storage.serialize_small
        self._transact_now = storage.transact_now
        self._generate_new_metadata = metadata.generate_new_metadata
        self._generate_next_version = metadata.generate_next_version
        self._calculate_data_hash = hashing.calculate_data_hash
        self._grants = type(locks) is GrantingLockService

    def __repr__(self) -> str:
        services = (self._storage, self._keys, self._hashing, self._metadata, self._locks)
        return f"KeyValueStore({', '.join(type(service).__name__ for service in services)})"

    # --- Reading ----------------------------------------------------------------------------

    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[Any] | None:
        if expect is not None:
            raise Unsupported(
                "the core store knows no schemas; put `Validated` around it, as `db.entries` does"
            )
        if version is None and at is None:
            return await self._get(self._serialize(key))
        return await self._get_past(self._keys.serialize(key), version, at)

    def peek(self, key: StoreKey | str) -> Entry[Any] | Literal[_NotNow.NOT_NOW] | None:
        try:
            text = self._known(key)
        except TypeError:
            text = self._serialize(key)
        return self._peek(text)

    async def get_many(self, keys: Iterable[StoreKey | str]) -> dict[StoreKey, Entry[Any]]:
        texts = _once_each([self._keys.serialize(key) for key in several(keys)])
        entries = await self._storage.get_many(texts)
        return {entry.key: entry for entry in entries if entry is not None}

    async def has(self, key: StoreKey | str) -> bool:
        return await self._storage.has(self._keys.serialize(key))

    def keys(
        self,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
        gt: StoreKey | str | None = None,
        gte: StoreKey | str | None = None,
        lt: StoreKey | str | None = None,
        lte: StoreKey | str | None = None,
    ) -> Walk[StoreKey]:
        wanted = Pattern.of(pattern)
        if (limit, after, gt, gte, lt, lte) == _ALL:
            walk = Walk.over(self._storage.keys(wanted, reverse=reverse))
            return walk.of(partial(_place, wanted, reverse))
        part = Part(reverse, limit, after, gt, gte, lt, lte)
        return self._storage.part_of_keys(wanted, part)

    def items(
        self,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
        gt: StoreKey | str | None = None,
        gte: StoreKey | str | None = None,
        lt: StoreKey | str | None = None,
        lte: StoreKey | str | None = None,
    ) -> Walk[Entry[Any]]:
        wanted = Pattern.of(pattern)
        if (limit, after, gt, gte, lt, lte) == _ALL:
            walk = Walk.over(self._storage.scan(wanted, reverse=reverse))
            return walk.of(partial(_place_of_entry, wanted, reverse))
        part = Part(reverse, limit, after, gt, gte, lt, lte)
        return self._storage.part_of_entries(wanted, part)

    def history(
        self,
        key: StoreKey | str,
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: tuple[int, int] | str | None = None,
    ) -> Walk[PastVersion[Any]]:
        part = Part(reverse, limit, after)
        return self._storage.part_of_history(self._keys.serialize(key), part)

    def find_by_tag(
        self,
        tag: str,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
    ) -> Walk[Entry[Any]]:
        part = Part(reverse, limit, after)
        return self._storage.part_of_tagged(the_tag(tag), Pattern.of(pattern), part)

    def subscribe(
        self, pattern: Pattern | str, callback: Callable[[Change], object]
    ) -> Callable[[], None]:
        raise Unsupported(
            "the core store tells nobody of its changes; put `Evented` around it, as "
            "`db.entries` does, or watch the database"
        )

    # --- Writing ----------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if len(writes) == 1:
            steps = [self._step_now(writes[0]) or await self._step(writes[0])]
            if self._grants:
                return await self._storage.transact(steps)
            return await self._locks.with_lock(
                self._keys.namespace(steps[0].key), lambda: self._storage.transact(steps)
            )
        steps = [self._step_now(write) or await self._step(write) for write in writes]
        if not steps:
            return []
        _once_each([step.key for step in steps])
        if self._grants:
            return await self._storage.transact(steps)
        namespaces = sorted({self._keys.namespace(step.key) for step in steps})
        return await self._write_locked(steps, namespaces)

    def write_now(self, write: Write) -> Outcome | None:
        # A lock service that lets everybody through need not be waited for; another one must be.
        if not self._grants or not self._storage.acts_now:
            return None
        step = self._step_now(write)
        return None if step is None else self._transact_now(step)

    # --- Inside -----------------------------------------------------------------------------

    async def _write_locked(self, steps: list[Step], namespaces: list[str]) -> list[Outcome]:
        """Write under the lock of each namespace, taken in one order by everybody."""
        if not namespaces:
            return await self._storage.transact(steps)
        first, rest = namespaces[0], namespaces[1:]
        return await self._locks.with_lock(first, lambda: self._write_locked(steps, rest))

    def _step_now(self, write: Write) -> Step | None:
        """What the storage is asked to do for a write; None: the value takes time to serialise."""
        try:
            text = self._known(write.key)
        except TypeError:
            text = self._serialize(write.key)
        if not self._privileged and text.startswith(RESERVED):
            refuse_reserved(text)
        action = write.action
        kind = type(action)
        if kind is SetValue:
            try:
                serialized = self._serialize_small(action.value)  # type: ignore[union-attr]
            except StoreError as error:
                error.within(key=text)  # Values do not know where they are to stand.
                raise
            if serialized is None:
                return None
            payload = serialized.payload
            digest = self._calculate_data_hash(serialized.canonical)
            options, cause = write.options, write.cause
            plain = options is NO_OPTIONS and cause is Cause.WRITE
            context = NO_CONTEXT if plain else options.context(cause)
            if write.admit is not None:
                options = options.with_schema(write.admit(action.value))  # type: ignore[union-attr]
            # Not a function made here: that is nine objects for the collector to look at.
            decide: Decision
            decide = partial(self._propose, text, write, options, serialized, digest)
            return Step(text, decide, context, None, len(payload) if payload else 0)
        if kind is Modify:
            decide = self._modify(text, write, action)  # type: ignore[arg-type]
            return Step(text, decide, write.options.context(write.cause))
        if kind is Delete:
            return Step(text, _delete(text, write), write.options.context(write.cause))
        assert isinstance(action, Rename)
        new_key = self._keys.serialize(action.new_key)
        if not self._privileged:
            refuse_reserved(new_key)
        return Step(text, self._rename(text, write), write.options.context(Cause.RENAMED), new_key)

    async def _step(self, write: Write) -> Step:
        """The same for a value that is to be serialised, and hashed, away from the loop."""
        text, action = self._keys.serialize(write.key), write.action
        assert isinstance(action, SetValue)
        try:
            serialized = await self._storage.serialize(action.value)
        except StoreError as error:
            error.within(key=text)
            raise
        canonical = serialized.canonical
        if serialized.payload is not None:
            size = len(serialized.payload)
            digest = self._calculate_data_hash(canonical)
        else:
            size = sum(map(len, serialized.chunks))
            digest = await self._storage.apart(lambda: self._calculate_data_hash(canonical))
        options = write.options
        if write.admit is not None:
            options = options.with_schema(write.admit(action.value))
        decide = partial(self._propose, text, write, options, serialized, digest)
        return Step(text, decide, write.options.context(write.cause), None, size)

    def _propose(
        self,
        text: str,
        write: Write,
        options: WriteOptions,
        serialized: Serialized,
        digest: bytes,
        current: Entry[Any] | None,
        past: Past | None,
    ) -> Proposal | None:
        """The decision of a write that brings its value."""
        if write.conditions is not NO_CONDITIONS:
            write.conditions.check(text, current)
        if current is None:
            new = self._generate_new_metadata(digest, options, past)
            return Proposal(new, serialized)
        previous = current.metadata
        if write.if_changed and previous.digest == digest:
            return None
        return Proposal(self._generate_next_version(previous, digest, options), serialized)

    def _modify(self, text: str, write: Write, action: Modify) -> Decision:
        storage, hashing, metadata = self._storage, self._hashing, self._metadata
        options, required = write.options, write.conditions

        def decide(current: Entry[Any] | None, past: Past | None) -> Proposal | None:
            required.check(text, current)
            if current is None and action.only_living:
                return None
            value = action.change(None if current is None else current.value)
            if value is None or not isinstance(value, _PLAIN_KINDS):
                _refuse_mistake(text, value, current, action)
            try:
                serialized = storage.serialize_now(value)
            except StoreError as error:
                error.within(key=text)
                raise
            digest = hashing.calculate_data_hash(serialized.canonical)
            previous = None if current is None else current.metadata
            if write.if_changed and previous is not None and previous.digest == digest:
                return None
            told = options
            if write.admit is not None:
                told = options.with_schema(write.admit(value))
            elif action.keeps_schema and previous is not None:
                told = options.with_schema(previous.schema_hash)
            if previous is None:
                return Proposal(metadata.generate_new_metadata(digest, told, past), serialized)
            return Proposal(metadata.generate_next_version(previous, digest, told), serialized)

        return decide

    def _rename(self, text: str, write: Write) -> Decision:
        storage, metadata = self._storage, self._metadata
        options, required = write.options, write.conditions

        def decide(current: Entry[Any] | None, _past: Past | None) -> Proposal:
            required.check(text, current)
            if current is None:
                raise KeyNotFound(f"an entry {text!r} was to be renamed; there is none", key=text)
            previous = current.metadata
            schema_hash = previous.schema_hash
            if write.admit is not None:
                schema_hash = write.admit(current.value)
            told = options.with_schema(schema_hash)
            moved = metadata.generate_next_version(previous, previous.digest, told)
            if current.in_chunks:
                # Each version owns its chunks, so that giving one up cannot harm another.
                return Proposal(moved, storage.serialize_now(current.value))
            return Proposal(moved, None)

        return decide

    async def _get_past(
        self, text: str, version: Version | None, at: int | datetime | None
    ) -> Entry[Any] | None:
        if version is not None and at is not None:
            raise InvalidInput("give version or at, not both")
        if version is not None:
            match version:
                case (incarnation, number) if _counts(incarnation) and _counts(number):
                    return await self._storage.version(text, incarnation, number)
                case int() if _counts(version):
                    return await self._storage.version(text, None, version)
            raise InvalidInput(
                "a version is an int from 1, or a tuple of incarnation and version; "
                f"found {version!r}"
            )
        if isinstance(at, datetime):
            if at.tzinfo is None:
                raise InvalidInput("at is a revision or an aware datetime; found a naive one")
            return await self._storage.at(text, revision=None, instant_ms=milliseconds(at))
        if not isinstance(at, int) or isinstance(at, bool) or at < 0:
            raise InvalidInput(f"at is a revision or an aware datetime; found {at!r}")
        return await self._storage.at(text, revision=at, instant_ms=None)


def _place(pattern: Pattern, reverse: bool, key: StoreKey) -> str:
    return Walked.entries(pattern, reverse).cursor(str(key))


def _place_of_entry(pattern: Pattern, reverse: bool, entry: Entry[Any]) -> str:
    return _place(pattern, reverse, entry.key)


def _counts(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _delete(text: str, write: Write) -> Decision:
    required = write.conditions

    def decide(current: Entry[Any] | None, _past: Past | None) -> Proposal:
        if required is not NO_CONDITIONS:
            required.check(text, current)
        return PROPOSE_DELETE

    return decide


#: What most functions of `modify` return, and what needs no second look.
_PLAIN_KINDS = (dict, list, str, int, float, bytes)


def _refuse_mistake(text: str, value: object, current: Entry[Any] | None, action: Modify) -> None:
    """Refuse what a function of `modify` returns by mistake as a rule: a coroutine, or nothing."""
    if inspect.iscoroutine(value):
        value.close()
        raise InvalidInput(
            f"modify({text!r}) wants a plain function, because it runs inside the commit; found a "
            "coroutine function. Await what it needs before, and hand over the result"
        )
    if value is None and not action.allow_none and current is not None:
        # It may have changed the value in place, as `dict.update` does, and returned nothing.
        raise InvalidInput(
            f"the function of modify({text!r}) returned None where a value stood; nothing was "
            "written. Return the new value; to store None, pass allow_none=True"
        )


def _once_each(texts: list[str]) -> list[str]:
    if len(texts) > KEYS_MAX:
        raise InvalidInput(f"one call names at most {KEYS_MAX} keys; found {len(texts)}")
    if len(set(texts)) != len(texts):
        raise InvalidInput("one call names each key once; found one twice")
    return texts
