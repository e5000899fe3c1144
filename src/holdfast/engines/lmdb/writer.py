"""One write transaction of LMDB, which is tried again when it only lacked room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import lmdb

from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.engines.embedded.group import Pending, Writer
from holdfast.engines.lmdb import batch_ids, facts
from holdfast.engines.lmdb.failures import full, translate
from holdfast.engines.lmdb.long_keys import STORED_KEY_BYTES_MAX, Tree
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.records import REVISION_BYTES, pack, unpack

T = TypeVar("T")

#: A write that deletes something and puts no more than this may use the reserve of a full disk.
RESERVE_BYTES_MAX = 64 * 1024
#: Doublings of the map between its least and its greatest size, and one for the ballast.
ROOM_ATTEMPTS_MAX = 48
#: So many rows are written one by one.
_FEW = 16
#: Values from here on are written one by one.
_BIG_BYTES = 64 * 1024
#: What LMDB may need beside the rows: pages of the trees above them.
_OVERHEAD_BYTES = 1024 * 1024

Rows = Sequence[tuple[bytes, Pending]]


class LmdbWriter(Writer):
    """Writes of one group.

    Rows that were applied are kept until the end: when map or disk turn out to be full and room
    can be made, they are written again in a new transaction. Nobody writes in between, because
    the turn (`locks.py`) is kept.

    Making one begins nothing, so that whoever is interrupted in `begin` knows what to abandon.

    Args:
        medium: the environment.
        clock: for the age of batch ids.
        turn_taken: the caller took the writer's turn and gives it back.
        owed: what it writes was acknowledged before, so that it may use the reserve.

    Attributes:
        note: writes facts in the commit itself.
    """

    def __init__(
        self, medium: Medium, clock: Clock, *, turn_taken: bool = False, owed: bool = False
    ) -> None:
        self.note: Callable[[lmdb.Transaction[bytes]], None] | None = None
        self._medium = medium
        self._clock = clock
        self._turn_taken = turn_taken
        self._owed = owed
        self._applied: list[Rows] = []
        self._ids: dict[bytes, int] = {}
        self._open = self._dirty = self._failed = False
        self._transaction: lmdb.Transaction[bytes] | None = None

    def begin(self, *, turn_held: bool = False) -> None:
        """Begin the transaction; waits for its turn, unless that is held and to be given back.

        `abandon` also ends what came half-way.
        """
        self._open = True
        try:
            if not (self._turn_taken or turn_held):
                self._medium.locks.take_turn(self._medium.config.lock_timeout)
            self._begin()
        except BaseException:
            self.abandon()
            raise
        self.head = self._head.revision

    def read(self, key: bytes) -> Record | None:
        try:
            transaction = self._transaction
            if transaction is not None and 0 < len(key) <= STORED_KEY_BYTES_MAX:
                stored = transaction.get(key, None, self._rows)
            else:
                stored = self._tree().get(key)
        except lmdb.Error as error:
            raise translate(error, self._medium.url) from error
        return None if stored is None else unpack(stored)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        if range.empty:
            return
        try:
            yield from self._tree().walk_range(range)
        except lmdb.Error as error:
            raise translate(error, self._medium.url) from error

    def apply(self, rows: Rows) -> None:
        self._applied.append(rows)
        try:
            self._write(rows)
        except lmdb.Error as error:
            self._make_room(error, None)

    def recall(self, id: bytes) -> int | None:
        known = self._ids.get(id)
        if known is not None:
            return known
        now = self._clock.now_ms()
        return batch_ids.recall(self._now(), self._medium.batches, id, now)

    def remember(self, id: bytes, revision: int) -> None:
        self._ids[id] = revision

    def finish(self, head: int) -> None:
        try:
            self._commit(head)
        except lmdb.Error as error:
            self._make_room(error, lambda: self._commit(head))
        self._medium.room.keep_reserve()
        self._leave()

    def abandon(self) -> None:
        if self._open:
            self._undo()
            self._leave()

    def look(self, action: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """What `action` reads inside the transaction."""
        return action(self._now())

    def run(self, action: Callable[[lmdb.Transaction[bytes]], None]) -> None:
        """Do something else inside the transaction, such as note a fact."""
        self._dirty = True
        action(self._now())
        self._head = facts.read_head(self._now())

    # --- Inside -----------------------------------------------------------------------------

    def _now(self) -> lmdb.Transaction[bytes]:
        assert self._transaction is not None
        return self._transaction

    def _begin(self) -> None:
        medium = self._medium
        self._dirty = self._failed = False
        try:
            self._transaction = transaction = medium.begin_write()
        except lmdb.Error as error:
            raise translate(error, medium.url) from error
        self._rows = medium.rows
        self._head = facts.read_head(transaction)
        if self._head.owners:
            self._dirty = True
            medium.settle_owners(transaction)
            self._head = facts.read_head(transaction)

    def _tree(self) -> Tree:
        return self._medium.tree(self._now())

    def _undo(self) -> None:
        """End the transaction without a trace.

        The driver aborts only when no other thread is reading at that very moment, which under
        load may take long. LMDB itself undoes a transaction in which a write failed, and
        committing one without writes does nothing; both need no such moment.
        """
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        with suppress(lmdb.Error):  # An interrupt may come when it has just ended.
            if self._dirty and not self._failed:
                transaction.abort()
            else:
                transaction.commit()

    def _leave(self) -> None:
        self._open = False
        self._applied.clear()
        if not self._turn_taken:
            self._medium.locks.end_turn()

    def _write(self, rows: Rows) -> None:
        self._dirty = True
        if len(rows) <= _FEW:
            # One by one costs least for the rows of one change.
            put, trees = self._now().put, self._rows
            for key, (value, revision) in rows:
                if value is None or len(key) > STORED_KEY_BYTES_MAX:
                    self._write_many(((key, (value, revision)),))
                else:
                    put(key, revision.to_bytes(REVISION_BYTES) + value, True, True, False, trees)
            return
        self._write_many(rows)

    def _write_many(self, rows: Rows) -> None:
        puts, tree = [], self._tree()
        for key, (value, revision) in rows:
            if value is None:
                tree.delete(key)
            else:
                puts.append((key, pack(value, revision)))
                if len(value) >= _BIG_BYTES:
                    # Not gathered: freeing many big copies at once would hold up other threads.
                    tree.put_many(puts)
                    puts.clear()
        if puts:
            tree.put_many(puts)

    def _commit(self, head: int) -> None:
        transaction = self._now()
        if self._ids:
            now = self._clock.now_ms()
            batch_ids.remember(transaction, self._medium.batches, self._ids, now)
        if self.note is not None:
            self.note(transaction)
        facts.write_head(transaction, head, self._head.owners)
        transaction.commit()
        self._transaction = None

    def _make_room(self, failure: lmdb.Error, step: Callable[[], None] | None) -> None:
        """After a step that found no room: make some, write everything again, and repeat it.

        Args:
            failure: what LMDB said.
            step: what to do then; None when writing everything again was the step.
        """
        self._failed = isinstance(failure, lmdb.MapFullError)
        for _ in range(ROOM_ATTEMPTS_MAX):
            self._undo()
            try:
                deletes, wanted = self._balance()
                self._medium.room.make(failure, wanted, deletes=deletes)
                self._begin_again()
            except BaseException:
                self.abandon()
                raise
            try:
                for rows in self._applied:
                    self._write(rows)
                if step is not None:
                    step()
                return
            except lmdb.Error as error:
                failure = error
                self._failed = isinstance(error, lmdb.MapFullError)
        self.abandon()
        raise translate(failure, self._medium.url) from failure

    def _begin_again(self) -> None:
        self._begin()
        if self._head.revision != self.head:
            # Only a program that knows nothing of turns can do that.
            self._undo()
            raise full(self._medium.url)

    def _balance(self) -> tuple[bool, int]:
        """Whether the group may use the reserve, as deletes may; and how much it puts."""
        puts = sum(len(row[1][0]) for rows in self._applied for row in rows if row[1][0])
        deletes = any(row[1][0] is None for rows in self._applied for row in rows)
        deletes = self._owed or (deletes and puts <= RESERVE_BYTES_MAX)
        return deletes, puts + _OVERHEAD_BYTES
