"""Results of functions on a real server: computed once, never stuck, never old by mistake."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import weakref
from typing import Any

import pytest

from holdfast.contract.errors import InvalidInput, InvalidValue, SerializationFailed
from holdfast.state import CachedFunction, ScopedStore
from holdfast.state.areas import cache as caching
from tests.state.conftest import command, opened, run
from tests.state.places import Place
from tests.state.test_events import until
from tests.tidy import repository


@pytest.mark.row("D-081")
def test_a_result_is_computed_once(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            calls: list[Any] = []

            @store.cached(ttl=60, key="user:{id}")
            async def user(id: int, *, short: bool = False) -> Any:
                """Doc."""
                calls.append(id)
                await asyncio.sleep(0.02)
                return {"id": id}

            assert user.__doc__ == "Doc."
            got = await asyncio.gather(*(user(7) for _ in range(100)))
            assert calls == [7]
            assert got == [{"id": 7}] * 100
            got[0]["id"] = 8
            assert await user(7) == {"id": 7}
            await user.invalidate(7)
            assert await user(7) == {"id": 7}
            assert calls == [7, 7]

            @store.cached(ttl=60)
            def plain(*values: Any, **more: Any) -> Any:
                calls.append("plain")
                return values[0] if values else None

            values: tuple[Any, ...] = (None, 0, "", [], False, {})
            for value in values:
                assert await plain(value) == value
                assert await plain(value) == value
            assert await plain() is None
            assert calls.count("plain") == 7
            with pytest.raises(InvalidInput):
                await plain(object())

    run(main())


def test_arguments_that_look_alike_are_apart(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:

            @store.cached(ttl=60, key="{a}:{b}")
            async def pair(a: str, b: str) -> list[str]:
                return [a, b]

            assert await pair("1:2", "3") == ["1:2", "3"]
            assert await pair("1", "2:3") == ["1", "2:3"]
            assert await pair("1%3A2", "3") == ["1%3A2", "3"]

    run(main())


def test_many_processes_compute_once(place: Place, service: str) -> None:
    async def main() -> None:
        calls: list[int] = []
        stores = [opened(place, service) for _ in range(10)]
        functions = []
        for one in stores:
            # Each has its own connection and knows nothing of the others, as in another process.
            store = await one.__aenter__()

            @store.cached(ttl=60, key="k")
            async def function() -> str:
                calls.append(1)
                await asyncio.sleep(0.1)
                return "x"

            functions.append(function)
        got = await asyncio.gather(*(function() for function in functions for _ in range(10)))
        assert set(got) == {"x"}
        assert len(calls) == 1
        for one in stores:
            await one.__aexit__(None, None, None)

    run(main())


@pytest.mark.parametrize("slow", [0.0, 1.2])
def test_a_function_that_takes_longer_than_its_lease(
    place: Place, service: str, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "COMPUTING_S", 0.25)

    async def main() -> None:
        calls: list[int] = []
        async with opened(place, service) as one, opened(place, service) as two:

            async def function() -> int:
                calls.append(1)
                await asyncio.sleep(slow)
                return 5

            cached = [store.cached(ttl=60, key="k")(function) for store in (one, two)]
            first = asyncio.create_task(cached[0]())
            await asyncio.sleep(0.01)
            # The caller who began is cancelled: the others still get the result.
            waiters = [asyncio.create_task(cached[n % 2]()) for n in range(6)]
            await asyncio.sleep(0.01)
            first.cancel()
            assert await asyncio.gather(*waiters) == [5] * 6
            assert len(calls) == 1

    run(main())


@pytest.mark.parametrize(
    "raised", [ValueError("x"), StopIteration(), asyncio.CancelledError(), SystemExit(2)],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_a_function_raises_is_not_kept(
    place: Place, service: str, raised: BaseException
) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            calls: list[int] = []

            @store.cached(ttl=60, key="k")
            def function() -> int:
                calls.append(1)
                if len(calls) == 1:
                    raise raised
                return 5

            got = await asyncio.gather(*(function() for _ in range(5)), return_exceptions=True)
            assert all(isinstance(one, Exception) for one in got)
            assert await function() == 5
            assert len(calls) == 2
            assert await command(store, "KEYS", f"holdfast:state:{service}:claim:*") == []

            @store.cached(ttl=60, key="bad")
            def bad() -> object:
                return object()

            with pytest.raises(SerializationFailed):
                await bad()

    run(main())


@pytest.mark.row("D-095")
def test_tags(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as one, opened(place, service) as two:
            calls: list[int] = []
            go = asyncio.Event()
            go.set()

            async def user(id: int) -> int:
                calls.append(id)
                await go.wait()
                return id

            first = one.cached(ttl=60, key="u:{id}", tags=lambda id: ["users", f"user-{id}"])(user)
            second = two.cached(ttl=60, key="u:{id}", tags=lambda id: ["users", f"user-{id}"])(user)
            for id in (1, 2):
                assert await first(id) == await second(id) == id
            assert calls == [1, 2]
            await two.cache.invalidate("user-1")
            assert [await first(id) for id in (1, 2)] == [1, 2]
            assert calls == [1, 2, 1]
            await one.cache.invalidate("users")
            assert [await second(id) for id in (1, 2)] == [1, 2]
            assert calls == [1, 2, 1, 1, 2]
            # Invalidated while it is computed: the result goes out, and does not stay.
            await one.cache.invalidate("users")
            go.clear()
            computing = asyncio.create_task(first(1))
            await asyncio.sleep(0.05)
            await two.cache.invalidate("users")
            go.set()
            assert await computing == 1
            before = len(calls)
            await first(1)
            assert len(calls) == before + 1

    run(main())


def test_an_old_result_is_given_while_one_computes(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            calls: list[int] = []

            @store.cached(ttl=0.1, key="k", stale=60)
            async def function() -> int:
                calls.append(1)
                await asyncio.sleep(0.05)
                return len(calls)

            assert await function() == 1
            await asyncio.sleep(0.15)
            assert await asyncio.gather(*(function() for _ in range(20))) == [1] * 20
            await asyncio.sleep(0.1)
            assert len(calls) == 2
            assert await function() in (2, 1)
            for wrong in (0, -1, True, "1"):
                with pytest.raises(InvalidValue):
                    store.cached(ttl=wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidInput):
                store.cached(ttl=3600, stale=40 * 86400)

    run(main())


@pytest.mark.row("D-081")
def test_a_result_is_computed_again_before_it_ends(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store, opened(place, service) as other:
            calls: list[int] = []

            async def function() -> int:
                calls.append(len(calls))
                await asyncio.sleep(0.05)
                return len(calls)

            one, two = (
                each.cached(ttl=0.6, key="k", early=0.4)(function) for each in (store, other)
            )
            assert await one() == 1
            assert await two() == 1
            await asyncio.sleep(0.25)
            # Still the old one, at once; and one of all who ask computes.
            got = await asyncio.wait_for(
                asyncio.gather(*(each() for each in (one, two) for _ in range(20))), 0.5
            )
            assert set(got) <= {1, 2}
            assert got[0] == 1
            await asyncio.sleep(0.15)
            assert calls == [0, 1]
            assert await one() == await two() == 2
            with pytest.raises(InvalidInput, match="shorter than ttl"):
                store.cached(ttl=5, early=5)

    run(main())


COMPUTING = """
import asyncio, sys
from holdfast.state.areas import cache
from tests.state.places import opened_at
cache.COMPUTING_S = 0.4

