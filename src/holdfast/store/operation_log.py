"""The log of operations: who asked for what, how long it took, how it ended. Never values.

Records wait in memory and are written to the database about twice a second, many in one commit,
so that other processes can query them. The newest `RECORDS_MAX` are kept.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

import msgspec

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.batch import Batch, DeleteRange, Operation, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, InvalidInput, InvalidKey, StoreError
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Components
from holdfast.store import layout
from holdfast.store.instants import instant, milliseconds

#: Where records go for the handlers of the application.
logger = logging.getLogger("holdfast.operations")

#: How many records the database keeps; about 100 bytes each.
RECORDS_MAX = 100_000
#: How many records wait in memory for the next write; what comes on top is counted and dropped.
PENDING_MAX = 50_000
#: How many records one commit writes.
WRITE_MAX = 1_000
#: How many operations may be under way; the oldest is forgotten when one more begins.
UNDER_WAY_MAX = 100_000
#: How many of an operation's keys a record names, and how many characters of each.
KEYS_MAX = 16
KEY_CHARACTERS_MAX = 512


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One operation that has ended.

    Attributes:
        id: the transaction id, 32 hex digits; no two operations share it.
        operation: such as `get`, `set` or `delete_many`.
        keys: the first keys it named; of a search, its pattern.
        key_count: how many it named.
        ended_at_ms: milliseconds since 1970 UTC.
        duration_s: seconds from its start, by the monotonic clock.
        error: class of the exception it raised; None: it succeeded.
        code: code of the error, when it is one of Holdfast's.
    """

    id: str
    operation: str
    keys: tuple[str, ...]
    key_count: int
    ended_at_ms: int
    duration_s: float
    error: str | None = None
    code: str | None = None

    @property
    def success(self) -> bool:
        """Whether it raised nothing."""
        return self.error is None

    @property
    def ended_at(self) -> datetime:
        """When it ended."""
        return instant(self.ended_at_ms)

    def fields(self) -> dict[str, Any]:
        """Its facts as data for JSON and for structured logging."""
        return {
            "transaction_id": self.id,
            "operation": self.operation,
            "keys": list(self.keys),
            "key_count": self.key_count,
            "ended_at": self.ended_at.isoformat(),
            "duration_s": self.duration_s,
            "success": self.success,
            "error": self.error,
            "code": self.code,
        }


@runtime_checkable
class LoggingService(Protocol):
    """Is told of the start and the end of each operation."""

    def log_start(self, operation: str, keys: Sequence[str] = ()) -> str:
        """A transaction id that no other operation has."""
        ...

    def log_end(self, transaction_id: str, error: BaseException | None = None) -> LogRecord | None:
        """What is recorded; None when no such operation is under way."""
        ...


class _Start(msgspec.Struct, frozen=True):
    operation: str
    keys: tuple[str, ...]
    key_count: int
    monotonic: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LogRecord).decode


