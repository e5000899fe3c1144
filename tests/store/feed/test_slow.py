"""Slow subscribers: what they cost writers and others, and that they still miss nothing."""

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from holdfast import Change
from holdfast.contract.errors import Compacted
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.runtime.system import SystemHost, ThreadRuntime, drive
from holdfast.store.change import Change as RecordChange
from holdfast.store.feed import subscription as subscribing
from holdfast.store.feed.slow_callbacks import IDLE_S, THREADS_MAX
from holdfast.store.feed.subscribers import EventService
from holdfast.store.feed.subscription import BUDGET_S, CALL_S, RENEWAL_S, SubscriptionFacts
from holdfast.store.instants import instant
from tests.store.scene import Scene, until


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Slow listeners of a test wait for this; set at its end whatever happens."""
    event = threading.Event()
    yield event
    event.set()


def slow_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "holdfast slow subscribers"]


@pytest.mark.row("trap 27")
async def test_a_listener_that_takes_a_second_costs_one_write_that_once(
    scene: Scene, let_go: threading.Event
) -> None:
    async with scene.open() as db:
        slow: list[int] = []
        quick: list[int] = []

        def sleeper(one: Change) -> None:
            slow.append(one.revision)
            if len(slow) == 1:
                scene.clock.advance(1.0)
            elif not let_go.wait(20):
                raise TimeoutError

        db.entries.subscribe("#", sleeper)
        db.entries.subscribe("#", lambda one: quick.append(one.revision))
        wrote = [(await db.entries.set("a", 0)).revision]
        took = []
        for n in range(1, 20):
            started = time.perf_counter()
            wrote.append((await db.entries.set("a", n)).revision)
            took.append(time.perf_counter() - started)
        # The sleeper sleeps in its second call for as long as this test wants.
        assert sorted(took)[len(took) // 2] < 1
        assert quick == wrote
        await until(lambda: len(slow) == 2)
        facts = db.subscriptions()
        assert (facts[0].mode, facts[0].slow, facts[0].queued) == ("thread", True, 18)
        assert (facts[1].mode, facts[1].slow, facts[1].delivered) == ("inline", False, 20)
        let_go.set()
        await until(lambda: slow == wrote)


async def test_what_does_not_fit_into_the_queue_comes_from_the_feed(
    scene: Scene, let_go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "QUEUE_MAX", 5)
    async with scene.open() as db:
        in_thread: list[Change] = []
        in_task: list[Change] = []
        inline: list[Change] = []

        def sleeper(one: Change) -> None:
            in_thread.append(one)
            if len(in_thread) == 1:
                scene.clock.advance(1.0)
            elif not let_go.wait(20):
                raise TimeoutError

        async def task(one: Change) -> None:
            in_task.append(one)
            await until(let_go.is_set)

        db.entries.subscribe("a/#", sleeper)
        db.entries.subscribe("a/#", task)
        db.entries.subscribe("a/#", inline.append)
        for n in range(8):
            await db.entries.set(f"a:{n % 3}", n)
            await db.entries.set("b:1", n)
            async with db.transaction() as tx:
                for m in range(4):
                    await tx.entries.set(f"a:{m}", n * m)
        thread_facts, task_facts, _ = db.subscriptions()
        for facts in (thread_facts, task_facts):
            assert facts.behind
            assert 3 <= facts.queued <= 5, "less what was taken out since it ran over"
            assert facts.missed == 0
        let_go.set()
        for n in range(30):  # While they catch up.
            await db.entries.set(f"a:{n % 3}", n)
            await asyncio.sleep(0)
        await until(lambda: len(in_thread) == len(in_task) == len(inline) == 70)
        assert in_thread == inline
        assert in_task == inline
        await until(lambda: not any(one.behind for one in db.subscriptions()))
        await db.entries.set("a:1", "after")
        await until(lambda: len(in_thread) == len(in_task) == 71)
        assert [one.delivered for one in db.subscriptions()] == [71] * 3


async def test_a_queue_holds_bytes_within_bounds(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "QUEUE_BYTES_MAX", 10_000)
    async with scene.open() as db:
        go_on = asyncio.Event()
        seen: list[Any] = []

        async def callback(one: Change) -> None:
            await go_on.wait()
            assert one.after is not None
            seen.append(one.after.value)

        db.entries.subscribe("#", callback)
        for n in range(20):
            await db.entries.set("a", str(n) * 2_000)
        [facts] = db.subscriptions()
        assert facts.behind
        assert facts.queued < 5
        go_on.set()
        await until(lambda: len(seen) == 20)
        assert seen == [str(n) * 2_000 for n in range(20)]


async def test_a_change_bigger_than_the_queue_is_delivered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "QUEUE_BYTES_MAX", 10)
    async with scene.open() as db:
        seen: list[Any] = []

        async def callback(one: Change) -> None:
            assert one.after is not None
            seen.append(one.after.value)

        db.entries.subscribe("#", callback)
        await db.entries.set("a", "x" * 1000)
        await until(lambda: seen == ["x" * 1000])


async def test_what_retention_gave_up_is_counted_and_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(subscribing, "QUEUE_MAX", 1)
    async with scene.open() as db:
        go_on = asyncio.Event()
        seen: list[int] = []

        async def callback(one: Change) -> None:
            await go_on.wait()
            seen.append(one.revision)

        db.entries.subscribe("#", callback)
        wrote = [(await db.entries.set("a", n)).revision for n in range(10)]
        feed = db._shared.feed  # type: ignore[union-attr]
        require = feed.require

        async def compacted(since: int) -> None:
            if since < wrote[6]:
                raise Compacted("gone", oldest=wrote[7], since=since)
            await require(since)

        monkeypatch.setattr(feed, "require", compacted)
        go_on.set()
        await until(lambda: bool(seen) and seen[-1] == wrote[-1])
        assert seen == [*wrote[:2], *wrote[7:]] or seen == [*wrote[:1], *wrote[7:]]
        assert db.subscriptions()[0].missed == 1
        assert "missed changes" in caplog.text


# --- The service alone ----------------------------------------------------------------------


class Alone:
    """A service without a feed, on a clock that moves when told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        host = SystemHost()
        self.service = EventService(
            Components(host, self.clock, SystemIds(self.clock)), ThreadRuntime()
        )
        self._revision = 0

    def emit(self) -> None:
        self._revision += 1
        key = "a:1"
        self.service.emit(
            key,
            RecordChange(self._revision, 0, "set", None, None, None, instant(0), "write"),
        )

    def facts(self) -> SubscriptionFacts:
        return self.service.subscriptions()[0]

    def close(self) -> None:
        self.service.close()
        drive(self.service.wait_closed())


