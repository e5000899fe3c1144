"""Engines on files of one process: one caller, ours, the raw driver and the rows by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

from benchmarks import measuring
from benchmarks.child import Child, Session
from benchmarks.data import Model, Wrong, key_of
from benchmarks.figures import Figure
from benchmarks.plan import Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.base import CallingStore
from benchmarks.stores.by_hand_engines import HandFile, HandLeveldb, HandRocksdb
from benchmarks.stores.ours import SyncHoldfast
from benchmarks.stores.raw_engines import RawFile, RawLeveldb, RawRocksdb

#: The most that a call may cost, in calls by hand.
RATIOS = {"set": 1.6, "get": 2.0}
RECORDS = 2_000
#: What a flush costs where the shim makes it cost something.
FLUSH_US = 60
OURS, RAW, HAND = "ours", "raw driver", "by hand"


@dataclass(frozen=True)
class Contest:
    """An engine, and what it stands beside."""

    engine: str
    raw: Callable[[Path], CallingStore]
    hand: Callable[[Path], CallingStore]


CONTESTS = {
    "file": Contest("file", RawFile, HandFile),
    "rocksdb": Contest("rocksdb", RawRocksdb, HandRocksdb),
    "leveldb": Contest("leveldb", RawLeveldb, HandLeveldb),
}
#: By what is done and by whom, microseconds each.
Times = dict[tuple[str, str], float]


def run(bench: Bench) -> Section:
    in_memory = bench.memory_folder is not None
    place = "in memory, so that a flush costs nothing" if in_memory else "on disk"
    section = Section(
        "Engines on files",
        "Microseconds of one caller with the sync handle and `durability=full`, beside the raw "
        "driver (one value under its key, nothing else) and beside the same rows written by hand "
        "into it: value with header and digest, the version before, the row of the feed. "
        "The raw driver of `file` is a file to which a line of JSON is appended, and a dict. "
        f"Overwrites and reads of {RECORDS:,} mappings of 1 KB, each write flushed. One process, "
        "chunks of all three alternate, a chunk gives the median of its calls, each ratio is of "
        f"two neighbours; median, least and most in parentheses. On a file system {place}"
        + (f", or {FLUSH_US} µs by a shim." if bench.shim and in_memory else "."),
    )
    rows = []
    for name in CONTESTS:
        rows.append(_contest(bench, section, name, flush_us=0))
        if bench.shim is not None and in_memory:
            rows.append(_contest(bench, section, name, flush_us=FLUSH_US))
    columns = ["durability=full"]
    for what in RATIOS:
        columns += [f"{what}, µs", f"{what} x raw driver", f"{what} x by hand"]
    section.parts.append(Table(columns, rows))
    return section


def _contest(bench: Bench, section: Section, name: str, *, flush_us: int) -> list[str]:
    title = f"{name}, flush +{flush_us} µs" if flush_us else name
    tell(f"engines: {title}")
    in_memory = bench.memory_folder is not None
    environment = bench.shim.environment(flush_us) if flush_us and bench.shim else None
    chunk = max(20, bench.plan.headline_chunk // 10)
    with Child(environment) as child:
        child.call(prepare, name, bench.fresh("engines", in_memory=in_memory),
                   min(RECORDS, bench.plan.records), bench.plan.seed)  # fmt: skip

        # The first turn warms up.
        turns = range(bench.plan.headline_rounds + 1)
        taken = [child.call(time_turn, chunk, turn) for turn in turns][1:]
        cells = [title]
        for what, bar in RATIOS.items():
            ours, raw, hand = (
                Figure.of([times[what, store] for times in taken]) for store in (OURS, RAW, HAND)
            )
            ratio = ours.over(hand)
            cells += [f"{ours}", f"{ours.over(raw)}", f"{ratio}"]
            if flush_us and what == "get":
                continue  # It flushes nothing.
            met = ratio.median <= bar
            section.verdicts.append(Verdict(
                f"{title}: {what} over the same rows by hand", f"≤ {bar} x", f"{ratio} x", met,
                profile="" if met else child.call(profile_one, what),
            ))  # fmt: skip
        child.call(verify)
    return cells


# --- In the child ---------------------------------------------------------------------------


def prepare(session: Session, name: str, folder: Path, records: int, seed: int) -> None:
    """The three stores, with the same records."""
    contest = CONTESTS[name]
    stores: dict[str, CallingStore] = {
        OURS: SyncHoldfast(folder, engine=contest.engine),
        RAW: contest.raw(folder),
        HAND: contest.hand(folder),
    }
    for store_name, store in stores.items():
        model = Model(records, seed)
        store.start()
        store.fill(model.initial())
        session.stores[store_name], session.models[store_name] = store, model


def time_turn(session: Session, chunk: int, turn: int) -> Times:
    """Everything once, by each in turn."""
    names = list(session.stores)
    names = names[turn % 3 :] + names[: turn % 3]
    return {
        (what, name): _each_us(*_work(session, name, what, chunk))
        for what in RATIOS for name in names
    }  # fmt: skip


def profile_one(session: Session, what: str) -> str:
    """Where the time of ours goes."""
    call, arguments = _work(session, OURS, what, measuring.PROFILE_OPERATIONS)

    def work() -> int:
        for one in arguments:
            call(*one)
        return len(arguments)

    return profile(work)


def verify(session: Session) -> None:
    """Ours wholly, and the others by reading some back. Raises Wrong."""
    measuring.verify_store(session, OURS)
    for name in (RAW, HAND):
        store, model = session.stores[name], session.models[name]
        for number in range(0, len(model.writes), 97):
            if store.value(key_of(number)) != model.values.of(number, model.writes[number]):
                raise Wrong(f"the value of {key_of(number)!r} in {name} is not what was written")


def _work(
    session: Session, name: str, what: str, chunk: int
) -> tuple[Callable[..., object], Sequence[tuple[Any, ...]]]:
    """What is called, and with what each time."""
    store, model = session.stores[name], session.models[name]
    assert isinstance(store, CallingStore)
    if what == "get":
        return store.get, [(key,) for key in model.hot_keys(chunk)]
    put = store.entries.set if isinstance(store, SyncHoldfast) else store.set
    return put, model.overwrites(chunk)


def _each_us(call: Callable[..., object], each: Sequence[tuple[Any, ...]]) -> float:
    """Microseconds: the median of the calls, so that what else runs is in few of them."""
    took = []
    for arguments in each:
        started = perf_counter_ns()
        call(*arguments)
        took.append(perf_counter_ns() - started)
    return median(took) / 1e3
