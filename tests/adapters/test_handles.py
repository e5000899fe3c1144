"""One handle for libraries that call plainly, by coroutines, or both ways."""

import asyncio
import threading
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.adapters.handles import Bridge
from holdfast.adapters.langchain import HoldfastByteStore
from holdfast.contract.errors import InvalidInput, KeyNotFound, StoreClosed, WrongContext


def test_a_handle_of_a_loop_is_called_plainly_from_other_threads_only() -> None:
    async def work() -> None:
        async with holdfast.open("memory://") as db:
            store = HoldfastByteStore(db)
            with pytest.raises(WrongContext, match="await the other spelling"):
                store.mget(["a"])
            await asyncio.to_thread(store.mset, [("a", b"1")])
            assert await store.amget(["a"]) == [b"1"]
            assert await asyncio.to_thread(lambda: list(store.yield_keys())) == ["a"]
        with pytest.raises(StoreClosed):
            await store.amget(["a"])

    asyncio.run(work())


def test_a_handle_whose_loop_is_gone_says_so() -> None:
    kept: list[HoldfastByteStore] = []

    async def work() -> None:
        async with holdfast.open("memory://") as db:
            kept.append(HoldfastByteStore(db))

    asyncio.run(work())
    with pytest.raises(WrongContext):
        kept[0].mget(["a"])


def test_a_handle_without_a_loop_is_awaited_in_a_thread() -> None:
    here = threading.get_ident()
    seen: list[int] = []

    async def note(db: Any) -> int:
        seen.append(threading.get_ident())
        await db.entries.set("a", 1)
        return 7

    with holdfast.sync.open("memory://") as db:
        bridge = Bridge(db)
        assert asyncio.run(bridge.wait(note)) == 7
        assert bridge.call(note) == 7
    assert seen[0] != here
    assert seen[1] == here


@pytest.mark.parametrize(
    "raised", [StopIteration(), SystemExit(3), KeyboardInterrupt(), KeyNotFound("x"), ValueError()]
)
def test_what_the_work_raises_comes_out(raised: BaseException) -> None:
    async def fail(db: Any) -> None:
        await db.entries.set("a", 1)
        raise raised

    with holdfast.sync.open("memory://") as db:
        bridge = Bridge(db)
        # A coroutine cannot raise StopIteration: it comes out as what Python makes of it.
        expected = RuntimeError if isinstance(raised, StopIteration) else type(raised)
        with pytest.raises(expected):
            bridge.call(fail)

        async def wait() -> None:
            with pytest.raises(expected):
                await bridge.wait(fail)

        asyncio.run(wait())
        assert db.entries.get("a") is not None


def test_a_wait_that_is_cancelled_ends_at_once_and_its_work_is_whole() -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def slow(db: Any) -> None:
        begun.set()
        go_on.wait(10)
        await db.entries.set("a", 1)

    with holdfast.sync.open("memory://") as db:
        bridge = Bridge(db)

        async def work() -> None:
            task = asyncio.create_task(bridge.wait(slow))
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert db.entries.get("a") is None
            go_on.set()

        asyncio.run(work())  # Its end waits for the thread.
        assert db.entries.get("a") is not None


def test_an_interrupted_call_is_cancelled_on_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    async def forever(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    class Interrupted:
        def __init__(self, future: Any) -> None:
            self.future = future

        def result(self) -> None:
            raise KeyboardInterrupt

        def cancel(self) -> None:
            self.future.cancel()

    through = asyncio.run_coroutine_threadsafe

    async def work() -> None:
        async with holdfast.open("memory://") as db:
            bridge = Bridge(db)
            monkeypatch.setattr(
                "asyncio.run_coroutine_threadsafe",
                lambda coroutine, loop: Interrupted(through(coroutine, loop)),
            )

            def call() -> None:
                with pytest.raises(KeyboardInterrupt):
                    bridge.call(forever)

            await asyncio.to_thread(call)
            for _ in range(100):
                if ended:
                    break
                await asyncio.sleep(0.01)

    asyncio.run(work())
    # One that was cancelled before it began has nothing to end.
    assert ended in (["cancelled"], [])


def test_what_is_no_database_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"a database was wanted.*found a dict"):
        Bridge({})  # type: ignore[arg-type]
