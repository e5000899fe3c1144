"""Results of functions beside other memoizers, and a claim that many processes want."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import holdfast
from benchmarks.figures import Figure, number, percentile
from benchmarks.peers.driver import driver
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table, Verdict
from benchmarks.workloads.state_clients import VALUE
from holdfast.runtime.system import system_components
from holdfast.state import RedisAdapter, ScopedKeys, StoreBuilder, build_store
from holdfast.state.observing import Observer

#: Calls of a memoized function in one round.
HITS = 2_000
HIT_US_MAX = 3.0
QUIET_NS_MAX = 50.0
LOOKS = 50_000
PROCESSES = 100


# --- Results of functions -----------------------------------------------------------------------


async def _hits(call: Callable[[int], Awaitable[Any]]) -> float:
    """Microseconds of one hit."""
    began = perf_counter()
    for _ in range(HITS):
        await call(7)
    return (perf_counter() - began) / HITS * 1e6


async def memoizers(bench: Bench) -> tuple[dict[str, Figure], list[str]]:
    """Microseconds of a hit of each; and who is missing. Rounds of all are interleaved."""
    calls: dict[str, Callable[[int], Awaitable[Any]]] = {}
    missing = []
    folder = bench.fresh("memoized")
    async with (
        holdfast.open("memory://") as here,
        holdfast.open(f"lmdb:///{folder}/state?durability=relaxed") as db,
    ):
        for name, store in (
            ("holdfast `cached`, memory", build_store(here, "bench")),
            ("holdfast `cached`, lmdb relaxed", build_store(db, "bench")),
        ):
            calls[name] = store.cached(ttl=3600, key="f:{n}")(_function)
        closes: list[Callable[[], Any]] = []
        if bench.with_peers:
            for name, made in (("diskcache memoize", _diskcache), ("cashews memory", _cashews)):
                if find_spec(name.partition(" ")[0]) is None:
                    missing.append(name)
                else:
                    calls[name] = made(folder, closes)
        found: dict[str, list[float]] = {name: [] for name in calls}
        for call in calls.values():
            await call(7)
        for _ in range(bench.plan.rounds):
            for name, call in calls.items():
                found[name].append(await _hits(call))
        for close in closes:
            close()
    return {name: Figure.of(figures) for name, figures in found.items()}, missing


async def _function(n: int) -> dict[str, Any]:
    return {"n": n, "text": VALUE}


def _diskcache(folder: Path, closes: list[Callable[[], Any]]) -> Callable[[int], Awaitable[Any]]:
    cache = driver("diskcache").Cache(str(folder / "diskcache"))
    closes.append(cache.close)

    def function(n: int) -> dict[str, Any]:
        return {"n": n, "text": VALUE}

    memoized = cache.memoize(expire=3600)(function)

    async def call(n: int) -> Any:
        return memoized(n)

    return call


def _cashews(_folder: Path, _closes: list[Callable[[], Any]]) -> Callable[[int], Awaitable[Any]]:
    cache = driver("cashews").Cache()
    cache.setup("mem://")
    call: Callable[[int], Awaitable[Any]] = cache(ttl=3600, key="f:{n}")(_function)
    return call


# --- A claim that many processes want -----------------------------------------------------------


def _claim(number: int, port: int, service: str, ready: Any) -> tuple[bool, float]:
    """Whether this process got it, and how long the answer took, in milliseconds."""

    async def main() -> tuple[bool, float]:
        adapter = RedisAdapter.from_url(f"redis://127.0.0.1:{port}/0")
        store = StoreBuilder.create().with_adapter(adapter).with_service(service).build()
        try:
            await store.kv.get("connects")
            ready.wait()
            began = perf_counter()
            won = await store.claim.once("job", number, ttl=60)
            return won, (perf_counter() - began) * 1000
        finally:
            await adapter.close()

    return asyncio.run(main())


def _send(pipe: Any, number: int, port: int, service: str, ready: Any) -> None:
    pipe.send(_claim(number, port, service, ready))


def contended(port: int, service: str, processes: int) -> list[tuple[bool, float]]:
    """What each of so many processes got that ask for one claim at the same moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ready = context.Barrier(processes)
    receivers, started = [], []
    for one in range(processes):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_send, args=(sender, one, port, service, ready))
        process.start()
        sender.close()
        receivers.append(receiver)
        started.append(process)
    try:
        return [receiver.recv() for receiver in receivers]
    finally:
        for process in started:
            process.join()


