"""Durable sets by many tasks at once, which share flushes, beside one after the other."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from time import perf_counter

from benchmarks import measuring, shim
from benchmarks.child import Child, Session
from benchmarks.data import WRITE, Value, key_of
from benchmarks.figures import Figure, number, percentile
from benchmarks.plan import Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.ours import AsyncHoldfast

NAME = "group-commit"

TASKS = (1, 16, 256)
DELAY_US = 2_000
#: Durable sets at 256 tasks over durable sets one by one.
GAIN = 50.0
RECORDS_MAX = 10_000
#: A rate is guessed in this share of the time before it is measured.
_WARM_UP_SHARE = 0.25
#: How many sets of the raw driver are made before they are timed.
_RAW_CHUNK = 8

CONTESTS = {
    "holdfast lmdb full, async": "raw lmdb",
    "holdfast sqlite full, async": "raw sqlite3 FULL",
}
_JUDGED = "holdfast lmdb full, async"


@dataclass(frozen=True)
class Written:
    """What some tasks wrote.

    Attributes:
        per_s: writes per second.
        p50_ms, p99_ms: from call to return.
        per_flush: writes for each flush of the process; None without the shim.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    per_flush: float | None


def run(bench: Bench) -> list[Section]:
    section = Section(
        "Group commit",
        "Durable sets of 1 KB by so many tasks at once, each on keys of its own; the raw driver "
        "flushes for each. LMDB flushes twice in a commit. With the shim, a flush (fsync, "
        f"fdatasync, a write to a descriptor with O_DSYNC) takes {DELAY_US / 1000:.0f} ms more, "
        "as on a cloud disk; the shim is a preloaded library and counts flushes, too.",
    )
    for delay_us in (None, DELAY_US):
        if delay_us is not None and bench.shim is None:
            section.verdicts.append(Verdict(
                "durable group commit at 256 tasks", f"≥ {GAIN:.0f} x one by one", "-", None,
                "The shim needs Linux and a C compiler.",
            ))  # fmt: skip
            continue
        _with_delay(bench, section, delay_us)
    return [section]


def _with_delay(bench: Bench, section: Section, delay_us: int | None) -> None:
    environment = {} if delay_us is None or bench.shim is None else bench.shim.environment(delay_us)
    place = "this disk" if delay_us is None else f"{delay_us / 1000:.0f} ms more per flush"
    rows: list[tuple[str, ...]] = []
    for name, raw in CONTESTS.items():
        tell(f"group commit: {name}, {place}")
        records = min(RECORDS_MAX, bench.plan.records)
        with Child(environment) as child:
            for store in (name, raw):
                child.call(measuring.fill, store, bench.fresh("group"), records, bench.plan.seed)
            taken: dict[int, list[Written]] = {tasks: [] for tasks in TASKS}
            one_by_one = []
            for _ in range(bench.plan.rounds):
                one_by_one.append(child.call(write_raw, raw, bench.plan.measure_s))
                for tasks in TASKS:
                    taken[tasks].append(
                        child.call(write_in_tasks, name, tasks, bench.plan.measure_s)
                    )
            alone = Figure.of([one.per_s for one in taken[1]])
            gain = Figure.of([one.per_s for one in taken[TASKS[-1]]]).over(alone)
            judged = delay_us is not None and name == _JUDGED
            missed = judged and gain.median < GAIN
            slow = child.call(profile_writers, name, bench.plan.measure_s) if missed else ""
            verified = child.call(measuring.verify_store, name)
        rows.append((raw, "1", str(Figure.of(one_by_one)), "-", "-", "-", "-"))
        for tasks, found in taken.items():
            rate = Figure.of([one.per_s for one in found])
            rows.append((name, str(tasks), *_cells(found, rate, rate.over(alone))))
            if tasks == TASKS[-1] and judged:
                section.verdicts.append(Verdict(
                    f"lmdb: durable sets at {tasks} tasks over one by one, {place} (shim)",
                    f"≥ {GAIN:.0f} x", f"{gain} x", not missed, "", slow,
                ))  # fmt: skip
        section.parts.append(f"Verified after {name}, {place}: {verified}.")
    section.parts.append(Table(
        (place, "tasks", "sets/s", "x one task", "p50, ms", "p99, ms", "sets per flush"), rows,
    ))  # fmt: skip


def _cells(found: list[Written], rate: Figure, gain: Figure) -> list[str]:
    shared = [one.per_flush for one in found if one.per_flush is not None]
    return [
        str(rate),
        number(gain.median),
        number(Figure.of([one.p50_ms for one in found]).median),
        number(Figure.of([one.p99_ms for one in found]).median),
        number(Figure.of(shared).median) if shared else "-",
    ]


# --- In the child ---------------------------------------------------------------------------


def write_raw(session: Session, name: str, seconds: float) -> float:
    """Sets per second, one by one."""
    store, model = session.stores[name], session.models[name]
    done, spent = 0, 0.0
    while spent < seconds:
        records = model.overwrites(_RAW_CHUNK)
        spent += store.run([(WRITE, key, value) for key, value in records])
        done += _RAW_CHUNK
    return done / spent


def write_in_tasks(session: Session, name: str, tasks: int, seconds: float) -> Written:
    """What so many tasks write, each one set after the other on keys of its own."""
    guessed = _write(session, name, tasks, 8, seconds * _WARM_UP_SHARE)
    each = math.ceil(guessed.per_s * seconds * 2 / tasks) + 8
    return _write(session, name, tasks, each, seconds)


def profile_writers(session: Session, name: str, seconds: float) -> str:
    """Where the loop's thread spends its time while most tasks write."""

    def work() -> int:
        return round(write_in_tasks(session, name, TASKS[-1], seconds).per_s * seconds)

    return profile(work)


def _write(session: Session, name: str, tasks: int, each: int, seconds: float) -> Written:
    store, model = session.stores[name], session.models[name]
    assert isinstance(store, AsyncHoldfast)
    entries = store.entries
    share = len(model.writes) // tasks
    # Made before the clock starts; what is left over in the end is taken back.
    work: list[list[tuple[int, Value]]] = []
    for task in range(tasks):
        numbers = [task * share + turn % share for turn in range(each)]
        work.append([(record, model.overwrite(record)) for record in numbers])
    latencies: list[float] = []

    async def write(records: list[tuple[int, Value]], until: float) -> int:
        for place, (record, value) in enumerate(records):
            before = perf_counter()
            if place and before >= until:
                return place
            await entries.set(key_of(record), value)
            latencies.append(perf_counter() - before)
        return len(records)

    async def write_all() -> tuple[list[int], float]:
        started = perf_counter()
        done = await asyncio.gather(*(write(one, started + seconds) for one in work))
        return done, perf_counter() - started

    before = shim.flushes()
    done, spent = store.await_(write_all())
    after = shim.flushes()
    for records, count in zip(work, done, strict=True):
        for record, _ in records[count:]:
            model.writes[record] -= 1
    flushed = None if before is None or after is None or after == before else after - before
    return Written(
        sum(done) / spent,
        percentile(latencies, 0.5) * 1000,
        percentile(latencies, 0.99) * 1000,
        None if flushed is None else sum(done) / flushed,
    )
