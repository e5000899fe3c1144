"""From a new process to the first value."""

from __future__ import annotations

from benchmarks import measuring, opening
from benchmarks.catalogue import Kind, subject
from benchmarks.child import Child
from benchmarks.figures import Figure
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table

NAME = "cold-open"

_STORES = (
    "holdfast lmdb full, async", "holdfast lmdb full, sync", "holdfast sqlite full, async",
    "raw lmdb", "raw sqlite3 FULL", "diskcache", "py-key-value disk", "py-key-value rocksdb",
    "ZODB",
)  # fmt: skip
RECORDS_MAX = 10_000


def run(bench: Bench) -> list[Section]:
    records = min(RECORDS_MAX, bench.plan.records)
    names = [name for name in _STORES if bench.with_peers or subject(name).kind is not Kind.PEER]
    folders = {name: bench.fresh("cold") for name in names}
    for name, folder in folders.items():
        tell(f"cold open: filling {name}")
        with Child() as child:
            child.call(measuring.fill, name, folder, records, bench.plan.seed)
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for turn in range(bench.plan.rounds):
        tell(f"cold open: round {turn + 1} of {bench.plan.rounds}")
        for name, folder in folders.items():
            with Child() as child:
                taken[name].append(child.call(opening.open_cold, name, folder, records // 2))
    rows = [
        (name, *(str(Figure.of(step)) for step in zip(*steps, strict=True)))
        for name, steps in taken.items()
    ]
    return [
        Section(
            "Cold open",
            f"Milliseconds in a new process, on a database of {records:,} records of about 1 KB "
            "whose pages the system still has in memory: importing the library, opening the "
            "database, the first value.",
            [Table(("store", "import, ms", "open, ms", "first value, ms"), rows)],
        )
    ]
