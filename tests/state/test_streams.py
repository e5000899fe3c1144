"""Streams on a real server: groups, crashes, dead letters, trimming, following."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from holdfast.contract.errors import (
    ConnectionFailed,
    IntegrityFailed,
    InvalidInput,
    InvalidValue,
    KeyNotFound,
    SerializationFailed,
    StoreClosed,
)
from holdfast.contract.runtime import ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import MockStoreAdapter, StreamMessage, build_store
from holdfast.state.limits import CONCURRENCY_MAX, DELIVERIES_MAX
from tests.state.conftest import RedisServer, command, opened, run
from tests.state.places import Place
from tests.state.test_events import until
from tests.tidy import repository


@pytest.mark.row("D-053", "D-187")
def test_append_and_trim(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            ids = [await store.streams.append("a", {"n": n}) for n in range(3)]
            assert ids == sorted(ids, key=lambda id: tuple(map(int, id.split("-"))))
            assert all(len(id.split("-")) == 2 for id in ids)
            for start in range(0, 3000, 1000):
                await asyncio.gather(
                    *(store.streams.append("exact", start + n, max_len=100) for n in range(1000)),
                    *(
                        store.streams.append("about", start + n, max_len=100, approximate=True)
                        for n in range(1000)
                    ),
                )
            assert await store.streams.length("exact") == 100
            assert 100 <= await store.streams.length("about") <= 200
            for wrong in (0, -1, True, "5"):
                with pytest.raises(InvalidInput):
                    await store.streams.append("a", 1, max_len=wrong)  # type: ignore[arg-type]

    run(main())


@pytest.mark.row("D-054", "D-055", "D-056", "trap 45")
def test_groups_share_the_messages(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            one = store.streams.group("g", "one")
            two = store.streams.group("g", "two")
            with pytest.raises(KeyNotFound):
                await one.read("s")
            assert await one.ensure("s")
            assert not await two.ensure("s")
            for n in range(100):
                await store.streams.append("s", n)
            got: dict[str, list[StreamMessage]] = {"one": [], "two": []}
            while sum(map(len, got.values())) < 100:
                got["one"] += await one.read("s", count=7)
                got["two"] += await two.read("s", count=3)
            everything = sorted(m.message for found in got.values() for m in found)
            assert everything == list(range(100))
            assert await one.read("s") == []
            assert len(await one.pending("s")) == 100
            assert await one.ack("s", [m.id for m in got["one"]]) == len(got["one"])
            assert {p.consumer for p in await one.pending("s")} == {"two"}
            assert await one.ack("s", ["1-1"]) == 0
            assert await one.ack("s", []) == 0
            with pytest.raises(InvalidInput):
                await one.ack("s", "1-1")

    run(main())


@pytest.mark.row("D-055", "trap 45")
def test_a_read_blocks_until_something_comes(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store, opened(place, service) as sender:
            group = store.streams.group("g", "one")
            await group.ensure("s")
            began = time.monotonic()
            assert await group.read("s", block=0.2) == []
            assert 0.15 < time.monotonic() - began < 20
            reading = asyncio.create_task(group.read("s", block=10))
            await asyncio.sleep(0.1)
            await store.kv.set("a", 1)  # Others are not held up.
            await sender.streams.append("s", "hello")
            [message] = await asyncio.wait_for(reading, 2)
            assert message.message == "hello"
            # One that is cancelled leaves nothing behind for the next.
            reading = asyncio.create_task(group.read("s", block=10))
            await asyncio.sleep(0.05)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await sender.streams.append("s", "again")
            found = await group.read("s", block=2) or await group.reclaim_idle("s", 0.001)
            assert "again" in [one.message for one in found]

    run(main())


@pytest.mark.row("D-057")
def test_streams_and_what_is_pending_survive_a_restart(
    own_redis: RedisServer, service: str
) -> None:
    async def before() -> None:
        async with opened(own_redis, service) as store:
            group = store.streams.group("g", "one")
            await group.ensure("s")
            for n in range(5):
                await store.streams.append("s", n)
            assert len(await group.read("s", count=2)) == 2

    async def after() -> None:
        async with opened(own_redis, service) as store:
            group = store.streams.group("g", "two")
            assert len(await group.pending("s")) == 2
            assert [m.message for m in await group.read("s")] == [2, 3, 4]
            taken = await group.reclaim_idle("s", 0.001)
            assert [(m.message, m.deliveries) for m in taken][:2] == [(0, 2), (1, 2)]

    run(before())
    own_redis.kill()
    own_redis.start()
    run(after())


WORKER = """
import asyncio, sys
from tests.state.places import opened_at

