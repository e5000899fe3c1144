"""The engine contract on Redis: one Lua script per commit, one slot per database.

`{name}:head` holds the revision, `{name}:order` the keys in byte order (a sorted set whose scores
are all 0), `{name}:records` key -> revision and value, `{name}:batch:<id>` the receipts. The braces
keep them in one slot of a cluster, which is what lets a script touch them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from benchmarks.contract_probe.common import (
    BATCH_ID_MEMORY_S,
    CONNECTIONS_MAX,
    Check,
    Write,
    refusal,
    split,
)
from benchmarks.contract_probe.gather import Gather
from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    Decide,
    Delete,
    DeleteRange,
    Put,
    Receipt,
)
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine, Snapshot
from holdfast.contract.errors import (
    ConfigInvalid,
    Conflict,
    ConnectionFailed,
    OutcomeUnknown,
    StorageFull,
    StoreClosed,
    StoreError,
)
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components

_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class RedisProbeConfig(EngineConfig):
    """Where the server is, and the database's name (`name`) on it."""

    scheme: ClassVar[str] = "redis"

    host: str = "127.0.0.1"
    port: int = 6379
    name: str = "holdfast"


class RedisProbe(Engine):
    """Bytes on Redis: commits are scripts, reads are HMGET."""

    config: RedisProbeConfig
    config_type = RedisProbeConfig

    #: The script of a commit.
    source: ClassVar[str] = (_HERE / "commit.lua").read_text()

    def __init__(self, config: RedisProbeConfig, components: Components) -> None:
        super().__init__(config, components)
        stem = b"{" + config.name.encode() + b"}:"
        self._head, self._order, self._records = stem + b"head", stem + b"order", stem + b"records"
        self._receipt = stem + b"batch:"
        self._lineage_key = stem + b"lineage"
        self._lineage = ""
        self._client: Redis | None = None
        # First come, first served; the pool of the driver lets a busy task overtake for ever.
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="redis",
            io=Io.REMOTE,
            durability="server",
            value_bytes_max=8 * 1024 * 1024,
            batch_operations_max=10_000,
            page_bytes_max=1024 * 1024,
        )

    @property
    def lineage(self) -> str:
        return self._lineage

    @property
    def client(self) -> Redis:
        """The driver, for what is beside the contract."""
        if self._client is None:
            raise StoreClosed("the database is closed; open it again")
        return self._client

    @property
    def keys(self) -> list[bytes]:
        """The Redis keys of a commit, which must share a slot."""
        return [self._head, self._order, self._records, self._receipt]

    async def open(self) -> None:
        self._client = Redis(
            host=self.config.host,
            port=self.config.port,
            # The driver would send a command again after a broken connection: a commit twice.
            retry=Retry(NoBackoff(), 0),
        )
        self._commit = self._client.register_script(self.source)
        # At its memory limit Redis refuses scripts that might grow it; this one only makes room.
        self._delete = self._client.register_script("#!lua flags=allow-oom\n" + self.source)
        self._scan = self._client.register_script((_HERE / "scan.lua").read_text())
        async with self.session():
            policy = (await self._client.info("memory"))["maxmemory_policy"]
            if policy != "noeviction":
                raise ConfigInvalid(
                    f"Redis must be set to maxmemory-policy noeviction, or it drops data to make "
                    f"room; found {policy}",
                    parameter="maxmemory-policy",
                )
            await self._client.set(self._lineage_key, self.components.ids.new().hex(), nx=True)
            lineage: Any = await self._client.get(self._lineage_key)
            self._lineage = lineage.decode()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def head(self) -> int:
        async with self.session() as client:
            return int(await client.get(self._head) or 0)

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self._without_snapshot(at)
        if not keys:
            return []
        async with self.session() as client:
            return [_record(found) for found in await _awaited(client.hmget(self._records, keys))]

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        self._without_snapshot(at)
        limits = self.capabilities
        rows_max = range.rows_wanted(limits.page_rows_max)
        async with self.session():
            head, more, *flat = await self._scan(
                keys=self.keys[:3],
                args=[*_bounds(range), int(range.reverse), rows_max, limits.page_bytes_max],
            )
        rows = [(key, _some(found)) for key, found in zip(flat[::2], flat[1::2], strict=True)]
        return Page(rows, range.after(rows[-1][0]) if more == b"1" else None, int(head))

    async def commit(self, batch: Batch) -> Receipt:
        call = self._call(batch)
        async with self.session(writing=True):
            reply = await call.script(keys=call.keys, args=call.arguments)
        return call.receipt(reply)

    def _call(self, batch: Batch) -> _Call:
        checks, writes = split(batch, self.capabilities)
        arguments: list[bytes | int] = [
            BATCH_ID_MEMORY_S if batch.id is not None else 0,
            int(batch.previous),
            len(checks),
        ]
        for check in checks:
            arguments += _check_arguments(check)
        for write in writes:
            arguments += _write_arguments(write)
        only_deletes = writes and all(isinstance(write, Delete | DeleteRange) for write in writes)
        script = self._delete if only_deletes else self._commit
        keys = [*self.keys[:3], self._receipt + (batch.id or b"")]
        return _Call(script, keys, arguments, checks, batch.previous)

    async def _read_with_head(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        if not keys:
            return [], await self.head()
        async with self.session() as client, client.pipeline(transaction=False) as pipeline:
            pipeline.hmget(self._records, keys)
            pipeline.get(self._head)
            found, head = await pipeline.execute()
        return [_record(one) for one in found], int(head or 0)

    @asynccontextmanager
    async def session(self, *, writing: bool = False) -> AsyncIterator[Redis]:
        """The driver, at most so many callers at once, its errors as those of the contract."""
        try:
            async with self._places:
                yield self.client
        except RedisError as error:
            raise _translated(error, writing=writing) from error

    def _without_snapshot(self, at: Snapshot | None) -> None:
        if at is not None:
            raise self._unsupported("snapshots", "an engine with snapshots, such as lmdb")


class GatheringRedisProbe(RedisProbe):
    """Commits and transactions of all tasks of the process share their round trips."""

    def __init__(self, config: RedisProbeConfig, components: Components) -> None:
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

    async def _commit_many(self, batches: Sequence[Batch]) -> list[Receipt | StoreError]:
        calls = [self._call(batch) for batch in batches]
        async with (
            self.session(writing=True) as client,
            client.pipeline(transaction=False) as pipeline,
        ):
            # The driver's own use of scripts in a pipeline asks first whether they are loaded.
            for call in calls:
                pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.arguments)
            replies = await pipeline.execute(raise_on_error=False)
        return [
            await self._outcome(call, reply) for call, reply in zip(calls, replies, strict=True)
        ]

    async def _outcome(self, call: _Call, reply: Any) -> Receipt | StoreError:
        """The receipt, or the refusal as a value: one of many answers."""
        try:
            if isinstance(reply, NoScriptError):  # Not run: the server was started anew.
                async with self.session(writing=True):
                    reply = await call.script(keys=call.keys, args=call.arguments)
            if isinstance(reply, RedisError):
                return _translated(reply, writing=True)
            return call.receipt(reply)
        except StoreError as error:
            return error


