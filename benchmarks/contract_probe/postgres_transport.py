"""The engine contract on PostgreSQL: one call of a function per commit, one schema per database."""

from __future__ import annotations

import hashlib
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

from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    DeleteRange,
    Operation,
    Put,
    Receipt,
)
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import (
    Conflict,
    ConnectionLost,
    OutcomeUnknown,
    StorageFull,
    StoreError,
    StoreNotFound,
)
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components, Ids
from holdfast.engines.remote import RemoteConfig, RemoteEngine, Transport
from holdfast.engines.remote.transport import Moved, Outcome, Welcome

#: How long a batch id is remembered by the server.
BATCH_ID_MEMORY_S = 15 * 60

_COMMIT = """
SELECT * FROM commit_batch(
    %b::bytea, make_interval(secs => %b::int), %b::bool,
    %b::text, %b::bytea[], %b::bytea[], %b::bytea[], %b::bigint[], %b::bigint[]
)"""
# One statement sees one moment.
_READ = """
SELECT head.revision, record.key, value, record.revision
FROM head LEFT JOIN record ON record.key = ANY(%b::bytea[])"""

Connection = AsyncConnection[TupleRow]


@dataclass(frozen=True, kw_only=True)
class PostgresProbeConfig(RemoteConfig):
    scheme: ClassVar[str] = "postgresql"
    default_port: ClassVar[int] = 5432

    requests_max: int = 16

    @property
    def schema(self) -> str:
        """The schema of the database; names of schemas are short."""
        return "probe_" + hashlib.sha256(self.database.encode()).hexdigest()[:32]


