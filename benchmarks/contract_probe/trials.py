"""Where the probes run, and trials of the whole: servers that crash or fill, engines broken."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from benchmarks.contract_probe.checks import CHECKS
from benchmarks.contract_probe.postgres_probe import (
    GatheringPostgresProbe,
    LockingPostgresProbe,
    PostgresProbe,
    PostgresProbeConfig,
)
from benchmarks.contract_probe.redis_probe import GatheringRedisProbe, RedisProbe, RedisProbeConfig
from benchmarks.contract_probe.servers import Server
from holdfast.contract.batch import Append, Batch, Delete, Put, Receipt
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConnectionFailed, OutcomeUnknown, StorageFull
from holdfast.contract.record import Range, Record
from holdfast.runtime.system import system_components

_names = (f"probe{number}" for number in itertools.count())

#: How often the server is crashed, and how many writers are at work then.
CRASHES = 5
WRITERS = 8


@dataclass(frozen=True)
class Site:
    """A running server and the kind of engine to put on it."""

    server: Server
    kind: type[Engine]

    @property
    def label(self) -> str:
        return self.kind.__name__

    @asynccontextmanager
    async def engine(self, name: str | None = None) -> AsyncIterator[Engine]:
        """An open engine on the database of that name; on a new one without a name."""
        engine = self._make(name or next(_names))
        await engine.open()
        try:
            yield engine
        finally:
            await engine.close()

    def _make(self, name: str) -> Engine:
        components = system_components()
        port = self.server.port
        if issubclass(self.kind, RedisProbe):
            return self.kind(RedisProbeConfig(port=port, name=name), components)
        assert issubclass(self.kind, PostgresProbe)
        return self.kind(PostgresProbeConfig(port=port, name=name), components)


def redis_sites(server: Server) -> list[Site]:
    return [Site(server, kind) for kind in (RedisProbe, GatheringRedisProbe)]


def postgres_sites(server: Server) -> list[Site]:
    return [
        Site(server, kind) for kind in (PostgresProbe, LockingPostgresProbe, GatheringPostgresProbe)
    ]


async def prove(site: Site) -> int:
    """Run every check on a database of its own; how many there were."""
    for check in CHECKS:
        async with site.engine() as engine:
            try:
                await check(engine)
            except BaseException as error:
                error.add_note(f"in the check {check.__name__} on {site.label}")
                raise
    return len(CHECKS)


async def survive_crashes(site: Site) -> int:
    """Crash the server among commits, again and again; how many commits were acknowledged.

    What was acknowledged is there, no batch is torn, none is applied twice although each whose
    outcome is unknown is sent again with its id, and no revision is given twice.
    """
    name = next(_names)
    acknowledged: dict[bytes, int] = {}
    stop = asyncio.Event()

    async def writes(engine: Engine, writer: int) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            mark = b"%d-%d" % (writer, number)
            batch = Batch(
                [Put(b"a/" + mark, mark), Append(b"log/", mark), Put(b"b/" + mark, mark)], mark
            )
            while True:
                try:
                    receipt = await engine.commit(batch)
                    break
                except (OutcomeUnknown, ConnectionFailed):
                    await asyncio.sleep(0.01)
            acknowledged[mark] = receipt.revision

    async with site.engine(name) as engine:
        async with asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(writes(engine, writer))
            for _ in range(CRASHES):
                await asyncio.sleep(0.15)
                await asyncio.to_thread(site.server.crash)
                await asyncio.to_thread(site.server.start)
            await asyncio.sleep(0.15)
            stop.set()

        logged = {record.value: record.revision async for _, record in _rows(engine, b"log/")}
        entries = 0
        async for _, record in _rows(engine, b"log/"):
            entries += 1
            assert await engine.read([b"a/" + record.value, b"b/" + record.value]) == [record] * 2
        assert entries == len(logged) == len(acknowledged), (
            entries,
            len(logged),
            len(acknowledged),
        )
        assert logged == acknowledged
        assert len(set(acknowledged.values())) == len(acknowledged)
        for prefix in (b"a/", b"b/"):
            assert len([key async for key, _ in _rows(engine, prefix)]) == len(acknowledged)
    return len(acknowledged)


async def outlive_the_caller(site: Site) -> None:
    """A commit that was handed over happens, although its caller is cancelled."""
    async with site.engine() as engine:
        calls = [
            asyncio.create_task(engine.commit(Batch([Put(b"%d" % number, b"")])))
            for number in range(WRITERS)
        ]
        await asyncio.sleep(0)  # Each runs up to where it waits.
        for call in calls:
            call.cancel()
        assert all(isinstance(end, asyncio.CancelledError) for end in await _ends(calls))
        await engine.commit(Batch([Put(b"last", b"")]))
        assert len((await engine.scan(Range())).rows) == WRITERS + 1


async def _ends(calls: Sequence[asyncio.Task[Receipt]]) -> list[Receipt | BaseException]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def refuse_when_full(site: Site) -> None:
    """Redis at its memory limit refuses a batch whole, still reads, and takes deletes."""
    async with site.engine() as engine:
        assert isinstance(engine, RedisProbe)
        await engine.commit(Batch([Put(b"a", bytes(100_000)), Put(b"b", b"1")]))
        client = engine.client
        await client.config_set("maxmemory", 1)
        try:
            try:
                await engine.commit(Batch([Delete(b"b"), Put(b"c", bytes(100_000))]))
            except StorageFull:
                pass
            else:
                raise AssertionError("StorageFull was expected")
            assert await engine.head() == 1
            assert [key for key, _ in (await engine.scan(Range())).rows] == [b"a", b"b"]
            assert (await engine.commit(Batch([Delete(b"a")]))).revision == 2
        finally:
            await client.config_set("maxmemory", 0)
        await engine.commit(Batch([Put(b"c", b"")]))


async def catch_broken_engines(site: Site, breakages: Sequence[tuple[str, str]]) -> None:
    """Break the source of the commit in one place at a time: the checks must see each."""
    for was, becomes in breakages:
        kind = cast("type[RedisProbe | PostgresProbe]", site.kind)
        assert kind.source.count(was) == 1, was
        broken = type("Broken", (kind,), {"source": kind.source.replace(was, becomes)})
        try:
            await prove(Site(site.server, broken))
        except Exception as error:
            print(f"    caught by {error.__notes__[0].split()[3]}: {' '.join(was.split())}")
        else:
            raise AssertionError(f"no check sees {was!r} become {becomes!r} on {site.label}")


async def _rows(engine: Engine, prefix: bytes) -> AsyncIterator[tuple[bytes, Record]]:
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = await engine.scan(rest)
        for row in page.rows:
            yield row
        rest = page.resume


REDIS_BREAKAGES = [
    ("if count ~= expected then", "if false then"),
    ("if revision > at_revision then", "if false then"),
    ("if at_revision >= head then", "if true then"),
    ("if at_revision >= head then", "if at_revision >= head - 1 then"),
    ("from = '(' .. keys[#keys]", "break"),
    ("return found == expected, found", "return found ~= '', found"),
    ("if not fits then", "if not fits and number == 1 then"),
    ("if known then", "if false then"),
    ("appends = appends + 1", "appends = appends"),
    ("first .. stamp .. struct.pack('>I4', appends)", "first .. struct.pack('>I8', head)"),
    ("redis.call('ZREM', order, first)", "redis.call('EXISTS', order)"),
    ("redis.call('HDEL', records, unpack(keys))", "redis.call('EXISTS', order)"),
    ("if #keys == 0 then break end\n      redis", "if first == '-' then break end\n      redis"),
    ("if at > #ARGV then return {'done', head} end", ""),
    ("and not seen[key]", "and seen[key] == nil and #reply < 4"),
    ("local revision = head + 1", "local revision = math.max(head, 1)"),
]  # fmt: skip

POSTGRES_BREAKAGES = [
    ("seen <> counts[i] OR newer > revisions[i] THEN", "newer > revisions[i] THEN"),
    ("seen <> counts[i] OR newer > revisions[i] THEN", "seen <> counts[i] THEN"),
    ("revisions[i] < current THEN", "revisions[i] < current - 1 THEN"),
    ("seen IS DISTINCT FROM revisions[i]", "seen <> revisions[i]"),
    ("PERFORM pg_advisory_xact_lock('head'::regclass::oid::bigint);", ""),
    ("r.batch_id = id AND", "false AND"),
    ("appends := appends + 1;", ""),
    ("stamp := int8send(revision);", "stamp := int8send(current);"),
    ("DELETE FROM record r WHERE r.key = keys[i];", ""),
    ("NOT coalesce(keys[i] = ANY (previous_keys), false)", "i < 3"),
    ("IF NOT writes THEN", "IF false THEN"),
]  # fmt: skip
