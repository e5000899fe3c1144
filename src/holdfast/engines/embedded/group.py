"""Deciding batches: what one engine transaction does with the batches gathered for it.

Several batches share one transaction of the engine, each decided in turn on what the earlier ones
left. Their writes gather in memory and reach the driver sorted and at once, so a key that sixty
batches overwrite is written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from holdfast.contract.batch import (
    NEEDS_MAX,
    Answer,
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    DeleteRange,
    Draft,
    Need,
    Put,
    Receipt,
    Rewrite,
    append_key,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import decided_batch
from holdfast.contract.errors import Conflict, StoreError
from holdfast.contract.record import Range, Record
from holdfast.engines.embedded.puts import puts_of
from holdfast.engines.embedded.work import Raised, Work

__all__ = ["BATCH_ID_MS", "Group", "Pending", "Work", "Writer"]

#: A write that waits to reach the driver: the new value (None: delete) and its revision.
Pending = tuple[bytes | None, int]

#: Keys are different, so that pairs sort by them alone; of many that takes half as long.
_key = itemgetter(0)

_make = tuple.__new__
#: How long the id of a batch is remembered.
BATCH_ID_MS = 10 * 60 * 1000
#: How many keys a range delete gathers before it hands them to the driver.
DELETE_KEYS_MAX = 10_000


class Writer(ABC):
    """One write transaction of a driver, used by one thread at a time.

    Attributes:
        head: the revision of the newest commit when the transaction began.
    """

    head: int

    @abstractmethod
    def read(self, key: bytes) -> Record | None:
        """The record as this transaction sees it."""

    @abstractmethod
    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        """The rows of the range as this transaction sees them; not used across a write."""

    @abstractmethod
    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        """Write rows that are sorted by key. Raises StorageFull, and the writer is then void."""

    @abstractmethod
    def recall(self, id: bytes) -> int | None:
        """The revision that a batch with this id was committed at, while remembered."""

    @abstractmethod
    def remember(self, id: bytes, revision: int) -> None:
        """Keep the id of a batch for some minutes."""

    @abstractmethod
    def finish(self, head: int) -> None:
        """Commit with `head` as the newest revision, flushed as the durability mode says."""

    @abstractmethod
    def abandon(self) -> None:
        """Undo everything; calling it after `finish` does nothing."""


class Group:
    """The batches of one engine transaction.

    Args:
        writer: the transaction.
        validate: raises for a batch that breaks a limit.
        limits: those limits, where a draft within them needs no other look.

    Attributes:
        revision: of the last batch decided.
        pending: writes not yet with the driver, by key.
        broken: the driver failed; the whole group has to be abandoned.
        finishing: its commit was begun, and may be through.
    """

    def __init__(
        self,
        writer: Writer,
        validate: Callable[[Batch | Draft], None],
        limits: Capabilities | None = None,
    ) -> None:
        self.writer = writer
        self.revision = writer.head
        self.pending: dict[bytes, Pending] = {}
        self.changed = False
        self.broken = False
        self.finishing = False
        self._validate = validate
        self._limits = limits

    def run(self, work: Work) -> None:
        """Decide one batch; its failure is its own and leaves no trace in the group."""
        try:
            work.receipt = self._run(work)
            work.error = None
        except Raised as raised:
            work.error = raised.error
        except StoreError as error:
            work.error = error
        except MemoryError:
            raise  # The engine's own, for what the function raised came as `Raised`.
        except Exception as error:
            if work.decide is None:
                raise
            work.error = error

    def finish(self) -> None:
        """Hand what is pending to the driver and commit; nothing changed: just let go."""
        if self.changed:
            if self.pending:
                self.push()
            self.finishing = True
            self.writer.finish(self.revision)
        else:
            self.writer.abandon()

    def push(self) -> None:
        """Hand what is pending to the driver, inside its transaction."""
        if self.pending:
            self._apply(sorted(self.pending.items(), key=_key))
            self.pending.clear()

    def read(self, key: bytes) -> Record | None:
        """The record as the next batch sees it."""
        pending = self.pending.get(key)
        if pending is None:
            return self.writer.read(key)
        value, revision = pending
        return None if value is None else Record(value, revision)

    # --- Inside -----------------------------------------------------------------------------

    def _run(self, work: Work) -> Receipt:
        batch = work.batch
        keys: Sequence[bytes] = ()
        records: list[Record | None] = []
        if work.decide is not None:
            keys = work.keys
            records = [self.read(keys[0])] if len(keys) == 1 else [*map(self.read, keys)]
            answer = work.ask(records, self.revision + 1)
            if type(answer) is Need:
                keys, records, answer = self._see_more(work, keys, records, answer)
            if answer is None:
                return _receipt(self.revision)
            if type(answer) is Draft and not work.previous:
                return self._take(answer)
            batch = decided_batch(answer)
            self._validate(batch)
        assert batch is not None
        if batch.id is not None:
            known = self.writer.recall(batch.id)
            if known is not None:
                return Receipt(known)
        writes = self._check(batch)
        if not writes:
            return Receipt(self.revision)
        previous: dict[bytes, Record | None] | None = None
        if work.previous or batch.previous:
            previous = dict(zip(keys, records, strict=False))
            previous = {
                operation.key: previous[operation.key]
                if operation.key in previous
                else self.read(operation.key)
                for operation in batch.operations
                if type(operation) is Put or type(operation) is Delete
            }
        revision = self.revision + 1
        self._write(batch, revision)
        if batch.id is not None:
            self.writer.remember(batch.id, revision)
        self.revision = revision
        self.changed = True
        return Receipt(revision, previous)

    def _see_more(
        self, work: Work, keys: Sequence[bytes], records: list[Record | None], need: Need
    ) -> tuple[Sequence[bytes], list[Record | None], Answer]:
        """Show the function the keys it asks for, until it decides."""
        answer: Answer = need
        for _ in range(NEEDS_MAX):
            if type(answer) is not Need:
                break
            keys = [*keys, *answer.keys]
            records = records + [self.read(key) for key in answer.keys]
            answer = work.ask(records, self.revision + 1)
        return keys, records, answer

    def _take(self, draft: Draft) -> Receipt:
        """Take a draft in: the same as its operations, with a loop less for each kind."""
        revision = self.revision + 1
        puts = None if self._limits is None else puts_of(draft, revision, self._limits)
        if puts is None:
            return self._take_closely(draft)
        self.pending.update(puts)
        self.revision = revision
        self.changed = True
        return _receipt(revision)

    def _take_closely(self, draft: Draft) -> Receipt:
        """The same for one that does more than to put some rows."""
        self._validate(draft)
        if draft.id is not None:
            known = self.writer.recall(draft.id)
            if known is not None:
                return Receipt(known)
        if draft.checks:
            self._check(Batch(draft.checks))
        rows, appends = draft.rows, draft.appends
        if not (rows or appends or draft.ranges):
            return _receipt(self.revision)
        revision = self.revision + 1
        for range in draft.ranges:
            self._delete_range(range, revision)
        pending = self.pending
        for key, value in rows.items():
            pending[key] = value, revision
        for index, (prefix, value) in enumerate(appends):
            pending[append_key(prefix, revision, index)] = value, revision
        if draft.id is not None:
            self.writer.remember(draft.id, revision)
        self.revision = revision
        self.changed = True
        return _receipt(revision)

    def _apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        try:
            self.writer.apply(rows)
        except BaseException:
            self.broken = True
            raise

    def _check(self, batch: Batch) -> bool:
        """Decide the checks; whether the batch writes anything."""
        writes = False
        for operation in batch.operations:
            kind = type(operation)
            if kind is CheckKey:
                record = self.read(operation.key)  # type: ignore[union-attr]
                found = None if record is None else record.revision
                if found != operation.revision:  # type: ignore[union-attr]
                    raise key_conflict(operation.key, operation.revision, found)  # type: ignore[union-attr]
            elif kind is CheckRange:
                self._check_range(operation)  # type: ignore[arg-type]
            else:
                writes = True
        return writes

    def _check_range(self, check: CheckRange) -> None:
        if check.at_revision >= self.revision:
            return  # Nothing was committed since.
        self.push()
        count = 0
        for key, record in self.writer.walk(check.range):
            count += 1
            if record.revision > check.at_revision:
                raise range_conflict(check, f"the key {key!r} at revision {record.revision}")
            if count > check.count:
                break
        if count != check.count:
            found = f"more than {check.count}" if count > check.count else str(count)
            raise range_conflict(check, f"{found} keys")

    def _write(self, batch: Batch, revision: int) -> None:
        pending = self.pending
        appends = 0
        for operation in batch.operations:
            kind = type(operation)
            if kind is Put:
                pending[operation.key] = (operation.value, revision)  # type: ignore[union-attr]
            elif kind is Append:
                key = append_key(operation.prefix, revision, appends)  # type: ignore[union-attr]
                pending[key] = (operation.value, revision)  # type: ignore[union-attr]
                appends += 1
            elif kind is Delete:
                pending[operation.key] = (None, revision)  # type: ignore[union-attr]
            elif kind is DeleteRange:
                self._delete_range(operation.range, revision)  # type: ignore[union-attr]
            elif kind is Rewrite:
                kept = self.read(operation.key)  # type: ignore[union-attr]
                if kept is not None:
                    pending[operation.key] = (operation.value, kept.revision)  # type: ignore[union-attr]

    def _delete_range(self, range: Range, revision: int) -> None:
        self.push()
        rest = Range(range.start, range.end)
        while True:
            gathered = []
            for key, _ in self.writer.walk(rest):
                gathered.append(key)
                if len(gathered) == DELETE_KEYS_MAX:
                    break
            self._apply([(key, (None, revision)) for key in gathered])
            if len(gathered) < DELETE_KEYS_MAX:
                return
            rest = rest.after(gathered[-1])


def _receipt(revision: int) -> Receipt:
    """A receipt without previous records; a named tuple costs less through `tuple`."""
    return _make(Receipt, (revision, None))


def key_conflict(key: bytes, expected: int | None, found: int | None) -> Conflict:
    """The refusal of a key check."""
    return Conflict(
        f"the key was expected {_standing(expected)} and is {_standing(found)}; "
        "read it again and decide anew",
        key=key,
        condition="revision",
        expected=expected,
        found=found,
    )


def range_conflict(check: CheckRange, found: str) -> Conflict:
    """The refusal of a range check."""
    return Conflict(
        f"the range was expected with {check.count} keys as of revision {check.at_revision}; "
        f"found {found}. Read it again and decide anew",
        range=check.range,
        condition="range",
        expected=check.count,
    )


def _standing(revision: int | None) -> str:
    return "absent" if revision is None else f"at revision {revision}"
