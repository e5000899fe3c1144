"""The five services a `KeyValueStore` is put together from, each with one job.

They are protocols: any object with these methods serves. The default ones stand beside them, in
`keys.py`, `hashing.py`, `metadata.py` and `granting.py`, and in `records/storage.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import _NotNow
from holdfast.records.options import WriteOptions
from holdfast.records.parts import Part
from holdfast.records.walk import Walk
from holdfast.store.feed_row import NO_CONTEXT, WriteContext
from holdfast.store.versions.chunks import Serialized
from holdfast.store.versions.entry import Entry, Metadata, PastVersion

T = TypeVar("T")


class Proposal(msgspec.Struct, frozen=True):
    """What a write decided to put under the key.

    Attributes:
        metadata: of the new version; None: delete.
        value: the new value; None with metadata: the value there is.
    """

    metadata: Metadata | None
    value: Serialized | None


#: Delete what stands there.
PROPOSE_DELETE = Proposal(None, None)


class Outcome(msgspec.Struct, frozen=True):
    """What a commit did to one key: the entries before and after it, each possibly absent.

    Attributes:
        revision: of the commit.
        written: False when the write found nothing to do.
    """

    revision: int
    before: Entry[Any] | None
    after: Entry[Any] | None
    written: bool

    def require(self) -> Entry[Any]:
        """The entry after a write that makes or keeps one."""
        assert self.after is not None
        return self.after


class Past(NamedTuple):
    """What is remembered of a key that was deleted or ran out."""

    identity: bytes
    incarnation: int
    updated_at_ms: int


#: Decides what to write, from the living entry and the key's past; None: write nothing.
Decision = Callable[[Entry[Any] | None, Past | None], Proposal | None]


class Step(msgspec.Struct):
    """One key's part of a commit: what is asked for, and what the last attempt made of it.

    Attributes:
        key: canonical text.
        decide: what to write.
        context: who and why, for the feed and for the record of a deletion.
        new_key: canonical text of the key to move to; None: stays.
        size: bytes of the value it brings, as far as that is known before the commit.
        before: the living entry that was found.
        after: stored bytes of the new version; None: there is none.
        chunks: of its value, when that is big and came with the write.
        written: whether there was anything to do.
    """

    key: str
    decide: Decision
    context: WriteContext = NO_CONTEXT
    new_key: str | None = None
    size: int = 0
    before: Entry[Any] | None = None
    after: bytes | None = None
    chunks: list[bytes] | None = None
    written: bool = False


@runtime_checkable
class KeyService(Protocol):
    """Turns keys into their one text form and back."""

    def serialize(self, key: StoreKey | str) -> str:
        """The canonical text, such as `users/active:123`. Raises InvalidKey."""
        ...

    def parse(self, serialized: str) -> StoreKey:
        """The key of a canonical text."""
        ...

    def namespace(self, serialized: str) -> str:
        """The namespace part of a canonical text: what is locked. Empty: the root."""
        ...


@runtime_checkable
class HashingService(Protocol):
    """Fingerprints values. `name` is kept with the data, and another service is refused there."""

    name: str

    def calculate_data_hash(self, canonical: list[bytes]) -> bytes:
        """32 bytes for the deterministic bytes of a value, given in pieces."""
        ...


@runtime_checkable
class MetadataService(Protocol):
    """The rules of metadata, and nothing else: no storage, no waiting."""

    def generate_new_metadata(
        self, data_hash: bytes, options: WriteOptions, past: Past | None
    ) -> Metadata:
        """Metadata of the first version of an incarnation."""
        ...

    def generate_next_version(
        self, previous: Metadata, data_hash: bytes, options: WriteOptions
    ) -> Metadata:
        """Metadata of the version after `previous`."""
        ...


@runtime_checkable
class LockService(Protocol):
    """Runs an operation while holding the lock of a namespace."""

    async def with_lock(self, namespace: str, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result. The lock is let go however the operation ends."""
        ...


class EntryStorage(Protocol):
    """Keeps entries, their past and the feed, on some engine. Keys are canonical texts."""

    async def get(self, key: str) -> Entry[Any] | None:
        """The living entry."""
        ...

    def peek(self, key: str) -> Entry[Any] | Literal[_NotNow.NOT_NOW] | None:
        """The same without a coroutine, or NOT_NOW."""
        ...

    async def get_many(self, keys: list[str]) -> list[Entry[Any] | None]:
        """The living entries, in the order of the keys, of one moment."""
        ...

    async def serialize(self, value: Any) -> Serialized:
        """The bytes of a value. Raises SerializationFailed; nothing is written."""
        ...

    async def apart(self, work: Callable[[], T]) -> T:
        """Run work that takes long where it does not hold up a loop."""
        ...

    def serialize_now(self, value: Any) -> Serialized:
        """The same, holding the thread."""
        ...

    def serialize_small(self, value: Any) -> Serialized | None:
        """The same, or None where that may take so long that a loop must not wait for it."""
        ...

    async def transact(self, steps: Sequence[Step]) -> list[Outcome]:
        """Decide and write several keys as one commit."""
        ...

    @property
    def acts_now(self) -> bool:
        """Whether `transact_now` is worth a try just now."""
        ...

    def transact_now(self, step: Step) -> Outcome | None:
        """One step without a coroutine; None, and nothing decided, where it may have to wait."""
        ...

    async def has(self, key: str) -> bool:
        """Whether there is a living entry; reads no big value."""
        ...

    def keys(self, pattern: Pattern, *, reverse: bool = False) -> AsyncIterator[StoreKey]:
        """The keys of living entries that match, in key order."""
        ...

    def scan(self, pattern: Pattern, *, reverse: bool = False) -> AsyncIterator[Entry[Any]]:
        """The living entries whose keys match, in key order."""
        ...

    def part_of_keys(self, pattern: Pattern, part: Part) -> Walk[StoreKey]:
        """The keys of living entries that match, as far as they are of the part."""
        ...

    def part_of_entries(self, pattern: Pattern, part: Part) -> Walk[Entry[Any]]:
        """The living entries whose keys match, as far as they are of the part."""
        ...

    def part_of_history(self, key: str, part: Part) -> Walk[PastVersion[Any]]:
        """Past versions of the part, oldest first, earlier incarnations included."""
        ...

    def part_of_tagged(self, tag: str, pattern: Pattern, part: Part) -> Walk[Entry[Any]]:
        """The living entries that carry the tag and match, in key order, of the part."""
        ...

    async def version(self, key: str, incarnation: int | None, version: int) -> Entry[Any] | None:
        """One version, living or past; without an incarnation, of the latest one."""
        ...

    async def at(
        self, key: str, *, revision: int | None, instant_ms: int | None
    ) -> Entry[Any] | None:
        """The entry as it stood at a revision or an instant."""
        ...