async def main():
    async with opened_at(sys.argv[1], sys.argv[2]) as store:
        @store.cached(ttl=60, key="k")
        async def function():
            print("computes", flush=True)
            await asyncio.sleep(60)
        await function()

asyncio.run(main())
"""


def test_when_who_computes_is_killed_another_one_computes(place: Place, service: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMPUTING, place.url, service],
        cwd=repository.ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"computes\n"

        async def main() -> None:
            async with opened(place, service) as store:

                @store.cached(ttl=60, key="k")
                async def function() -> int:
                    return 5

                waiting = asyncio.create_task(function())
                await asyncio.sleep(0.6)
                assert not waiting.done()  # It is alive and holds its lease.
                os.kill(process.pid, signal.SIGKILL)
                assert await asyncio.wait_for(waiting, 5) == 5

        run(main())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_function_that_asks_for_its_own_result_is_refused(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:

            @store.cached(ttl=60, key="n")
            async def outer(n: int) -> Any:
                return await asyncio.gather(inner(n))

            @store.cached(ttl=60, key="m")
            async def inner(n: int) -> Any:
                return 0 if n == 0 else await outer(n - 1)

            with pytest.raises(InvalidInput, match="would wait for itself"):
                await asyncio.wait_for(outer(1), 10)
            # Nothing of it is left, and what does not ask for itself works.
            assert await asyncio.wait_for(inner(0), 10) == 0
            assert await asyncio.wait_for(outer(1), 10) == [0]

            @store.cached(ttl=60, key="o:{n}")
            async def down(n: int) -> int:
                return n and n + await down(n - 1)

            assert await down(5) == 15

            later: list[asyncio.Task[Any]] = []

            @store.cached(ttl=60, key="p")
            async def begins() -> int:
                later.append(asyncio.create_task(after()))
                return 1

            async def after() -> int:
                await asyncio.sleep(0.05)
                return await begins()

            assert await begins() == 1
            await begins.invalidate()
            # What was begun inside and goes on after it may ask.
            assert await later[0] == 1

    run(main())


def test_every_caller_has_a_value_of_its_own_that_is_the_kept_one(
    place: Place, service: str
) -> None:
    async def main() -> None:
        async with opened(place, service) as store:

            @store.cached(ttl=60)
            async def found() -> Any:
                await asyncio.sleep(0.01)
                return {"names": ["a", "b"]}

            got = await asyncio.gather(*(found() for _ in range(3)))
            got[0]["names"].append("c")
            assert got[1:] == [{"names": ["a", "b"]}] * 2
            assert await found() == {"names": ["a", "b"]}

    run(main())


def test_methods_are_kept_for_each_instance(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            calls: list[Any] = []

            class Shop:
                def __init__(self, name: str) -> None:
                    self.name = name

                @store.cached(ttl=60, key="shop:{self.name}:{n}")
                async def price(self, n: int) -> str:
                    calls.append((self.name, n))
                    return f"{self.name} {n}"

            one, two = Shop("one"), Shop("two")
            for _ in range(2):
                assert await one.price(1) == "one 1"
                assert await two.price(1) == "two 1"
            assert len(calls) == 2
            await one.price.invalidate(1)
            assert await one.price(1) == "one 1"
            assert len(calls) == 3
            # A name that reaches into the next part of the key.
            assert await Shop("one:1").price(2) == "one:1 2"
            assert await Shop("one").price(2) == "one 2"
            assert isinstance(Shop.price, CachedFunction)

    run(main())


def test_a_function_that_waits_is_not_lost(place: Place, service: str) -> None:
    waits: list[weakref.ref[Any]] = []

    async def main() -> None:
        async with opened(place, service) as store:

            @store.cached(ttl=60, stale=60)
            async def found() -> int:
                future = asyncio.get_running_loop().create_future()
                waits.append(weakref.ref(future))
                await future
                return 1

            asking = asyncio.create_task(found())
            await until(lambda: len(waits) == 1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            del asking
            gc.collect()
            future = waits[0]()
            assert future is not None
            future.set_result(None)
            del future
            assert await asyncio.wait_for(found(), 10) == 1
            assert len(waits) == 1

    run(main())


def test_results_that_ask_for_each_other_are_refused(place: Place, service: str) -> None:
    """Each begun by a caller of its own: together they would wait for ever."""

    async def main() -> None:
        async with opened(place, service) as store:
            begun: list[str] = []

            async def met() -> None:
                """Until all three are on their way."""
                await until(lambda: len(begun) >= 3)

            @store.cached(ttl=60, key="a")
            async def a() -> Any:
                begun.append("a")
                await met()
                return await b()

            @store.scope("other", "store").cached(ttl=60, key="b")
            async def b() -> Any:
                begun.append("b")
                await met()
                return (await asyncio.gather(c(), asyncio.sleep(0)))[0]

            @store.cached(ttl=60, key="c")
            async def c() -> Any:
                begun.append("c")
                await met()
                return await a()

            asked = [asyncio.create_task(one()) for one in (a, b, c)]
            async with asyncio.timeout(10):
                answers = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(one) for one in answers} == {InvalidInput}
            assert begun == ["a", "b", "c"]
            assert "through another" in str(answers[0])

    run(main())


def test_results_that_wait_for_each_other_in_no_circle_are_given(
    place: Place, service: str
) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            # Several that want one result.
            @store.cached(ttl=60, key="d")
            async def d() -> int:
                await asyncio.sleep(0.02)
                return 1

            @store.cached(ttl=60, key="e{n}")
            async def e(n: int) -> int:
                return n + sum(await asyncio.gather(d(), d()))

            assert list(await asyncio.gather(e(1), e(2), d())) == [3, 4, 1]

            # One that is computed in the background, for nobody who waits, asks for the other.
            calls: list[int] = []

            @store.cached(ttl=0.02, stale=60, key="f")
            async def f() -> int:
                calls.append(1)
                return await g() if len(calls) > 1 else 0

            @store.cached(ttl=60, key="g")
            async def g() -> int:
                old = await f()
                await until(lambda: len(calls) == 2)
                return old + 5

            assert await f() == 0
            await asyncio.sleep(0.03)
            assert await asyncio.wait_for(g(), 10) == 5
            async with asyncio.timeout(10):
                while await f() != 5:  # noqa: ASYNC110 - computed in the background
                    await asyncio.sleep(0.005)

    run(main())


def test_nobody_waits_for_another_process_without_an_end(place: Place, service: str) -> None:
    """Two stores stand for two processes: each knows of the other through the keeper alone."""

    async def main() -> None:
        async with opened(place, service) as one, opened(place, service) as other:
            calls: list[str] = []
            hold = asyncio.Event()

            @one.cached(ttl=60, key="k")
            async def slow() -> str:
                calls.append("slow")
                await hold.wait()
                return "slow"

            @other.cached(ttl=60, key="k", wait=0.05)
            async def impatient() -> str:
                calls.append("impatient")
                return "impatient"

            waiting = asyncio.create_task(slow())
            await until(lambda: calls == ["slow"])
            assert await asyncio.wait_for(impatient(), 10) == "impatient"
            hold.set()
            assert await asyncio.wait_for(waiting, 10) == "slow"

            # Two that ask for each other, one in each.
            ready: list[str] = []

            def asks(store: ScopedStore, own: str, other: str) -> dict[str, Any]:
                @store.cached(ttl=60, key=own, wait=0.2)
                async def first() -> Any:
                    ready.append(own)
                    await until(lambda: len(ready) >= 2)
                    return await second()

                @store.cached(ttl=60, key=other, wait=0.2)
                async def second() -> Any:
                    return await first()

                return {"first": first}

            both = asks(one, "x", "y")["first"], asks(other, "y", "x")["first"]
            async with asyncio.timeout(20):
                answers = await asyncio.gather(*(ask() for ask in both), return_exceptions=True)
            assert {type(answer) for answer in answers} == {InvalidInput}
            for wait in (0, -1, float("nan"), "1"):
                with pytest.raises(InvalidValue):
                    one.cached(ttl=1, wait=wait)  # type: ignore[arg-type]

    run(main())
