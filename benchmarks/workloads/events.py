"""Subscriptions: how soon a callback runs, how many can be called, and what patterns cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import holdfast
from benchmarks.child import Child, Session
from benchmarks.figures import Figure, number, percentile
from benchmarks.peers.driver import driver
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.ours import AsyncHoldfast, SyncHoldfast
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.codecs.trie import PatternTrie
from holdfast.records.decorators.evented import Evented
from holdfast.records.decorators.read_only import ReadOnlyStore
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import Write
from holdfast.store.change import Change

NAME = "events"

WATCHERS = 1_000
PATTERNS = (10, 10_000, 100_000)
MATCHES = 3
#: How much dearer the same matches may be among the most patterns than among the fewest.
GROWTH_MAX = 2.0
#: What a write may pay for subscriptions when there are none.
IDLE_S_MAX = 0.2e-6
IDLE_WRITES = 20_000
SETS = 200
_WAIT_S = 0.002
_SEEN_S_MAX = 20.0


def run(bench: Bench) -> list[Section]:
    return [_latency(bench), _fan_out(bench), _matching(bench)]


# --- How soon -------------------------------------------------------------------------------


def _latency(bench: Bench) -> Section:
    rows = []
    for place, measured in (
        ("the same handle, lmdb full", latency_here),
        ("another handle of the process, lmdb full", latency_beside),
    ):
        tell(f"events: latency, {place}")
        with Child() as child:
            found = child.call(measured, bench.fresh("events"), SETS)
        rows.append((place, *_quantiles(found)))
    tell("events: latency, another process")
    folder = bench.fresh("events")
    with Child() as writer, Child() as watcher:
        writer.call(open_ours, folder)
        watcher.call(subscribe, folder)
        called = writer.call(write, SETS)
        seen = watcher.call(collect, SETS)
    found = [after - before for before, after in zip(called, seen, strict=True)]
    rows.append(("another process, lmdb full", *_quantiles(found)))
    return Section(
        "Events: from a write to the callback",
        f"Milliseconds from the call of `set` to the call of a subscriber's function, {SETS} sets "
        "one after the other, the durable commit included. On the writer's own handle the "
        "function runs before `set` returns; other processes look for commits every 40 ms.",
        [Table(("the subscriber is on", "p50, ms", "p99, ms"), rows)],
    )


def _quantiles(seconds: list[float]) -> tuple[str, str]:
    return (
        number(percentile(seconds, 0.5) * 1000),
        number(percentile(seconds, 0.99) * 1000),
    )


def latency_here(_session: Session, folder: Path, sets: int) -> list[float]:
    return asyncio.run(_sets_seen(folder, sets, beside=False))


def latency_beside(_session: Session, folder: Path, sets: int) -> list[float]:
    return asyncio.run(_sets_seen(folder, sets, beside=True))


async def _sets_seen(folder: Path, sets: int, *, beside: bool) -> list[float]:
    """Seconds from each call of set to the callback."""
    url = AsyncHoldfast(folder, engine="lmdb").url
    seen: list[float] = []
    called: list[float] = []
    async with holdfast.open(url) as database, holdfast.open(url) as other:
        listening = other if beside else database
        listening.entries.subscribe("#", lambda _: seen.append(perf_counter()))
        for turn in range(sets):
            called.append(perf_counter())
            await database.entries.set("watched:1", turn)
            while len(seen) < len(called):  # noqa: ASYNC110 - an event would be one more hop
                await asyncio.sleep(0)
    return [after - before for before, after in zip(called, seen, strict=True)]


@dataclass
class _Watching:
    store: SyncHoldfast
    seen: list[float]


_watching: list[_Watching] = []


def open_ours(session: Session, folder: Path) -> None:
    store = SyncHoldfast(folder, engine="lmdb")
    store.start()
    session.stores["ours"] = store


def subscribe(session: Session, folder: Path) -> None:
    """Note when each change arrives, in the clock all processes share."""
    open_ours(session, folder)
    store = session.stores["ours"]
    assert isinstance(store, SyncHoldfast)
    watching = _Watching(store, [])
    _watching.append(watching)
    store.entries.subscribe("#", lambda _: watching.seen.append(perf_counter()))


def write(session: Session, sets: int) -> list[float]:
    """When each set was called. Pauses let the watcher's process wait anew each time."""
    called = []
    store = session.stores["ours"]
    assert isinstance(store, SyncHoldfast)
    for turn in range(sets):
        until = perf_counter() + _WAIT_S * (1 + turn % 12)
        while perf_counter() < until:
            pass
        called.append(perf_counter())
        store.set("watched:1", {"turn": turn})
    return called


