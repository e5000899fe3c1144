"""Entries kept in memory for reading, and how they are found out to be old.

What was changed is told by the feed. Before an entry is served from memory the feed must have been
read up to a moment that is at most `LOOK_INTERVAL_S` old: a write of another handle or process is
seen within that time, whatever else happens, because nothing is served that was not looked after.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, NamedTuple

from holdfast.codecs import envelope
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, InvalidInput
from holdfast.contract.runtime import Clock
from holdfast.store.feed.feed import Feed
from holdfast.store.text_keys import unpack_key
from holdfast.store.versions.entry import Entry
from holdfast.store.versions.rows import Rows

#: How old the last look at the feed may be for an entry to be served from memory.
LOOK_INTERVAL_S = 0.05
#: How many revisions are read to find out what is old; after more, everything is forgotten.
CATCH_UP_REVISIONS_MAX = 10_000
#: What an entry takes in memory besides its bytes and those of its key, about.
ENTRY_OVERHEAD_BYTES = 500
#: An entry over this part of the cache is not kept: it would push out too many others.
ENTRY_PART_MAX = 1 / 8


class CacheLimits(NamedTuple):
    """How much a cache may hold; what was used least recently goes first.

    Attributes:
        entries_max: entries, keys that are known to be absent included.
        bytes_max: bytes, about.
    """

    entries_max: int = 10_000
    bytes_max: int = 64 * 1024 * 1024


class CacheStats(NamedTuple):
    """What a cache did since it was made, and what it holds.

    Attributes:
        hits: reads served from memory.
        misses: reads that went on to the database.
        evicted: entries that went because others needed their place.
        invalidated: entries that went because they were changed.
        entries, bytes: what it holds now.
    """

    hits: int
    misses: int
    evicted: int
    invalidated: int
    entries: int
    bytes: int


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "the cache does not know"


UNKNOWN: Final = Unknown.UNKNOWN


class EntryCache:
    """Entries of one keyspace by canonical key; None stands for a key known to be absent.

    Args:
        engine: of the database.
        feed: of the database.
        rows: of the keyspace.
        clock: decides what has expired and when to look again.
        limits: how much it may hold.
    """

    def __init__(
        self, engine: Engine, feed: Feed, rows: Rows, clock: Clock, limits: CacheLimits
    ) -> None:
        if limits.entries_max < 1 or limits.bytes_max < 1:
            raise InvalidInput(
                "a cache holds at least one entry and one byte; found "
                f"{limits.entries_max} entries and {limits.bytes_max} bytes"
            )
        self._engine = engine
        self._feed = feed
        self._keyspace = rows.keyspace.number
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Entry[Any] | None] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._evicted = self._invalidated = 0
        #: Whatever changed up to this revision is accounted for.
        self._revision = -1
        self._looked_at: float | None = None
        self._suspicions = 0
        #: Grows whenever something may have become old.
        self.changes = 0

    def stats(self) -> CacheStats:
        """What it did and what it holds."""
        with self._lock:
            return CacheStats(
                self._hits, self._misses, self._evicted, self._invalidated,
                len(self._entries), self._bytes,
            )  # fmt: skip

    # --- What is there ----------------------------------------------------------------------

    def find(self, key: str) -> Entry[Any] | Unknown | None:
        """A fresh copy of the entry; None: absent; UNKNOWN: ask the database.

        Only after `look`.
        """
        with self._lock:
            found: Entry[Any] | Unknown | None = self._entries.get(key, UNKNOWN)
            if found is UNKNOWN:
                self._misses += 1
                return UNKNOWN
            self._hits += 1
            self._entries.move_to_end(key)
        if found is None:
            return None
        stored = found.stored
        expires = stored[1] & envelope.EXPIRES
        if expires and envelope.expires_at_ms(stored) <= self._clock.now_ms():
            return None
        return found.fresh()

    def keep(self, key: str, entry: Entry[Any] | None, changes: int) -> None:
        """Remember what was read, unless something changed since `changes` was asked."""
        weight = _weight(key, entry)
        if weight > self._limits.bytes_max * ENTRY_PART_MAX:
            return
        copy = None if entry is None else entry.fresh()
        with self._lock:
            if changes != self.changes:
                return
            if key in self._entries:
                self._bytes -= _weight(key, self._entries.pop(key))
            self._entries[key] = copy
            self._bytes += weight
            entries_max, bytes_max = self._limits
            while len(self._entries) > entries_max or self._bytes > bytes_max:
                oldest, gone = self._entries.popitem(last=False)
                self._bytes -= _weight(oldest, gone)
                self._evicted += 1

    # --- What has become old ----------------------------------------------------------------

    def forget(self, keys: Iterable[str]) -> None:
        """These were, or may have been, changed."""
        with self._lock:
            self.changes += 1
            for key in keys:
                if key in self._entries:
                    self._bytes -= _weight(key, self._entries.pop(key))
                    self._invalidated += 1

    def suspect(self) -> None:
        """Look again before anything else is served: this handle wrote by another way."""
        self._suspicions += 1
        self._looked_at = None

    async def look(self) -> None:
        """Find out what has become old, unless that was done a moment ago."""
        now = self._clock.monotonic()
        looked_at, suspicions = self._looked_at, self._suspicions
        if looked_at is not None and now - looked_at < LOOK_INTERVAL_S:
            return
        head = await self._engine.head()
        if head != self._revision:
            await self._catch_up(head)
        if suspicions == self._suspicions:
            self._looked_at = now

    async def _catch_up(self, head: int) -> None:
        since = self._revision
        if not 0 <= head - since <= CATCH_UP_REVISIONS_MAX or since < 0:
            self._forget_all()
        else:
            try:
                async for positions in self._feed.after(since):
                    rows = [position.row for position in positions]
                    changed = [row.key for row in rows if row.keyspace == self._keyspace]
                    if not all(changed):
                        self._forget_all()  # The whole keyspace was changed.
                    elif changed:
                        self.forget(str(unpack_key(key)) for key in changed)
            except Compacted:
                self._forget_all()
        with self._lock:
            # Another reader may have come further meanwhile.
            self._revision = head if head < since else max(self._revision, head)

    def _forget_all(self) -> None:
        with self._lock:
            self.changes += 1
            self._invalidated += len(self._entries)
            self._entries.clear()
            self._bytes = 0


def _weight(key: str, entry: Entry[Any] | None) -> int:
    held = 0 if entry is None else entry.bytes_held
    return ENTRY_OVERHEAD_BYTES + len(key) + held
