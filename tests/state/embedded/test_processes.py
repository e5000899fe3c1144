"""Over processes: what is acknowledged survives kill -9, and who waits is woken."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.state import build_store
from tests.state.conftest import run
from tests.state.places import opened_at
from tests.state.test_events import until
from tests.tidy import repository

WRITER = """
import asyncio, sys
from tests.state.places import opened_at

async def main():
    async with opened_at(sys.argv[1], "api") as store:
        group = store.streams.group("g", "victim")
        await group.ensure("s")
        lease = await store.claim.acquire("l", ttl=3600)
        while True:
            number = await store.counter.increment("c")
            await store.streams.append("s", number)
            await store.kv.set("last", number)
            await store.presence.mark("p", str(number % 3), ttl=3600)
            if number % 3 == 0:
                await group.read("s", count=1)
            print(number, flush=True)

asyncio.run(main())
"""


def started(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=repository.ROOT, stdout=subprocess.PIPE
    )


@pytest.mark.row("D-057")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, engine: str) -> None:
    url = f"{engine}:///{tmp_path}/db"

    async def look(acknowledged: set[int], kills: int) -> None:
        async with holdfast.open(url) as db:
            assert await db.check() == []
            store = build_store(db, "api")
            count, last = await store.counter.get("c"), max(acknowledged)
            assert last <= count <= last + 1
            # Each kill may come between two steps of a number that was not acknowledged.
            numbers = [one.message for one in await store.streams.tail("s", 10_000)]
            assert numbers == sorted(set(numbers))
            assert acknowledged <= set(numbers)
            assert len(set(range(1, count + 1)) - set(numbers)) <= kills
            assert last <= await store.kv.get("last") <= count
            given = await store.streams.group("g", "other").pending("s", count=10_000)
            asked = sum(number % 3 == 0 for number in acknowledged)
            assert asked <= len(given) <= asked + kills
            holder = await store.claim.holder("l")
            assert holder is not None
            assert holder.token is not None

    acknowledged: set[int] = set()
    for kills in range(1, 4):
        process = started(WRITER, url)
        assert process.stdout is not None
        for _ in range(20):
            acknowledged.add(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)
        acknowledged |= {int(one) for one in process.stdout.read().split(b"\n")[:-1]}
        process.wait()
        process.stdout.close()
        run(look(acknowledged, kills))


SENDER = """
import asyncio, sys
from tests.state.places import opened_at

async def main():
    async with opened_at(sys.argv[1], "api") as store:
        for line in sys.stdin:
            if line.strip() == "append":
                await store.streams.append("s", "hello")
            else:
                await store.events.publish("user:created", "hello")
            print("done", flush=True)

asyncio.run(main())
"""


WRITES = 500


@pytest.mark.row("D-055", "D-002")
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_another_process_wakes_who_waits(tmp_path: Path, engine: str) -> None:
    url = f"{engine}:///{tmp_path}/db"

    async def main() -> None:
        async with opened_at(url, "api") as store:
            group = store.streams.group("g", "c")
            await group.ensure("s")
            got: list[Any] = []
            await store.events.subscribe("user:*", lambda message: got.append(message.data))
            sender = subprocess.Popen(  # noqa: ASYNC220 - told when to end
                [sys.executable, "-c", SENDER, url], cwd=repository.ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert sender.stdin is not None
            assert sender.stdout is not None
            try:
                for _ in range(3):
                    reading = asyncio.create_task(group.read("s", count=1, block=20))
                    await asyncio.sleep(0.05)
                    sender.stdin.write(b"append\n")
                    sender.stdin.flush()
                    await asyncio.to_thread(sender.stdout.readline)
                    # Nobody wakes it: then it would find nothing for twenty seconds.
                    [message] = await asyncio.wait_for(reading, 10)
                    assert message.message == "hello"
                    sender.stdin.write(b"publish\n")
                    sender.stdin.flush()
                    await asyncio.to_thread(sender.stdout.readline)
                    await until(lambda: got)
                    assert got.pop() == "hello"
            finally:
                sender.stdin.close()
                sender.wait()
                sender.stdout.close()

    run(main())


def test_waiting_idle_costs_next_to_nothing(tmp_path: Path) -> None:
    """Counted, not timed: the process wakes seldom, and nobody looks at a row."""
    idle_s = 1.5

    async def main() -> tuple[float, list[str]]:
        async with (
            holdfast.open(f"lmdb:///{tmp_path}/db", housekeeping=False) as db,
            build_store(db, "api") as store,
        ):
            group = store.streams.group("g", "c")
            for n in range(20):
                await group.ensure(f"s{n}")
            await store.events.subscribe("user:*", print)
            reads = [asyncio.create_task(group.read(f"s{n}", block=30)) for n in range(20)]
            await asyncio.sleep(0.3)
            engine: Any = store._scene.adapter.client
            asked: list[str] = []
            for verb in ("read", "scan", "head"):
                work = getattr(engine, verb)

                def counted(*given: Any, verb: str = verb, work: Any = work, **named: Any) -> Any:
                    asked.append(verb)
                    return work(*given, **named)

                setattr(engine, verb, counted)
            woken = _woken()
            await asyncio.sleep(idle_s)
            woken = _woken() - woken
            for verb in ("read", "scan", "head"):
                delattr(engine, verb)
            for one in reads:
                one.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
            return woken / idle_s, asked

    woken, asked = run(main())
    # However many wait, one looks for commits of other processes: half a hundredth of a core where
    # a wake-up takes a tenth of a millisecond.
    assert woken <= 50, f"{woken:.0f} wake-ups a second"
    assert asked == []


def _woken() -> int:
    """How often this process has waited for something and went on."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def test_a_thousand_who_wait_hold_up_nobody(tmp_path: Path) -> None:
    """A writer pays for the wake-up of one, however many wait for other rows."""

    async def main() -> None:
        async with opened_at(f"lmdb:///{tmp_path}/db?durability=relaxed", "api") as store:

            async def writes() -> int:
                """How many calls this thread makes for so many writes, and for what it wakes."""
                calls = 0

                def called(_frame: Any, event: str, _argument: Any) -> None:
                    nonlocal calls
                    calls += event == "call"

                sys.setprofile(called)
                try:
                    for _ in range(WRITES):
                        await store.counter.increment("c")
                finally:
                    sys.setprofile(None)
                return calls

            group = store.streams.group("g", "c")
            await group.ensure("s")
            await writes()
            alone = min([await writes() for _ in range(3)])
            reads = [asyncio.create_task(group.read("s", block=30)) for _ in range(1000)]
            await asyncio.sleep(0.2)
            beside = min([await writes() for _ in range(3)])
            await store.streams.append("s", 1)
            got = await asyncio.wait(reads, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            assert sum(len(one.result()) for one in got[0]) == 1
            for one in reads:
                one.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
            # Waking a thousand for each write would be some thousand calls more.
            assert alone / WRITES > 10
            assert (beside - alone) / WRITES < 30, (alone, beside)

    run(main())