class PostgresTransport(Transport):
    """As many connections as requests are on their way."""

    def __init__(self, config: PostgresProbeConfig, ids: Ids, source: str) -> None:
        self._config = config
        self._ids = ids
        self._source = source
        self._free: list[Connection] = []
        self._closed = False

    async def connect(self) -> Welcome:
        config = self._config
        name = sql.Identifier(config.schema)
        async with self._connection(writing=False) as connection, connection.transaction():
            # Two openers at once: the second waits here and finds everything made.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [config.schema])
            made = await connection.execute("SELECT to_regclass('head')")
            if (await made.fetchone()) == (None,):
                if config.read_only or not config.create:
                    raise StoreNotFound(f"no database at {config.url}; open it with create=true")
                await connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
                await connection.execute(self._source, prepare=False)
                await connection.execute("INSERT INTO head VALUES (0, %s)", [self._ids.new().hex()])
            found = await connection.execute("SELECT lineage, revision FROM head")
            return Welcome._make((await found.fetchall())[0])

    async def close(self) -> None:
        self._closed = True
        while self._free:
            await self._free.pop().close()

    async def read(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        async with self._connection(writing=False) as connection:
            found = await _rows(connection, _READ, [list(keys)])
        records = {key: Record(value, revision) for _, key, value, revision in found}
        return [records.get(key) for key in keys], found[0][0]

    async def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        bounds = [bound for bound in (range.start, range.end) if bound is not None]
        statement = _scan_statement(range.start is None, range.end is None, range.reverse)
        async with self._connection(writing=False) as connection:
            found = await _rows(connection, statement, [*bounds, rows_max, bytes_max])
        head = found[0][0]
        if found[0][1] is None:  # The range holds nothing; the head is there all the same.
            return Page([], None, head)
        page = [(key, Record(value, revision)) for _, key, value, revision, _ in found]
        # Rows that the byte limit kept back, or a page of full length, leave a rest.
        more = found[0][4] > len(found) or found[0][4] == rows_max
        return Page(page, range.after(page[-1][0]) if more else None, head)

    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        if any(head is not None for head in heads):
            # The probe cannot tell whether a head is met, so what needs one is decided anew.
            free = [batch for batch, head in zip(batches, heads, strict=True) if head is None]
            outcomes = iter(await self.commit_many(free, [None] * len(free), since))
            return [next(outcomes) if head is None else Moved(head) for head in heads]
        calls = [_call(batch) for batch in batches]
        async with self._connection(writing=True) as connection:
            if len(calls) == 1:  # The transaction of a single statement costs no words of its own.
                answers = await _rows(connection, _COMMIT, calls[0].arguments)
            else:
                async with connection.pipeline(), connection.transaction():
                    cursors = [
                        await connection.execute(_COMMIT, call.arguments, binary=True)
                        for call in calls
                    ]
                answers = [(await cursor.fetchall())[0] for cursor in cursors]
        return [call.outcome(answer) for call, answer in zip(calls, answers, strict=True)]

    # --- Inside -----------------------------------------------------------------------------

    @asynccontextmanager
    async def _connection(self, *, writing: bool) -> AsyncIterator[Connection]:
        """A free connection, and every error of the driver as one of the contract."""
        connection = None
        try:
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
                raise OutcomeUnknown("PostgreSQL was lost during a commit") from error
            raise ConnectionLost("PostgreSQL did not answer; check that it runs") from error
        except psycopg.Error as error:
            raise StoreError(f"PostgreSQL refused: {type(error).__name__}") from error

    async def _give_back(self, connection: Connection) -> None:
        # Cancelled in the middle it is not idle: closing lets the server undo what is open.
        if not self._closed and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._free.append(connection)
        else:
            await connection.close()

    async def _connect(self) -> Connection:
        return await AsyncConnection.connect(
            host=self._config.host,
            port=self._config.port,
            user="postgres",
            dbname="postgres",
            autocommit=True,
            prepare_threshold=0,  # Every statement is prepared at its first use: one round trip.
            options=f"-c search_path={self._config.schema}",
        )


class PostgresProbe(RemoteEngine):
    """Bytes on PostgreSQL."""

    config_type = PostgresProbeConfig

    #: The tables and the function of a commit.
    source: ClassVar[str] = (Path(__file__).parent / "schema.sql").read_text()

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._capabilities = Capabilities(
            engine="postgresql",
            io=Io.REMOTE,
            durability="server",
            writable=not config.read_only,
            waits=True,
            # A row of a B-tree index is at most a third of a page; longer keys need another home.
            key_bytes_max=2600,
            value_bytes_max=8 * 1024 * 1024,
            batch_operations_max=10_000,
            batch_bytes_max=64 * 1024 * 1024,
            page_bytes_max=1024 * 1024,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def transport(self) -> PostgresTransport:
        assert isinstance(self.config, PostgresProbeConfig)
        return PostgresTransport(self.config, self.components.ids, self.source)


class _Call(NamedTuple):
    """A commit as the function takes it, and how its answer reads."""

    arguments: list[Any]
    checks: Sequence[CheckKey | CheckRange]
    previous: bool

    def outcome(self, answer: TupleRow) -> Receipt | StoreError:
        outcome, revision, failed, found, newer, *previous = answer
        if outcome == "conflict":
            return _conflict(self.checks[failed - 1], found, newer)
        if not self.previous or outcome == "known":
            return Receipt(revision)
        noted = zip(*(column or [] for column in previous), strict=True)
        return Receipt(
            revision, {key: None if at is None else Record(value, at) for key, value, at in noted}
        )


def _call(batch: Batch) -> _Call:
    checks = [one for one in batch.operations if isinstance(one, CheckKey | CheckRange)]
    writes = [one for one in batch.operations if not isinstance(one, CheckKey | CheckRange)]
    columns = [_columns(operation) for operation in (*checks, *writes)]
    arrays = [list(column) for column in zip(*columns, strict=True)] or [[] for _ in range(6)]
    arguments = [batch.id, BATCH_ID_MEMORY_S, batch.previous, "".join(arrays[0]), *arrays[1:]]
    return _Call(arguments, checks, batch.previous)


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


async def _rows(
    connection: Connection, statement: str, arguments: Sequence[Any] = ()
) -> list[TupleRow]:
    cursor = await connection.execute(statement, arguments, binary=True)
    return await cursor.fetchall()


def _columns(operation: Operation) -> tuple[str, Any, Any, Any, Any, Any]:
    """(kind, key, end, value, revision, count) of an operation, as `commit_batch` takes them."""
    match operation:
        case Put(key, value):
            return "p", key, None, value, None, None
        case Append(prefix, value):
            return "a", prefix, None, value, None, None
        case Delete(key):
            return "d", key, None, None, None, None
        case CheckKey(key, revision):
            return "k", key, None, None, revision, None
        case CheckRange(bounds, at_revision, count):
            return "r", bounds.start, bounds.end, None, at_revision, count
        case DeleteRange(bounds):
            return "D", bounds.start, bounds.end, None, None, None


def _conflict(check: CheckKey | CheckRange, found: int | None, newer: int | None) -> Conflict:
    if isinstance(check, CheckKey):
        return Conflict("the key changed", key=check.key, expected=check.revision, found=found)
    seen = f"{found} keys" if newer is None else f"a key at revision {newer}"
    return Conflict("the range changed", range=check.range, expected=check.count, found=seen)
