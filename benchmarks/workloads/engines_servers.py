"""Engines on servers: 1, 16 and 64 tasks, ours, the raw client and the rows by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from random import Random

from benchmarks.data import Model, Wrong, key_of
from benchmarks.figures import Figure
from benchmarks.plan import QUICK, Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.on_postgres import HandPostgres, RawPostgres
from benchmarks.stores.on_redis import HandRedis, RawRedis
from benchmarks.stores.on_servers import CONNECTIONS, Ours, ServerStore
from benchmarks.workloads.engines_local import HAND, OURS, RATIOS, RAW
from benchmarks.workloads.state_clients import measure
from tests.servers.processes import LOOPBACK, Server, postgres_server, redis_server

TASKS = (1, 16, 64)
RECORDS = 2_000
#: How many calls are made ready before they are timed; then they are made again.
READY = 1_024
#: How long a profile is taken for.
PROFILE_S = 0.2


@dataclass(frozen=True)
class Contest:
    """An engine on a server, and what it stands beside."""

    title: str
    server: Callable[[], AbstractContextManager[Server]]
    stores: Callable[[int], Mapping[str, ServerStore]]


def _on_redis(port: int) -> dict[str, ServerStore]:
    ours = Ours(f"redis://{LOOPBACK}:{port}/0")
    return {OURS: ours, RAW: RawRedis(port), HAND: HandRedis(port)}


def _on_postgres(port: int) -> dict[str, ServerStore]:
    ours = Ours(f"postgres://postgres@{LOOPBACK}:{port}/postgres")
    return {OURS: ours, RAW: RawPostgres(port), HAND: HandPostgres(port)}


CONTESTS = (
    Contest("redis", lambda: redis_server(appendfsync="always"), _on_redis),
    Contest("postgres", postgres_server, _on_postgres),
)


def run(bench: Bench) -> Section:
    quick = bench.plan.measure_s <= QUICK.measure_s
    section = Section(
        "Engines on servers",
        "Calls a second by so many tasks of one process that each call one time after the other; "
        "Redis with `appendfsync always`, PostgreSQL with `synchronous_commit on`, on this disk. "
        f"Overwrites and reads of {RECORDS:,} mappings of 1 KB, drawn evenly. The raw client "
        "writes one value under its key (`SET`; `INSERT ... ON CONFLICT`). By hand it does what "
        "ours does: reads the record, and writes value with header and digest, the version "
        "before, the row of the feed and the head at once, by a script on Redis, by a transaction "
        f"on PostgreSQL. Both have {CONNECTIONS} connections. Rounds of all three alternate; each "
        "ratio is of neighbours: how many times as long a call of ours takes.",
    )
    for contest in CONTESTS:
        with contest.server() as server, asyncio.Runner() as runner:
            stores = contest.stores(server.port)
            at_work = _Contest(bench, contest.title, runner, stores)
            at_work.prepare()
            try:
                at_work.measure(section, TASKS[:2] if quick else TASKS)
                at_work.verify()
            finally:
                for store in stores.values():
                    runner.run(store.close())
    return section


class _Contest:
    """One server at work.

    Args:
        runner: of the loop that all stores share.
        stores: by who they are.
    """

    def __init__(
        self,
        bench: Bench,
        title: str,
        runner: asyncio.Runner,
        stores: Mapping[str, ServerStore],
    ) -> None:
        self._bench = bench
        self._title = title
        self._runner = runner
        self._stores = stores
        self._records = min(RECORDS, bench.plan.records)
        self._models = {name: Model(self._records, bench.plan.seed) for name in stores}

    def prepare(self) -> None:
        """All of them with the same records."""
        for name, store in self._stores.items():
            tell(f"engines: {self._title}, {name}")
            self._runner.run(store.open())
            self._runner.run(store.fill(list(self._models[name].initial())))

    def measure(self, section: Section, tasks: tuple[int, ...]) -> None:
        """Figures and verdicts of everything."""
        plan = self._bench.plan
        rows = []
        for what, bar in RATIOS.items():
            for count in tasks:
                title = f"{what}, {count} task{'s' if count > 1 else ''}"
                tell(f"engines: {self._title}, {title}")
                found: dict[str, list[float]] = {name: [] for name in self._stores}
                for turn in range(plan.rounds):
                    names = list(self._stores)
                    for name in names[turn % 3 :] + names[: turn % 3]:
                        work = self._work(name, what, turn)
                        taken = self._runner.run(measure(work, count, plan.measure_s))
                        found[name].append(taken.per_s)
                rates = {name: Figure.of(figures) for name, figures in found.items()}
                ratio = rates[HAND].over(rates[OURS])
                rows.append([
                    title, *(f"{rates[name]}" for name in (OURS, RAW, HAND)),
                    f"{rates[RAW].over(rates[OURS])}", f"{ratio}",
                ])  # fmt: skip
                met = ratio.median <= bar
                section.verdicts.append(Verdict(
                    f"{self._title}: {title}, over the same rows by hand", f"≤ {bar} x",
                    f"{ratio} x", met, profile="" if met else self._profile(what, count),
                ))  # fmt: skip
        columns = ("", f"{OURS}, a second", RAW, HAND, "x raw driver", "x by hand")
        section.parts += [f"### {self._title}", Table(columns, rows)]

    def verify(self) -> None:
        """Everybody holds values that were written to it. Raises Wrong."""
        for name, store in self._stores.items():
            model = self._models[name]
            for number in range(0, self._records, 97):
                value = self._runner.run(store.get(key_of(number)))
                written = value is not None and value["write"] <= model.writes[number]
                if not written or value != model.values.of(number, value["write"]):  # type: ignore[index]
                    raise Wrong(f"{name} on {self._title} does not hold {key_of(number)!r}")
        ours = self._stores[OURS]
        assert isinstance(ours, Ours)
        faults = self._runner.run(ours.database.check())
        if faults:
            raise Wrong(f"{self._title}: {faults[:3]}")

    def _work(self, name: str, what: str, turn: int) -> Callable[[], Awaitable[object]]:
        """One call, made ready before."""
        store, model, random = self._stores[name], self._models[name], Random(turn)
        numbers = [random.randrange(self._records) for _ in range(READY)]
        if what == "get":
            keys = cycle([key_of(number) for number in numbers])
            return lambda: store.get(next(keys))
        records = cycle([(key_of(number), model.overwrite(number)) for number in numbers])
        return lambda: store.set(*next(records))

    def _profile(self, what: str, tasks: int) -> str:
        """Where the time of ours goes, in the thread of the loop."""
        work = self._work(OURS, what, 0)

        def profiled() -> int:
            taken = self._runner.run(measure(work, tasks, PROFILE_S))
            return max(1, round(taken.per_s * PROFILE_S))

        return profile(profiled)
