"""The engine contract on PostgreSQL: one function call per commit, one schema per database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from benchmarks.contract_probe.common import (
    BATCH_ID_MEMORY_S,
    CONNECTIONS_MAX,
    Check,
    refusal,
    split,
)
from benchmarks.contract_probe.gather import Gather
from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    Delete,
    Put,
    Receipt,
)
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import TRANSACT_ATTEMPTS_MAX, Engine, Snapshot, decided_batch
from holdfast.contract.errors import (
    Conflict,
    ConnectionFailed,
    OutcomeUnknown,
    StorageFull,
    StoreClosed,
    StoreError,
)
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components

_COMMIT = """
SELECT * FROM commit_batch(
    %b::bytea, make_interval(secs => %b::int), %b::bool,
    %b::text, %b::bytea[], %b::bytea[], %b::bytea[], %b::bigint[], %b::bigint[]
)"""
_READ = "SELECT key, value, revision FROM record WHERE key = ANY(%b::bytea[])"
_HEAD = "SELECT revision FROM head"
# In the order of the locks, so that nobody waits in a circle.
_LOCK_KEYS = (
    "SELECT pg_advisory_xact_lock('record'::regclass::oid::int, lock) FROM (SELECT DISTINCT "
    "hashtext(encode(key, 'hex')) AS lock FROM unnest(%b::bytea[]) AS key ORDER BY lock) AS sorted"
)

Connection = AsyncConnection[TupleRow]


@dataclass(frozen=True, kw_only=True)
class PostgresProbeConfig(EngineConfig):
    """Where the server is, and the schema (`name`) that the database lives in."""

    scheme: ClassVar[str] = "postgresql"

    host: str = "127.0.0.1"
    port: int = 5432
    name: str = "holdfast"


class PostgresProbe(Engine):
    """Bytes on PostgreSQL: a commit is one call of a function, in a transaction of its own."""

    config: PostgresProbeConfig
    config_type = PostgresProbeConfig

    #: The tables and the function of a commit.
    source: ClassVar[str] = (Path(__file__).parent / "schema.sql").read_text()

    def __init__(self, config: PostgresProbeConfig, components: Components) -> None:
        super().__init__(config, components)
        self._lineage = ""
        self._open = False
        self._free: list[Connection] = []
        # First come, first served; a queue of connections lets a busy task overtake for ever.
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="postgresql",
            io=Io.REMOTE,
            durability="server",
            # A row of a B-tree index is at most a third of a page; longer keys need another home.
            key_bytes_max=2600,
            value_bytes_max=8 * 1024 * 1024,
            batch_operations_max=10_000,
            page_bytes_max=1024 * 1024,
        )

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self) -> None:
        self._open = True
        name = sql.Identifier(self.config.name)
        async with self.connection() as connection, connection.transaction():
            # Two openers at once: the second waits here and finds everything made.
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtext(%s))", [self.config.name]
            )
            made = await connection.execute("SELECT to_regclass('head')")
            if (await made.fetchone()) == (None,):
                await connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
                await connection.execute(self.source, prepare=False)
                lineage = self.components.ids.new().hex()
                await connection.execute("INSERT INTO head VALUES (0, %s)", [lineage])
            found = await connection.execute("SELECT lineage FROM head")
            self._lineage = (await found.fetchall())[0][0]

    async def close(self) -> None:
        self._open = False
        while self._free:
            await self._free.pop().close()

    async def head(self) -> int:
        async with self.connection() as connection:
            return int((await rows(connection, _HEAD))[0][0])

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self._without_snapshot(at)
        async with self.connection() as connection:
            return _in_order(keys, await rows(connection, _READ, [list(keys)]))

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        self._without_snapshot(at)
        rows_max = range.rows_wanted(self.capabilities.page_rows_max)
        bounds = [bound for bound in (range.start, range.end) if bound is not None]
        statement = _scan_statement(range.start is None, range.end is None, range.reverse)
        async with self.connection() as connection:
            arguments = [*bounds, rows_max, self.capabilities.page_bytes_max]
            found = await rows(connection, statement, arguments)
        head = found[0][0]
        if found[0][1] is None:  # The range holds nothing; the head is there all the same.
            return Page([], None, head)
        page = [(key, Record(value, revision)) for _, key, value, revision, _ in found]
        # Rows that the byte limit kept back, or a page of full length, leave a rest.
        more = found[0][4] > len(found) or found[0][4] == rows_max
        return Page(page, range.after(page[-1][0]) if more else None, head)

    async def commit(self, batch: Batch) -> Receipt:
        call = self._call(batch)
        async with self.connection(writing=True) as connection:
            [answer] = await rows(connection, _COMMIT, call.arguments)
        return call.receipt(answer)

    def _call(self, batch: Batch) -> _Call:
        checks, writes = split(batch, self.capabilities)
        columns = [_columns(operation) for operation in (*checks, *writes)]
        arrays = [list(column) for column in zip(*columns, strict=True)] or [[] for _ in range(6)]
        arguments = [batch.id, BATCH_ID_MEMORY_S, batch.previous, "".join(arrays[0]), *arrays[1:]]
        return _Call(arguments, checks, batch.previous)

    @asynccontextmanager
    async def connection(self, *, writing: bool = False) -> AsyncIterator[Connection]:
        """A free connection, and every error of the driver as one of the contract."""
        if not self._open:
            raise StoreClosed("the database is closed; open it again")
        connection = None
        try:
            async with self._places:
                connection = self._free.pop() if self._free else await self._connect()
                try:
                    yield connection
                finally:
                    await self._give_back(connection)
        except psycopg.OperationalError as error:
            # 53100 disk_full, 53200 out_of_memory; without a state the connection broke.
            if error.sqlstate in ("53100", "53200"):
                raise StorageFull("PostgreSQL has no room for the write; free some") from error
            if writing and connection is not None:
                raise OutcomeUnknown(
                    "PostgreSQL was lost during a commit, which may have happened or not; repeat "
                    "it with the same batch id"
                ) from error
            raise ConnectionFailed("PostgreSQL did not answer; check that it runs") from error
        except psycopg.Error as error:
            raise StoreError(f"PostgreSQL refused: {type(error).__name__}") from error

    async def _give_back(self, connection: Connection) -> None:
        # Cancelled in the middle it is not idle: closing lets the server undo what is open.
        if self._open and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._free.append(connection)
        else:
            await connection.close()

    async def _connect(self) -> Connection:
        return await AsyncConnection.connect(
            host=self.config.host,
            port=self.config.port,
            user="postgres",
            dbname="postgres",
            autocommit=True,
            prepare_threshold=0,  # Every statement is prepared at its first use: one round trip.
            options=f"-c search_path={self.config.name}",
        )

    def _without_snapshot(self, at: Snapshot | None) -> None:
        if at is not None:
            raise self._unsupported("snapshots", "an engine with snapshots, such as lmdb")


class LockingPostgresProbe(PostgresProbe):
    """`transact` under advisory locks of its keys: callers, also of other processes, wait in line.

    Two round trips (begin, lock and read; commit). The locks spare retries; the checks, which
    `commit` of any process respects, are what makes it right.
    """

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        for _ in range(TRANSACT_ATTEMPTS_MAX):
            async with self.connection(writing=True) as connection:
                try:
                    return await self._transact_on(connection, keys, decide, previous=previous)
                except Conflict as conflict:
                    if conflict.details.get("key") not in keys:
                        raise
        raise Conflict(
            f"plain commits changed the keys between each of {TRANSACT_ATTEMPTS_MAX} reads and "
            "commits; try again when they are fewer",
            attempts=TRANSACT_ATTEMPTS_MAX,
        )

    async def _transact_on(
        self, connection: Connection, keys: Sequence[bytes], decide: Decide, *, previous: bool
    ) -> Receipt:
        async with connection.pipeline() as pipeline:
            await connection.execute("BEGIN")
            await connection.execute(_LOCK_KEYS, [list(keys)], binary=True)
            reading = await connection.execute(_READ, [list(keys)], binary=True)
            heading = await connection.execute(_HEAD, binary=True)
            await pipeline.sync()
            records = _in_order(keys, await reading.fetchall())
            [(head,)] = await heading.fetchall()
        try:
            answer = decide(records, head + 1)
            if answer is None:
                await connection.execute("ROLLBACK")
                return Receipt(head)
            batch = decided_batch(answer)
            seen = [
                CheckKey(key, None if record is None else record.revision)
                for key, record in zip(keys, records, strict=True)
            ]
            decided = Batch([*seen, *batch.operations], batch.id, previous or batch.previous)
            call = self._call(decided)
            async with connection.pipeline():
                committing = await connection.execute(_COMMIT, call.arguments, binary=True)
                await connection.execute("COMMIT")  # A refused batch wrote nothing.
            [told] = await committing.fetchall()
            return call.receipt(told)
        except BaseException:
            if connection.pgconn.transaction_status == TransactionStatus.INTRANS:
                await connection.execute("ROLLBACK")
            raise


class GatheringPostgresProbe(PostgresProbe):
    """Commits and transactions of all tasks of the process share round trips and flushes."""

    def __init__(self, config: PostgresProbeConfig, components: Components) -> None:
        super().__init__(config, components)
        self._gather = Gather(self._read_with_head, self._commit_many)

    async def close(self) -> None:
        await self._gather.drain()
        await super().close()

    async def commit(self, batch: Batch) -> Receipt:
        split(batch, self.capabilities)  # What is wrong with a batch concerns its caller alone.
        return await self._gather.commit(batch)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        return await self._gather.transact(keys, decide, previous=previous)

    async def _read_with_head(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        async with self.connection() as connection:
            async with connection.pipeline():
                reading = await connection.execute(_READ, [list(keys)], binary=True)
                heading = await connection.execute(_HEAD, binary=True)
            [(head,)] = await heading.fetchall()
            return _in_order(keys, await reading.fetchall()), head

    async def _commit_many(self, batches: Sequence[Batch]) -> list[Receipt | StoreError]:
        calls = [self._call(batch) for batch in batches]
        if len(calls) == 1:  # The transaction of a single statement costs no words of its own.
            async with self.connection(writing=True) as connection:
                return [calls[0].outcome((await rows(connection, _COMMIT, calls[0].arguments))[0])]
        async with self.connection(writing=True) as connection:
            async with connection.pipeline(), connection.transaction():
                cursors = [
                    await connection.execute(_COMMIT, call.arguments, binary=True) for call in calls
                ]
            answers = [(await cursor.fetchall())[0] for cursor in cursors]
        return [call.outcome(answer) for call, answer in zip(calls, answers, strict=True)]


class _Call(NamedTuple):
    """A commit as the function takes it, and how its answer reads."""

    arguments: list[Any]
    checks: list[Check]
    previous: bool

    def outcome(self, answer: TupleRow) -> Receipt | StoreError:
        """The receipt, or the refusal as a value: one of many answers."""
        try:
            return self.receipt(answer)
        except StoreError as error:
            return error

    def receipt(self, answer: TupleRow) -> Receipt:
        outcome, revision, failed, found, newer, *previous = answer
        if outcome == "conflict":
            raise refusal(self.checks[failed - 1], found, newer)
        if not self.previous or outcome == "known":
            return Receipt(revision)
        noted = zip(*(column or [] for column in previous), strict=True)
        return Receipt(
            revision, {key: None if at is None else Record(value, at) for key, value, at in noted}
        )


@cache
def _scan_statement(start_open: bool, end_open: bool, reverse: bool) -> str:
    """A page of rows within a number of bytes; each with the head, and how many rows there were."""
    bounds: list[str] = []
    if not start_open:
        bounds.append("key >= %b::bytea")
    if not end_open:
        bounds.append("key < %b::bytea")
    where = "WHERE " + " AND ".join(bounds) if bounds else ""
    order: str = "ORDER BY key DESC" if reverse else "ORDER BY key"
    return (
        "SELECT head.revision, walked.key, value, walked.revision, rows FROM head LEFT JOIN ("
        "  SELECT key, value, revision, count(*) OVER () AS rows, row_number() OVER walk AS number,"
        "  sum(octet_length(key) + octet_length(value)) OVER walk AS bytes"
        f" FROM (SELECT * FROM record {where} {order} LIMIT %b::int) AS page"
        f"  WINDOW walk AS ({order} ROWS UNBOUNDED PRECEDING)"
        ") AS walked ON number = 1 OR bytes <= %b::bigint ORDER BY number"
    )


async def rows(
    connection: Connection, statement: str, arguments: Sequence[Any] = ()
) -> list[TupleRow]:
    cursor = await connection.execute(statement, arguments, binary=True)
    return await cursor.fetchall()


def _in_order(keys: Sequence[bytes], rows: Sequence[TupleRow]) -> list[Record | None]:
    found = {key: Record(value, revision) for key, value, revision in rows}
    return [found.get(key) for key in keys]


def _columns(operation: Any) -> tuple[str, Any, Any, Any, Any, Any]:
    """(kind, key, end, value, revision, count) of an operation, as `commit_batch` takes them."""
    if isinstance(operation, Put):
        return "p", operation.key, None, operation.value, None, None
    if isinstance(operation, Append):
        return "a", operation.prefix, None, operation.value, None, None
    if isinstance(operation, Delete):
        return "d", operation.key, None, None, None, None
    if isinstance(operation, CheckKey):
        return "k", operation.key, None, None, operation.revision, None
    bounds = operation.range
    if isinstance(operation, CheckRange):
        return "r", bounds.start, bounds.end, None, operation.at_revision, operation.count
    return "D", bounds.start, bounds.end, None, None, None
