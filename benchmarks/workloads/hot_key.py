"""Many tasks that change one key: every change counts, none is lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks import shim
from benchmarks.catalogue import subject
from benchmarks.child import Child, Session
from benchmarks.data import Value, Wrong
from benchmarks.figures import Figure, number, percentile
from benchmarks.plan import Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.ours import AsyncHoldfast

NAME = "hot-key"

TASKS = 64
#: Added to each flush.
DELAYS_US = (1_000, 2_000)
_FLUSHES_PER_COMMIT = 2
PER_S = 20_000.0
KEY = "counters:hits"
_JUDGED = "holdfast lmdb full, async"
_STORES = (_JUDGED, "holdfast sqlite full, async")


@dataclass(frozen=True)
class Changed:
    """What the tasks did to the key: changes per second, latency, changes for each flush."""

    per_s: float
    p50_ms: float
    p99_ms: float
    per_flush: float | None


def run(bench: Bench) -> list[Section]:
    section = Section(
        "One hot key",
        f"{TASKS} tasks, each calling `modify` on the same counter one time after the other, "
        "durable. Afterwards counter, version and history are compared with the number of calls. "
        "LMDB flushes twice in a commit, SQLite once; the delay is added by the preloaded library "
        "to each flush, so that 1 ms makes 2 ms per commit of LMDB.",
    )
    cases: list[tuple[str, int | None]] = [(name, None) for name in _STORES]
    if bench.shim is not None:
        cases += [(name, delay_us) for delay_us in DELAYS_US for name in _STORES]
    else:
        section.verdicts.append(Verdict(
            f"lmdb: durable modify of {TASKS} tasks on one key", f"≥ {number(PER_S)}/s", "-", None,
            "The shim needs Linux and a C compiler.",
        ))  # fmt: skip
    columns = ("store", "flush", "modify/s", "p50, ms", "p99, ms", "per flush", "verified")
    rows = [_row(bench, section, name, delay_us) for name, delay_us in cases]
    section.parts.append(Table(columns, rows))
    return [section]


def _row(bench: Bench, section: Section, name: str, delay_us: int | None) -> list[str]:
    place = "this disk" if delay_us is None else f"+{delay_us / 1000:.0f} ms each"
    tell(f"hot key: {name}, {place}")
    environment = {} if delay_us is None or bench.shim is None else bench.shim.environment(delay_us)
    with Child(environment) as child:
        child.call(open_counter, name, bench.fresh("hot"))
        found = [
            child.call(modify_in_tasks, name, TASKS, bench.plan.measure_s)
            for _ in range(bench.plan.rounds)
        ]
        counted = child.call(verify_counter, name)
        if delay_us is not None and name == _JUDGED:
            section.verdicts.append(_verdict(child, found, delay_us, bench.plan.measure_s))
    shared = [one.per_flush for one in found if one.per_flush is not None]
    return [
        name, place, str(Figure.of([one.per_s for one in found])),
        number(Figure.of([one.p50_ms for one in found]).median),
        number(Figure.of([one.p99_ms for one in found]).median),
        number(Figure.of(shared).median) if shared else "-",
        f"{counted:,} calls",
    ]  # fmt: skip


def _verdict(child: Child, found: list[Changed], delay_us: int, measure_s: float) -> Verdict:
    rate = Figure.of([one.per_s for one in found])
    met = rate.median >= PER_S
    flushed_s = _FLUSHES_PER_COMMIT * delay_us / 1e6
    return Verdict(
        f"lmdb: durable modify of {TASKS} tasks on one key, {delay_us / 1000:.0f} ms more for "
        f"each of the {_FLUSHES_PER_COMMIT} flushes of a commit (shim)",
        f"≥ {number(PER_S)}/s",
        f"{rate}/s",
        met,
        ""
        if met
        else f"{TASKS} callers that each wait for a commit with {flushed_s * 1000:.0f} ms of "
        f"flushes reach {TASKS / flushed_s:,.0f}/s at the very most.",
        "" if met else child.call(profile_counter, _JUDGED, TASKS, measure_s),
    )


# --- In the child ---------------------------------------------------------------------------


def open_counter(session: Session, name: str, folder: Path) -> None:
    store = subject(name).store(folder)
    store.start()
    store.fill([(KEY, {"count": 0})])
    session.stores[name] = store


def modify_in_tasks(session: Session, name: str, tasks: int, seconds: float) -> Changed:
    """What so many tasks do to the counter."""
    store = _store(session, name)
    entries = store.entries
    latencies: list[float] = []

    async def work(until: float) -> None:
        # At least one call each: a busy machine may let a short time go by before the first.
        while True:
            before = perf_counter()
            await entries.modify(KEY, _increment)
            latencies.append(perf_counter() - before)
            if perf_counter() >= until:
                return

    async def work_all() -> float:
        started = perf_counter()
        await asyncio.gather(*(work(started + seconds) for _ in range(tasks)))
        return perf_counter() - started

    before = shim.flushes()
    spent = store.await_(work_all())
    after = shim.flushes()
    flushed = None if before is None or after is None or after == before else after - before
    calls = len(latencies)
    _calls[name] = _calls.get(name, 0) + calls
    return Changed(
        calls / spent,
        percentile(latencies, 0.5) * 1000,
        percentile(latencies, 0.99) * 1000,
        None if flushed is None else calls / flushed,
    )


def verify_counter(session: Session, name: str) -> int:
    """How often the key was changed, if counter, version and history say the same.

    Raises:
        Wrong: they do not.
    """
    return _store(session, name).await_(_verify(_store(session, name), _calls[name]))


async def _verify(store: AsyncHoldfast, calls: int) -> int:
    entry = await store.entries.require(KEY)
    found = (entry.value["count"], entry.metadata.version - 1)
    past = 0
    async for version in store.entries.history(KEY):
        if version.value["count"] != past:
            raise Wrong(f"past version {past + 1} holds {version.value['count']}, not {past}")
        past += 1
    if (*found, past) != (calls, calls, calls):
        raise Wrong(f"{calls} calls; counter and version say {found}, the history {past}")
    return calls


def profile_counter(session: Session, name: str, tasks: int, seconds: float) -> str:
    """Where the loop's thread spends its time."""

    def work() -> int:
        before = _calls[name]
        modify_in_tasks(session, name, tasks, seconds)
        return _calls[name] - before

    return profile(work)


#: Calls made so far, by store.
_calls: dict[str, int] = {}


def _store(session: Session, name: str) -> AsyncHoldfast:
    store = session.stores[name]
    assert isinstance(store, AsyncHoldfast)
    return store


def _increment(before: Value | None) -> Value:
    assert before is not None
    return {"count": before["count"] + 1}
