"""Trials of the whole: the suite over a server, broken variants, servers that crash or fill."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contract_probe.postgres_transport import PostgresProbe, PostgresProbeConfig
from benchmarks.contract_probe.redis_transport import RedisProbe, RedisProbeConfig
from holdfast.contract.batch import Append, Batch, Delete, Put
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConnectionLost, OutcomeUnknown, StorageFull
from holdfast.contract.record import Range, Record
from holdfast.runtime.system import system_components
from holdfast.testing import EngineContract, Section, promises_of
from holdfast.testing.contract.batches import Batches
from holdfast.testing.contract.checks import Checks
from holdfast.testing.contract.concurrency import Concurrency
from holdfast.testing.contract.pages import Pages
from holdfast.testing.contract.revisions import Revisions
from holdfast.testing.contract.scans import Scans
from holdfast.testing.contract.transactions import Transactions
from holdfast.testing.subject import increment
from tests.servers.processes import Server

_names = (f"probe{number}" for number in itertools.count())

#: How often the server is crashed, and how many writers are at work then.
CRASHES = 5
WRITERS = 8


@dataclass(frozen=True)
class Site:
    """A running server and the kind of engine to put on it."""

    server: Server
    kind: type[RedisProbe | PostgresProbe]

    @asynccontextmanager
    async def engine(self, name: str | None = None) -> AsyncIterator[Engine]:
        """An open engine on the database of that name; on a new one without a name."""
        engine = self.kind(self.config(name or next(_names)), system_components())
        await engine.open()
        try:
            yield engine
        finally:
            await engine.close()

    def config(self, name: str) -> EngineConfig:
        kind = RedisProbeConfig if issubclass(self.kind, RedisProbe) else PostgresProbeConfig
        return kind(host="127.0.0.1", port=self.server.port, database=name)

    def contract(self, *sections: Any) -> Section:
        """Those sections of the contract, on this site."""
        site = self

        class OnTheSite(*sections):  # type: ignore[misc]
            engine_type = site.kind
            model_examples = 5

            def make_config(self, folder: Path) -> EngineConfig:
                return site.config(str(folder))

        contract: Section = OnTheSite()
        return contract


#: What a broken variant is put to.
_SECTIONS: list[Any] = [
    Checks, Batches, Revisions, Scans, Pages, Transactions, Concurrency,
]  # fmt: skip
#: Promises that another process takes part in: it would have to import this module's class.
_OTHER_PROCESSES = ("process", "fork")


def prove(site: Site) -> int:
    """Run the contract suite; how many promises there were."""
    asyncio.run(several_engines_lose_nothing(site))
    return _run(site.contract(EngineContract))


def _run(contract: Section) -> int:
    count = 0
    for name, promise in promises_of(type(contract)).items():
        if any(word in name for word in _OTHER_PROCESSES):
            continue
        with tempfile.TemporaryDirectory(prefix="holdfast-probe-") as folder:
            try:
                promise(contract, Path(folder))
            except BaseException as error:
                error.add_note(f"in the promise {name}")
                raise
        count += 1
    return count


def catch_broken_engines(site: Site, breakages: Sequence[tuple[str, str]]) -> None:
    """Break the source of the commit in one place at a time: the suite must see each."""
    for was, becomes in breakages:
        assert site.kind.source.count(was) == 1, was
        broken = type("Broken", (site.kind,), {"source": site.kind.source.replace(was, becomes)})
        try:
            variant = replace(site, kind=broken)
            _run(variant.contract(*_SECTIONS))
            asyncio.run(several_engines_lose_nothing(variant))
        except (Exception, pytest.fail.Exception) as error:
            print(f"    caught by {error.__notes__[-1].split()[-1]}: {' '.join(was.split())}")
        else:
            raise AssertionError(f"no promise sees {was!r} become {becomes!r}")


async def several_engines_lose_nothing(site: Site) -> None:
    """Engines that know nothing of each other, as those of several processes, count together."""
    name = next(_names)
    rounds = 20

    async def count(revisions: list[int]) -> None:
        async with site.engine(name) as engine:
            for _ in range(rounds):
                receipt = await engine.transact([b"n"], increment(b"n"))
                revisions.append(receipt.revision)
                revisions.append((await engine.commit(Batch([Append(b"log", b"")]))).revision)

    revisions: list[int] = []
    try:
        await asyncio.gather(*(count(revisions) for _ in range(WRITERS)))
        assert len(set(revisions)) == len(revisions) == 2 * rounds * WRITERS, "a revision twice"
        async with site.engine(name) as engine:
            (record,) = await engine.read([b"n"])
            assert record is not None
            assert int(record.value) == rounds * WRITERS, "an increment was lost"
    except BaseException as error:
        error.add_note("in several_engines_lose_nothing")
        raise


async def survive_crashes(site: Site) -> int:
    """Crash the server among commits, again and again; how many commits were acknowledged.

    What was acknowledged is there, no batch is torn, none is applied twice although each whose
    answer was lost is sent again, and no revision is given twice.
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
                except (OutcomeUnknown, ConnectionLost):
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
        logged = [record async for _, record in _rows(engine, b"log/")]
        for record in logged:
            assert await engine.read([b"a/" + record.value, b"b/" + record.value]) == [record] * 2
        assert {record.value: record.revision for record in logged} == acknowledged
        assert len(logged) == len(set(acknowledged.values())) == len(acknowledged)
        for prefix in (b"a/", b"b/"):
            assert len([key async for key, _ in _rows(engine, prefix)]) == len(acknowledged)
    return len(acknowledged)


async def refuse_when_full(site: Site) -> None:
    """Redis at its memory limit refuses a batch whole, still reads, and takes deletes."""
    async with site.engine() as engine:
        assert isinstance(engine, RedisProbe)
        await engine.commit(Batch([Put(b"a", bytes(100_000)), Put(b"b", b"1")]))
        client = engine.transport().client
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
            await client.aclose()
        await engine.commit(Batch([Put(b"c", b"")]))


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
