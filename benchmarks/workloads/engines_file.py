"""The file engine: what one set writes, and a durable set beside diskcache's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from benchmarks.child import Child, Session
from benchmarks.counting import bytes_written
from benchmarks.data import Value, Values, Wrong, key_of
from benchmarks.figures import Figure, number, percentile, size
from benchmarks.plan import QUICK, Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.base import CallingStore, Store
from benchmarks.stores.ours import SyncHoldfast

KEYS = (1_000, 100_000)
KEYS_QUICK = (100, 1_000)
#: One set of a store of the larger number writes less.
WRITTEN_BYTES_MAX = 10_000
#: Texts of each field: values of about 200 bytes among many keys, of 1 KB beside diskcache.
FIELD_CHARACTERS = 8
OURS, PACKED, PEER = "holdfast file", "holdfast file, format=msgpack", "diskcache FULL"
#: How many threads write at once.
CALLERS = (1, 16)
RECORDS = 2_000


def run(bench: Bench) -> Section:
    section = Section("The file engine")
    _by_keys(bench, section)
    _beside_diskcache(bench, section)
    return section


def _by_keys(bench: Bench, section: Section) -> None:
    quick = bench.plan.measure_s <= QUICK.measure_s
    rows, found = [], {}
    for keys in KEYS_QUICK if quick else KEYS:
        tell(f"engines: what a set writes among {keys:,} keys")
        with Child() as child:
            child.call(fill, bench.fresh("written"), keys)
            written, took_us = child.call(sets, keys, bench.plan.cost_sets)
        found[keys] = written
        rows.append([
            f"{keys:,}", "not told" if written is None else size(sum(written) / len(written)),
            "not told" if written is None else size(percentile(written, 0.5)),
            "not told" if written is None else size(max(written)), number(took_us),
        ])  # fmt: skip
    section.parts += [
        (
            "What this process hands to the system during one overwrite of a value of 200 bytes, "
            f"compaction included, {bench.plan.cost_sets} sets one after the other, on disk, "
            "`durability=full`."
        ),
        Table(("keys in the store", "written by a set, mean", "median", "most", "µs"), rows),
    ]
    keys, last = max(found), found[max(found)]
    section.verdicts.append(Verdict(
        f"file: written by one set in a store of {keys:,} keys",
        f"< {number(WRITTEN_BYTES_MAX / 1000)} kB",
        "" if last is None else f"{size(sum(last) / len(last))} (most {size(max(last))})",
        None if last is None else sum(last) / len(last) < WRITTEN_BYTES_MAX,
        "" if last is not None else "This system does not tell what a process writes.",
    ))  # fmt: skip


def _beside_diskcache(bench: Bench, section: Section) -> None:
    claim = "file: a durable set beside diskcache FULL"
    if not bench.with_peers or find_spec("diskcache") is None:
        section.verdicts.append(Verdict(claim, "ahead", "", None, "diskcache takes no part."))
        return
    tell("engines: file beside diskcache FULL")
    chunk = max(10, bench.plan.headline_chunk // 20)
    records = min(RECORDS, bench.plan.records)
    rows: dict[str, list[str]] = {}
    with Child() as child:
        names = child.call(beside, bench.fresh("beside"), records)
        for callers in CALLERS:
            turns = range(bench.plan.headline_rounds + 1)
            taken = [child.call(time_sets, records, chunk, turn, callers) for turn in turns][1:]
            found = {name: Figure.of([one[name] for one in taken]) for name in names}
            for name, figure in found.items():
                rows.setdefault(name, [name]).append(f"{figure}")
            ratio = found[PEER].over(found[OURS])
            met = ratio.median > 1
            section.verdicts.append(Verdict(
                f"{claim}, {callers} thread{'s' if callers > 1 else ''}", "ahead",
                f"{ratio} times as quick", met,
                profile="" if met else child.call(profile_sets, records, chunk),
            ))  # fmt: skip
        child.call(compare, records)
    section.parts += [
        (
            "Microseconds of a set that overwrites a mapping of 1 KB and is flushed, "
            f"{records:,} records, on disk, by so many threads at once, chunks of all alternate. "
            "diskcache writes the value; ours the version before and the row of the feed as well."
        ),
        Table(("durability=full", *(f"{one} at once, µs" for one in CALLERS)), list(rows.values())),
    ]


# --- In the child ---------------------------------------------------------------------------


def fill(session: Session, folder: Path, keys: int) -> None:
    """A store with so many records."""
    values = Values(0, FIELD_CHARACTERS)
    store = session.stores[OURS] = SyncHoldfast(folder, engine="file")
    store.start()
    store.fill((key_of(one), values.of(one, 0)) for one in range(keys))


def sets(session: Session, keys: int, count: int) -> tuple[list[int] | None, float]:
    """What each of so many sets wrote, in bytes; and the microseconds of one."""
    values, random = Values(0, FIELD_CHARACTERS), Random(keys)
    store = session.stores[OURS]
    assert isinstance(store, CallingStore)
    written: list[int] = []
    for turn in range(count):
        one = random.randrange(keys)
        before = bytes_written()
        store.set(key_of(one), values.of(one, turn + 1))
        after = bytes_written()
        if before is not None and after is not None:
            written.append(after - before)
    records = _records(random, values, keys, count, count)
    return written or None, _each_us(store, records)


def beside(session: Session, folder: Path, count: int) -> list[str]:
    """Ours and diskcache with the same records; their names."""
    from benchmarks.peers.disk_cache import DiskCache

    values, packed = Values(0), folder / "packed"
    packed.mkdir()
    in_frames = SyncHoldfast(packed, engine="file")
    in_frames.url += "&format=msgpack"
    stores: dict[str, CallingStore] = {
        OURS: SyncHoldfast(folder, engine="file"), PACKED: in_frames,
        PEER: DiskCache(folder, synchronous="FULL"),
    }  # fmt: skip
    for name, store in stores.items():
        store.start()
        store.fill((key_of(one), values.of(one, 0)) for one in range(count))
        session.stores[name] = store
    return list(stores)


def time_sets(
    session: Session, count: int, chunk: int, turn: int, callers: int
) -> dict[str, float]:
    """Microseconds that pass for a set, of each in turn."""
    names = list(session.stores)
    names = names[turn % 3 :] + names[: turn % 3]
    records = _records(Random(turn), Values(0), count, chunk * callers, turn)
    return {name: _each_us(session.stores[name], records, callers) for name in names}


def compare(session: Session, count: int) -> None:
    """They hold the same. Raises Wrong."""
    ours, *others = session.stores.values()
    for one in range(0, count, 97):
        if any(store.value(key_of(one)) != ours.value(key_of(one)) for store in others):
            raise Wrong(f"the values of {key_of(one)!r} differ")


def profile_sets(session: Session, count: int, chunk: int) -> str:
    """Where the time of ours goes."""
    records = _records(Random(0), Values(0), count, chunk, 0)

    def work() -> int:
        _each_us(session.stores[OURS], records)
        return chunk

    return profile(work)


def _each_us(store: Store, records: list[tuple[str, Value]], callers: int = 1) -> float:
    """Microseconds that pass for a set by so many threads; of one the median of its calls."""
    assert isinstance(store, CallingStore)
    put = store.set
    if callers > 1:
        # A key is written by one thread, so that its last write is known.
        shares = [
            [one for one in records if int(one[1]["number"]) % callers == number]
            for number in range(callers)
        ]
        with ThreadPoolExecutor(callers) as pool:
            started = perf_counter()
            list(pool.map(partial(_sets, put), shares))
            return (perf_counter() - started) / len(records) * 1e6
    took = []
    for key, value in records:
        started = perf_counter()
        put(key, value)
        took.append(perf_counter() - started)
    return median(took) * 1e6


def _sets(put: Callable[[str, Value], None], records: list[tuple[str, Value]]) -> None:
    for key, value in records:
        put(key, value)


def _records(
    random: Random, values: Values, keys: int, count: int, turn: int
) -> list[tuple[str, Value]]:
    numbers = [random.randrange(keys) for _ in range(count)]
    return [(key_of(one), values.of(one, turn + 1)) for one in numbers]
