"""Whether a set gets dearer the more past versions a key has, or the more keys there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.catalogue import subject
from benchmarks.child import Child, Session
from benchmarks.data import Value, Values, key_of
from benchmarks.figures import Figure
from benchmarks.plan import Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.workloads.headline import set_seconds

NAME = "set-cost"

OURS, RAW = "holdfast lmdb full, async", "raw lmdb"
#: By how much the dearest may differ from the cheapest before it counts as growth. A deeper tree
#: and colder caches are the driver's, whose own growth stands beside it.
GROWTH_MAX = 1.5
ROUNDS = 5
#: Short texts, so that a million records fit anywhere: values of about 200 bytes.
FIELD_CHARACTERS = 8
#: Sets of one chunk while versions are made.
_CHUNK = 1_000


def run(bench: Bench) -> list[Section]:
    in_memory = bench.memory_folder is not None
    place = "on a file system in memory" if in_memory else "on disk"
    section = Section(
        "Cost of a set",
        f"Microseconds per set, values of about 200 bytes, one caller, {place}; median of "
        f"{ROUNDS} interleaved rounds of {bench.plan.cost_sets} sets.",
    )
    _by_versions(bench, section, in_memory=in_memory)
    _by_keys(bench, section, in_memory=in_memory)
    return [section]


def _by_versions(bench: Bench, section: Section, *, in_memory: bool) -> None:
    points, sets = bench.plan.versions, bench.plan.cost_sets
    with Child() as child:
        child.call(open_stores, bench.fresh("cost", in_memory=in_memory))
        for versions in (one for one in points if one >= sets):
            tell(f"set cost: making a key of {versions:,} versions")
            child.call(make_versions, OURS, _key(versions), versions)
        taken: dict[int, list[float]] = {versions: [] for versions in points}
        for turn in range(ROUNDS):
            for versions, times in taken.items():
                # A key of few versions would have many after one round.
                key = _key(versions, turn) if versions < sets else _key(versions)
                times.append(child.call(time_versions, OURS, key, versions, sets))
        found = {versions: Figure.of(times) for versions, times in taken.items()}
        growth = found[points[-1]].over(found[points[0]])
        met = growth.median <= GROWTH_MAX
        shown = "" if met else child.call(profile_sets, OURS, _key(points[-1]), sets)
    section.parts.append(Table(
        ("past versions of the key", *(f"{versions:,}" for versions in points)),
        [(OURS, *(str(figure) for figure in found.values()))],
    ))  # fmt: skip
    section.verdicts.append(Verdict(
        f"lmdb: set of a key with {points[-1]:,} past versions over one with {points[0]:,}",
        f"≤ {GROWTH_MAX} x", f"{growth} x", met, profile=shown,
    ))  # fmt: skip


def _by_keys(bench: Bench, section: Section, *, in_memory: bool) -> None:
    points, sets = bench.plan.key_counts, bench.plan.cost_sets
    with Child() as few, Child() as many:
        children = dict(zip(points, (few, many), strict=True))
        taken: dict[tuple[str, int], list[float]] = {}
        for keys, child in children.items():
            tell(f"set cost: loading {keys:,} keys")
            child.call(open_stores, bench.fresh("cost", in_memory=in_memory))
            for name in (OURS, RAW):
                child.call(load_keys, name, keys)
                taken[name, keys] = []
        for turn in range(ROUNDS):
            for (name, keys), times in taken.items():
                times.append(children[keys].call(time_keys, name, keys, turn, sets))
        found = {place: Figure.of(times) for place, times in taken.items()}
        growth = {name: found[name, points[-1]].over(found[name, points[0]])
                  for name in (OURS, RAW)}  # fmt: skip
        # What the driver below costs more by itself is not ours to save.
        met = growth[OURS].median <= max(GROWTH_MAX, growth[RAW].median)
        shown = "" if met else many.call(profile_sets, OURS, key_of(points[-1] // 2), sets)
    section.parts.append(Table(
        ("keys in the database", *(f"{keys:,}" for keys in points), "growth"),
        [
            (name, *(str(found[name, keys]) for keys in points), f"{growth[name]} x")
            for name in (OURS, RAW)
        ],
    ))  # fmt: skip
    section.verdicts.append(Verdict(
        f"lmdb: set among {points[-1]:,} keys over set among {points[0]:,}",
        f"≤ {GROWTH_MAX} x, or the driver's own growth",
        f"{growth[OURS]} x (raw driver {growth[RAW]} x)", met, profile=shown,
    ))  # fmt: skip


def _key(versions: int, turn: int = 0) -> str:
    return f"versions:{versions}-{turn}"


# --- In the child ---------------------------------------------------------------------------

_values = Values(0, FIELD_CHARACTERS)


def open_stores(session: Session, folder: Path) -> None:
    for name in (OURS, RAW):
        store = subject(name).store(folder)
        store.start()
        session.stores[name] = store


def make_versions(session: Session, name: str, key: str, versions: int) -> None:
    """Write the key until it has so many past versions."""
    for done in range(0, versions + 1, _CHUNK):
        _set_one_key(session, name, key, done, min(_CHUNK, versions + 1 - done))


def time_versions(session: Session, name: str, key: str, versions: int, sets: int) -> float:
    """Microseconds per set of keys with so many past versions."""
    if versions >= sets:
        return _set_one_key(session, name, key, versions, sets) / sets * 1e6
    # As many keys as it takes to stay below twice the versions.
    spent = 0.0
    keys = -(-sets // versions)
    for place in range(keys):
        make_versions(session, name, f"{key}-{place}", versions)
    for place in range(keys):
        spent += _set_one_key(session, name, f"{key}-{place}", versions, versions)
    return spent / (keys * versions) * 1e6


def load_keys(session: Session, name: str, keys: int) -> None:
    """Fill the store with so many records."""
    session.stores[name].fill((key_of(number), _values.of(number, 0)) for number in range(keys))


def time_keys(session: Session, name: str, keys: int, turn: int, sets: int) -> float:
    """Microseconds per set of keys drawn evenly."""
    random = Random(turn)
    numbers = [random.randrange(keys) for _ in range(sets)]
    records = [(key_of(number), _values.of(number, turn + 1)) for number in numbers]
    return set_seconds(session.stores[name], records) / sets * 1e6


def profile_sets(session: Session, name: str, key: str, sets: int) -> str:
    """Where the time of sets of one key goes."""

    def work() -> int:
        _set_one_key(session, name, key, 0, sets)
        return sets

    return profile(work)


def _set_one_key(session: Session, name: str, key: str, first: int, count: int) -> float:
    records = list(_writes(key, first, count))
    return set_seconds(session.stores[name], records)


def _writes(key: str, first: int, count: int) -> Iterator[tuple[str, Value]]:
    for write in range(first, first + count):
        yield key, _values.of(0, write)
