"""What decorators and locks cost: one with nothing to do, a log, a cache, the mutex."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import holdfast
from benchmarks.child import Child, Session
from benchmarks.data import Wrong
from benchmarks.figures import Figure, number
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table, Verdict
from holdfast import Entry, KeyValueStore, MutexLockService, ReadOnlyStore, StoreKey
from holdfast.database.handle import Database
from holdfast.engines.lmdb import LmdbEngine
from holdfast.records.decorators.base import Decorator
from holdfast.records.decorators.evented import Evented
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.services.granting import GrantingLockService
from holdfast.records.services.hashing import Sha256HashingService
from holdfast.records.services.keys import PathKeyService
from holdfast.records.services.metadata import StandardMetadataService
from holdfast.records.services.protocols import LockService, Outcome
from holdfast.records.write import SetValue, Write

NAME = "decorators"

IDLE_US = 0.2
WRITERS = 256
#: Fewer flushes than this, or the writers did not share them.
SHARED_FLUSHES_MAX = WRITERS // 8
ENGINES = ("memory", "lmdb", "sqlite")
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cached": {"cached": True},
    "logged": {"logged": True},
}
VALUE = {"name": "Ada", "biography": "b" * 900}

#: Microseconds per call, by way of calling.
Times = dict[str, float]


def run(bench: Bench) -> list[Section]:
    section = Section(
        "Decorators and locks",
        "Microseconds per call, one caller, a value of 1 KB read and written again and again; the "
        "file system is in memory where there is one, so that a flush costs nothing. A lock is "
        "taken and let go with nobody waiting: two commits.",
    )
    count, rounds = bench.plan.headline_chunk, range(bench.plan.headline_rounds)
    with Child() as child:
        tell("decorators: with nothing to do")
        idle = _figures([child.call(time_idle, count, turn) for turn in rounds])
        for verb in ("get", "write"):
            cost = idle[f"{verb} decorated"].minus(idle[f"{verb} bare"])
            section.verdicts.append(Verdict(
                f"{verb} through a decorator with nothing to do, less one without it",
                f"< {IDLE_US} µs", f"{cost} µs", met=cost.median < IDLE_US,
            ))  # fmt: skip
        rows = []
        for engine in ENGINES:
            tell(f"decorators: {engine}")
            folder = bench.fresh("decorators", in_memory=bench.memory_folder is not None)
            taken = [
                child.call(time_calls, engine, folder / str(turn), max(10, count // 10), turn)
                for turn in rounds
            ]
            figures = _figures(taken)
            rows += [(f"{engine} {way}", f"{figure}") for way, figure in figures.items()]
        section.parts.append(Table(("call", "µs"), rows))
        tell("decorators: writers of one namespace")
        shared = child.call(count_flushes, bench.fresh("writers"))
    section.parts.append(
        Table(
            (f"{WRITERS} writers of one namespace, lmdb", "transactions of the engine", "sets/s"),
            [(way, str(flushes), number(rate)) for way, (flushes, rate) in shared.items()],
        )
    )
    flushes = shared["granting"][0]
    section.verdicts.append(Verdict(
        f"{WRITERS} durable writers of one namespace share their flushes",
        f"≤ {SHARED_FLUSHES_MAX} transactions", f"{flushes}", met=flushes <= SHARED_FLUSHES_MAX,
    ))  # fmt: skip
    return [section]


def _figures(taken: list[Times]) -> dict[str, Figure]:
    return {way: Figure.of([one[way] for one in taken]) for way in taken[0]}


# --- In the child ---------------------------------------------------------------------------


class AtOnce(Decorator):
    """Answers without looking, so that what stands above it is measured."""

    def around(self, inner: KeyValueStoreInterface) -> AtOnce:
        return AtOnce(inner)

    async def get(self, key: StoreKey | str, **_: Any) -> Entry[Any] | None:
        return None

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return []


def time_idle(_session: Session, count: int, turn: int) -> Times:
    """A get that a decorator leaves alone, and a write that one hands on."""
    return asyncio.run(_idle(count, turn))


async def _idle(count: int, turn: int) -> Times:
    async with holdfast.open("memory://") as db:
        bare = AtOnce(db.entries)
        assert isinstance(db.entries, Evented)
        ways: dict[str, tuple[Any, Any]] = {
            "bare": (bare.get, bare.write),
            "decorated": (ReadOnlyStore(bare).get, Evented(bare, db.entries.dispatcher).write),
        }
        writes = (Write("a", SetValue(VALUE)),)
        taken: Times = {}
        for way in sorted(ways, reverse=bool(turn % 2)):
            get, write = ways[way]
            taken[f"get {way}"] = await _us(lambda get=get: get("a"), count)  # type: ignore[misc]
            taken[f"write {way}"] = await _us(lambda write=write: write(writes), count)  # type: ignore[misc]
        return taken


def time_calls(_session: Session, engine: str, folder: Path, count: int, turn: int) -> Times:
    """A get, a set and a lock on a handle opened in each way."""
    folder.mkdir()
    return asyncio.run(_calls(engine, folder, count, turn))


async def _calls(engine: str, folder: Path, count: int, turn: int) -> Times:
    taken: Times = {}
    for way in sorted(WAYS, reverse=bool(turn % 2)):
        url = "memory://" if engine == "memory" else f"{engine}:///{folder / way}"
        async with holdfast.open(url, **WAYS[way]) as db:
            entries = db.entries
            await entries.set("a:1", VALUE)
            taken[f"get, {way}"] = await _us(lambda: entries.get("a:1"), 10 * count)  # noqa: B023
            taken[f"set, {way}"] = await _us(lambda: entries.set("a:1", VALUE), count)  # noqa: B023
            if way == "plain":
                taken["lock"] = await _us(lambda: _locked(db), count)
            entry = await entries.require("a:1")
            if entry.metadata.version != count + 1 or entry.value != VALUE:
                raise Wrong(f"{engine} {way} does not hold what was written")
    return dict(sorted(taken.items()))


async def _locked(db: Database) -> None:
    async with db.lock("a"):
        pass


async def _us(call: Callable[[], Awaitable[Any]], count: int) -> float:
    started = perf_counter()
    for _ in range(count):
        await call()
    return (perf_counter() - started) / count * 1e6


def count_flushes(_session: Session, folder: Path) -> dict[str, tuple[int, float]]:
    """(transactions of the engine, sets per second) of many writers, by lock service."""
    return asyncio.run(_flushes(folder))


async def _flushes(folder: Path) -> dict[str, tuple[int, float]]:
    found = {}
    async with holdfast.open(f"lmdb:///{folder / 'app'}") as db:
        engine = db._open_engine()  # noqa: SLF001 - its counter is nobody else's business
        assert isinstance(engine, LmdbEngine)
        mutex = MutexLockService(db._require_shared().locks, db._require_gate())  # noqa: SLF001
        services: dict[str, LockService] = {"granting": GrantingLockService(), "mutex": mutex}
        for name, service in services.items():
            store = _store(db, service)
            before = engine._medium.last_transaction_id()  # noqa: SLF001
            started = perf_counter()
            await asyncio.gather(*(store.set(f"{name}:{n}", VALUE) for n in range(WRITERS)))
            rate = WRITERS / (perf_counter() - started)
            found[name] = (engine._medium.last_transaction_id() - before, rate)  # noqa: SLF001
            if await store.count(f"{name}:+") != WRITERS:
                raise Wrong(f"writers with the {name} lock service lost a write")
    return found


def _store(db: Database, locks: LockService) -> KeyValueStore:
    parts, components = db._open_parts(), db._components  # noqa: SLF001
    return KeyValueStore(
        storage=parts.storage,
        keys=PathKeyService(),
        hashing=Sha256HashingService(),
        metadata=StandardMetadataService(components.clock, components.ids),
        locks=locks,
    )
