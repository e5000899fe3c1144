"""One way to a database on PostgreSQL: one function per commit, one statement per read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from holdfast.contract.batch import Batch, Receipt
from holdfast.contract.errors import (
    ConfigInvalid,
    ConnectionLost,
    InvalidInput,
    OutcomeUnknown,
    StoreError,
    StoreNotFound,
)
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Ids
from holdfast.engines.postgres.calls import Call, call_of, other_lineage
from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.connections import Connection, Connections
from holdfast.engines.postgres.formats import FORMAT, check_format
from holdfast.engines.postgres.news import News
from holdfast.engines.postgres.statements import Statements
from holdfast.engines.remote import Transport
from holdfast.engines.remote.transport import Outcome, Welcome

#: Where a new lineage begins after a loss: so far above the last revision that is known.
LINEAGE_GAP = 10**9
#: How many faults are told one by one.
FAULTS_MAX = 100


@dataclass
class Known:
    """What an engine knows of its database, whichever of its connections learned it.

    Attributes:
        lineage: '' before the first connection.
        head: the newest revision that a server told of.
    """

    lineage: str = ""
    head: int = 0


class PostgresTransport(Transport):
    """Some connections that read, one that writes, one that listens.

    Args:
        config: of the database.
        statements: of its schema.
        known: of the engine.
        ids: for lineages.
    """

    def __init__(
        self, config: PostgresConfig, statements: Statements, known: Known, ids: Ids
    ) -> None:
        self._config = config
        self._say = statements
        self._known = known
        self._ids = ids
        self._lineage = ""
        self._connections = Connections(config)
        # Names of channels are short, and those of schemas may be as long.
        digest = hashlib.sha256(config.schema.encode()).hexdigest()[:32]
        self._channel = f"holdfast_{digest}"
        self._news = News(config, self._channel, self._head)
        self._standby = False

    async def connect(self) -> Welcome:
        async with self._connections.writing() as connection:
            try:
                lineage, head = await self._enter(connection)
            except psycopg.Error as error:
                if error.sqlstate in ("42P01", "3F000") and self._known.lineage:
                    raise self._absent() from error
                raise
        self._lineage = lineage
        self._known.lineage, self._known.head = lineage, head
        return Welcome(lineage, head)

    async def close(self) -> None:
        await self._news.close()
        await self._connections.close()

    # --- Reading ----------------------------------------------------------------------------

    async def read(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        asked = list(keys)
        async with self._connections.reading() as connection:
            rows = await (
                self._rows(connection, self._say.read_one, asked)
                if len(asked) == 1
                else self._rows(connection, self._say.read, [asked])
            )
        head = self._revision(rows)
        found = {key: Record(value, revision) for _, _, key, value, revision in rows}
        return [found.get(key) for key in keys], head

    async def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        bounds = [bound for bound in (range.start, range.end) if bound is not None]
        statement = self._say.scan(
            start_open=range.start is None, end_open=range.end is None, reverse=range.reverse
        )
        async with self._connections.reading() as connection:
            rows = await self._rows(connection, statement, [*bounds, rows_max, bytes_max])
        head = self._revision(rows)
        if rows[0][2] is None:  # The range holds nothing; the head is there all the same.
            return Page([], None, head)
        page = [(key, Record(value, revision)) for _, _, key, value, revision, _ in rows]
        # Rows that the byte limit kept back, or a page of full length, leave a rest.
        count = rows[0][5]
        more = count > len(page) or count == rows_max
        return Page(page, range.after(page[-1][0]) if more else None, head)

    async def wait_above(self, revision: int) -> int:
        if self._standby:
            return await super().wait_above(revision)  # Nobody is notified there.
        return await self._news.wait_above(revision)

    async def check(self) -> list[str]:
        async with self._connections.reading() as connection:
            rows = await self._rows(connection, self._say.check, [FAULTS_MAX])
        return [
            f"the row of key {key.hex()} is newer than the head, {head}, or has no key"
            for key, head in rows
        ]

    # --- Writing ----------------------------------------------------------------------------

    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        calls = [call_of(batch, head, since) for batch, head in zip(batches, heads, strict=True)]
        try:
            outcomes = await self._together(calls)
        except (ConnectionLost, OutcomeUnknown):
            raise
        except StoreError as error:
            if len(calls) == 1:
                return [error]
            # One of them cannot be done, and took the others along: each by itself.
            outcomes = [await self._alone(call) for call in calls]
        lost = next((one for one in outcomes if isinstance(one, ConnectionLost)), None)
        if lost is not None:
            raise lost
        revisions = [one.revision for one in outcomes if isinstance(one, Receipt)]
        self._known.head = max(self._known.head, *revisions, 0)
        return outcomes

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], next_revision: int | None
    ) -> None:
        newest = dict(rows)  # One statement writes a row once.
        last = {key: one for key, one in newest.items() if one is not None}
        removed = [key for key, one in newest.items() if one is None]
        columns = [
            list(last),
            [record.value for record in last.values()],
            [record.revision for record in last.values()],
        ]
        async with self._connections.writing() as connection, connection.transaction():
            await connection.execute(self._say.take_turn)
            [(head, lineage)] = await self._rows(connection, self._say.head)
            if lineage != self._lineage:
                raise other_lineage()
            head = max([head, *(record.revision for record in last.values())])
            if next_revision is not None:
                if next_revision <= head:
                    raise InvalidInput(
                        f"the next revision lies above {head}, which a row loaded has; "
                        f"found {next_revision}"
                    )
                head = next_revision - 1
            await connection.execute(self._say.load, columns)
            if removed:
                await connection.execute(self._say.unload, [removed])
            await connection.execute(self._say.advance, [head])
            await connection.execute(self._say.tell, [self._channel])

    # --- Connecting -------------------------------------------------------------------------

    async def _enter(self, connection: Connection) -> tuple[str, int]:
        """Lineage and head; makes the database, or begins another lineage, where that is due."""
        config = self._config
        [(standby,)] = await self._rows(connection, "SELECT pg_is_in_recovery()")
        self._standby = standby
        if config.read_only:
            if not await self._exists(connection):
                raise self._absent()
            [facts] = await self._rows(connection, self._say.facts)
            self._check_facts(facts)
            return facts[1], facts[0]
        async with connection.transaction():
            if not await self._exists(connection):
                await self._make(connection)
            # A table of that name may be of another program, which has no such function.
            await self._rows(connection, self._say.facts)
            await connection.execute(self._say.take_turn)
            [facts] = await self._rows(connection, self._say.facts)
            self._check_facts(facts)
            revision, lineage, _, era, unflushed, here, started, relaxed, _ = facts
            lost = (
                (era not in ("", here))
                or (unflushed not in (None, started))
                or (lineage == self._known.lineage and revision < self._known.head)
            )
            if lost:
                lineage = self._ids.new().hex()
                revision = max(revision, self._known.head) + LINEAGE_GAP
            mark = started if relaxed else None if lost else unflushed
            if lost or (era, unflushed) != (here, mark):
                await connection.execute(self._say.enter, [revision, lineage, here, mark])
        return lineage, revision

    async def _exists(self, connection: Connection) -> bool:
        [(found,)] = await self._rows(connection, self._say.exists, [self._say.head_name])
        return bool(found)

    async def _make(self, connection: Connection) -> None:
        if not self._config.create or self._known.lineage:
            raise self._absent()
        schema = self._config.schema
        # Two makers at once: the second waits here and finds everything made.
        await connection.execute(self._say.take_makers_turn, [schema])
        if await self._exists(connection):
            return
        [(there,)] = await self._rows(
            connection, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", [schema]
        )
        if not there:
            await connection.execute(self._say.make_schema, prepare=False)
        await connection.execute(self._say.make, prepare=False)
        await connection.execute(self._say.begin, [self._ids.new().hex(), FORMAT])

    def _check_facts(self, facts: TupleRow) -> None:
        check_format(facts[2], self._config.url)
        if self._config.durability == "full" and not facts[8]:
            raise ConfigInvalid(
                "durability=full wants a server that flushes; found fsync=off there. Set it to on, "
                "or leave durability out",
                parameter="durability",
            )

    def _absent(self) -> StoreNotFound:
        if self._known.lineage:
            return StoreNotFound(
                f"the database at {self._config.url} is gone: somebody has dropped its schema or "
                "tables. Restore it, or close this handle and open it anew"
            )
        return StoreNotFound(
            f"there is no database at {self._config.url}; open it with create=true to make one"
        )

    # --- Inside -----------------------------------------------------------------------------

    async def _together(self, calls: Sequence[Call]) -> list[Outcome]:
        """All in one transaction, with one flush, sent without waiting in between."""
        async with self._connections.writing() as connection:
            async with connection.pipeline(), connection.transaction():
                cursors = [
                    await connection.execute(
                        self._say.commit, [self._lineage, *call.arguments], binary=True
                    )
                    for call in calls
                ]
                if any(call.writes for call in calls):
                    # It makes the commit one that is flushed; checks alone need not be.
                    await connection.execute(self._say.tell, [self._channel])
            answers = [await cursor.fetchone() for cursor in cursors]
        return [
            call.outcome(answer or ())
            for call, answer in zip(calls, answers, strict=True)
        ]  # fmt: skip

    async def _alone(self, call: Call) -> Outcome:
        try:
            return (await self._together([call]))[0]
        except (ConnectionLost, OutcomeUnknown):
            raise
        except StoreError as error:
            return error

    async def _rows(
        self, connection: Connection, statement: str, arguments: Sequence[Any] = ()
    ) -> list[TupleRow]:
        cursor = await connection.execute(statement, arguments, binary=True)
        return await cursor.fetchall()

    def _revision(self, rows: Sequence[TupleRow]) -> int:
        """The head that a statement saw, which belongs to our lineage."""
        if not rows or rows[0][1] != self._lineage:
            raise other_lineage()
        revision: int = rows[0][0]
        self._known.head = max(self._known.head, revision)
        return revision

    async def _head(self) -> int:
        return (await self.read(()))[1]
