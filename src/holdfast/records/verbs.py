"""The verbs of entry stores: what every store does itself, and every decorator may do around it.

Nine of them do the work: `get`, `get_many`, `has`, `keys`, `items`, `history`, `find_by_tag`,
`write` and `subscribe`. Everything else is spelled in terms of them, once, in `calls.py` and
`bulk.py`, so a decorator that handles the verbs has handled every call, and none can slip past it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, overload

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import NOT_NOW, _NotNow
from holdfast.records.services.protocols import Outcome
from holdfast.records.walk import Walk
from holdfast.records.write import Write
from holdfast.store.change import Change
from holdfast.store.versions.entry import Entry, PastVersion

T = TypeVar("T")
S = TypeVar("S")

#: A version of the latest incarnation, or (incarnation, version).
Version = int | tuple[int, int]


class EntryVerbs(ABC, Generic[T]):
    """What every store of entries does itself."""

    @overload
    @abstractmethod
    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: type[S],
        write_back: bool = True,
    ) -> Entry[S] | None: ...
    @overload
    @abstractmethod
    async def get(
        self,
        key: StoreKey | str,
        *,
        version: Version | None = None,
        at: int | datetime | None = None,
        expect: object = None,
        write_back: bool = True,
    ) -> Entry[T] | None: ...
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
            expect: a schema or its digest: the value is of this shape, migrated if need be. Of a
                class the value is an instance.
            write_back: whether a living entry that had to be migrated is stored so.

        Raises:
            InvalidKey, InvalidInput: the arguments cannot be.
            SchemaMigrationMissing, SchemaValidationFailed: the value is not as expected, and no
                steps lead there.
        """

    @abstractmethod
    async def get_many(self, keys: Iterable[StoreKey | str]) -> dict[StoreKey, Entry[T]]:
        """The entries that exist, by key, all of one moment."""

    @abstractmethod
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
        """The keys that match, in key order; see `Pattern`.

        Read page by page, each page of one moment: writes meanwhile may show in later pages. For
        one moment throughout, walk a snapshot or inside a transaction.

        Args:
            pattern: which.
            reverse: from the last to the first.
            limit: at most so many; no more than these are read.
            after: begin behind this key, or where the `cursor` of an earlier walk left off.
            gt, gte, lt, lte: only keys above, from, below, up to this one.

        Raises:
            InvalidInput: `after` is the cursor of another walk, or an argument cannot be.
        """

    @abstractmethod
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
    ) -> Walk[Entry[T]]:
        """The entries whose keys match, in key order: page by page and with options like `keys`.

        An entry unpacks: `async for key, value in db.entries.items()`.
        """

    @abstractmethod
    def history(
        self,
        key: StoreKey | str,
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: tuple[int, int] | str | None = None,
    ) -> Walk[PastVersion[T]]:
        """Past versions, oldest first, earlier incarnations included; the living one is not.

        Args:
            key: whose.
            reverse: newest first.
            limit: at most so many.
            after: begin behind this (incarnation, version), or where the `cursor` of an earlier
                walk left off.
        """

    @abstractmethod
    def find_by_tag(
        self,
        tag: str,
        pattern: Pattern | str = "#",
        *,
        reverse: bool = False,
        limit: int | None = None,
        after: StoreKey | str | None = None,
    ) -> Walk[Entry[T]]:
        """The entries that carry the tag and match, in key order, found by an index.

        Args:
            tag: which.
            pattern: only keys that match.
            reverse: from the last key to the first.
            limit: at most so many.
            after: begin behind this key, or where the `cursor` of an earlier walk left off.
        """

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

    def peek(self, key: StoreKey | str) -> Entry[T] | Literal[_NotNow.NOT_NOW] | None:
        """The living entry without a coroutine, or NOT_NOW where it has to be waited for."""
        return NOT_NOW

    def write_now(self, write: Write) -> Outcome | None:
        """`write` of one without a coroutine; None, and nothing done, where it may have to wait.

        Whoever changes what `write` does and not this has it answer None.
        """
        return None
