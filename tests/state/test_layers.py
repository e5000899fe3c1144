"""Breaker and retry, on a clock that is moved by hand."""

import asyncio
from dataclasses import replace

import pytest

from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    InvalidInput,
    InvalidValue,
    OutcomeUnknown,
    ReadOnly,
    TimedOut,
)
from holdfast.contract.runtime import ManualClock
from holdfast.runtime.system import system_components
from holdfast.state import BreakerAdapter, MockStoreAdapter, RetryAdapter, build_store
from holdfast.state.adapter import VERBS

GONE = ConnectionFailed("gone")


@pytest.mark.row("D-142")
def test_a_breaker_opens_tries_and_closes() -> None:
    clock = ManualClock()

    async def main() -> None:
        inner = MockStoreAdapter()
        breaker = BreakerAdapter(
            inner, failures=3, rest_s=5, components=replace(system_components(), clock=clock)
        )
        store = build_store(breaker, "api")
        await store.kv.set("a", 1)
        inner.fail("get", GONE, times=2)
        for _ in range(2):
            with pytest.raises(ConnectionFailed):
                await store.kv.get("a")
        assert await store.kv.get("a") == 1  # In a row, they have to be.
        inner.fail("get", GONE, times=4)
        for _ in range(3):
            with pytest.raises(ConnectionFailed):
                await store.kv.get("a")
        assert breaker.state == "open"
        asked = len(inner.calls)
        with pytest.raises(ConnectionFailed, match=r"again in 5\.0 s"):
            await store.kv.set("b", 1)
        assert len(inner.calls) == asked
        clock.advance(5.1)
        with pytest.raises(ConnectionFailed):  # The one call that asks finds it still gone.
            await store.kv.get("a")
        assert breaker.state == "open"
        clock.advance(5.1)
        got = await asyncio.gather(*(store.kv.get("a") for _ in range(5)), return_exceptions=True)
        assert got[0] == 1
        assert breaker.state == "closed"
        assert await store.kv.get("a") == 1
        # What the keeper refuses for a reason is no trouble of its own.
        inner.fail("get", InvalidValue("wrong"), times=9)
        for _ in range(9):
            with pytest.raises(InvalidValue):
                await store.kv.get("a")
        assert breaker.state == "closed"

    asyncio.run(main())


def test_a_call_that_is_cancelled_while_it_asks_leaves_the_breaker_usable() -> None:
    clock = ManualClock()

    class Stuck(MockStoreAdapter):
        async def get(self, key: str) -> bytes | None:
            await asyncio.Event().wait()
            return None

    async def main() -> None:
        inner = Stuck()
        breaker = BreakerAdapter(
            inner, failures=1, components=replace(system_components(), clock=clock)
        )
        inner.fail("set", GONE)
        with pytest.raises(ConnectionFailed):
            await breaker.set("a", b"1")
        clock.advance(6)
        asking = asyncio.ensure_future(breaker.get("a"))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionFailed, match="half-open"):
            await breaker.set("a", b"1")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert await breaker.set("a", b"1")

    asyncio.run(main())


def test_a_key_that_cannot_be_does_not_close_a_breaker() -> None:
    clock = ManualClock()

    async def main() -> None:
        inner = MockStoreAdapter()
        breaker = BreakerAdapter(
            inner, failures=1, components=replace(system_components(), clock=clock)
        )
        for error, state in (
            (InvalidValue("x"), "open"),
            (ReadOnly("x", reply="READONLY"), "closed"),
        ):
            inner.fail("get", GONE)
            with pytest.raises(ConnectionFailed):
                await breaker.get("a")
            clock.advance(6)
            inner.fail("get", error)
            with pytest.raises(type(error)):
                await breaker.get("a")
            assert breaker.state == state
            await breaker.get("a")
            assert breaker.state == "closed"

    asyncio.run(main())


def test_what_began_before_a_breaker_opened_does_not_close_it() -> None:
    going = asyncio.Event()

    class Slow(MockStoreAdapter):
        async def has(self, key: str) -> bool:
            await going.wait()
            return True

    async def main() -> None:
        inner = Slow()
        breaker = BreakerAdapter(inner, failures=1)
        before = asyncio.ensure_future(breaker.has("a"))
        await asyncio.sleep(0)
        inner.fail("get", GONE)
        with pytest.raises(ConnectionFailed):
            await breaker.get("a")
        going.set()
        assert await before
        assert breaker.state == "open"

    asyncio.run(main())


def test_what_is_safe_is_asked_again() -> None:
    async def main() -> None:
        inner = MockStoreAdapter()
        retry = RetryAdapter(inner, attempts=3, pause_s=0.001)
        store = build_store(retry, "api")
        for error in (GONE, ConnectionLost("x"), TimedOut("x"), OutcomeUnknown("x")):
            inner.fail("get", error, times=2)
            assert await store.kv.get("a") is None
        assert retry.retried == 8
        inner.fail("add", GONE, times=2)
        assert await store.counter.increment("c") == 1
        for error in (OutcomeUnknown("x"), TimedOut("x")):
            inner.fail("add", error)
            with pytest.raises(type(error)):
                await store.counter.increment("c")
        assert await store.counter.get("c") == 1
        inner.fail("add", GONE, times=3)
        with pytest.raises(ConnectionFailed):
            await store.counter.increment("c")

    asyncio.run(main())


def test_layers_pass_on_every_verb() -> None:
    inner = MockStoreAdapter()
    layered = BreakerAdapter(RetryAdapter(inner))
    for verb in VERBS:
        assert getattr(type(layered), verb).__name__ == verb
    assert layered.name == "mock"
    assert layered.client is None
    for wrong in (
        {"failures": 0}, {"rest_s": 0}, {"rest_s": float("nan")}, {"rest_s": float("inf")},
        {"failures": True}, {"failures": 1.5}, {"rest_s": "5"}, {"failures": 10**5000},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            BreakerAdapter(inner, **wrong)
    for wrong in (
        {"attempts": 0}, {"pause_s": 0}, {"attempts": 1.5}, {"pause_s": float("nan")},
        {"pause_s": float("inf")}, {"attempts": True},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            RetryAdapter(inner, **wrong)
    asyncio.run(layered.close())
