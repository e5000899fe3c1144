"""Transactions: a snapshot to read from, a buffer to write to, checks at commit.

A transaction is an engine over an engine, so every view works inside it unchanged. Reads come
from a snapshot with the transaction's own writes over it; the commit is one batch that checks
what was read: the written keys (`snapshot`), or every key and range read (`serializable`, which
stops write skew and phantoms). Somebody was faster: `Conflict`, nothing written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum

from sortedcontainers import SortedDict

from holdfast.contract.batch import (
    NEEDS_MAX,
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    Delete,
    DeleteRange,
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
    ReadOnly,
    TransactionClosed,
    Unsupported,
    ValueTooLarge,
)
from holdfast.contract.record import THIS_COMMIT, Page, Range, Record
from holdfast.contract.runtime import Completion


class IsolationLevel(StrEnum):
    """What a transaction is protected from, by the anomalies it cannot have.

    READ_COMMITTED sees each commit of others as it lands; no dirty reads. READ_UNCOMMITTED is
    the same here: nothing shows uncommitted data. REPEATABLE_READ, also called snapshot, reads
    one moment and loses no update. SERIALIZABLE also has no write skew and no phantoms.
    """

    READ_UNCOMMITTED = "read_uncommitted"
    READ_COMMITTED = "read_committed"
    REPEATABLE_READ = "repeatable_read"
    SERIALIZABLE = "serializable"

    @classmethod
    def parse(cls, text: str) -> IsolationLevel:
        """The level of that name; `snapshot` is another name of repeatable_read."""
        try:
            return cls.REPEATABLE_READ if text == "snapshot" else cls(text)
        except ValueError:
            names = ", ".join([*cls, "snapshot"])
            raise InvalidInput(f"an isolation level is one of {names}; found {text!r}") from None


class TransactionEngine(Layer):
    """The engine as one transaction sees it.

    Writes stay here until `finish`; `Append` keys do not exist before that. Rows written in the
    transaction carry `THIS_COMMIT`, because no commit has it.
    """

    def __init__(
        self, inner: Engine, snapshot: Snapshot, isolation: IsolationLevel, *, read_only: bool
    ) -> None:
        super().__init__(inner)
        #: Of this transaction; its changes carry it.
        self.id = inner.components.ids.new()
        self.snapshot_revision = snapshot.revision
        self._snapshot = snapshot
        self._isolation = isolation
        self._read_only = read_only
        self._closed = False
        # What each key held when first read, for the checks.
        self._seen: dict[bytes, int | None] = {}
        self._ranges: list[CheckRange] = []
        self._written: SortedDict[bytes, bytes | None] = SortedDict()
        self._appends: list[Append] = []
        self._bytes = 0

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            self.inner.capabilities,
            writable=self.inner.capabilities.writable and not self._read_only,
            transacts_once=True,
            snapshots=False,
            waits=False,
            compacts=False,
            checks=False,
            loads=False,
        )

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._written or self._appends)

    async def head(self) -> int:
        self._require_open()
        return self.snapshot_revision

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self._require_open()
        below = await self._read_below(keys)
        return [
            self._own(key) if key in self._written else record
            for key, record in zip(keys, below, strict=True)
        ]

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        self._require_open()
        rest: Range | None = range
        rows: list[tuple[bytes, Record]] = []
        while rest is not None and not rows:
            page = await self.inner.scan(rest, at=self._view())
            covered = _covered(rest, page)
            self._ranges.append(CheckRange(covered, self.snapshot_revision, len(page.rows)))
            rows = [row for row in page.rows if row[0] not in self._written]
            rows += [
                (key, record)
                for key in self._written.irange(covered.start, covered.end, (True, False))
                if (record := self._own(key)) is not None
            ]
            rest = page.resume
        rows.sort(key=lambda row: row[0], reverse=range.reverse)
        wanted = range.rows_wanted(self.capabilities.page_rows_max)
        if len(rows) > wanted:
            del rows[wanted:]
            rest = range.after(rows[-1][0])
        return Page(rows, rest, page.revision)

    async def commit(self, batch: Batch) -> Receipt:
        self._require_open()
        if self._read_only:
            raise ReadOnly("the transaction was opened for reading only; open another to write")
        return await self._apply(batch)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        self._require_open()
        if self._read_only:
            raise ReadOnly("the transaction was opened for reading only; open another to write")
        records = await self.read(keys)
        answer = decide(records, THIS_COMMIT)
        for _ in range(NEEDS_MAX):
            if type(answer) is not Need:
                break
            records = records + await self.read(answer.keys)
            answer = decide(records, THIS_COMMIT)
        if answer is None:
            return Receipt(self.snapshot_revision)
        batch = decided_batch(answer)
        return await self._apply(replace(batch, previous=previous or batch.previous))

    async def wait(self, after_revision: int) -> int:
        raise _unsupported("wait")

    async def snapshot(self) -> Snapshot:
        raise _unsupported("take a snapshot")

    async def compact(self) -> int:
        raise _unsupported("compact")

    async def check(self) -> list[str]:
        raise _unsupported("check the store")

    async def load(
        self, rows: Sequence[tuple[bytes, Record]], *, next_revision: int | None = None
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
        self.release()
        if not self.changed:
            # What was read was one moment; there is nothing that a later one could contradict.
            ended(self.snapshot_revision)
            return self.snapshot_revision
        runtime = self.inner.components.host.runtime()
        batch = self._batch()
        if runtime.blocking:
            return await self._commit(batch, ended)
        # A cancelled caller does not withdraw what was handed over: it goes on by itself.
        completion: Completion[int] = runtime.completion()

        async def work() -> None:
            try:
                completion.settle(await self._commit(batch, ended))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                completion.settle(error=error)

        task = runtime.start("holdfast commit", work)
        revision = await completion.wait()
        del task  # Held until here, so that the loop cannot lose it.
        return revision

    async def _commit(self, batch: Batch, ended: Callable[[int | None], None]) -> int:
        revision: int | None = None
        try:
            revision = (await self.inner.commit(batch)).revision
        finally:
            ended(revision)
        return revision

    def _batch(self) -> Batch:
        """The checks of what was read, and the writes."""
        checks: list[Operation] = []
        if self._isolation is IsolationLevel.SERIALIZABLE:
            checks += [CheckKey(key, revision) for key, revision in self._seen.items()]
            checks += self._ranges
        else:
            checks += [CheckKey(key, self._seen[key]) for key in self._written if key in self._seen]
        writes: list[Operation] = [
            Delete(key) if value is None else Put(key, value)
            for key, value in self._written.items()
        ]
        return Batch([*checks, *writes, *self._appends])

    def release(self) -> None:
        """Let go of the snapshot and refuse every further use."""
        self._closed = True
        self._snapshot.close()

    # --- Inside -----------------------------------------------------------------------------

    def _view(self) -> Snapshot | None:
        weak = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        return None if self._isolation in weak else self._snapshot

    async def _read_below(self, keys: Sequence[bytes]) -> list[Record | None]:
        records = await self.inner.read(keys, at=self._view())
        for key, record in zip(keys, records, strict=True):
            revision = record.revision if record is not None else None
            if self._view() is None:
                # The next write of this key builds on what this read found, not on the first.
                self._seen[key] = revision
            else:
                self._seen.setdefault(key, revision)
        return records

    def _own(self, key: bytes) -> Record | None:
        value = self._written[key]
        return None if value is None else Record(value, THIS_COMMIT)

    async def _apply(self, batch: Batch) -> Receipt:
        """Buffer a batch; its own checks are decided on what the transaction sees."""
        keys = [one.key for one in batch.operations if isinstance(one, Put | Delete | CheckKey)]
        before = dict(zip(keys, await self.read(keys), strict=True))
        for operation in batch.operations:
            _check(operation, before)
        for operation in batch.operations:
            if isinstance(operation, Put):
                self._buffer(operation.key, operation.value)
            elif isinstance(operation, Delete):
                self._buffer(operation.key, None)
            elif isinstance(operation, Append):
                self._appends.append(operation)
                self._bytes += len(operation.prefix) + len(operation.value)
                self._require_room()
            elif isinstance(operation, DeleteRange):
                await self._delete_range(operation.range)
        previous = None
        if batch.previous:
            previous = {
                one.key: before[one.key]
                for one in batch.operations
                if isinstance(one, Put | Delete)
            }
        return Receipt(THIS_COMMIT, previous)

    async def _delete_range(self, range: Range) -> None:
        rest: Range | None = Range(range.start, range.end)
        while rest is not None:
            page = await self.scan(rest)
            for key, record in page.rows:
                self._seen.setdefault(key, record.revision)
                self._buffer(key, None)
            rest = page.resume

    def _buffer(self, key: bytes, value: bytes | None) -> None:
        if key in self._written:
            self._bytes -= len(self._written[key] or b"")
        else:
            self._bytes += len(key)
        self._written[key] = value
        self._bytes += len(value or b"")
        self._require_room()

    def _require_room(self) -> None:
        limits = self.inner.capabilities
        if (
            len(self._written) + len(self._appends) > limits.batch_operations_max
            or self._bytes > limits.batch_bytes_max
        ):
            # What is buffered may be half of a write: none of it may be committed.
            self.release()
            raise ValueTooLarge(
                f"a transaction writes at most {limits.batch_operations_max} rows and "
                f"{limits.batch_bytes_max} bytes; found more. Split it"
            )

    def _require_open(self) -> None:
        if self._closed:
            raise TransactionClosed(
                "the transaction was committed or rolled back; begin another one"
            )


def _unsupported(wish: str) -> Unsupported:
    return Unsupported(f"a transaction sees one moment and cannot {wish}; do it on the database")


def _check(operation: Operation, before: dict[bytes, Record | None]) -> None:
    """Decide a check of a batch on what the transaction sees."""
    if isinstance(operation, CheckKey):
        record = before[operation.key]
        found = None if record is None else record.revision
        if found != operation.revision:
            raise Conflict(
                "the key is not as expected inside this transaction; read it again",
                key=operation.key,
                expected=operation.revision,
                found=found,
            )
    elif isinstance(operation, CheckRange):
        raise Unsupported("ranges read in a transaction are checked by its commit")


def _covered(range: Range, page: Page) -> Range:
    """The keys a page speaks for: up to where its resume begins."""
    if page.resume is None:
        return Range(range.start, range.end)
    if range.reverse:
        return Range(page.resume.end, range.end)
    return Range(range.start, page.resume.start)