def collect(_session: Session, sets: int) -> list[float]:
    """When each change arrived."""
    [watching] = _watching
    until = perf_counter() + _SEEN_S_MAX
    while len(watching.seen) < sets:
        if perf_counter() > until:
            raise TimeoutError(f"{len(watching.seen)} of {sets} changes arrived")
        sleep(0.01)
    return watching.seen


# --- How many -------------------------------------------------------------------------------


def _fan_out(bench: Bench) -> Section:
    tell("events: fan-out")
    cases: dict[str, Callable[..., float]] = {
        "holdfast, a whole `set` on memory": fan_out_set,
        "a plain loop over the functions": fan_out_loop,
    }
    if bench.with_peers:
        cases["blinker, `send`: nothing stored, no isolation"] = fan_out_blinker
    taken: dict[str, list[float]] = {name: [] for name in cases}
    with Child() as child:
        for _ in range(bench.plan.rounds):
            for name, measured in cases.items():
                taken[name].append(child.call(measured, bench.plan.measure_s))
        idle = Figure.of([child.call(idle_cost, IDLE_WRITES) for _ in range(bench.plan.rounds)])
    rows = [(name, str(Figure.of(rates))) for name, rates in taken.items()]
    section = Section(
        f"Events: fan-out to {WATCHERS:,} subscribers",
        f"Calls per second of {WATCHERS:,} functions in one process that take a change and do "
        "nothing. Ours hands each a copy of its own, times it, and lets none disturb another.",
        [Table(("who calls", "calls/s"), rows)],
    )
    section.verdicts.append(
        Verdict(
            "a write pays for subscriptions when there are none",
            f"≤ {IDLE_S_MAX * 1e6:.1f} µs",
            f"{number(idle.median * 1e6)} µs",
            idle.median <= IDLE_S_MAX,
        )
    )
    return section


def _nothing(*_: object, **__: object) -> None:
    """A subscriber."""


def fan_out_set(_session: Session, seconds: float) -> float:
    return asyncio.run(_fan_out_set(seconds))


async def _fan_out_set(seconds: float) -> float:
    async with holdfast.open("memory://?name=fan-out") as database:
        for _ in range(WATCHERS):
            # Each is a function of its own.
            database.entries.subscribe("#", lambda _: None)
        rounds, started = 0, perf_counter()
        while perf_counter() - started < seconds:
            await database.entries.set("watched:1", {"turn": rounds})
            rounds += 1
        spent = perf_counter() - started
        facts = database.subscriptions()
        assert all(one.mode == "inline" and one.delivered == rounds for one in facts)
    return rounds * WATCHERS / spent


def fan_out_loop(_session: Session, seconds: float) -> float:
    functions: list[Callable[[Any], None]] = [lambda _: None for _ in range(WATCHERS)]

    def call_all() -> None:
        for function in functions:
            function(None)

    return WATCHERS * _per_second(call_all, seconds)


def fan_out_blinker(_session: Session, seconds: float) -> float:
    signal = driver("blinker").Signal()
    functions: list[Callable[..., object]] = [lambda _, change: change for _ in range(WATCHERS)]
    for function in functions:
        signal.connect(function)
    return WATCHERS * _per_second(lambda: signal.send(None, change=None), seconds)


