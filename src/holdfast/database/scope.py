"""Scopes as users hold them: what lies below some segments of a database, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import format_namespace, parse_namespace
from holdfast.contract.record import Cursor
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.scope import EntryScope, segments_of
from holdfast.store.change import Change
from holdfast.store.feed.watch import Changes, Watch
from holdfast.store.locks.lock import TTL_S, Lock

#: Makes the lock of a namespace; see `Database.lock`.
MakeLock = Callable[[str, float | timedelta, float | timedelta | None], Lock]


class Scope:
    """One part of a database. Made by `Database.scope`.

    Its keys, patterns and namespaces are called from its segments on. These are literal, whatever
    characters they hold, and nothing leaves them.
    """

    def __init__(
        self,
        segments: tuple[str, ...],
        entries: KeyValueStoreInterface,
        changes: Changes,
        make_lock: MakeLock,
    ) -> None:
        self._segments = segments_of(segments)
        self._root = entries
        self._entries: EntryScope[Any] = EntryScope(entries, self._segments)
        self._changes = changes
        self._make_lock = make_lock

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
        return Scope(below, self._root, self._changes, self._make_lock)

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

        self._changes.gate.check()
        return self._changes.watch(
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
        return self._make_lock(below, ttl, timeout)
