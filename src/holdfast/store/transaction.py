"""Transactions: a moment to read from, a buffer to write to, checks at commit.

A transaction is an engine over an engine, so every view works inside it unchanged. Reads come
from a snapshot with the transaction's own writes over it; the commit is one batch that checks
what was read: the keys that writes were decided on (`repeatable_read`), or every key and range
read (`serializable`, which stops write skew and phantoms). Another write came first: `Conflict`,
nothing written. On an engine without snapshots what was read is remembered, and all of it checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Final

from holdfast.contract.batch import (
    NEEDS_MAX,
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    Delete,
    DeleteRange,
    Draft,
    Need,
    Operation,
    Put,
    Receipt,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Engine, Layer, Snapshot, decided_batch
from holdfast.contract.errors import (
    Conflict,
    InvalidInput,
    OutcomeUnknown,
    ReadOnly,
    StoreError,
    TransactionClosed,
    Unsupported,
    ValueTooLarge,
)
from holdfast.contract.record import THIS_COMMIT, Page, Range, Record
from holdfast.store.isolation import IsolationLevel, ReadSet
from holdfast.store.moment import Moment
from holdfast.store.write_set import WriteSet

#: How often a commit is repeated whose outcome is not known; its id keeps it from counting twice.
COMMIT_ATTEMPTS: Final = 5


class TransactionEngine(Layer):
    """The engine as one transaction sees it.

    Writes stay here until `finish`; `Append` keys do not exist before that. Rows written in the
    transaction carry `THIS_COMMIT`, because no commit has it.

    Args:
        inner: the engine.
        snapshot: of the moment that is read; None where the engine has none.
        revision: of that moment.
        isolation: of the transaction.
        read_only: it writes nothing.
    """

    def __init__(
        self,
        inner: Engine,
        snapshot: Snapshot | None,
        revision: int,
        isolation: IsolationLevel,
        *,
        read_only: bool,
    ) -> None:
        super().__init__(inner)
        if not isinstance(read_only, bool):
            raise InvalidInput(f"read_only is a bool; found a {type(read_only).__name__}")
        self._capabilities = _inside_a_transaction(inner.capabilities, read_only)
        #: Of this transaction; its changes carry it.
        self.id = inner.components.ids.new()
        self.snapshot_revision = revision
        self._read_only = read_only
        self._closed = False
        self._reads = ReadSet(isolation, read_only=read_only, fixed=snapshot is not None)
        self._below = Moment(inner, snapshot, self._reads, weak=isolation.weak)
        self._writes = WriteSet(inner.capabilities)
        self._fences: set[bytes] = set()

    @classmethod
    async def begin(
        cls, inner: Engine, isolation: IsolationLevel, *, read_only: bool
    ) -> TransactionEngine:
        """A transaction that begins now."""
        if not inner.capabilities.snapshots:
            return cls(inner, None, await inner.head(), isolation, read_only=read_only)
        snapshot = await inner.snapshot()
        try:
            return cls(inner, snapshot, snapshot.revision, isolation, read_only=read_only)
        except BaseException:
            snapshot.close()
            raise

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def over(self) -> bool:
        """Whether it refuses every further use."""
        return self._closed

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._writes)

    # --- Reading ----------------------------------------------------------------------------

    def fence(self, keys: Iterable[bytes]) -> None:
        """Have the commit check these rows, at every level, once something was decided on them.

        They say what a writer believes of its keyspace. An isolation level is about values; what a
        keyspace is, and what has to be derived in it, must hold whatever the level.
        """
        self._fences.update(keys)

    async def head(self) -> int:
        self._require_open()
        return self.snapshot_revision

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self._require_open()
        below = await self._below.read(keys)
        self._reads.keys_read(keys, below)
        return self._writes.over(keys, below)

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        self._require_open()
        rest: Range | None = range
        rows: list[tuple[bytes, Record]] = []
        while rest is not None and not rows:
            page = await self._below.scan(rest)
            covered = _covered(rest, page)
            self._reads.range_read(covered, page.revision, len(page.rows))
            rows = self._writes.over_range(covered, page.rows, reverse=range.reverse)
            rest = page.resume
        wanted = range.rows_wanted(self.capabilities.page_rows_max)
        if len(rows) > wanted:
            rows = rows[:wanted]
            rest = range.after(rows[-1][0])
        return Page(rows, rest, page.revision)

    # --- Writing ----------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Receipt:
        self._require_writable()
        keys = [one.key for one in batch.operations if isinstance(one, Put | Delete | CheckKey)]
        below = await self._below.read(keys)
        self._reads.keys_decided(keys, below)
        before = dict(zip(keys, self._writes.over(keys, below), strict=True))
        return await self._apply(batch, before)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        self._require_writable()
        wanted: list[bytes] = []
        records: list[Record | None] = []
        answer: Draft | Batch | Need | None = Need(keys)
        for _ in range(NEEDS_MAX + 1):
            if type(answer) is not Need:
                break
            below = await self._below.read(answer.keys)
            self._reads.keys_decided(answer.keys, below)
            records = records + self._writes.over(answer.keys, below)
            wanted += answer.keys
            answer = decide(records, THIS_COMMIT)
        if answer is None:
            return Receipt(self.snapshot_revision)
        batch = decided_batch(answer)
        if previous or batch.previous:
            batch = replace(batch, previous=True)
            missing = [
                one.key
                for one in batch.operations
                if isinstance(one, Put | Delete) and one.key not in wanted
            ]
            records = records + self._writes.over(missing, await self._below.read(missing))
            wanted += missing
        return await self._apply(batch, dict(zip(wanted, records, strict=True)))

    def savepoint(self, name: str) -> None:
        """See `Transaction.savepoint`."""
        self._require_open()
        self._writes.savepoint(name)

    def rollback_to(self, name: str) -> None:
        """See `Transaction.rollback_to`."""
        self._require_open()
        self._writes.rollback_to(name)

    def release_savepoint(self, name: str) -> None:
        """See `Transaction.release`."""
        self._require_open()
        self._writes.release(name)

    # --- What a transaction cannot ----------------------------------------------------------

    async def wait(self, after_revision: int) -> int:
        raise _unsupported("wait")

    async def snapshot(self) -> Snapshot:
        raise _unsupported("take a snapshot")

    async def compact(self) -> int:
        raise _unsupported("compact")

    async def check(self) -> list[str]:
        raise _unsupported("check the store")

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        raise _unsupported("load records")

    async def close(self) -> None:
        self.release()

    # --- For the owner ----------------------------------------------------------------------

    async def finish(self, ended: Callable[[int | None], None]) -> int:
        """Check and write everything in one commit; the transaction is over, whatever happens.

        Args:
            ended: told the revision, or None for a failure, when the commit ends: also when the
                caller was cancelled meanwhile.

        Raises:
            Conflict: something that was read changed since.
        """
        self._require_open()
        runtime = self.inner.components.host.runtime()
        batch: Batch | None = None
        try:
            self._closed = True
            batch = await self._batch()
            self.release()
            # A cancelled caller does not withdraw what was handed over: it goes on by itself.
            return await runtime.shielded("holdfast commit", lambda: self._commit(batch, ended))
        except BaseException as error:
            self.release()
            if batch is None:
                ended(None)
            elif runtime.blocking and not isinstance(error, Exception):
                # Interrupted, perhaps when it was written already. The batch has an id: repeated,
                # it is applied once, and what is told of it is true.
                with suppress(StoreError):
                    await self._commit(batch, ended)
            raise

    def release(self) -> None:
        """Let go of the moment and refuse every further use."""
        self._closed = True
        self._below.close()

    # --- Inside: writing --------------------------------------------------------------------

    async def _apply(self, batch: Batch, before: dict[bytes, Record | None]) -> Receipt:
        """Buffer a batch; its own checks are decided on what the transaction sees."""
        for operation in batch.operations:
            if isinstance(operation, CheckKey):
                if operation.key not in before:
                    before[operation.key] = (await self.read([operation.key]))[0]
                _check_key(operation, before[operation.key])
            elif isinstance(operation, CheckRange):
                await self._check_range(operation)
        try:
            await self._buffer(batch)
        except ValueTooLarge:
            # What is buffered may be half of a write: none of it may be committed.
            self.release()
            raise
        previous = None
        if batch.previous:
            previous = {
                one.key: before[one.key]
                for one in batch.operations
                if isinstance(one, Put | Delete)
            }
        return Receipt(THIS_COMMIT, previous)

    async def _buffer(self, batch: Batch) -> None:
        for operation in batch.operations:
            if isinstance(operation, Put):
                self._writes.put(operation.key, operation.value)
            elif isinstance(operation, Delete):
                self._writes.put(operation.key, None)
            elif isinstance(operation, Append):
                self._writes.append(operation.prefix, operation.value)
            elif isinstance(operation, DeleteRange):
                await self._delete_range(operation.range)

    async def _delete_range(self, range: Range) -> None:
        rest: Range | None = Range(range.start, range.end)
        while rest is not None:
            page = await self.scan(rest)
            for key, _ in page.rows:
                self._writes.put(key, None)
            rest = page.resume

    async def _check_range(self, check: CheckRange) -> None:
        """Decide a range check of a batch on what the transaction sees."""
        count = 0
        rest: Range | None = Range(check.range.start, check.range.end)
        while rest is not None:
            page = await self.scan(rest)
            count += len(page.rows)
            newer = [key for key, record in page.rows if record.revision > check.at_revision]
            if newer or count > check.count:
                break
            rest = page.resume
        if count != check.count or newer:
            raise Conflict(
                f"the range was expected with {check.count} keys as of revision "
                f"{check.at_revision}; inside this transaction it is another. Read it again",
                range=check.range,
                expected=check.count,
                found=count,
            )

    # --- Inside: the commit -----------------------------------------------------------------

    async def _commit(self, batch: Batch, ended: Callable[[int | None], None]) -> int:
        revision: int | None = None
        try:
            if not batch.operations:
                # What was read was one moment; nothing that a later one could contradict.
                revision = self.snapshot_revision
                return revision
            for attempt in range(COMMIT_ATTEMPTS):
                try:
                    revision = (await self.inner.commit(batch)).revision
                    break
                except OutcomeUnknown:
                    # The batch has an id: repeated, it is applied once, or found to be applied.
                    if attempt == COMMIT_ATTEMPTS - 1:
                        raise
        finally:
            ended(revision)
        assert revision is not None
        return revision

    async def _batch(self) -> Batch:
        """The checks of what was read, and the writes; without any when nothing is to be done."""
        writes = self._writes
        if not writes and not self._reads.remembers:
            return Batch([])
        checks: list[Operation] = list(self._reads.checks(self._checked))
        room = self.inner.capabilities.batch_operations_max - len(writes.rows) - len(writes.appends)
        if len(checks) > room:
            checks = [await self._one_check(room)]
        return Batch([*checks, *writes.operations()], self.id if writes else None)

    def _checked(self, key: bytes) -> bool:
        """Whether a key that was read is checked where the level checks what is written."""
        return key in self._writes.rows or key in self._fences

    async def _one_check(self, room: int) -> Operation:
        """One check of a range in the place of all, where more was read than a batch can check.

        It also refuses what others wrote between the keys: a conflict too many, never too few.
        """
        if room < 1:
            raise ValueTooLarge(
                "the writes of the transaction leave no room to check what it read. Split it, or "
                "use isolation='read_committed'"
            )
        span, count = self._reads.span(), 0
        rest: Range | None = span
        while rest is not None:
            page = await self.inner.scan(rest, at=self._below.snapshot)
            count += len(page.rows)
            rest = page.resume
        return CheckRange(span, self.snapshot_revision, count)

    def _require_open(self) -> None:
        if self._closed:
            raise TransactionClosed(
                "the transaction was committed or rolled back; begin another one"
            )

    def _require_writable(self) -> None:
        self._require_open()
        if self._read_only:
            raise ReadOnly("the transaction was opened for reading only; open another to write")


@lru_cache(maxsize=16)
def _inside_a_transaction(outside: Capabilities, read_only: bool) -> Capabilities:
    """What the engine can do here; the same for all transactions of one engine."""
    return replace(
        outside,
        writable=outside.writable and not read_only,
        transacts_once=True,
        snapshots=False,
        waits=False,
        compacts=False,
        checks=False,
        loads=False,
        rewrites=False,
    )


def _unsupported(wish: str) -> Unsupported:
    return Unsupported(f"a transaction sees one moment and cannot {wish}; do it on the database")


def _check_key(check: CheckKey, record: Record | None) -> None:
    """Decide a check of a batch on what the transaction sees."""
    found = None if record is None else record.revision
    if found != check.revision:
        raise Conflict(
            "the key is not as expected inside this transaction; read it again",
            key=check.key,
            condition="revision",
            expected=check.revision,
            found=found,
        )


def _covered(range: Range, page: Page) -> Range:
    """The keys a page speaks for: up to where its resume begins."""
    if page.resume is None:
        return Range(range.start, range.end)
    if range.reverse:
        return Range(page.resume.end, range.end)
    return Range(range.start, page.resume.start)