@pytest.fixture
def alone() -> Iterator[Alone]:
    one = Alone()
    yield one
    one.close()


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_quick_calls_cost_no_budget(alone: Alone) -> None:
    alone.service.subscribe("#", lambda _: alone.clock.advance(0.9 * CALL_S))
    for _ in range(1_000):
        alone.emit()
    assert (alone.facts().mode, alone.facts().delivered) == ("inline", 1_000)


def test_the_budget_is_spent_by_many_slow_calls_and_renewed_by_time(alone: Alone) -> None:
    alone.service.subscribe("#", lambda _: alone.clock.advance(BUDGET_S / 4))
    for _ in range(20):
        alone.emit()
        alone.clock.advance(RENEWAL_S)
    assert not alone.facts().slow
    for _ in range(3):
        alone.emit()
    assert not alone.facts().slow
    for _ in range(3):
        alone.emit()
    assert alone.facts().slow
    wait_for(lambda: alone.facts().delivered == 26)


def test_slow_ones_take_turns_in_a_bounded_number_of_threads(
    alone: Alone, let_go: threading.Event
) -> None:
    alone.clock.advance(1)
    counts: dict[int, int] = {}

    def sleeper(number: int, _: RecordChange) -> None:
        counts[number] = counts.get(number, 0) + 1
        if counts[number] == 1:
            alone.clock.advance(1.0)
        elif not let_go.wait(20):
            raise TimeoutError

    for number in range(THREADS_MAX + 4):
        alone.service.subscribe("#", partial(sleeper, number))
    for _ in range(3):
        alone.emit()
    wait_for(lambda: sum(counts.values()) == 2 * THREADS_MAX + 4)
    assert len(slow_threads()) == THREADS_MAX
    let_go.set()
    wait_for(lambda: set(counts.values()) == {3})
    assert all(one.delivered == 3 for one in alone.service.subscriptions())


def test_threads_without_work_end(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.store.feed.slow_callbacks.IDLE_S", IDLE_S / 100)
    alone.service.subscribe("#", lambda _: alone.clock.advance(1.0))
    for _ in range(5):
        alone.emit()
    wait_for(lambda: alone.facts().delivered == 5)
    wait_for(lambda: not slow_threads())
    alone.emit()
    wait_for(lambda: alone.facts().delivered == 6)


def test_a_slow_one_that_raises_goes_on(alone: Alone, caplog: pytest.LogCaptureFixture) -> None:
    def bad(_: RecordChange) -> None:
        alone.clock.advance(1.0)
        raise SystemExit

    def worse(_: RecordChange) -> None:
        alone.clock.advance(1.0)
        raise ValueError

    alone.service.subscribe("#", worse)
    for _ in range(3):
        alone.emit()
    wait_for(lambda: alone.facts().failed == 3)
    alone.service.subscribe("#", bad)
    with pytest.raises(SystemExit):
        alone.emit()
    alone.emit()
    wait_for(lambda: alone.service.subscriptions()[1].failed == 1)
    assert "SystemExit" in caplog.text


def test_without_a_feed_what_does_not_fit_is_counted(
    alone: Alone, let_go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "QUEUE_MAX", 3)
    calls: list[int] = []

    def sleeper(_: RecordChange) -> None:
        calls.append(1)
        if len(calls) == 1:
            alone.clock.advance(1.0)
        elif not let_go.wait(20):
            raise TimeoutError

    alone.service.subscribe("#", sleeper)
    for _ in range(2):
        alone.emit()
    wait_for(lambda: len(calls) == 2)
    for _ in range(5):
        alone.emit()
    assert (alone.facts().queued, alone.facts().missed) == (3, 2)
    let_go.set()
    wait_for(lambda: alone.facts().delivered == 5)


def test_an_unsubscribed_slow_one_is_not_called_again(
    alone: Alone, let_go: threading.Event
) -> None:
    calls: list[int] = []

    def sleeper(_: RecordChange) -> None:
        calls.append(1)
        if len(calls) == 1:
            alone.clock.advance(1.0)
        elif not let_go.wait(20):
            raise TimeoutError

    stop = alone.service.subscribe("#", sleeper)
    for _ in range(5):
        alone.emit()
    wait_for(lambda: len(calls) == 2)
    stop()
    let_go.set()
    alone.close()
    assert len(calls) == 2
    assert not slow_threads()
