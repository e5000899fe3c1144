"""Reading everything in key order."""

from __future__ import annotations

from benchmarks import measuring
from benchmarks.child import Child, Session
from benchmarks.data import SCAN
from benchmarks.figures import Figure, number
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table

NAME = "scan"

#: Each of ours with the raw driver below it.
_PAIRS = {
    "holdfast lmdb full, async": "raw lmdb",
    "holdfast lmdb full, sync": "raw lmdb",
    "holdfast sqlite full, async": "raw sqlite3 FULL",
    "holdfast memory, async": "sorted dict",
}
RECORDS_MAX = 50_000


def run(bench: Bench) -> list[Section]:
    records = min(RECORDS_MAX, bench.plan.records)
    rows = []
    for ours, raw in _PAIRS.items():
        tell(f"scan: {ours}")
        with Child() as child:
            for name in (ours, raw):
                child.call(measuring.fill, name, bench.fresh("scan"), records, bench.plan.seed)
            taken: dict[str, list[float]] = {ours: [], raw: []}
            for _ in range(bench.plan.rounds):
                for name, rates in taken.items():
                    rates.append(child.call(scan_all, name))
        found = {name: Figure.of(rates) for name, rates in taken.items()}
        times = found[raw].over(found[ours])
        rows.append((ours, str(found[ours]), str(found[raw]), f"{number(times.median)} x"))
    return [
        Section(
            "Scan",
            f"Rows per second of one pass over {records:,} records in key order, every value "
            "decoded; ours through `entries.items`.",
            [Table(("store", "rows/s", "raw driver, rows/s", "raw over ours"), rows)],
        )
    ]


def scan_all(session: Session, name: str) -> float:
    """Rows per second of one pass over everything."""
    store = session.stores[name]
    records = len(session.models[name].writes)
    return records / store.run([(SCAN, "", records)])