def idle_cost(_session: Session, writes: int) -> float:
    """Seconds that `Evented` adds to a write."""
    return asyncio.run(_idle_cost(writes))


async def _idle_cost(writes: int) -> float:
    async with holdfast.open("memory://?name=idle") as database:
        evented = database.entries
        while not isinstance(evented, Evented):
            evented = evented.inner  # type: ignore[attr-defined]
        bare = evented.around(_Silent(database.entries))
        telling = Evented(_Silent(database.entries), evented.dispatcher)
        return (await _timed(telling, writes) - await _timed(bare, writes)) / writes


class _Silent(ReadOnlyStore):
    """Writes nothing, at once."""

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return []


async def _timed(store: Evented, writes: int) -> float:
    started = perf_counter()
    for _ in range(writes):
        await store.write(())
    return perf_counter() - started


def _per_second(work: Callable[[], object], seconds: float) -> float:
    done, started = 0, perf_counter()
    while perf_counter() - started < seconds:
        work()
        done += 1
    return done / (perf_counter() - started)


# --- Patterns -------------------------------------------------------------------------------


def _matching(bench: Bench) -> Section:
    cases: dict[str, Callable[..., list[float]]] = {"holdfast": match_ours}
    if bench.with_peers:
        cases["paho-mqtt, `MQTTMatcher`"] = match_paho
    rows = []
    section = Section(
        "Events: matching patterns",
        f"Look-ups per second of a key that {MATCHES} patterns match, among so many. Each names "
        "another namespace and ends with a wildcard.",
    )
    for name, measured in cases.items():
        tell(f"events: patterns, {name}")
        with Child() as child:
            rounds = [
                child.call(measured, PATTERNS, bench.plan.measure_s)
                for _ in range(bench.plan.rounds)
            ]
        found = [Figure.of(rates) for rates in zip(*rounds, strict=True)]
        growth = found[0].over(found[-1])
        rows.append((name, *map(str, found), f"{number(growth.median)} x"))
        if measured is match_ours:
            section.verdicts.append(
                Verdict(
                    f"{MATCHES} matches among {PATTERNS[-1]:,} subscriptions cost about what they "
                    f"cost among {PATTERNS[0]}",
                    f"≤ {number(GROWTH_MAX)} x",
                    f"{number(growth.median)} x",
                    growth.median <= GROWTH_MAX,
                )
            )
    columns = ("who", *(f"{count:,} patterns" for count in PATTERNS), "growth")
    section.parts.append(Table(columns, rows))
    return section


def match_ours(_session: Session, counts: tuple[int, ...], seconds: float) -> list[float]:
    rates = []
    for count in counts:
        trie: PatternTrie[Callable[[Change], None]] = PatternTrie()
        for turn in range(count - MATCHES):
            trie.add(Pattern(f"tenants/{turn}/#"), _nothing)
        for pattern in ("watched/+/b:1", "watched/#", "watched/a/b:+"):
            trie.add(Pattern(pattern), _nothing)
        segments = StoreKey.parse("watched/a/b:1").segments
        assert len(trie.matches(segments)) == MATCHES
        rates.append(_per_second(partial(trie.matches, segments), seconds))
    return rates


def match_paho(_session: Session, counts: tuple[int, ...], seconds: float) -> list[float]:
    rates = []
    for count in counts:
        matcher = driver("paho.mqtt.matcher").MQTTMatcher()
        for turn in range(count - MATCHES):
            matcher[f"tenants/{turn}/#"] = _nothing
        for pattern in ("watched/+/b/1", "watched/#", "watched/a/b/+"):
            matcher[pattern] = _nothing

        def look_up(matcher: Any = matcher) -> list[Any]:
            return list(matcher.iter_match("watched/a/b/1"))

        assert len(look_up()) == MATCHES
        rates.append(_per_second(look_up, seconds))
    return rates