# --- Sections -----------------------------------------------------------------------------------


def memoized(bench: Bench) -> Section:
    """The hits of memoizers."""
    tell("state: results of functions")
    found, missing = asyncio.run(memoizers(bench))
    section = Section(
        "Results of functions",
        f"Microseconds of one hit by one caller, {HITS:,} in a row, median (least to most). A "
        "result is a small mapping.",
    )
    rows = [(name, str(figure)) for name, figure in found.items()]
    rows += [(name, "not installed") for name in missing]
    section.parts.append(Table(("memoizer", "µs"), rows))
    here = found["holdfast `cached`, memory"]
    section.verdicts.append(Verdict(
        "a `cached` hit in one process", f"< {HIT_US_MAX:.0f} µs", f"{here} µs",
        here.median < HIT_US_MAX, "The time includes the coroutine and the key of the call.",
    ))  # fmt: skip
    for name in ("diskcache memoize", "cashews memory"):
        if name in found:
            ratio = found[name].over(here)
            section.verdicts.append(Verdict(
                f"a `cached` hit beside {name}", "quicker", f"{ratio} times", ratio.median > 1,
            ))  # fmt: skip
    return section


def unwatched(bench: Bench) -> Section:
    """What an operation pays for telemetry and a logger that nobody has given."""
    clock = system_components().clock
    observer: Any = Observer(ScopedKeys("bench"), clock, None, None, set())
    looks: list[float] = []
    empty: list[float] = []
    for _ in range(10 * bench.plan.rounds):
        for figures, work in ((looks, _looks), (empty, _nothing)):
            began = thread_time()
            work(observer)
            figures.append((thread_time() - began) / LOOKS * 1e9)
    # The least of each: what else the machine does is not asked for.
    cost = max(0.0, min(looks) - min(empty))
    section = Section("Telemetry that is off")
    section.verdicts.append(Verdict(
        "telemetry that is off, for each call", f"< {QUIET_NS_MAX:.0f} ns", f"{number(cost)} ns",
        cost < QUIET_NS_MAX,
    ))  # fmt: skip
    section.parts.append(f"{number(cost)} ns of the processor for each call.")
    return section


def _looks(observer: Any) -> None:
    """What every operation does for those who might look: see `KV.get`."""
    for _ in range(LOOKS):
        seen = observer.started(None, "", {}) if observer.on else None
        if seen is not None:
            seen.success({})


def _nothing(_observer: Any) -> None:
    for _ in range(LOOKS):
        pass


def claim(bench: Bench, port: int, processes: int) -> Section:
    """A claim that many processes want at once."""
    tell(f"state: a claim wanted by {processes} processes")
    rows, winners = [], []
    for turn in range(bench.plan.rounds):
        answers = contended(port, f"claims{turn}", processes)
        took = [ms for _, ms in answers]
        winners.append(sum(won for won, _ in answers))
        rows.append(
            (str(turn + 1), str(winners[-1]), number(percentile(took, 0.5)),
             number(percentile(took, 0.99)))
        )  # fmt: skip
    section = Section(
        "One claim, many processes",
        f"{processes} processes, each with its own connection, call `claim.once` for one key at "
        "the same moment.",
    )
    section.parts.append(Table(("round", "winners", "p50, ms", "p99, ms"), rows))
    section.verdicts.append(Verdict(
        f"a claim wanted by {processes} processes at once", "one winner each time",
        ", ".join(map(str, winners)), set(winners) == {1},
    ))  # fmt: skip
    return section
