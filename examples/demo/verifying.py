"""The last part of the demo: everything there is, compared with everything there should be."""

from __future__ import annotations

from time import perf_counter

import holdfast
from examples.demo.data import NAMESPACE, TOKYO, Cities
from examples.demo.verdicts import Verdicts
from examples.demo.watching import changes_until_head, visit_of
from holdfast import Change, Database, StoreKey


async def verify(db: Database, cities: Cities, watched: list[Change], verdicts: Verdicts) -> None:
    """Compare everything there is with everything there should be."""
    for change in watched:
        assert change.key is not None
        cities[change.key] = cities[change.key] | {"visits": visit_of(change)}

    start = perf_counter()
    values: Cities = {}
    digests: dict[StoreKey, str] = {}
    false_digests = 0
    async for entry in db.entries.items(f"{NAMESPACE}/#"):
        values[entry.key] = entry.value
        digests[entry.key] = entry.metadata.data_hash
        false_digests += holdfast.digest(entry.value).hex != entry.metadata.data_hash
    seconds = perf_counter() - start
    different = sum(cities[key] != value for key, value in values.items() if key in cities)
    verdicts.equal("keys", sorted(cities), list(values), f"{len(values) / seconds:,.0f} entries/s")
    verdicts.equal("values that differ from what was written", 0, different)
    verdicts.equal("digests that differ when recomputed", 0, false_digests)

    start = perf_counter()
    replayed: dict[StoreKey, str] = {}
    writes = 0
    false_befores = 0
    async for change in changes_until_head(db, f"{NAMESPACE}/#", 0):
        assert change.key is not None
        assert change.after is not None, "no city was deleted"
        before = None if change.before is None else change.before.metadata.data_hash
        false_befores += replayed.get(change.key) != before
        replayed[change.key] = change.after.metadata.data_hash
        writes += 1
    seconds = perf_counter() - start
    verdicts.equal(
        "state that the feed gives when replayed", digests, replayed,
        f"{writes:,} changes, {writes / seconds:,.0f}/s",
    )  # fmt: skip
    verdicts.equal("changes whose before is not the one before", 0, false_befores)

    start = perf_counter()
    past = 0
    gaps = 0
    for key in {change.key for change in watched if change.key is not None} | {TOKYO}:
        living = await db.entries.require(key)
        versions = [one.metadata.version async for one in db.entries.history(key)]
        past += len(versions)
        gaps += [*versions, living.metadata.version] != list(range(1, len(versions) + 2))
    seconds = perf_counter() - start
    verdicts.equal("past versions in the histories", writes - len(cities), past, f"{seconds:.2f} s")
    verdicts.equal("histories with gaps", 0, gaps)

    start = perf_counter()
    verdicts.equal(
        "faults found by check()", [], await db.check(), f"{perf_counter() - start:.2f} s"
    )
