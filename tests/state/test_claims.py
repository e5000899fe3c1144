"""Claims, leases, semaphores, presence on a real server."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.contract.errors import Fenced, InvalidInput, LeaseLost, OutcomeUnknown, TimedOut
from holdfast.state import ScopedStore
from holdfast.state.areas.holding import Holding
from holdfast.state.layers import AdapterLayer
from tests.state.conftest import command, opened, run
from tests.state.places import Place
from tests.tidy import repository


class Unheard(AdapterLayer):
    """The keeper does what it is asked to, and its answers to some verbs get lost."""

    async def through(self, verb: str, call: Callable[[], Awaitable[Any]]) -> Any:
        answer = await call()
        if verb in ("claim", "join"):
            raise OutcomeUnknown("the connection broke after it was sent")
        return answer


def test_what_may_have_been_taken_is_given_back(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            unheard = store.around(Unheard)
            for wait in (None, 5):
                with pytest.raises(OutcomeUnknown):
                    async with unheard.claim.lease("a", ttl=3600, owner="we", wait=wait):
                        raise AssertionError("it is not known to be held")
                with pytest.raises(OutcomeUnknown):
                    async with unheard.semaphore.permit("a", 1, ttl=3600, wait=wait):
                        raise AssertionError("it is not known to be held")
            with pytest.raises(OutcomeUnknown):
                await unheard.claim.acquire("a", ttl=3600)
            with pytest.raises(OutcomeUnknown):
                await unheard.semaphore.acquire("a", 1, ttl=3600)
            assert await store.claim.holder("a") is None
            assert await store.semaphore.holders("a") == 0

            # What the same owner had before stays.
            async with store.claim.lease("a", ttl=3600, owner="we") as lease:
                with pytest.raises(OutcomeUnknown):
                    await unheard.claim.acquire("a", owner="we")
                holder = await store.claim.holder("a")
                assert holder is not None
                assert holder.token == lease.token

    run(main())


@pytest.mark.parametrize("area", ["claim", "semaphore"])
def test_what_nobody_has_any_more_is_not_renewed(place: Place, service: str, area: str) -> None:
    """An interrupt can come between the acquiring and the block that lets go."""

    async def main() -> None:
        async with opened(place, service) as store:

            async def acquired() -> Holding:
                held = await (
                    store.claim.acquire("a", ttl=0.15)
                    if area == "claim"
                    else store.semaphore.acquire("a", 1, ttl=0.15)
                )
                assert held is not None
                return held

            async def is_held() -> bool:
                held = await store.claim.holder("a") is not None
                return held or await store.semaphore.holders("a") > 0

            held = await acquired()
            held.keep()
            await asyncio.sleep(0.4)
            assert await is_held()
            del held
            gc.collect()
            for _ in range(400):
                if not await is_held():
                    break
                await asyncio.sleep(0.005)
            assert not await is_held()

            class Interrupting:
                def __init__(self, held: Holding) -> None:
                    self.keep = held.keep

                def __call__(self) -> None:
                    self.keep()
                    raise RuntimeError("no thread")

            held = await acquired()
            held.keep = Interrupting(held)  # type: ignore[method-assign]
            with pytest.raises(RuntimeError, match="no thread"):
                await held.__aenter__()
            assert not await is_held()

    run(main())


@pytest.mark.row("D-039", "D-040", "D-189")
def test_one_claim_wins(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            won = await asyncio.gather(*(store.claim.once("a", n, ttl=60) for n in range(100)))
            assert won.count(True) == 1
            key = f"holdfast:state:{service}:claim:a"
            assert 59_000 < await command(store, "PTTL", key) <= 60_000
            assert await store.claim.once("b", 1, ttl=0.1)
            await asyncio.sleep(0.2)
            assert await store.claim.once("b", 2, ttl=0.1)
            assert await store.claim.once("c", 1)
            assert await command(store, "PTTL", f"holdfast:state:{service}:claim:c") == -1
            assert await store.claim.release("c", 1)

    run(main())


@pytest.mark.row("D-080", "trap 10", "trap 11")
def test_release_is_the_owners(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            assert await store.claim.once("cleanup:daily", "worker-1", ttl=60)
            # As the seed prints it: another area's key, so nothing is released.
            await store.kv.remove("cleanup:daily")
            assert not await store.claim.once("cleanup:daily", "worker-2", ttl=60)
            assert not await store.claim.release("cleanup:daily", "worker-2")
            assert not await store.claim.extend("cleanup:daily", "worker-2", 5)
            assert await store.claim.extend("cleanup:daily", "worker-1", 5)
            assert (await store.claim.holder("cleanup:daily")) == ("worker-1", None)
            assert await store.claim.release("cleanup:daily", "worker-1")
            assert await store.claim.holder("cleanup:daily") is None
            assert await store.claim.once("cleanup:daily", "worker-2", ttl=60)

    run(main())


@pytest.mark.row("trap 10")
def test_an_expired_lease_touches_nothing_of_the_next(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            # Long enough for a busy machine to look at it while it is held.
            first = await store.claim.acquire("a", owner="one", ttl=0.6)
            assert first is not None
            assert first.held
            assert await store.kv.set("guarded", 1, fence=first)
            await asyncio.sleep(0.65)
            assert first.lost
            with pytest.raises(LeaseLost):
                await store.kv.set("guarded", 2, fence=first)
            second = await store.claim.acquire("a", owner="one", ttl=30)
            assert second is not None
            assert second.token > first.token
            with pytest.raises(Fenced):
                await store.kv.set("guarded", 3, fence=first)
            with pytest.raises(LeaseLost):
                await first.extend()
            assert not await first.release()
            assert await store.claim.holder("a") == ("one", second.token)
            assert await store.kv.set("guarded", 4, fence=second, ttl=60)
            assert await store.kv.get("guarded") == 4

    run(main())


@pytest.mark.row("D-002")
def test_a_lease_is_renewed_and_let_go(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            async with store.claim.lease("a", ttl=0.3) as lease:
                await asyncio.sleep(0.7)
                assert lease.held
                with pytest.raises(TimedOut):
                    async with store.claim.lease("a", ttl=0.3, wait=0.1):
                        pytest.fail("two holders")
                waiting = asyncio.create_task(take(store.claim.lease("a", ttl=5, wait=5)))
            await asyncio.wait_for(waiting, 2)
            assert await store.claim.holder("a") is None

    async def take(lease: object) -> None:
        async with lease:  # type: ignore[attr-defined]
            pass

    run(main())


@pytest.mark.row("trap 10")
def test_a_lost_lease_cancels_its_block(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            with pytest.raises(LeaseLost):  # noqa: PT012 - the block is what is tested
                async with store.claim.lease("a", ttl=0.3):
                    await command(store, "DEL", f"holdfast:state:{service}:claim:a")
                    await asyncio.sleep(20)
            # The cancellation is used up: what follows is not disturbed.
            await asyncio.sleep(0.05)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            # Without cancelling, the end of the block tells.
            with pytest.raises(LeaseLost):  # noqa: PT012 - the block is what is tested
                async with store.claim.lease("a", ttl=0.3, cancel_on_loss=False) as lease:
                    await command(store, "DEL", f"holdfast:state:{service}:claim:a")
                    await asyncio.wait_for(lease.wait_lost(), 2)
            # Let go by hand inside the block: nothing was lost.
            async with store.claim.lease("a", ttl=0.3) as lease:
                assert await lease.release()
                await asyncio.sleep(0.3)
            # A block that fails by itself fails with its own error, and lets go.
            with pytest.raises(ZeroDivisionError):
                async with store.claim.lease("a", ttl=30):
                    raise ZeroDivisionError
            assert await store.claim.holder("a") is None

    run(main())


HOLDER = """
import asyncio, sys
from tests.state.places import opened_at

