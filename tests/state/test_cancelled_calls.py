"""Every call, cancelled at each of its waits: nothing is held, nothing is lost, all goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Literal

import pytest

from holdfast.state import ScopedStore
from tests.state.conftest import opened, run
from tests.state.operations import KEY, OPERATIONS, VALUE
from tests.state.places import Place
from tests.state.test_events import until

#: Waits of one call: none has as many.
WAITS_MAX = 200
How = Literal["while it waits", "when it has come"]


class CancelledAt:
    """Awaits something, and has its task cancelled at the n-th wait."""

    def __init__(self, work: Awaitable[Any], number: int, how: How) -> None:
        self._work = work
        self._left = number
        self._how = how

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        task = asyncio.current_task()
        assert task is not None
        answer: Any = None
        failure: BaseException | None = None
        while True:
            try:
                waiting = steps.send(answer) if failure is None else steps.throw(failure)
            except StopIteration as finished:
                return finished.value
            failure = None
            if self._left == 0:
                if self._how == "when it has come" and asyncio.isfuture(waiting):
                    # The result and the cancellation come in one turn of the loop.
                    waiting.add_done_callback(lambda _: task.cancel())
                else:
                    asyncio.get_running_loop().call_soon(task.cancel)
            self._left -= 1
            try:
                answer = yield waiting
            except BaseException as error:
                failure = error


async def cancelled_at(work: Awaitable[Any], number: int, how: How) -> bool:
    """Whether the call had that many waits; it was cancelled at this one then."""

    async def main() -> Any:
        return await CancelledAt(work, number, how)

    task = asyncio.ensure_future(main())
    done, _ = await asyncio.wait([task], timeout=20)
    assert done, "it hangs"
    if task.cancelled():
        return True
    task.result()
    return False


async def at_each_wait(
    make: Callable[[], Awaitable[Any]], after: Callable[[], Awaitable[Any]], how: How
) -> int:
    for number in range(WAITS_MAX):
        was = await cancelled_at(make(), number, how)
        await after()
        if not was:
            return number
    raise AssertionError("it has no end")


async def _unclaimed(store: ScopedStore) -> None:
    async with store.claim.lease(KEY, ttl=30, wait=5):
        await store.kv.set(KEY, VALUE)


async def _permitted(store: ScopedStore) -> None:
    async with store.semaphore.permit(KEY, 1, ttl=30, wait=5):
        await store.kv.set(KEY, VALUE)


async def _subscribed(store: ScopedStore) -> None:
    async with await store.events.subscribe("user:*", print):
        pass


BLOCKS = {"lease": _unclaimed, "permit": _permitted, "subscribe": _subscribed}
#: Calls that leave something to somebody on purpose when they are broken off between their parts.
IN_PARTS = ("claim.acquire", "events.subscribe", "events.unsubscribe")


@pytest.mark.parametrize("how", ["while it waits", "when it has come"])
def test_whatever_is_cancelled_the_next_call_is_right(place: Place, service: str, how: How) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await store.kv.exists("connected")
            before = asyncio.all_tasks()
            number = 0

            async def nothing_held() -> None:
                nonlocal number
                number += 1
                assert await store.kv.set("n", number)
                assert await store.kv.get("n") == number
                assert await store.batch.get(["n", "none"]) == [number, None]

            waits = 0
            for name, work in OPERATIONS.items():
                if name not in IN_PARTS:
                    waits += await at_each_wait(lambda work=work: work(store), nothing_held, how)  # type: ignore[misc]
            assert waits > len(OPERATIONS) / 4
            await until(lambda: asyncio.all_tasks() <= before | _own(before))

    run(main())


def _own(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks of the keeper's own, which stay."""
    return {one for one in asyncio.all_tasks() if one.get_name() == "holdfast redis listen"}


@pytest.mark.parametrize("how", ["while it waits", "when it has come"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_that_is_cancelled_holds_nothing(
    place: Place, service: str, block: str, how: How
) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await store.kv.exists("connected")

            async def free() -> None:
                for _ in range(200):
                    if (
                        await store.claim.holder(KEY) is None
                        and await store.semaphore.holders(KEY) == 0
                        and store.events.subscriptions() == []
                    ):
                        return
                    await asyncio.sleep(0.005)
                raise AssertionError("it is held")

            waits = await at_each_wait(lambda: BLOCKS[block](store), free, how)
            # Where it needs no wait there is nothing to cancel.
            assert waits > 0 or block == "subscribe"

    run(main())


def test_a_kept_result_is_there_for_others_when_who_asked_is_cancelled(
    place: Place, service: str
) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            calls: list[int] = []

            @store.cached(ttl=60, key="{n}", tags=["all"])
            async def function(n: int) -> int:
                calls.append(n)
                await asyncio.sleep(0)
                return n

            for number in range(WAITS_MAX):
                was = await cancelled_at(function(number), number, "while it waits")
                assert await asyncio.wait_for(function(number), 10) == number
                assert calls.count(number) == 1
                if not was:
                    return
            raise AssertionError

    run(main())