class OperationLog:
    """The log of one database: the default `LoggingService`, and what queries it.

    Attributes:
        dropped: how many records found no room in memory before they could be written.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        components: Components = engine.components
        self._clock = components.clock
        self._ids = components.ids
        self._under_way: dict[str, _Start] = {}
        self._pending: deque[LogRecord] = deque()
        self._in_flight: list[list[LogRecord]] = []
        self._lock = threading.Lock()
        self.dropped = 0

    # --- Recording --------------------------------------------------------------------------

    def log_start(self, operation: str, keys: Sequence[str] = ()) -> str:
        """An operation begins; the transaction id that no other operation has."""
        transaction_id = self._ids.new().hex()
        names = tuple(map(_name, keys[:KEYS_MAX]))
        start = _Start(operation, names, len(keys), self._clock.monotonic())
        with self._lock:
            if len(self._under_way) >= UNDER_WAY_MAX:
                del self._under_way[next(iter(self._under_way))]
                self.dropped += 1
            self._under_way[transaction_id] = start
        if logger.isEnabledFor(logging.DEBUG):
            told = {"transaction_id": transaction_id, "operation": operation, "keys": list(names)}
            logger.debug("%s begins", operation, extra=told)
        return transaction_id

    def log_end(self, transaction_id: str, error: BaseException | None = None) -> LogRecord | None:
        """It has ended, with that error or well; its record, None when it is not under way."""
        ended = self._clock.monotonic()
        with self._lock:
            start = self._under_way.pop(transaction_id, None)
        if start is None:
            return None
        record = LogRecord(
            transaction_id,
            start.operation,
            start.keys,
            start.key_count,
            self._clock.now_ms(),
            ended - start.monotonic,
            None if error is None else type(error).__name__,
            error.code.value if isinstance(error, StoreError) else None,
        )
        with self._lock:
            if len(self._pending) >= PENDING_MAX:
                self._pending.popleft()
                self.dropped += 1
            self._pending.append(record)
        level = logging.INFO if error is None else logging.WARNING
        if logger.isEnabledFor(level):
            outcome = "succeeded" if error is None else f"failed with {record.error}"
            logger.log(level, "%s %s", start.operation, outcome, extra=record.fields())
        return record

    # --- Keeping ----------------------------------------------------------------------------

    async def flush(self) -> int:
        """Write what waits in memory to the database now; how many records."""
        written = 0
        while self._pending and self._engine.capabilities.writable:
            with self._lock:
                count = min(WRITE_MAX, len(self._pending))
                batch = [self._pending.popleft() for _ in range(count)]
                self._in_flight.append(batch)
            kept = False
            try:
                await self._append(batch)
                kept = True
                written += count
            finally:
                with self._lock:
                    self._in_flight.remove(batch)
                    if not kept:
                        self._pending.extendleft(reversed(batch))
        return written

    async def _append(self, batch: list[LogRecord]) -> None:
        def decide(records: list[Record | None], _revision: int) -> Batch:
            [last] = records
            first = 0 if last is None else int.from_bytes(last.value, "big")
            after = first + len(batch)
            operations: list[Operation] = [
                Put(_row_key(number), _encode(record)) for number, record in enumerate(batch, first)
            ]
            operations.append(Put(layout.SYSTEM_OPERATION_NEXT, after.to_bytes(8, "big")))
            if after > RECORDS_MAX:
                gone = Range(layout.SYSTEM_OPERATIONS, _row_key(after - RECORDS_MAX))
                operations.append(DeleteRange(gone))
            return Batch(operations)

        await self._engine.transact([layout.SYSTEM_OPERATION_NEXT], decide)

    # --- Asking -----------------------------------------------------------------------------

    def query(
        self,
        *,
        operation: str | None = None,
        key: Pattern | str | None = None,
        success: bool | None = None,
        since: datetime | timedelta | float | None = None,
        duration_min: timedelta | float | None = None,
        reverse: bool = False,
    ) -> AsyncIterator[LogRecord]:
        """The records that match, oldest first, of every process that logs.

        Args:
            operation: its name, such as `set`.
            key: a pattern; one of the keys that the record names matches it.
            success: True: only what succeeded; False: only what failed.
            since: an aware instant, or how long ago: seconds or a timedelta.
            duration_min: seconds or a timedelta that it took at least.
            reverse: newest first.

        Raises:
            PatternInvalid, InvalidInput: the arguments cannot be.
        """
        pattern = None if key is None else Pattern.of(key)
        since_ms = 0 if since is None else self._instant_ms(since)
        duration_s = 0.0 if duration_min is None else _seconds("duration_min", duration_min)

        def matches(record: LogRecord) -> bool:
            return (
                (operation is None or record.operation == operation)
                and (success is None or record.success is success)
                and record.ended_at_ms >= since_ms
                and record.duration_s >= duration_s
                and (pattern is None or _names(record, pattern))
            )

        return self._matching(matches, reverse=reverse)

    async def _matching(
        self, matches: Callable[[LogRecord], bool], *, reverse: bool
    ) -> AsyncIterator[LogRecord]:
        with self._lock:
            batches = [*self._in_flight, self._pending]
            unwritten = {record.id: record for batch in batches for record in batch}
        if reverse:
            for record in reversed(list(unwritten.values())):
                if matches(record):
                    yield record
        rest: Range | None = Range.prefix(layout.SYSTEM_OPERATIONS, reverse=reverse)
        while rest is not None:
            page = await self._engine.scan(rest)
            for row_key, row in page.rows:
                record = _decoded(row_key, row)
                # Written meanwhile: it comes with the others that were not written then.
                if record.id not in unwritten and matches(record):
                    yield record
            rest = page.resume
        if not reverse:
            for record in unwritten.values():
                if matches(record):
                    yield record

    def _instant_ms(self, since: datetime | timedelta | float) -> int:
        if isinstance(since, datetime):
            if since.tzinfo is None:
                raise InvalidInput("since is an aware datetime, or how long ago; found a naive one")
            return milliseconds(since)
        return self._clock.now_ms() - round(_seconds("since", since) * 1000)


def _row_key(number: int) -> bytes:
    return layout.SYSTEM_OPERATIONS + number.to_bytes(8, "big")


def _decoded(row_key: bytes, row: Record) -> LogRecord:
    try:
        return _decode(row.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        number = int.from_bytes(row_key[-8:], "big")
        raise IntegrityFailed(
            f"record {number} of the log cannot be read; run `holdfast check` on the database"
        ) from error


def _name(key: object) -> str:
    """A key as the log names it. What is no key at all is not shown: it may be anything."""
    if not isinstance(key, str):
        return f"<{type(key).__name__}>"
    text = str(key)
    return text if len(text) <= KEY_CHARACTERS_MAX else text[: KEY_CHARACTERS_MAX - 1] + "…"


def _names(record: LogRecord, pattern: Pattern) -> bool:
    for name in record.keys:
        try:
            if pattern.matches(StoreKey.parse(name)):
                return True
        except InvalidKey:
            continue  # It failed for that, or is a pattern.
    return False


def _seconds(what: str, duration: timedelta | float) -> float:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        raise InvalidInput(f"{what} is seconds from 0, or a timedelta; found {duration!r}")
    return float(seconds)