async def main():
    async with opened_at(sys.argv[1], sys.argv[2]) as store:
        async def work(lease):
            await store.kv.set("leader", sys.argv[3])
            print("leads", flush=True)
            await asyncio.sleep(60)
        await store.claim.lead("cron", work, owner=sys.argv[3], ttl=0.5)

asyncio.run(main())
"""


@pytest.mark.row("D-040", "D-085")
def test_when_the_leader_is_killed_another_one_leads(place: Place, service: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, place.url, service, str(number)],
            cwd=repository.ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(3)
    ]
    try:

        async def leader() -> str | None:
            async with opened(place, service) as store:
                holder = await store.claim.holder("cron")
                return None if holder is None else str(holder.value)

        def wait(unlike: str | None) -> str:
            until = time.monotonic() + 20
            while time.monotonic() < until:
                found = run(leader())
                if found is not None and found != unlike:
                    return str(found)
                time.sleep(0.05)
            raise AssertionError("nobody leads")

        first = wait(None)
        os.kill(processes[int(first)].pid, signal.SIGKILL)
        second = wait(first)
        assert second != first
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_semaphores(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            permits = await asyncio.gather(
                *(store.semaphore.acquire("a", 3, ttl=60) for _ in range(20))
            )
            held = [permit for permit in permits if permit is not None]
            assert len(held) == 3
            assert await store.semaphore.holders("a") == 3
            assert await held[0].release()
            assert not await held[0].release()
            async with store.semaphore.permit("a", 3, ttl=0.3, wait=1) as permit:
                await asyncio.sleep(0.5)
                assert permit.held
            # Whoever dies loses the place in time, and the key ends with its last holder.
            assert await store.semaphore.acquire("b", 1, ttl=0.1)
            with pytest.raises(TimedOut):
                async with store.semaphore.permit("b", 1):
                    pytest.fail("no place was free")
            await asyncio.sleep(0.15)
            async with store.semaphore.permit("b", 1, ttl=0.2):
                pass
            dead = await store.semaphore.acquire("c", 1, ttl=0.1)
            await asyncio.sleep(0.2)
            assert await command(store, "EXISTS", f"holdfast:state:{service}:semaphore:c") == 0
            assert dead is not None
            with pytest.raises(LeaseLost):
                await dead.extend()

    run(main())


@pytest.mark.row("D-089")
def test_presence(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            await store.presence.mark("room", "ada", ttl=0.15)
            await store.presence.mark("room", "bob", ttl=60)
            assert await store.presence.present("room", "ada")
            assert list(await store.presence.members("room")) == ["ada", "bob"]
            await asyncio.sleep(0.2)
            assert not await store.presence.present("room", "ada")
            assert await store.presence.leave("room", "bob")
            assert not await store.presence.leave("room", "bob")
            assert await store.presence.members("room") == {}

    run(main())


@pytest.mark.row("D-083", "D-166")
def test_limiters(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for limiter in (store.limiter.fixed, store.limiter.sliding):
                said = await asyncio.gather(*(limiter("ip", 100, 60) for _ in range(101)))
                assert [one.allowed for one in said].count(True) == 100
                refused = next(one for one in said if not one.allowed)
                assert refused.retry_after is not None
                assert 0 < refused.retry_after <= 60
                assert (await limiter("big", 10, 60, cost=11)).retry_after is None
                # Large, then small: costs add up.
                assert await limiter("sum", 10, 60, cost=8)
                assert not await limiter("sum", 10, 60, cost=3)
                assert await limiter("sum", 10, 60, cost=2)
                assert await limiter("short", 1, 0.1)
                assert not await limiter("short", 1, 0.1)
                await asyncio.sleep(0.15)
                assert await limiter("short", 1, 0.1)
            bucket = store.limiter.bucket
            assert [bool(await bucket("b", 2, 10.0)) for _ in range(3)] == [True, True, False]
            await asyncio.sleep(0.12)
            assert await bucket("b", 2, 10.0)
            # Nothing of it stays for ever, and a window without an end is healed.
            for key in await command(store, "KEYS", f"holdfast:state:{service}:limiter:*"):
                assert await command(store, "PTTL", key) >= 0
            stuck = f"holdfast:state:{service}:limiter:fixed:stuck"
            await command(store, "SET", stuck, 100)
            assert not await store.limiter.fixed("stuck", 100, 0.1)
            await asyncio.sleep(0.15)
            assert await store.limiter.fixed("stuck", 100, 0.1)

    run(main())


async def nobody_holds(store: ScopedStore) -> None:
    for _ in range(2000):
        if not await store.semaphore.holders("b") and not await store.claim.holder("a"):
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it is held by nobody who is there")


@pytest.mark.row("D-040")
def test_a_caller_that_is_cancelled_holds_nothing(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:
            for turns in [*range(5)] * 20:
                asking = [
                    asyncio.create_task(store.claim.acquire("a", ttl=3600)),
                    asyncio.create_task(store.semaphore.acquire("b", 1, ttl=3600)),
                ]
                for _ in range(turns):
                    await asyncio.sleep(0 if turns < 4 else 0.0002)
                for task in asking:
                    task.cancel()
                for held in await asyncio.gather(*asking, return_exceptions=True):
                    if held is not None and not isinstance(held, BaseException):
                        await held.release()
                # What it still got is given back, wherever it was cancelled.
                await nobody_holds(store)

    run(main())


def test_the_work_of_a_leader_is_a_coroutine_function(place: Place, service: str) -> None:
    async def main() -> None:
        async with opened(place, service) as store:

            async def forgets(_lease: Any) -> Any:
                return store.kv.set("a", 1)

            wrong: list[tuple[Any, str]] = [
                (None, "found a NoneType"), (lambda _: 5, "async def"), (forgets, "nobody awaits"),
            ]  # fmt: skip
            for work, said in wrong:
                with pytest.raises(InvalidInput, match=said):
                    await store.claim.lead("cron", work, ttl=5)
                assert await store.claim.holder("cron") is None  # It was given back.
            assert await store.kv.get("a") is None

    run(main())
