"""What the layer costs over its own rows: ours beside the same rows written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from benchmarks.stores import by_hand
from benchmarks.stores.by_hand import HandStore
from benchmarks.stores.ours import SyncHoldfast

NAME = "by-hand"

GET_RATIO = 2.4
MANY_RATIO = 1.6
WALK_RATIO = 2.0
#: How many entries one `set_many` writes.
BATCH = 500
#: What a flush costs where the shim makes it cost something.
FLUSH_US = 60
RECORDS = 2_000
#: How often in a chunk that is done which consists of many operations.
REPEATS = 3
_HAND = "by hand"


@dataclass(frozen=True)
class Contest:
    """One configuration of ours and its floor.

    Attributes:
        ours: name in the catalogue.
        floor: makes the store by hand.
        options: of that store.
        set_ratio: the most that a set may cost, in sets by hand.
    """

    ours: str
    floor: type[HandStore]
    options: dict[str, Any]
    set_ratio: float

    @property
    def flushes(self) -> bool:
        return "full" in self.ours


CONTESTS = {
    "memory": Contest("holdfast memory, sync", by_hand.HandMemory, {}, 2.5),
    "lmdb relaxed": Contest(
        "holdfast lmdb relaxed, sync", by_hand.HandLmdb, {"flush": False}, 1.6
    ),
    "lmdb full": Contest("holdfast lmdb full, sync", by_hand.HandLmdb, {}, 2.2),
    "sqlite full": Contest("holdfast sqlite full, sync", by_hand.HandSqlite, {}, 1.8),
}  # fmt: skip
#: By what is done, microseconds each: ours, by hand.
Times = dict[str, tuple[float, float]]


def run(bench: Bench) -> list[Section]:
    section = Section(
        "The same rows by hand",
        "Microseconds of one caller with the sync handle, ours beside the same rows written by "
        "hand into the raw driver: value with header and digest, the version before, the row of "
        "the feed. Overwrites of 1 KB mappings; get with its value; `set_many` and `items` for "
        f"each of {BATCH} and of {RECORDS:,} entries. One process, chunks of both alternate, a "
        "chunk gives the median of its calls, each ratio is of two neighbours; median, least and "
        "most in parentheses. On the file "
        "system in memory, where there is one, so that a flush costs nothing "
        f"(or {FLUSH_US} µs, by a shim).",
    )
    rows = []
    for name, contest in CONTESTS.items():
        rows.append(_contest(bench, section, name, contest, flush_us=0))
        if contest.flushes and bench.shim is not None and bench.memory_folder is not None:
            rows.append(_contest(bench, section, name, contest, flush_us=FLUSH_US))
    columns = [""]
    for what in ("set", "get", "set_many", "items"):
        columns += [f"{what}, µs", f"{what} x by hand"]
    section.parts.append(Table(columns, rows))
    return [section]


def _contest(
    bench: Bench, section: Section, name: str, contest: Contest, *, flush_us: int
) -> list[str]:
    title = f"{name}, flush +{flush_us} µs" if flush_us else name
    tell(f"by hand: {title}")
    in_memory = bench.memory_folder is not None
    environment = bench.shim.environment(flush_us) if flush_us and bench.shim else None
    chunk = max(20, bench.plan.headline_chunk // (40 if contest.flushes and not in_memory else 5))
    with Child(environment) as child:
        child.call(prepare, name, bench.fresh("by-hand", in_memory=in_memory), bench.plan.seed)
        # The first turn warms up.
        turns = range(bench.plan.headline_rounds + 1)
        taken = [child.call(time_turn, name, chunk, turn) for turn in turns][1:]
        cells = [title]
        bars = {"set": contest.set_ratio, "get": GET_RATIO, "set_many": MANY_RATIO,
                "items": WALK_RATIO}  # fmt: skip
        for what, bar in bars.items():
            ours = Figure.of([times[what][0] for times in taken])
            ratio = ours.over(Figure.of([times[what][1] for times in taken]))
            cells += [f"{ours}", f"{ratio}"]
            if flush_us:
                continue
            met = ratio.median <= bar
            shown = "" if met else child.call(profile_one, name, what)
            section.verdicts.append(Verdict(
                f"{name}: {what} over the same rows by hand", f"≤ {bar} x", f"{ratio} x", met,
                profile=shown,
            ))  # fmt: skip
        child.call(verify, name)
    return cells


# --- In the child ---------------------------------------------------------------------------


def prepare(session: Session, name: str, folder: Path, seed: int) -> None:
    """Both stores with the same records."""
    contest = CONTESTS[name]
    measuring.fill(session, contest.ours, folder, RECORDS, seed)
    model = Model(RECORDS, seed)
    store = contest.floor(folder, **contest.options)
    store.start()
    store.fill(model.initial())
    session.stores[_HAND], session.models[_HAND] = store, model


def time_turn(session: Session, name: str, chunk: int, turn: int) -> Times:
    """Everything once, ours and by hand in turns."""
    pair = (CONTESTS[name].ours, _HAND)
    found: Times = {}
    for what in ("set", "get", "set_many", "items"):
        one = {
            store: _each_us(*_work(session, store, what, chunk))
            for store in (pair if turn % 2 else pair[::-1])
        }
        found[what] = one[pair[0]], one[pair[1]]
    return found


def profile_one(session: Session, name: str, what: str) -> str:
    """Where the time of ours goes."""
    work, count = _work(session, CONTESTS[name].ours, what, measuring.PROFILE_OPERATIONS)

    def counted() -> int:
        return count * len(work())

    return profile(counted)


def verify(session: Session, name: str) -> None:
    """Ours wholly, and what stands by hand by reading some of it back. Raises Wrong."""
    measuring.verify_store(session, CONTESTS[name].ours)
    store, model = session.stores[_HAND], session.models[_HAND]
    for number in range(0, RECORDS, 97):
        if store.value(key_of(number)) != model.values.of(number, model.writes[number]):
            raise Wrong(f"the value of {key_of(number)!r} by hand is not what was written")


def _each_us(work: Callable[[], list[int]], count: int) -> float:
    """Microseconds each: the median of the calls, so that what else runs is in few of them."""
    return median(work()) / count / 1e3


def _work(
    session: Session, name: str, what: str, chunk: int
) -> tuple[Callable[[], list[int]], int]:
    """What is timed, in nanoseconds for each call, and of how many operations a call consists."""
    store, model = session.stores[name], session.models[name]
    assert isinstance(store, SyncHoldfast | HandStore)
    if what == "set":
        records = model.overwrites(chunk)
        put = store.entries.set if isinstance(store, SyncHoldfast) else store.set
        return lambda: _timed(put, records), 1
    if what == "get":
        keys = [(key,) for key in model.hot_keys(chunk)]
        return lambda: _timed(store.get, keys), 1
    if what == "set_many":
        batches = [
            ([(key_of(number), model.overwrite(number)) for number in range(BATCH)],)
            for _ in range(REPEATS)
        ]
        return lambda: _timed(store.load, batches), BATCH
    walk = store.walk if isinstance(store, HandStore) else partial(_walk, store)
    return lambda: _timed(walk, [()] * REPEATS), RECORDS


def _walk(store: SyncHoldfast) -> int:
    return sum(1 for _ in store.entries.items())


def _timed(call: Callable[..., object], each: Sequence[tuple[Any, ...]]) -> list[int]:
    """The nanoseconds of each call."""
    took = []
    for arguments in each:
        started = perf_counter_ns()
        call(*arguments)
        took.append(perf_counter_ns() - started)
    return took
