"""What the richness costs: ours beside the raw driver in one process, in alternating chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from benchmarks import measuring
from benchmarks.catalogue import subject
from benchmarks.child import Child, Session
from benchmarks.data import Value
from benchmarks.figures import Figure
from benchmarks.plan import Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.base import Store
from benchmarks.stores.ours import AsyncHoldfast, SyncHoldfast
from benchmarks.stores.raw import RawLmdb, RawSqlite

NAME = "headline"

GET_RATIO = 1.5
SET_RATIO = 2.2
SYNC_OVER_ASYNC_US = 1.0
#: A durable set waits for the disk, so fewer of them make a chunk.
SETS_SHARE_FLUSHED = 0.01
SETS_SHARE = 0.2

#: Names in the catalogue: async, sync, raw.
CONTESTS = {
    "lmdb": ("holdfast lmdb full, async", "holdfast lmdb full, sync", "raw lmdb"),
    "sqlite": ("holdfast sqlite full, async", "holdfast sqlite full, sync", "raw sqlite3 FULL"),
}
#: By name of the store, microseconds per call.
Times = dict[str, Figure]
Records = Sequence[tuple[str, Value]]


def run(bench: Bench) -> list[Section]:
    section = Section(
        "What the richness costs",
        "Microseconds per call of one caller, ours beside the raw driver: raw get = read and "
        "decode, raw set = encode and put in a transaction of its own; ours adds metadata, digest, "
        "history row and feed row. One process, chunks of the compared calls alternate; median of "
        f"{bench.plan.headline_rounds} chunks, least and most in parentheses. Both flush in each "
        "set; on the file system in memory a flush costs nothing, which leaves the work itself.",
    )
    for engine in CONTESTS:
        places = [False] if bench.memory_folder is None else [False, True]
        for in_memory in places:
            _contest(bench, section, engine, in_memory=in_memory)
    return [section]


def _contest(bench: Bench, section: Section, engine: str, *, in_memory: bool) -> None:
    tell(f"headline: {engine}, {'in memory' if in_memory else 'on disk'}")
    plan, names = bench.plan, CONTESTS[engine]
    share = SETS_SHARE if in_memory else SETS_SHARE_FLUSHED
    sets = max(10, int(plan.headline_chunk * share))
    place = "flushes cost nothing" if in_memory else "this disk"
    with Child() as child:
        child.call(prepare, engine, bench.fresh("headline", in_memory=in_memory),
                   plan.records, plan.seed)  # fmt: skip
        gets = _times(plan.headline_rounds, lambda turn: child.call(
            time_gets, engine, plan.headline_chunk, turn))  # fmt: skip
        puts = _times(plan.headline_rounds, lambda turn: child.call(
            time_sets, engine, sets, turn))  # fmt: skip
        section.parts.append(_table(f"{engine}, {place}", names, gets, puts))
        if engine == "lmdb":
            section.verdicts += _verdicts(child, names, gets, puts, place, in_memory=in_memory)
        section.parts.append(f"Verified: {child.call(verify_both, engine)}.")


def _times(rounds: int, take: Callable[[int], dict[str, float]]) -> Times:
    taken = [take(turn) for turn in range(rounds)]
    return {name: Figure.of([one[name] for one in taken]) for name in taken[0]}


def _table(title: str, names: Sequence[str], gets: Times, puts: Times) -> Table:
    raw = names[-1]
    rows = [
        (name, f"{gets[name]}", f"{gets[name].over(gets[raw])}",
         f"{puts[name]}", f"{puts[name].over(puts[raw])}")
        for name in names
    ]  # fmt: skip
    return Table((title, "get, µs", "x raw get", "set, µs", "x raw set"), rows)


def _verdicts(
    child: Child, names: Sequence[str], gets: Times, puts: Times, place: str, *, in_memory: bool
) -> list[Verdict]:
    rich, sync, raw = names
    verdicts = []
    if not in_memory:
        verdicts.append(_verdict(
            "lmdb: get and value over (raw get and decode)", f"≤ {GET_RATIO} x",
            gets[rich].over(gets[raw]), GET_RATIO, " x", child, ("get", rich),
        ))  # fmt: skip
        verdicts.append(_verdict(
            "lmdb: get of the sync handle less that of the async one",
            f"≤ {SYNC_OVER_ASYNC_US:.0f} µs", gets[sync].minus(gets[rich]), SYNC_OVER_ASYNC_US,
            " µs", child, ("get", sync),
        ))  # fmt: skip
    # The sync handle does everything in one thread, so its profile shows the commit; the handle
    # on a loop hands what may flush to a writer thread, which its profile only waits for.
    verdicts += [
        _verdict(
            f"lmdb: durable set over (encode and raw put), {handle} handle, {place}",
            f"≤ {SET_RATIO} x", puts[name].over(puts[raw]), SET_RATIO, " x", child, ("set", name),
        )
        for handle, name in (("async", rich), ("sync", sync))
    ]  # fmt: skip
    return verdicts


def _verdict(
    claim: str, target: str, found: Figure, most: float, unit: str, child: Child,
    profiled: tuple[str, str],
) -> Verdict:  # fmt: skip
    met = found.median <= most
    kind, name = profiled
    shown = "" if met else child.call(profile_calls, name, kind)
    return Verdict(claim, target, f"{found}{unit}", met, profile=shown)


# --- In the child ---------------------------------------------------------------------------


def prepare(session: Session, engine: str, folder: Path, records: int, seed: int) -> None:
    """Ours and the raw store, with the same records; both handles of ours share one database."""
    rich, sync, raw = CONTESTS[engine]
    measuring.fill(session, rich, folder, records, seed)
    measuring.fill(session, raw, folder, records, seed)
    store = subject(sync).store(folder)
    store.start()
    session.stores[sync] = store
    session.models[sync] = session.models[rich]


def time_gets(session: Session, engine: str, count: int, turn: int) -> dict[str, float]:
    """Microseconds per get of each store, in an order that changes from turn to turn."""
    names = CONTESTS[engine]
    keys = session.models[names[0]].hot_keys(count)
    return {
        name: get_seconds(session.stores[name], keys) / count * 1e6
        for name in _rotated(names, turn)
    }


def time_sets(session: Session, engine: str, count: int, turn: int) -> dict[str, float]:
    """Microseconds per set of each store, each with values of its own."""
    return {
        name: set_seconds(session.stores[name], session.models[name].overwrites(count))
        / count * 1e6
        for name in _rotated(CONTESTS[engine], turn)
    }  # fmt: skip


def profile_calls(session: Session, name: str, kind: str) -> str:
    """Where the time of gets or sets goes."""
    store, model = session.stores[name], session.models[name]
    count = measuring.PROFILE_OPERATIONS
    keys, records = model.hot_keys(count), model.overwrites(count if kind == "set" else 0)

    def work() -> int:
        if kind == "get":
            get_seconds(store, keys)
        else:
            set_seconds(store, records)
        return count

    return profile(work)


def verify_both(session: Session, engine: str) -> str:
    """Ours wholly, and every key that the raw store holds."""
    rich, _, raw = CONTESTS[engine]
    found = measuring.verify_store(session, rich)
    measuring.verify_store(session, raw)
    return str(found)


def get_seconds(store: Store, keys: Sequence[str]) -> float:
    """Seconds of the gets, in a loop with nothing else in it."""
    if isinstance(store, AsyncHoldfast):
        return store.await_(_get_seconds(store, keys))
    started = perf_counter()
    if isinstance(store, SyncHoldfast):
        get = store.entries.get
        for key in keys:
            entry = get(key)
            assert entry is not None
            entry.value  # noqa: B018 - decodes it
    elif isinstance(store, RawLmdb):
        begin, decode = store.environment.begin, store.decode
        for key in keys:
            transaction = begin()
            stored = transaction.get(key.encode())
            assert stored is not None
            decode(stored)
            transaction.abort()
    elif isinstance(store, RawSqlite):
        execute, decode, select = store.execute, store.decode, store.SELECT
        for key in keys:
            decode(execute(select, (key.encode(),)).fetchone()[0])
    return perf_counter() - started


async def _get_seconds(store: AsyncHoldfast, keys: Sequence[str]) -> float:
    get = store.entries.get
    started = perf_counter()
    for key in keys:
        entry = await get(key)
        assert entry is not None
        entry.value  # noqa: B018 - decodes it
    return perf_counter() - started


def set_seconds(store: Store, records: Records) -> float:
    """Seconds of the sets, in a loop with nothing else in it."""
    if isinstance(store, AsyncHoldfast):
        return store.await_(_set_seconds(store, records))
    started = perf_counter()
    if isinstance(store, SyncHoldfast):
        set = store.entries.set
        for key, value in records:
            set(key, value)
    elif isinstance(store, RawLmdb):
        begin, encode = store.environment.begin, store.encode
        for key, value in records:
            stored = encode(value)
            with begin(write=True) as transaction:
                transaction.put(key.encode(), stored)
    elif isinstance(store, RawSqlite):
        execute, encode, upsert = store.execute, store.encode, store.UPSERT
        for key, value in records:
            execute(upsert, (key.encode(), encode(value)))
    return perf_counter() - started


async def _set_seconds(store: AsyncHoldfast, records: Records) -> float:
    set = store.entries.set
    started = perf_counter()
    for key, value in records:
        await set(key, value)
    return perf_counter() - started


def _rotated(names: Sequence[str], turn: int) -> list[str]:
    first = turn % len(names)
    return [*names[first:], *names[:first]]
