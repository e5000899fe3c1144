"""One way to a database on Redis: commits and reads are scripts, each of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hiredis

from holdfast.contract.batch import Batch, Receipt
from holdfast.contract.errors import (
    ConfigInvalid,
    ConnectionLost,
    ConsistencyViolation,
    FormatTooNew,
    InvalidInput,
    NotADatabase,
    OutcomeUnknown,
    StoreError,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Ids
from holdfast.engines.redis.calls import Call, bounds, call_of, record_of, record_or_none
from holdfast.engines.redis.config import RedisConfig
from holdfast.engines.redis.connection import Connection, Word, connect
from holdfast.engines.redis.failures import refusal, word_of
from holdfast.engines.redis.news import News
from holdfast.engines.redis.places import Places
from holdfast.engines.redis.scripts import NAMES, script
from holdfast.engines.redis.verify import verify
from holdfast.engines.remote import Transport
from holdfast.engines.remote.transport import Outcome, Welcome

#: How a database lies in its keys; see docs/format.md.
FORMAT = 1
#: The oldest server that has sharded channels, which tell of commits.
VERSION_MIN = 7
#: Where a new lineage begins after a loss: so far above the last revision that is known.
LINEAGE_GAP = 10**9
#: How many rows one script loads.
LOAD_ROWS = 500


@dataclass
class Known:
    """What an engine knows of its database, whichever of its connections learned it.

    Attributes:
        lineage: '' before the first connection.
        head: the newest revision that a server told of.
    """

    lineage: str = ""
    head: int = 0


class RedisTransport(Transport):
    """A connection to the server that holds the database, another one that hears of commits.

    Args:
        config: of the database.
        places: where it may be.
        known: of the engine.
        ids: for lineages.
    """

    def __init__(self, config: RedisConfig, places: Places, known: Known, ids: Ids) -> None:
        self._config = config
        self._places = places
        self._known = known
        self._ids = ids
        stem = b"{" + config.prefix.encode() + b"}:"
        self.database, self.head, self.order, self.records, self._receipt = (
            stem + part for part in (b"database", b"head", b"order", b"records", b"batch:")
        )
        # Channels are shared by all databases of a server, whatever their numbers.
        self._channel = stem + b"commits:" + (config.database or "0").encode()
        self._lineage = b""
        self._connection: Connection | None = None
        self._writing: Connection | None = None
        self._news = News(self._channel, self._listen, self._head)

    async def connect(self) -> Welcome:
        self._connection, facts = await self._places.connect()
        _check_server(facts)
        await self._tell_scripts(self._connection)
        if self._config.read_only:
            lineage, head = await self._look()
        else:
            lineage, head = await self._enter(facts)
            if self._config.wait_replicas:
                # WAIT holds up what comes behind it on the same connection.
                self._writing = await connect(self._config, self._connection.address)
        self._lineage = lineage.encode()
        self._known.lineage, self._known.head = lineage, head
        return Welcome(lineage, head)

    async def close(self) -> None:
        connections, self._connection, self._writing = (
            [one for one in (self._connection, self._writing) if one is not None], None, None
        )  # fmt: skip
        for connection in connections:
            connection.abort()  # All of them before anything is waited for, which may be cancelled.
        await self._news.close()
        for connection in connections:
            await connection.close()

    # --- Reading ----------------------------------------------------------------------------

    async def read(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        head, *found = await self._run("read", [self.head, self.records], keys)
        return [record_or_none(one) for one in found], self._revision(head)

    async def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        words: list[Word] = [*bounds(range), int(range.reverse), rows_max, bytes_max]
        head, more, *flat = await self._run("scan", [self.head, self.order, self.records], words)
        # A key without a record is damage that `check` tells of; nobody reads it.
        rows = [
            (key, record_of(found))
            for key, found in zip(flat[::2], flat[1::2], strict=True)
            if found is not None
        ]
        rest = range.after(flat[-2]) if more == b"1" else None
        return Page(rows, rest, self._revision(head))

    async def wait_above(self, revision: int) -> int:
        return await self._news.wait_above(revision)

    async def check(self) -> list[str]:
        return await verify(self._here(), self.head, self.order, self.records)

    # --- Writing ----------------------------------------------------------------------------

    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        calls = [call_of(batch) for batch in batches]
        if any(head is not None for head in heads):
            run = self._ids.new().hex()
            calls = [call.in_run(run, since, head) for call, head in zip(calls, heads, strict=True)]
        replies = await self._commit(calls)
        # Told to forget its scripts: refused commits are sent again, in their order.
        missing = [at for at, reply in enumerate(replies) if _word(reply) == "NOSCRIPT"]
        if missing:
            await self._tell_scripts(self._here())
            await self._again(replies, {at: calls[at] for at in missing})
        full = [at for at, reply in enumerate(replies) if _word(reply) == "OOM"]
        await self._again(
            replies, {at: calls[at].for_full_server() for at in full if calls[at].deletes}
        )
        outcomes = [self._outcome(call, reply) for call, reply in zip(calls, replies, strict=True)]
        lost = next((one for one in outcomes if isinstance(one, ConnectionLost)), None)
        if lost is not None:
            # The whole group is sent again; what was done is known by its id.
            if any(isinstance(one, Receipt) for one in outcomes):
                raise OutcomeUnknown(str(lost)) from lost
            raise lost
        revisions = [one.revision for one in outcomes if isinstance(one, Receipt)]
        self._known.head = max(self._known.head, *revisions, 0)
        if self._config.wait_replicas and revisions:
            return await self._replicated(calls, outcomes)
        return outcomes

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], next_revision: int | None
    ) -> None:
        parts = [rows[at : at + LOAD_ROWS] for at in range(0, len(rows), LOAD_ROWS)] or [[]]
        for part in parts:
            words: list[Word] = [self._lineage]
            words.append("" if next_revision is None or part is not parts[-1] else next_revision)
            for key, record in part:
                stored = (
                    b"" if record is None else record.revision.to_bytes(8, "big") + record.value
                )
                words += [key, stored]
            keys = [self.head, self.order, self.records, self._channel]
            outcome, *rest = await self._run("load", keys, words, writes=True)
            if outcome == b"lineage":
                raise self._other_lineage()
            if outcome == b"below":
                raise InvalidInput(
                    f"the next revision lies above {rest[0]}, which a row loaded has; "
                    f"found {next_revision}"
                )

    # --- Connecting -------------------------------------------------------------------------

    async def _tell_scripts(self, connection: Connection) -> None:
        commands = [("SCRIPT", "LOAD", script(name).source) for name in NAMES]
        for reply in await connection.replies(commands, writes=False):
            if isinstance(reply, hiredis.ReplyError):
                raise refusal(reply)

    async def _look(self) -> tuple[str, int]:
        """Lineage and head, of a database that is only read."""
        found = await self._here().ask("HMGET", self.database, "format", "lineage")
        standing = await self._here().ask("GET", self.head)
        if found[0] is None or standing is None:
            raise self._absent()
        self._check_format(found[0])
        return found[1].decode(), int(standing.partition(b" ")[0])

    async def _enter(self, facts: dict[str, str]) -> tuple[str, int]:
        """Lineage and head; makes the database, or begins another lineage, where that is due."""
        continued = facts.get("master_replid2", "").strip("0")
        words: list[Word] = [
            FORMAT, int(self._config.create and not self._known.lineage), self._ids.new().hex(),
            facts.get("master_replid", ""), int(await self._keeps_everything(facts)), continued,
            self._known.lineage, self._known.head, LINEAGE_GAP,
        ]  # fmt: skip
        keys = [self.database, self.head, self.order, self.records]
        outcome, *rest = await self._run("welcome", keys, words, writes=True)
        if outcome == b"absent":
            raise self._absent()
        if outcome == b"format":
            self._check_format(rest[0])
        if outcome == b"made" and self._config.wait_replicas:
            await self._require_replicas(self._here())
        if outcome not in (b"open", b"made"):
            raise NotADatabase(
                f"keys of the prefix {self._config.prefix!r} at {self._config.url} are no database "
                "of Holdfast; choose another prefix"
            )
        return rest[0].decode(), rest[1]

    async def _keeps_everything(self, facts: dict[str, str]) -> bool:
        """Whether what the server acknowledged survives its own end."""
        if facts.get("aof_enabled") != "1":
            return False
        try:
            found = await self._here().ask("CONFIG", "GET", "appendfsync")
        except StoreError as error:
            if isinstance(error, ConnectionLost):
                raise
            return False  # It does not tell: the user may not ask.
        return bool(found) and found[1] == b"always"

    def _check_format(self, found: bytes) -> None:
        if found != str(FORMAT).encode():
            shown = found[:20].decode(errors="replace")
            raise FormatTooNew(
                f"the database at {self._config.url} is of format {shown}, and this version reads "
                f"{FORMAT}; update Holdfast",
                supported=FORMAT,
            )

    def _absent(self) -> StoreNotFound:
        if self._known.lineage:
            return StoreNotFound(
                f"the database at {self._config.url} is gone: somebody has flushed it, or the "
                "server has lost its data. Restore it, or close this handle and open it anew"
            )
        return StoreNotFound(
            f"there is no database at {self._config.url}; open it with create=true to make one"
        )

    # --- Inside -----------------------------------------------------------------------------

    def _here(self) -> Connection:
        if self._connection is None:
            raise ConnectionLost("the connection to Redis is closed")
        return self._connection

    async def _run(
        self, name: str, keys: Sequence[bytes], words: Sequence[Word], *, writes: bool = False
    ) -> list[Any]:
        """The reply of a script."""
        connection = self._here()
        command = ("EVALSHA", script(name).digest, len(keys), *keys, *words)
        [reply] = await connection.replies([command], writes=writes)
        if _word(reply) == "NOSCRIPT":
            await self._tell_scripts(connection)
            [reply] = await connection.replies([command], writes=writes)
        if isinstance(reply, hiredis.ReplyError):
            raise refusal(reply)
        answer: list[Any] = reply
        return answer

    async def _commit(self, calls: Sequence[Call]) -> list[Any]:
        digest, keys = script("commit").digest, (self.head, self.order, self.records)
        commands = [
            ("EVALSHA", digest, 5, *keys, self._receipt + (call.id or b""), self._channel,
             self._lineage, *call.arguments)
            for call in calls
        ]  # fmt: skip
        return await (self._writing or self._here()).replies(commands, writes=True)

    async def _again(self, replies: list[Any], calls: dict[int, Call]) -> None:
        """Send those that were refused once more; their replies take the places of the refusals."""
        if calls:
            found = await self._commit(list(calls.values()))
            for at, reply in zip(calls, found, strict=True):
                replies[at] = reply

    def _outcome(self, call: Call, reply: Any) -> Outcome:
        if isinstance(reply, hiredis.ReplyError):
            return refusal(reply)
        if reply[0] == b"lineage":
            return self._other_lineage()
        return call.outcome(reply)

    def _other_lineage(self) -> ConnectionLost:
        return ConnectionLost("the database on Redis has begun another lineage; connecting anew")

    def _revision(self, head: bytes | None) -> int:
        """The revision of a head, which belongs to our lineage."""
        revision, lineage, *_ = (head or b" ").split(b" ")
        if lineage != self._lineage:
            raise self._other_lineage()
        number = int(revision)
        self._known.head = max(self._known.head, number)
        return number

    async def _replicated(self, calls: Sequence[Call], outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes, unknown where fewer replicas than wanted have the write."""
        try:
            await self._require_replicas(self._writing or self._here())
        except ConsistencyViolation as error:
            unknown = OutcomeUnknown(
                f"{error}. Redis itself has it and a fail-over may lose it; repeat the batch with "
                "the same id"
            )
        else:
            return outcomes
        return [
            unknown if isinstance(one, Receipt) and call.id is not None else one
            for call, one in zip(calls, outcomes, strict=True)
        ]

    async def _require_replicas(self, connection: Connection) -> None:
        """Wait until enough replicas have what this connection has written."""
        wanted, seconds = self._config.wait_replicas, self._config.wait_timeout
        [reached] = await connection.replies(
            [("WAIT", wanted, max(1, round(seconds * 1000)))], writes=True
        )
        if isinstance(reached, hiredis.ReplyError):
            raise refusal(reached)
        if reached < wanted:
            raise ConsistencyViolation(
                f"{wanted} replicas were to have a write within {seconds} s (wait_replicas, "
                f"wait_timeout); {reached} told that they do"
            )

    async def _head(self) -> int:
        return (await self.read(()))[1]

    async def _listen(self, hear: Any) -> Connection:
        return await connect(self._config, self._here().address, hear=hear)


def _word(reply: Any) -> str:
    """The kind of a refusal; '' for what is none."""
    return word_of(reply) if isinstance(reply, hiredis.ReplyError) else ""


def _check_server(facts: dict[str, str]) -> None:
    version = facts.get("redis_version", "0")
    if int(version.partition(".")[0] or 0) < VERSION_MIN:
        raise Unsupported(
            f"Redis {VERSION_MIN}.0 or later was wanted; found {version}. Update the server"
        )
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ConfigInvalid(
            "Redis must be set to maxmemory-policy noeviction, or it drops data to make room; "
            f"found {policy}",
            parameter="maxmemory-policy",
        )