async def main():
    async with opened_at(sys.argv[1], sys.argv[2]) as store:
        async def handle(message):
            print(message.message, flush=True)
            await asyncio.sleep(60)
        await store.streams.group("g", "victim").consume("s", handle, concurrency=3).run()

asyncio.run(main())
"""


@pytest.mark.row("D-056", "D-087")
def test_what_a_killed_consumer_had_is_done_by_another(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for n in range(3):
                await store.streams.append("s", n)
            victim = subprocess.Popen(  # noqa: ASYNC220 - it is killed, never waited for
                [sys.executable, "-c", WORKER, place.url, service],
                cwd=repository.ROOT,
                stdout=subprocess.PIPE,
            )
            assert victim.stdout is not None
            try:
                for _ in range(3):
                    await asyncio.to_thread(victim.stdout.readline)
            finally:
                os.kill(victim.pid, signal.SIGKILL)
                victim.wait()
                victim.stdout.close()
            done: list[tuple[int, int]] = []
            group = store.streams.group("g", "other")
            consumption = group.consume(
                "s", lambda m: done.append((m.message, m.deliveries)), reclaim_idle=0.2, block=0.1
            )
            running = asyncio.create_task(consumption.run())
            await until(lambda: len(done) == 3)
            consumption.stop()
            await asyncio.wait_for(running, 3)
            assert sorted(done) == [(0, 2), (1, 2), (2, 2)]
            assert await group.pending("s") == []

    run(main())


@pytest.mark.row("D-151")
def test_a_poison_message_becomes_a_dead_letter(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await store.streams.append("s", "poison")
            await store.streams.append("s", "fine")
            await command(store, "XADD", f"holdfast:state:{service}:streams:s", "*", "data", "{bad")
            calls: list[str] = []
            errors: list[BaseException] = []

            async def handler(message: StreamMessage) -> None:
                calls.append(message.message)
                if message.message == "poison":
                    raise StopAsyncIteration

            group = store.streams.group("g", "one")
            consumption = group.consume(
                "s",
                handler,
                max_deliveries=3,
                reclaim_idle=0.05,
                block=0.05,
                on_error=lambda error, _: errors.append(error),
            )
            running = asyncio.create_task(consumption.run())
            await until(lambda: consumption.dead == 2)
            consumption.stop()
            await running
            assert calls.count("poison") == 3
            assert calls.count("fine") == 1
            assert await group.pending("s") == []
            letters = {
                one.message["message"]: one.message for one in await store.streams.tail("s:dead")
            }
            assert letters["poison"]["deliveries"] == 3
            assert letters["poison"]["reason"] == "StopAsyncIteration"
            assert letters[None]["reason"] == "DeserializationFailed"

    run(main())


@pytest.mark.parametrize(
    "raised",
    [StopIteration(), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_handler_raises_the_loop_goes_on(
    place: Place, service: str, raised: BaseException
) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for n in range(4):
                await store.streams.append("s", n)
            calls: list[int] = []

            def handler(message: StreamMessage) -> None:
                calls.append(message.message)
                raise raised

            for concurrency in (1, 4):
                calls.clear()
                group = store.streams.group(f"g{concurrency}", "one")
                consumption = group.consume(
                    "s", handler, concurrency=concurrency, block=0.05, on_error=lambda *_: None
                )
                running = asyncio.create_task(consumption.run())
                await until(lambda: len(calls) == 4)
                consumption.stop()
                await asyncio.wait_for(running, 3)
                assert consumption.failed == 4
                assert len(await group.pending("s")) == 4

    run(main())


def test_a_consumer_takes_no_more_than_it_can_do(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for n in range(20):
                await store.streams.append("s", n)
            go = asyncio.Event()
            at_work = most = 0

            async def handler(_: StreamMessage) -> None:
                nonlocal at_work, most
                at_work += 1
                most = max(most, at_work)
                await go.wait()
                at_work -= 1

            group = store.streams.group("g", "one")
            consumption = group.consume("s", handler, concurrency=3, block=0.05)
            running = asyncio.create_task(consumption.run())
            await until(lambda: at_work == 3)
            await asyncio.sleep(0.1)
            assert len(await group.pending("s")) == 3
            consumption.stop()
            await asyncio.sleep(0.1)
            assert not running.done()  # What is in hand is finished first.
            go.set()
            await asyncio.wait_for(running, 3)
            assert most == consumption.done == 3

    run(main())


def test_a_group_that_vanished_is_made_again(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            done: list[Any] = []
            group = store.streams.group("g", "one")
            consumption = group.consume(
                "s", lambda m: done.append(m.message), block=0.1, on_error=lambda *_: None
            )
            running = asyncio.create_task(consumption.run())
            await store.streams.append("s", 1)
            await until(lambda: done == [1])
            await command(store, "DEL", f"holdfast:state:{service}:streams:s")
            await store.streams.append("s", 2)
            await until(lambda: done == [1, 2])
            assert consumption.interruptions < 10
            consumption.stop()
            await running

    run(main())


def test_a_consumer_survives_an_outage(own_redis: RedisServer, service: str) -> None:
    async def main() -> None:
        async with opened(own_redis, service) as store:
            done: list[Any] = []
            group = store.streams.group("g", "one")
            consumption = group.consume(
                "s", lambda m: done.append(m.message), block=0.2, on_error=lambda *_: None
            )
            running = asyncio.create_task(consumption.run())
            await store.streams.append("s", 1)
            await until(lambda: done == [1])
            own_redis.kill()
            await asyncio.sleep(0.5)  # Longer than a read blocks.
            await asyncio.to_thread(own_redis.start)
            async with opened(own_redis, service) as sender:
                await sender.streams.append("s", 2)
            await until(lambda: done[-1] == 2, 10)
            consumption.stop()
            await asyncio.wait_for(running, 5)
            assert consumption.interruptions >= 1

    run(main())


def test_what_was_trimmed_away_is_no_longer_pending(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            group = store.streams.group("g", "one")
            await group.ensure("s")
            for n in range(4):
                await store.streams.append("s", n)
            await group.read("s")
            await store.streams.append("s", 4, max_len=2)
            await asyncio.sleep(0.02)
            taken = await store.streams.group("g", "two").reclaim_idle("s", 0.01)
            assert [m.message for m in taken] == [3]
            assert len(await group.pending("s")) == 1

    run(main())


@pytest.mark.row("D-193", "D-092")
def test_the_dashboard_of_the_seed(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for n in range(5):
                await store.streams.append("truck:1:gps", {"lat": n}, max_len=100)
            # As printed: the group was never made.
            with pytest.raises(KeyNotFound):
                await store.streams.group("monitors", "ui-1").read("truck:1:gps")
            # Made, two dashboards split the messages, and nothing is acknowledged.
            await store.streams.group("monitors", "ui-1").ensure("truck:1:gps")
            first = await store.streams.group("monitors", "ui-1").read("truck:1:gps", count=3)
            second = await store.streams.group("monitors", "ui-2").read("truck:1:gps", count=3)
            assert (len(first), len(second)) == (3, 2)
            # Looking on: each dashboard sees everything, and again.
            for _ in range(2):
                seen = await store.streams.tail("truck:1:gps", 5)
                assert [one.message["lat"] for one in seen] == [0, 1, 2, 3, 4]

    run(main())


def test_following_sees_each_message_once(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await store.streams.append("s", "before")
            got: list[Any] = []

            async def follow(after: str) -> None:
                async for message in store.streams.follow("s", after=after, count=7, block=1):
                    got.append(message.message)  # noqa: PERF401 - it never ends

            new = asyncio.create_task(follow("$"))
            await asyncio.sleep(0.05)
            for n in range(50):
                await store.streams.append("s", n)
            await until(lambda: len(got) == 50)
            assert got == list(range(50))
            got.clear()
            everything = asyncio.create_task(follow("0"))
            await until(lambda: len(got) == 51)
            for task in (new, everything):
                task.cancel()
            await asyncio.gather(new, everything, return_exceptions=True)

    run(main())


def test_a_consumer_that_is_cancelled_leaves_nothing_running(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for n in range(3):
                await store.streams.append("s", n)
            began: list[int] = []
            ended: list[int] = []

            async def handler(message: StreamMessage) -> None:
                began.append(message.message)
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(message.message)

            group = store.streams.group("g", "one")
            running = asyncio.create_task(group.consume("s", handler, concurrency=3).run())
            await until(lambda: len(began) == 3)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await until(lambda: len(ended) == 3)
            assert len(await group.pending("s")) == 3

    run(main())


def test_loops_rest_and_have_their_limits(service: str) -> None:
    async def main() -> None:
        async with build_store(MockStoreAdapter(), service) as store:
            group = store.streams.group("g", "c")
            # A loop whose reads do not wait would take all the time there is.
            for block in (0, 0.0, -1):
                with pytest.raises(InvalidValue, match="block"):
                    group.consume("s", print, block=block)
                with pytest.raises(InvalidValue, match="block"):
                    await anext(store.streams.follow("s", block=block))
            with pytest.raises(InvalidInput, match="count"):
                await anext(store.streams.follow("s", count=0))
            with pytest.raises(InvalidInput, match=str(CONCURRENCY_MAX)):
                group.consume("s", print, concurrency=CONCURRENCY_MAX + 1)
            with pytest.raises(InvalidInput, match=str(DELIVERIES_MAX)):
                group.consume("s", print, max_deliveries=DELIVERIES_MAX + 1)

    run(main())


def test_who_waits_in_memory_is_forgotten(service: str) -> None:
    async def main() -> None:
        adapter = MockStoreAdapter()
        async with build_store(adapter, service) as store:
            group = store.streams.group("g", "c")
            await group.ensure("s")
            for _ in range(3):
                assert await group.read("s", block=0.001) == []
            doomed = asyncio.create_task(group.read("s", block=5))
            await asyncio.sleep(0.01)
            doomed.cancel()
            await asyncio.wait([doomed])
            [kept] = adapter._kept.values()
            assert kept.value.waiting == []

    run(main())


def test_a_message_with_a_key_is_added_once(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store, opened(place, service) as other:
            found = await asyncio.gather(
                *(one.streams.append_once("s", 1, "r1") for one in (store, other) * 10)
            )
            assert [one.appended for one in found].count(True) == 1
            assert len({one.id for one in found}) == 1
            assert (await store.streams.append_once("s", 2, "r2", max_len=5)).appended
            assert (await store.streams.append_once("other", 3, "r1")).appended
            assert [one.message for one in await store.streams.tail("s")] == [1, 2]
            assert (await store.streams.append_once("s", 4, "r3", remember=0.05)).appended
            await asyncio.sleep(0.1)
            assert (await store.streams.append_once("s", 5, "r3")).appended
            # A key never reaches into another stream.
            assert (await store.streams.append_once("a", 1, "b:c")).appended
            assert (await store.streams.append_once("a:b", 1, "c")).appended
            with pytest.raises(InvalidInput):
                await store.streams.append_once("s", 1, "")

    run(main())


def test_a_message_comes_when_it_is_due(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store, opened(place, service) as other:
            began = time.monotonic()
            came: list[tuple[Any, float]] = []
            groups = [one.streams.group("g", str(n)) for n, one in enumerate((store, other))]
            consuming = [
                group.consume(
                    "s", lambda m: came.append((m.message, time.monotonic() - began)), block=0.2
                )
                for group in groups
            ]
            running = [asyncio.create_task(one.run()) for one in consuming]
            await store.streams.append_later("s", "third", 0.6)
            await store.streams.append_later("s", "second", 0.3)
            await store.streams.append("s", "first")
            await until(lambda: len(came) == 3)
            for one in consuming:
                one.stop()
            await asyncio.gather(*running)
            assert [message for message, _ in came] == ["first", "second", "third"]
            # Not before their time; that they come at all was waited for.
            assert came[1][1] >= 0.3
            assert came[2][1] >= 0.6
            # By hand, without anybody who consumes; nothing comes twice.
            for n in range(5):
                await store.streams.append_later("by hand", n, 0.01)
            await store.streams.append_later("by hand", "later", 60)
            assert 0 <= (await store.streams.release_due("none") or 0) == 0
            await asyncio.sleep(0.05)
            left = await asyncio.gather(
                *(one.streams.release_due("by hand", count=2) for one in (store, other) * 3)
            )
            assert all(one is not None for one in left)
            assert 50 < (await store.streams.release_due("by hand") or 0) <= 60
            assert [one.message for one in await store.streams.tail("by hand")] == [0, 1, 2, 3, 4]
            assert await store.streams.release_due("none") is None
            with pytest.raises(InvalidValue):
                await store.streams.append_later("s", 1, 0)

    run(main())


def test_a_message_recurs_once_in_each_part_of_time(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store, opened(place, service) as other:
            clock = ManualClock()
            # Two processes: one whose clock is moved by hand, and two parts of time ahead.
            late = build_store(
                store._scene.adapter, service,
                components=replace(system_components(), clock=clock),
            )  # fmt: skip
            day = timedelta(days=1)
            recurring = [
                one.streams.recur("ticks", {"n": 1}, day, max_len=9) for one in (late,) * 3
            ]
            running = [asyncio.create_task(one.run()) for one in recurring]
            await until(lambda: sum(one.appended for one in recurring) == 1)
            # The part has its message, whoever comes later, also when a clock steps back in it.
            for seconds in (10, -10, 3600):
                clock.advance(seconds)
                again = late.streams.recur("ticks", {"n": 1}, day)
                task = asyncio.create_task(again.run())
                await asyncio.sleep(0.02)
                again.stop()
                await asyncio.wait_for(task, 10)
                assert again.appended == 0
            assert await store.streams.length("ticks") == 1
            for one in recurring:
                one.stop()
            await asyncio.wait_for(asyncio.gather(*running), 10)

            # As it is used: short parts, one message each.
            both = [one.streams.recur("short", "tick", 0.05) for one in (store, other)]
            running = [asyncio.create_task(one.run()) for one in both]
            began = time.monotonic()
            await until(lambda: sum(one.appended for one in both) >= 4)
            for one in both:
                one.stop()
            await asyncio.wait_for(asyncio.gather(*running), 10)
            parts = (time.monotonic() - began) / 0.05 + 2
            assert await store.streams.length("short") == sum(one.appended for one in both)
            assert sum(one.appended for one in both) <= parts
            assert {tick.message for tick in await store.streams.tail("short")} == {"tick"}

            with pytest.raises(SerializationFailed):
                store.streams.recur("s", object(), 1)
            for every in (0, -1, float("nan"), 999 * 365 * 86_400):
                with pytest.raises(InvalidValue):
                    store.streams.recur("s", 1, every)
            wrong: list[Any] = [{"max_len": 0}, {"on_error": 5}]
            for settings in wrong:
                with pytest.raises(InvalidInput):
                    store.streams.recur("s", 1, 1, **settings)

    run(main())


def test_a_recurring_message_outlasts_an_outage(service: str) -> None:
    async def main() -> None:
        adapter = MockStoreAdapter()
        store = build_store(adapter, service)
        told: list[BaseException] = []

        def tell(error: BaseException) -> None:
            told.append(error)
            raise SystemExit(1)  # Which ends nothing.

        adapter.fail("append_once", ConnectionFailed("no server"), times=2)
        recurring = store.streams.recur("s", 1, 0.2, on_error=tell)
        task = asyncio.create_task(recurring.run())
        await until(lambda: recurring.appended >= 2)
        assert recurring.interruptions == 2
        assert [type(error) for error in told] == [ConnectionFailed] * 2
        await adapter.close()
        with pytest.raises(StoreClosed):
            await asyncio.wait_for(task, 10)

    run(main())


@pytest.mark.parametrize(
    "raised", [asyncio.CancelledError(), SystemExit(3), StopIteration()], ids=repr
)
def test_whatever_is_raised_where_errors_are_told_the_consumer_goes_on(
    place: Place, service: str, raised: BaseException
) -> None:
    told: list[BaseException] = []

    async def on_error(error: BaseException, message: StreamMessage | None) -> None:
        told.append(error)
        raise raised

    async def main() -> None:
        async with opened(place, service) as store:
            for n in range(3):
                await store.streams.append("s", n)
            for concurrency in (1, 3):
                told.clear()
                consumption = store.streams.group(f"g{concurrency}", "one").consume(
                    "s", lambda m: 1 // 0, concurrency=concurrency, block=0.05, on_error=on_error
                )
                running = asyncio.create_task(consumption.run())
                await until(lambda: len(told) == 3)
                consumption.stop()
                await asyncio.wait_for(running, 5)
                assert consumption.failed == 3

    run(main())


def test_a_message_that_a_serializer_refuses_with_an_error_of_ours_does_not_keep_others_back(
    place: Place, service: str
) -> None:
    class Guarded:
        def encode(self, value: Any) -> bytes:
            return str(value).encode()

        def decode(self, data: bytes) -> Any:
            if data == b"1":
                raise IntegrityFailed("not what was written")
            return int(data)

    async def main() -> None:
        async with opened(place, service, lambda one: one.with_serializer(Guarded())) as store:
            group = store.streams.group("g", "c")
            await group.ensure("s")
            for n in range(3):
                await store.streams.append("s", n)
            found = await group.read("s")
            assert [one.message for one in found] == [0, None, 2]
            assert isinstance(found[1].error, IntegrityFailed)
            assert [one.message for one in await store.streams.tail("s")] == [0, None, 2]

    run(main())
