"""State of services: on Redis beside clients and the seed's store, on LMDB, memoized, contended.

    python -m benchmarks --only state --out docs/benchmarks-state.md

It wants a Redis server; the rivals of Node want node and npm, which fetches them.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.figures import Figure, number
from benchmarks.plan import QUICK, Bench, tell
from benchmarks.report import Section, Table, Verdict
from benchmarks.workloads import state_local
from benchmarks.workloads.state_clients import (
    ON_LMDB,
    OPERATIONS,
    Taken,
    everybody,
    measure,
)
from benchmarks.workloads.state_node import NAMES, Node, NodeMissing
from tests.servers.processes import redis_server

NAME = "state"

TASKS = (1, 16, 64, 256)
#: Calls a second and the 99th percentile in milliseconds that the seed's manual states.
SEED = {
    "get": (45_000, 0.85), "set": (38_000, 0.95), "publish": (22_000, 1.20),
    "increment": (41_000, 0.88), "batch of 10": (12_000, 2.5),
}  # fmt: skip
#: What it states of one call by one caller, in milliseconds.
SEED_MS = {"get": "under 0.5", "publish": "0.8 to 1.2", "batch of 10": "about 1.5"}
#: Appended in a second by 64 tasks.
APPENDED = 100_000
#: By how much a get of one task on LMDB is quicker than on the server; steps of a counter there.
LMDB_TIMES = 8
LMDB_STEPS = {1: 30_000, 64: 40_000}
OURS, RIVAL = "holdfast", "ioredis"

Found = dict[tuple[str, str, int], list[Taken]]


@dataclass
class OnServer:
    """What everybody did on one server.

    Attributes:
        found: by name, operation and tasks what each round gave.
        names: in the order of the table.
        missing: who did not take part, and why.
        node: its version.
    """

    found: Found = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    node: str = ""


class Cell(NamedTuple):
    """A figure as the table shows it."""

    rate: Figure
    p99_ms: float

    def __str__(self) -> str:
        return f"{number(self.rate.median)} ({number(self.p99_ms)} ms)"


def run(bench: Bench) -> list[Section]:
    quick = bench.plan.measure_s <= QUICK.measure_s
    tasks = (1, 16) if quick else TASKS
    processes = 8 if quick else state_local.PROCESSES
    with redis_server(appendfsync=None) as server:
        told = asyncio.run(_on_server(bench, server.port, tasks))
        claims = state_local.claim(bench, server.port, processes)
    return [
        _section(told, tasks),
        state_local.memoized(bench),
        state_local.unwatched(bench),
        claims,
    ]


async def _on_server(bench: Bench, port: int, tasks: tuple[int, ...]) -> OnServer:
    """Everybody in turns: all of a round meet the same mood of the machine."""
    told = OnServer()
    with ExitStack() as stack:
        node: Node | None = None
        if bench.with_peers:
            try:
                node = stack.enter_context(Node(port))
                told.node = node.version
            except NodeMissing as reason:
                told.missing |= dict.fromkeys(NAMES, str(reason))
        async with everybody(port, bench.fresh("state"), with_peers=bench.with_peers) as (
            works,
            missing,
        ):
            told.missing |= dict.fromkeys(missing, "not installed")
            told.names = [*works, *(NAMES if node is not None else ())]
            for operation in OPERATIONS:
                tell(f"state: {operation}")
                for count in tasks:
                    for _ in range(bench.plan.rounds):
                        for name in told.names:
                            if name in works:
                                work = works[name][operation]
                                taken = await measure(work, count, bench.plan.measure_s)
                            else:
                                assert node is not None
                                taken = await asyncio.to_thread(
                                    node.measure, name, operation, count, bench.plan.measure_s
                                )
                            told.found.setdefault((name, operation, count), []).append(taken)
    return told


def _cell(rounds: list[Taken]) -> Cell:
    rate = Figure.of([one.per_s for one in rounds])
    return Cell(rate, Figure.of([one.p99_ms for one in rounds]).median)


def _section(told: OnServer, tasks: tuple[int, ...]) -> Section:
    section = Section(
        "State on Redis, and on LMDB",
        "Calls a second, and the 99th percentile of a call, by so many tasks of one process "
        "that each call one time after the other. All talk to one Redis server that keeps "
        "everything in memory; rounds of all are interleaved, medians are shown. A value has 100 "
        "bytes. Holdfast's figures are of the whole store: key, serialiser, errors, telemetry; a "
        "client sends bare commands. On LMDB the same store stands in the process itself, on this "
        "disk. redis-py and coredis have a pool of up to 300 connections, "
        "the others one connection" + (f"; Node is {told.node}." if told.node else "."),
    )
    columns = ("", *(f"{count} task{'s' if count > 1 else ''}" for count in tasks))
    for operation in OPERATIONS:
        rows = [
            [name, *(str(_cell(told.found[name, operation, count])) for count in tasks)]
            for name in told.names
        ]
        rows += [[name, *([reason] + ["-"] * (len(tasks) - 1))] for name, reason in
                 told.missing.items()]  # fmt: skip
        if operation in SEED:
            per_s, p99_ms = SEED[operation]
            stated = f"{number(per_s)} ({number(p99_ms)} ms)"
            rows.append(["the seed's manual states", stated, *["" for _ in tasks[1:]]])
        section.parts += [f"### {operation}", Table(columns, rows)]
    rows = [
        [operation, stated, number(1000 / _cell(told.found[OURS, operation, 1]).rate.median)]
        for operation, stated in SEED_MS.items()
    ]
    columns = ("one call by one task, ms", "the seed's manual states", "holdfast")
    section.parts += ["### One call", Table(columns, rows)]
    section.verdicts += _verdicts(told, tasks)
    return section


def _verdicts(told: OnServer, tasks: tuple[int, ...]) -> list[Verdict]:
    verdicts = []
    at_once = max(count for count in tasks if count <= 64)
    for operation, (per_s, _) in SEED.items():
        cell = _cell(told.found[OURS, operation, at_once])
        verdicts.append(Verdict(
            f"{operation} on Redis, {at_once} tasks, through the whole store",
            f"≥ {number(per_s)}/s", f"{cell.rate}/s, p99 {number(cell.p99_ms)} ms",
            cell.rate.median >= per_s,
        ))  # fmt: skip
    cell = _cell(told.found[OURS, "append", at_once])
    verdicts.append(Verdict(
        f"appended to a stream on Redis by {at_once} tasks", f"≥ {number(APPENDED)}/s",
        f"{cell.rate}/s", cell.rate.median >= APPENDED,
    ))  # fmt: skip
    for operation in SEED:
        for count in (16, 64):
            if (RIVAL, operation, count) in told.found:
                ratio = _cell(told.found[OURS, operation, count]).rate.over(
                    _cell(told.found[RIVAL, operation, count]).rate
                )
                verdicts.append(Verdict(
                    f"{operation}, {count} tasks, beside {RIVAL}", "≥ 1 (goal 1.2)", f"{ratio}",
                    ratio.median >= 1,
                ))  # fmt: skip
    ratio = _cell(told.found[ON_LMDB, "get", 1]).rate.over(_cell(told.found[OURS, "get", 1]).rate)
    verdicts.append(Verdict(
        "get on LMDB beside Redis, one task", f"≥ {LMDB_TIMES} times", f"{ratio} times",
        ratio.median >= LMDB_TIMES,
    ))  # fmt: skip
    for count, steps in LMDB_STEPS.items():
        if count in tasks:
            rate = _cell(told.found[ON_LMDB, "increment", count]).rate
            verdicts.append(Verdict(
                f"steps of a counter on LMDB, {count} task{'s' if count > 1 else ''}",
                f"≥ {number(steps)}/s", f"{rate}/s", rate.median >= steps,
            ))  # fmt: skip
    return verdicts
