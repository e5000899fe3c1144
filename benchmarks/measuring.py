"""What children are asked to do with one store: fill it, run operations, tell sizes, verify."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import holdfast
from benchmarks.catalogue import subject
from benchmarks.child import Session
from benchmarks.data import Model, Wrong, key_of
from benchmarks.profiling import profile
from benchmarks.stores.ours import AsyncHoldfast, SyncHoldfast
from benchmarks.verify import Verified, verify

#: The first operations of a round are not timed.
WARM_UP = 16
#: Chunks of operations are made before they are timed, and grow until one takes this long.
CHUNK_S = 0.02
CHUNK_MAX = 8_192
#: How many operations a profile covers.
PROFILE_OPERATIONS = 500
#: How many records of stores without verification of their own are read back.
READ_BACK_MAX = 1_000
#: What an empty file system block counts in `st_blocks`.
_BLOCK_BYTES = 512


@dataclass(frozen=True)
class Filled:
    """What it took to fill a store.

    Attributes:
        seconds: spent.
        memory_bytes: anonymous memory the process gained; None where it cannot be told.
        disk_bytes: blocks taken by the store's files.
    """

    seconds: float
    memory_bytes: int | None
    disk_bytes: int


def fill(session: Session, name: str, folder: Path, records: int, seed: int) -> Filled:
    """Open a store of the catalogue and write the first records."""
    model = Model(records, seed)
    gc.collect()
    before = anonymous_bytes()
    store = subject(name).store(folder)
    store.start()
    started = perf_counter()
    store.fill(model.initial())
    seconds = perf_counter() - started
    gc.collect()
    after = anonymous_bytes()
    # The harness's own objects shall not slow the collector while a store is timed.
    gc.freeze()
    session.stores[name] = store
    session.models[name] = model
    gained = None if before is None or after is None else max(0, after - before)
    return Filled(seconds, gained, disk_bytes(folder))


def measure(session: Session, name: str, letter: str, seconds: float) -> float:
    """Operations of a letter per second, by one caller."""
    store, model = session.stores[name], session.models[name]
    store.run(model.operations(letter, WARM_UP))
    chunk, done, spent = WARM_UP, 0, 0.0
    while spent < seconds:
        operations = model.operations(letter, chunk)
        took = store.run(operations)
        done += chunk
        spent += took
        if took < CHUNK_S:
            chunk = min(4 * chunk, CHUNK_MAX)
    return done / spent


def profile_letter(session: Session, name: str, letter: str) -> str:
    """Where the time of a letter goes."""
    store, model = session.stores[name], session.models[name]
    operations = model.operations(letter, PROFILE_OPERATIONS)

    def work() -> int:
        store.run(operations)
        return len(operations)

    return profile(work)


def verify_store(session: Session, name: str) -> Verified:
    """Compare a store with its model: ours wholly, others by reading some records back.

    Raises:
        Wrong: it differs.
    """
    store, model = session.stores[name], session.models[name]
    if isinstance(store, AsyncHoldfast | SyncHoldfast):
        return asyncio.run(_verify(store.url, model))
    numbers = range(0, len(model.writes), max(1, len(model.writes) // READ_BACK_MAX))
    for number in numbers:
        if store.value(key_of(number)) != model.values.of(number, model.writes[number]):
            raise Wrong(f"{name} does not hold the last write of {key_of(number)}")
    return Verified(len(numbers), 0, 0)


async def _verify(url: str, model: Model) -> Verified:
    async with holdfast.open(url) as database:
        return await verify(database, model)


def anonymous_bytes() -> int | None:
    """Memory of this process that no file backs; None where the system does not tell."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    return None


def disk_bytes(folder: Path) -> int:
    """What the files of a folder take on disk; holes take nothing."""
    return sum(path.stat().st_blocks * _BLOCK_BYTES for path in folder.rglob("*") if path.is_file())