class _Call(NamedTuple):
    """A commit as the script takes it, and how its reply reads."""

    script: AsyncScript
    keys: list[bytes]
    arguments: list[bytes | int]
    checks: list[Check]
    previous: bool

    def receipt(self, reply: list[Any]) -> Receipt:
        outcome, *rest = reply
        if outcome == b"conflict":
            number, found = rest
            raise _conflict(self.checks[number - 1], found)
        if not self.previous or outcome == b"known":
            return Receipt(rest[0])
        flat = rest[1:]
        return Receipt(rest[0], dict(zip(flat[::2], map(_record, flat[1::2]), strict=True)))


def _translated(error: RedisError, *, writing: bool) -> StoreError:
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        if writing:
            return OutcomeUnknown(
                "Redis was lost during a commit, which may have happened or not; repeat it with "
                "the same batch id"
            )
        return ConnectionFailed("Redis did not answer; check that it runs")
    if isinstance(error, OutOfMemoryError):
        return StorageFull(
            "Redis is at its maxmemory and refused the write; delete something or raise it"
        )
    return StoreError(f"Redis refused: {type(error).__name__}")


def _record(found: bytes | None) -> Record | None:
    return None if found is None else _some(found)


def _some(found: bytes) -> Record:
    return Record(found[8:], int.from_bytes(found[:8], "big"))


def _bounds(range: Range) -> tuple[bytes, bytes]:
    """The range as ZRANGEBYLEX has it; an empty one stays empty."""
    start = b"-" if range.start is None else b"[" + range.start
    return start, b"+" if range.end is None else b"(" + range.end


def _check_arguments(check: Check) -> list[bytes | int]:
    if isinstance(check, CheckKey):
        return [b"k", check.key, b"" if check.revision is None else check.revision]
    return [b"r", *_bounds(check.range), check.at_revision, check.count]


def _write_arguments(write: Write) -> list[bytes | int]:
    if isinstance(write, Put):
        return [b"p", write.key, write.value]
    if isinstance(write, Append):
        return [b"a", write.prefix, write.value]
    if isinstance(write, Delete):
        return [b"d", write.key]
    return [b"D", *_bounds(write.range)]


def _conflict(check: Check, found: bytes) -> Conflict:
    if found.startswith(b"r"):
        return refusal(check, None, newer=int(found[1:]))
    return refusal(check, int(found) if found else None)


async def _awaited(answer: Any) -> Any:
    """The driver types its asynchronous answers as either kind."""
    return await answer
