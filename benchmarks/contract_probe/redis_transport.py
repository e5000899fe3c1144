"""The engine contract on Redis: one Lua script per commit, one slot per database.

`{name}:head` holds the revision, `{name}:order` the keys in byte order (a sorted set whose scores
are all 0), `{name}:records` key -> revision and value, `{name}:batch:<id>` the receipts. The braces
keep them in one slot of a cluster, which is what lets a script touch them together.
"""

from __future__ import annotations

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
    ConfigInvalid,
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

_HERE = Path(__file__).parent

#: How long a batch id is remembered by the server.
BATCH_ID_MEMORY_S = 15 * 60

#: Records and head of one moment. Redis refuses MULTI when it is full, and this not.
_READ = """#!lua flags=no-writes,allow-oom
local answer = {redis.call('GET', KEYS[1]) or '0'}
for at, key in ipairs(ARGV) do answer[at + 1] = redis.call('HGET', KEYS[2], key) end
return answer"""


@dataclass(frozen=True, kw_only=True)
class RedisProbeConfig(RemoteConfig):
    scheme: ClassVar[str] = "redis"
    default_port: ClassVar[int] = 6379

    requests_max: int = 16


class RedisTransport(Transport):
    """Commits are scripts, reads are HMGET."""

    def __init__(self, config: RedisProbeConfig, ids: Ids, source: str) -> None:
        self._config = config
        self._ids = ids
        stem = b"{" + config.database.encode() + b"}:"
        self.keys = [stem + part for part in (b"head", b"order", b"records", b"batch:")]
        self._lineage = stem + b"lineage"
        # The driver would send a command again after a broken connection: a commit twice.
        self.client = Redis(host=config.host, port=config.port, retry=Retry(NoBackoff(), 0))
        self._commit = self.client.register_script(source)
        # At its memory limit Redis refuses scripts that might grow it; this one only makes room.
        self._delete = self.client.register_script("#!lua flags=allow-oom\n" + source)
        self._read = self.client.register_script(_READ)
        self._scan = self.client.register_script((_HERE / "scan.lua").read_text())

    async def connect(self) -> Welcome:
        config = self._config
        async with _translated(writing=False):
            policy = (await self.client.info("memory"))["maxmemory_policy"]
            if policy != "noeviction":
                raise ConfigInvalid(
                    f"Redis must be set to maxmemory-policy noeviction, or it drops data to make "
                    f"room; found {policy}",
                    parameter="maxmemory-policy",
                )
            if config.create and not config.read_only:
                await self.client.set(self._lineage, self._ids.new().hex(), nx=True)
            lineage: Any = await self.client.get(self._lineage)
            if lineage is None:
                raise StoreNotFound(f"no database at {config.url}; open it with create=true")
            return Welcome(lineage.decode(), int(await self.client.get(self.keys[0]) or 0))

    async def close(self) -> None:
        await self.client.aclose()

    async def read(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        async with _translated(writing=False):
            head, *found = await self._read(keys=[self.keys[0], self.keys[2]], args=list(keys))
        return [_record(one) for one in found], int(head)

    async def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        async with _translated(writing=False):
            head, more, *flat = await self._scan(
                keys=self.keys[:3],
                args=[*_bounds(range), int(range.reverse), rows_max, bytes_max],
            )
        rows = [(key, _some(found)) for key, found in zip(flat[::2], flat[1::2], strict=True)]
        return Page(rows, range.after(rows[-1][0]) if more == b"1" else None, int(head))

    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        if any(head is not None for head in heads):
            # The probe cannot tell whether a head is met, so what needs one is decided anew.
            free = [batch for batch, head in zip(batches, heads, strict=True) if head is None]
            outcomes = iter(await self.commit_many(free, [None] * len(free), since))
            return [next(outcomes) if head is None else Moved(head) for head in heads]
        calls = [self._call(batch) for batch in batches]
        async with (
            _translated(writing=True),
            self.client.pipeline(transaction=False) as pipeline,
        ):
            # The driver's own use of scripts in a pipeline asks first whether they are loaded.
            for call in calls:
                pipeline.evalsha(call.script.sha, len(call.keys), *call.keys, *call.arguments)
            replies = await pipeline.execute(raise_on_error=False)
            return [
                await self._outcome(call, reply) for call, reply in zip(calls, replies, strict=True)
            ]

    async def _outcome(self, call: _Call, reply: Any) -> Receipt | StoreError:
        if isinstance(reply, NoScriptError):  # Not run: the server was started anew.
            try:
                reply = await call.script(keys=call.keys, args=call.arguments)
            except OutOfMemoryError as error:
                reply = error
        if isinstance(reply, RedisError):
            if isinstance(reply, OutOfMemoryError):
                return StorageFull(
                    "Redis is at its maxmemory and refused the write; delete something or raise it"
                )
            raise reply
        return call.outcome(reply)

    def _call(self, batch: Batch) -> _Call:
        checks = [one for one in batch.operations if isinstance(one, CheckKey | CheckRange)]
        writes = [one for one in batch.operations if not isinstance(one, CheckKey | CheckRange)]
        arguments: list[bytes | int] = [
            BATCH_ID_MEMORY_S if batch.id is not None else 0,
            int(batch.previous),
            len(checks),
        ]
        for operation in (*checks, *writes):
            arguments += _arguments(operation)
        only_deletes = writes and all(isinstance(write, Delete | DeleteRange) for write in writes)
        script = self._delete if only_deletes else self._commit
        keys = [*self.keys[:3], self.keys[3] + (batch.id or b"")]
        return _Call(script, keys, arguments, checks, batch.previous)


class RedisProbe(RemoteEngine):
    """Bytes on Redis."""

    config_type = RedisProbeConfig

    #: The script of a commit.
    source: ClassVar[str] = (_HERE / "commit.lua").read_text()

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._capabilities = Capabilities(
            engine="redis",
            io=Io.REMOTE,
            durability="server",
            writable=not config.read_only,
            waits=True,
            value_bytes_max=8 * 1024 * 1024,
            batch_operations_max=10_000,
            batch_bytes_max=64 * 1024 * 1024,
            page_bytes_max=1024 * 1024,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def transport(self) -> RedisTransport:
        assert isinstance(self.config, RedisProbeConfig)
        return RedisTransport(self.config, self.components.ids, self.source)


class _Call(NamedTuple):
    """A commit as the script takes it, and how its reply reads."""

    script: AsyncScript
    keys: list[bytes]
    arguments: list[bytes | int]
    checks: Sequence[CheckKey | CheckRange]
    previous: bool

    def outcome(self, reply: list[Any]) -> Receipt | StoreError:
        outcome, *rest = reply
        if outcome == b"conflict":
            number, found = rest
            return _conflict(self.checks[number - 1], found)
        if not self.previous or outcome == b"known":
            return Receipt(rest[0])
        flat = rest[1:]
        return Receipt(rest[0], dict(zip(flat[::2], map(_record, flat[1::2]), strict=True)))


@asynccontextmanager
async def _translated(*, writing: bool) -> AsyncIterator[None]:
    """The driver's errors as those of the contract."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        if writing:
            raise OutcomeUnknown("Redis was lost during a commit") from error
        raise ConnectionLost("Redis did not answer; check that it runs") from error
    except RedisError as error:
        raise StoreError(f"Redis refused: {type(error).__name__}") from error


def _record(found: bytes | None) -> Record | None:
    return None if found is None else _some(found)


def _some(found: bytes) -> Record:
    return Record(found[8:], int.from_bytes(found[:8], "big"))


def _bounds(range: Range) -> tuple[bytes, bytes]:
    """The range as ZRANGEBYLEX has it; an empty one stays empty."""
    start = b"-" if range.start is None else b"[" + range.start
    return start, b"+" if range.end is None else b"(" + range.end


def _arguments(operation: Operation) -> list[bytes | int]:
    match operation:
        case CheckKey(key, revision):
            return [b"k", key, b"" if revision is None else revision]
        case CheckRange(range, at_revision, count):
            return [b"r", *_bounds(range), at_revision, count]
        case Put(key, value):
            return [b"p", key, value]
        case Append(prefix, value):
            return [b"a", prefix, value]
        case Delete(key):
            return [b"d", key]
        case DeleteRange(range):
            return [b"D", *_bounds(range)]


def _conflict(check: CheckKey | CheckRange, found: bytes) -> Conflict:
    if isinstance(check, CheckKey):
        revision = int(found) if found else None
        return Conflict("the key changed", key=check.key, expected=check.revision, found=revision)
    return Conflict(
        "the range changed", range=check.range, expected=check.count, found=found.decode()
    )
