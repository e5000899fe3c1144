"""What overwriting does to the files."""

from __future__ import annotations

from pathlib import Path

from benchmarks import measuring
from benchmarks.catalogue import Kind, subject
from benchmarks.child import Child, Session
from benchmarks.data import WRITE
from benchmarks.figures import size
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table
from benchmarks.stores.ours import AsyncHoldfast

NAME = "file-growth"

_STORES = (
    "holdfast lmdb full, async", "holdfast sqlite full, async", "raw lmdb", "raw sqlite3 FULL",
    "diskcache", "sqlitedict autocommit", "py-key-value rocksdb", "ZODB",
)  # fmt: skip
RECORDS_MAX = 10_000
_CHUNK = 500


def run(bench: Bench) -> list[Section]:
    plan = bench.plan
    records = min(RECORDS_MAX, plan.records)
    rows = []
    for name in _STORES:
        if subject(name).kind is Kind.PEER and not bench.with_peers:
            continue
        tell(f"file growth: {name}")
        # The sizes are the same where a flush costs nothing, and are known sooner.
        folder = bench.fresh("growth", in_memory=bench.memory_folder is not None)
        with Child() as child:
            child.call(measuring.fill, name, folder, records, plan.seed)
            sizes = [measuring.disk_bytes(folder)]
            for _ in range(2):
                child.call(overwrite, name, plan.overwrites // 2)
                sizes.append(measuring.disk_bytes(folder))
            compacted = child.call(compact, name, folder)
        per_write = (sizes[2] - sizes[1]) / (plan.overwrites - plan.overwrites // 2)
        rows.append((
            name, *map(size, sizes), size(max(0.0, per_write)),
            "-" if compacted is None else size(compacted),
        ))  # fmt: skip
    first, second = plan.overwrites // 2, plan.overwrites
    columns = (
        "store", "loaded", f"{first:,}", f"{second:,}", "per overwrite, second half",
        "after compact",
    )  # fmt: skip
    section = Section(
        "Files under overwrites",
        f"Disk taken by {records:,} records of about 1 KB, after {first:,} and {second:,} "
        "zipfian overwrites, while open (logs included). Ours keeps every past version with "
        "its value (seven days or a million changes by default), a digest and a feed row; "
        "the others keep the last value only, ZODB the past until it is packed.",
    )
    section.parts.append(Table(columns, rows))
    return [section]


def overwrite(session: Session, name: str, count: int) -> None:
    """Write so many records again."""
    store, model = session.stores[name], session.models[name]
    for done in range(0, count, _CHUNK):
        records = model.overwrites(min(_CHUNK, count - done))
        store.run([(WRITE, key, value) for key, value in records])


def compact(session: Session, name: str, folder: Path) -> int | None:
    """Disk taken after ours was told to give space back."""
    store = session.stores[name]
    if not isinstance(store, AsyncHoldfast):
        return None
    store.await_(store.database.compact())
    return measuring.disk_bytes(folder)
