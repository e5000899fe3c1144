"""Scopes as users hold them: what lies below some segments of a database, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from holdfast.codecs.keys import pack
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import format_namespace, parse_namespace
from holdfast.contract.record import Cursor
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.scope import EntryScope, segments_of
from holdfast.store.change import Change
from holdfast.store.feed.watch import Changes, Watch
from holdfast.store.locks.lock import TTL_S, Lock
from holdfast.stores.mounts import MountedStore
from holdfast.stores.multistore import MultiStore

if TYPE_CHECKING:
    from holdfast.documents.collection import Collection
    from holdfast.store.keyspaces import History

T = TypeVar("T")


class Whole(NamedTuple):
    """What a scope is a part of.

    Attributes:
        entries, changes, stores: of the handle.
        lock: makes the lock of a namespace; see `Database.lock`.
        collection: makes a collection; see `Database.collection`.
    """

    entries: KeyValueStoreInterface
    changes: Changes
    stores: MultiStore
    lock: Callable[[str, float | timedelta, float | timedelta | None], Lock]
    collection: Callable[[str, type[Any] | None, History | None], Collection[Any]]


class Scope:
    """One part of a database. Made by `Database.scope`.

    Its keys, patterns and namespaces are called from its segments on. These are literal, whatever
    characters they hold, and nothing leaves them.
    """

    def __init__(self, segments: tuple[str, ...], whole: Whole) -> None:
        self._segments = segments_of(segments)
        self._whole = whole
        self._entries: EntryScope[Any] = EntryScope(whole.entries, self._segments)

    def __repr__(self) -> str:
        return f"<Scope {'/'.join(self._segments)!r}>"

    @property
    def segments(self) -> tuple[str, ...]:
        """What everything in it is called below."""
        return self._segments

    @property
    def entries(self) -> EntryScope[Any]:
        """The entries below the segments."""
        return self._entries

    def scope(self, *segments: str) -> Scope:
        """The part further below: below these segments, seen from here.

        Raises:
            InvalidKey, InvalidInput: the segments cannot be.
        """
        below = (*self._segments, *segments_of(segments))
        return Scope(below, self._whole)

    async def store(self, name: str) -> MountedStore:
        """What lies below the segments in a named store: its keys begin with them, packed.

        Raises:
            StoreNotFound: there is no store of that name.
        """
        return (await self._whole.stores.get(name)).under(pack(self._segments))

    @overload
    def collection(self, name: str, *, history: History | None = None) -> Collection[Any]: ...
    @overload
    def collection(
        self, name: str, type: type[T], *, history: History | None = None
    ) -> Collection[T]: ...
    def collection(
        self, name: str, type: type[Any] | None = None, *, history: History | None = None
    ) -> Collection[Any]:
        """A collection of its own, whose name begins with the segments; see `Database.collection`.

        Each is a keyspace with indexes of its own: right for tenants, too much for every user of
        a million.
        """
        if not isinstance(name, str) or not name:
            return self._whole.collection(name, type, history)  # Refuses it.
        return self._whole.collection(format_namespace((*self._segments, name)), type, history)

    def watch(
        self,
        pattern: Pattern | str = "#",
        *,
        since: int | str | Cursor | None = None,
        snapshot: bool = False,
        conflate: bool = False,
        limit: int | None = None,
    ) -> Watch:
        """The changes of entries below the segments; see `Database.watch`."""
        asked, kept = self._entries.places.pattern(pattern)

        def translate(change: Change) -> Change | None:
            if change.key is None:
                return change  # The end of the snapshot.
            seen = self._entries.places.change(change)
            return seen if seen is None or kept is None or kept.matches(seen.key) else None

        self._whole.changes.gate.check()
        return self._whole.changes.watch(
            asked, since=since, snapshot=snapshot, conflate=conflate, limit=limit,
            translate=translate,
        )  # fmt: skip

    def lock(
        self,
        namespace: str = "",
        *,
        ttl: float | timedelta = TTL_S,
        timeout: float | timedelta | None = None,
    ) -> Lock:
        """The mutex of a namespace below the segments; empty: of the segments themselves.

        See `Database.lock`.
        """
        below = format_namespace((*self._segments, *parse_namespace(namespace)))
        return self._whole.lock(below, ttl, timeout)
