"""Locks between real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import holdfast
from holdfast.engines.lmdb import LmdbEngine
from tests.store.scene import Scene, engine_of

SOURCE = Path(holdfast.__file__).parents[1]
PROCESSES = 4
ROUNDS = 500

COUNTING = """
    async def count(db, rounds):
        for _ in range(rounds):
            async with db.lock("counters"):
                entry = await db.entries.get("counters:hits")
                value = 0 if entry is None else entry.value
                await asyncio.sleep(0)
                await db.entries.set("counters:hits", value + 1)

    async def main():
        async with holdfast.open(sys.argv[1]) as db:
            print("ready", flush=True)
            sys.stdin.readline()
            await asyncio.gather(*(count(db, int(sys.argv[2]) // 2) for _ in range(2)))

    asyncio.run(main())
"""

HOLDING = """
    async def main():
        async with holdfast.open(sys.argv[1]) as db:
            lock = await db.lock("jobs", ttl=float(sys.argv[2])).acquire()
            print("ready", lock.token, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""

CROSSING = """
    from holdfast.contract.errors import DeadlockDetected

    async def main():
        async with holdfast.open(sys.argv[1]) as db:
            async with db.lock(sys.argv[2]):
                print("ready", flush=True)
                sys.stdin.readline()
                try:
                    async with db.lock(sys.argv[3]):
                        print("done", flush=True)
                except DeadlockDetected:
                    print("victim", flush=True)

    asyncio.run(main())
"""


@contextmanager
def started(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program in a process of its own; it is gone at the end."""
    text = "import asyncio, sys\nimport holdfast\n" + textwrap.dedent(program)
    process = subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.row("K-038", "trap 7")
async def test_processes_that_read_change_and_write_lose_nothing(kept_scene: Scene) -> None:
    url = kept_scene.url
    running = [started(COUNTING, url, ROUNDS) for _ in range(PROCESSES)]
    processes = [one.__enter__() for one in running]
    try:
        assert [said(process) for process in processes] == ["ready"] * PROCESSES
        for process in processes:
            go_on(process)
        assert [process.wait(55) for process in processes] == [0] * PROCESSES
    finally:
        for one in running:
            one.__exit__(None, None, None)
    async with kept_scene.open() as db:
        entry = await db.entries.require("counters:hits")
        assert entry.value == entry.metadata.version == PROCESSES * ROUNDS


@pytest.mark.row("K-038")
async def test_a_killed_holder_is_succeeded_within_its_ttl(kept_scene: Scene) -> None:
    with started(HOLDING, kept_scene.url, 1) as holder:
        word, token = said(holder).split()
        assert word == "ready"
        async with kept_scene.handle(components=None) as db:
            waiting = asyncio.create_task(db.lock("jobs", timeout=30).acquire())
            # Longer than its ttl it lives and keeps the lock.
            await asyncio.sleep(1.5)
            assert not waiting.done()
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            lock = await waiting
            assert lock.token > int(token)
            await lock.release()


@pytest.mark.row("K-038")
async def test_a_release_elsewhere_wakes_who_waits_here(kept_scene: Scene) -> None:
    async with kept_scene.handle(components=None) as db:
        lock = await db.lock("counters").acquire()
        with started(COUNTING, kept_scene.url, 2) as process:
            assert said(process) == "ready"
            go_on(process)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3)
            await lock.release()
            # Far sooner than the ttl of thirty seconds.
            assert process.wait(15) == 0


@pytest.mark.row("trap 32")
def test_a_cycle_between_processes_has_one_victim(kept_scene: Scene) -> None:
    url = kept_scene.url
    with started(CROSSING, url, "a", "b") as one, started(CROSSING, url, "b", "a") as two:
        assert [said(one), said(two)] == ["ready", "ready"]
        go_on(one)
        go_on(two)
        # Far sooner than the ttl of thirty seconds: nobody waited for a lease to run out.
        assert sorted((said(one), said(two))) == ["done", "victim"]
        assert [one.wait(10), two.wait(10)] == [0, 0]


async def test_durable_writers_of_one_namespace_still_share_their_flushes(tmp_path: Path) -> None:
    """The default lock service must not keep them from it; one that waits would."""
    async with holdfast.open(f"lmdb:///{tmp_path / 'app'}") as db:
        engine = engine_of(db)
        assert isinstance(engine, LmdbEngine)
        before = engine._medium.last_transaction_id()
        await asyncio.gather(*(db.entries.set(f"users:{number}", number) for number in range(256)))
        assert engine._medium.last_transaction_id() - before <= 32
        assert await db.entries.count() == 256
