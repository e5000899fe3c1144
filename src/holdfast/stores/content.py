"""What stands in a store: how its keys are read, walked and written, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple, Self

from msgspec import Struct

from holdfast.contract.batch import Need
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, InvalidInput, InvalidKey
from holdfast.contract.record import THIS_COMMIT, Range, Record
from holdfast.store.feed_row import NO_CONTEXT, WriteContext
from holdfast.store.plan import Plan
from holdfast.store.space import Space, WritePlan

#: A pair of a store.
Pair = tuple[bytes, bytes]

#: How often a write is prepared anew while others save and load versions.
WRITE_ATTEMPTS: Final = 64


class Moved(Exception):
    """Another saved version is below the unsaved changes than the one that was looked at."""


class Overtaken(Exception):
    """A key that is to be written, or the version below, changed since the moment in question."""


def moving() -> Conflict:
    """The error for a caller that met that all the time."""
    return Conflict("versions of the store were saved or loaded all the time; try again later")


class Wish(Struct, frozen=True, gc=False):
    """What is to become of a key. The garbage collector leaves these alone: writes have thousands.

    Attributes:
        key: of the store.
        value: None removes the key.
        ttl_ms: milliseconds until the value expires; 0: never.
    """

    key: bytes
    value: bytes | None
    ttl_ms: int = 0


class Written(NamedTuple):
    """What a commit did.

    Attributes:
        revision: of the commit; 0 inside a transaction.
        existed: for each wish, whether its key had a value before.
    """

    revision: int
    existed: tuple[bool, ...]


class Prepared(NamedTuple):
    """A write that only has to be committed.

    Attributes:
        keys: what the commit has to see.
        write: decides; fills `existed`.
        existed: for each wish, whether its key had a value before.
    """

    keys: Sequence[bytes]
    write: WritePlan
    existed: list[bool]


class Bounds(NamedTuple):
    """A part of a store, and how it is walked.

    Attributes:
        start, end: the keys with `start <= key < end`; None: no bound.
        reverse: from the last to the first.
        limit: at most so many; None: all.
    """

    start: bytes | None = None
    end: bytes | None = None
    reverse: bool = False
    limit: int | None = None

    @classmethod
    def checked(cls, start: object, end: object, *, reverse: bool, limit: object) -> Self:
        """Bounds as a caller gave them. Raises InvalidKey, InvalidInput."""
        if limit is not None and (
            not isinstance(limit, int) or isinstance(limit, bool) or limit < 0
        ):
            raise InvalidInput(f"limit is an int from 0, or None; found {limit!r}")
        for bound in (start, end):
            if bound is not None and type(bound) is not bytes:
                raise InvalidKey(f"start and end are bytes; found a {type(bound).__name__}")
        return cls(start, end, reverse, limit)  # type: ignore[arg-type]  # both were looked at


class Content(ABC):
    """The keys and values of one store, on its engine, or in a transaction or snapshot.

    Attributes:
        space: where it reads and writes.
    """

    space: Space

    @abstractmethod
    def on(self, engine: Engine) -> Content:
        """The same store seen through a transaction or a snapshot."""

    @abstractmethod
    async def value(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    @abstractmethod
    async def has(self, key: bytes) -> bool:
        """Whether the key has a value; does not read the chunks of a big one."""

    @abstractmethod
    async def length(self, key: bytes) -> int | None:
        """How many bytes the value of a key has, or None."""

    @abstractmethod
    async def part(self, key: bytes, offset: int, length: int | None) -> bytes | None:
        """Some bytes of the value of a key, or None when the key has no value."""

    @abstractmethod
    def walk(self, bounds: Bounds) -> AsyncIterator[Pair]:
        """The pairs within bounds, in the order of the keys or against it."""

    async def walk_keys(self, bounds: Bounds) -> AsyncIterator[bytes]:
        """The keys within bounds; a content that has values elsewhere leaves them unread."""
        async for key, _ in self.walk(bounds):
            yield key

    @abstractmethod
    async def page(self, range: Range) -> tuple[list[tuple[bytes, bytes, int]], Range | None]:
        """A page of (key, value, revision) within a range of data keys, and what is left of it."""

    @abstractmethod
    async def count(self, bounds: Bounds) -> int:
        """How many pairs there are within bounds."""

    @abstractmethod
    async def prepared(self, wishes: Sequence[Wish]) -> Prepared:
        """What does all of it in a commit; no two wishes are of one key.

        Raises:
            Unsupported: a wish that this kind of store cannot fulfil.
        """

    async def write(self, wishes: Sequence[Wish], context: WriteContext = NO_CONTEXT) -> Written:
        """Do all of it in one commit, or none."""
        return await self._written(wishes, context, None)

    async def write_since(
        self, wishes: Sequence[Wish], revision: int, context: WriteContext
    ) -> Written:
        """The same, unless what it writes to changed since a revision. Raises Overtaken."""
        return await self._written(wishes, context, revision)

    async def _written(
        self, wishes: Sequence[Wish], context: WriteContext, since: int | None
    ) -> Written:
        for _ in range(WRITE_ATTEMPTS):
            prepared = await self.prepared(wishes)
            if since is not None:
                prepared = prepared._replace(write=_unless_newer(prepared.write, since))
            try:
                receipt = await self.space.commit(prepared.keys, prepared.write, context)
            except Moved:
                continue
            return Written(told_revision(receipt.revision), tuple(prepared.existed))
        raise moving()


def told_revision(revision: int) -> int:
    """The revision of a commit as callers are told it: 0 inside a transaction."""
    return 0 if revision == THIS_COMMIT else revision


def _unless_newer(write: WritePlan, since: int) -> WritePlan:
    """The same, which raises Overtaken where a row is newer than a revision."""

    def checked(plan: Plan, records: Sequence[Record | None]) -> Need | None:
        if any(record is not None and record.revision > since for record in records):
            raise Overtaken
        return write(plan, records)

    return checked
