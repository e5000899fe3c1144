"""A watch on a server is told what another process writes, also when its connections are ended.

An engine imports all of it beside fixtures `config_of`, which makes its configurations, and `cut`,
which ends the connections of everybody who has the database open.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import holdfast
import holdfast.sync
from holdfast.store.change import Change
from tests.engines.servers.whole_database import ConfigOf

WRITES = 200
#: So many changes are told between two times that all connections are ended.
CUT_EACH = 20

#: Ends connections: those that wait for news alone, or all; how many it ended.
Cut = Callable[..., Awaitable[int]]


async def _other_process(url: str, first: int, count: int) -> None:
    """Have another process write so many entries, one commit each."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, url, str(first), str(count),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_what_another_process_writes_is_told_once_and_in_order_while_connections_are_ended(
    config_of: ConfigOf, cut: Cut
) -> None:
    async def work() -> None:
        url = config_of().url_with_secrets
        ended = 0
        async with holdfast.open(url) as db, db.watch("w/#", since=await db.head()) as changes:
            writing = asyncio.create_task(_other_process(url, 0, WRITES))
            told: list[Change] = []
            while len(told) < WRITES:
                told.append(await anext(changes))
                if len(told) % CUT_EACH == 1:
                    ended += await cut()
            await writing
            assert [(str(one.key), one.after and one.after.value) for one in told] == [
                (f"w:{number:04}", number) for number in range(WRITES)
            ]
            revisions = [one.revision for one in told]
            assert revisions == sorted(set(revisions))
            assert await changes.poll(0.2) is None, "nothing is told twice"
        assert ended >= WRITES // CUT_EACH

    _run(work)


def test_a_watcher_that_waits_is_told_although_its_connection_was_ended_before(
    config_of: ConfigOf, cut: Cut
) -> None:
    async def work() -> None:
        url = config_of().url_with_secrets
        async with holdfast.open(url) as db, db.watch("w/#", since=await db.head()) as changes:
            for turn in range(2):
                waiting = asyncio.ensure_future(anext(changes))
                for _ in range(500):
                    if await cut(listeners=True):
                        break
                    await asyncio.sleep(0.02)  # It is about to listen.
                assert not waiting.done()
                await _other_process(url, turn, 1)
                change = await waiting
                assert str(change.key) == f"w:{turn:04}"

    _run(work)


def _run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(50):
            await work()

    asyncio.run(main())


def _write(url: str, first: int, count: int) -> None:
    with holdfast.sync.open(url) as db:
        for number in range(first, first + count):
            db.entries.set(f"w:{number:04}", number)


if __name__ == "__main__":
    _write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
