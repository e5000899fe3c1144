"""What a database in memory holds: records, their order, and the past that snapshots look at.

A dict holds the records, and `KeyOrder` their order. While snapshots are open, records that are
overwritten are kept for them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import filterfalse
from typing import Any

from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import StorageFull
from holdfast.contract.record import Range, Record
from holdfast.engines.embedded.held_past import HeldPast
from holdfast.engines.embedded.key_order import KeyOrder

#: A record as it is kept: plain tuples of plain things are nothing to the collector, which else
#: would look at all of a database again and again.
Kept = tuple[bytes, int]

#: A tuple of a class, a record say, without the call that its class would make.
make: Any = tuple.__new__


def shown(kept: Kept | None) -> Record | None:
    """A record as the contract has it."""
    return None if kept is None else make(Record, kept)


class State:
    """What the database holds.

    Attributes:
        records: by key, the newest.
        head: the newest revision.
        batch_ids: id of a batch to (revision, instant by the monotonic clock), the oldest first.
        past: the records that open snapshots see.
        size: bytes of all keys and values, kept only where there is a limit.
        size_max: that limit; 0: none.
        lock: held while a group is written in, and by readers of more than one key.
    """

    def __init__(self, size_max: int = 0) -> None:
        self.records: dict[bytes, Kept] = {}
        self.size = 0
        self.size_max = size_max
        self.head = 0
        self.batch_ids: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self.past: HeldPast[Kept] = HeldPast()
        self.lock = threading.RLock()
        self._order = KeyOrder(self.records)

    def put(self, key: bytes, record: Kept | None, revision: int) -> Kept | None:
        """Write or (None) delete; what stood there before."""
        before = self.records.get(key)
        if self.size_max:
            self.size += size_of(key, record) - size_of(key, before)
        self.past.overwrite(key, before, revision)
        if record is not None:
            if before is None:
                self._order.add((key,))
            self.records[key] = record
        elif before is not None:
            self._order.discard(key)
            del self.records[key]
        return before

    def require_room(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Raise StorageFull where these rows make the database larger than it may be."""
        if not self.size_max:
            return
        get = self.records.get
        growth = sum(
            size_of(key, None if value is None else (value, 0)) - size_of(key, get(key))
            for key, value in rows
        )
        if growth > 0 and self.size + growth > self.size_max:
            raise StorageFull(
                f"the database in memory may take {self.size_max} bytes; it has {self.size} and "
                f"would take {growth} more. Delete something, or open it with a larger size_max"
            )

    def put_all(self, new: dict[bytes, Kept], revision: int) -> None:
        """Write the rows of one commit, while no snapshot is open.

        All of them, or (an interrupt, no memory) none. Not for a database with a limit.
        """
        if self.past.rows:
            self.past.forget_dropped()
        records = self.records
        before = [*map(records.get, new)]
        try:
            if self._order.made:
                self._order.add([*filterfalse(records.__contains__, new)])
            records.update(new)
            self.head = revision
        except BaseException:
            self.head = revision - 1
            for key, record in zip(new, before, strict=True):
                if record is not None:
                    records[key] = record
                else:
                    records.pop(key, None)
            raise

    def walk(self, range: Range) -> Iterator[tuple[bytes, Kept]]:
        """The rows of the range, in its order."""
        if range.empty:
            return
        records = self.records
        for key in self._order.walk(range):
            yield key, records[key]

    def walk_at(self, range: Range, revision: int) -> Iterator[tuple[bytes, Kept]]:
        """The same as of a revision that a snapshot holds."""
        if range.empty:
            return
        for key in self.past.keys(self._order.walk(range), range):
            record = self.at(key, revision)
            if record is not None:
                yield key, record

    def at(self, key: bytes, revision: int) -> Kept | None:
        """The record as of a revision that a snapshot holds."""
        return self.past.at(key, revision, self.records.get(key))

    def release(self, token: object) -> None:
        """A snapshot is closed."""
        with self.lock:
            self.past.release(token)

    def forget_order(self) -> None:
        """Make the key order anew, after an interrupt that may have come while it was made."""
        self._order.forget()
        self.past.forget_order()


def size_of(key: bytes, kept: Kept | None) -> int:
    """What a row counts for, in bytes."""
    return 0 if kept is None else len(key) + len(kept[0])


class MemorySnapshot(Snapshot):
    """A view of the revision at which it was made; one that nobody has any more ends by itself."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.closed = False
        self._token = object()
        with state.lock:
            self.revision = state.head
            state.past.take(self._token, state.head)

    def close(self) -> None:
        self.closed = True
        self.state.release(self._token)

    def __del__(self) -> None:
        # Collected in any thread, which must not wait for a lock: the next write forgets the past.
        if hasattr(self, "_token"):
            self.state.past.drop(self._token)
