"""Waiting for commits: what ringing costs, and what an interrupted iteration loses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.contract.errors import StoreClosed
from holdfast.engines.embedded.watcher import Watcher
from holdfast.runtime.drive import DrivenIterator
from holdfast.runtime.system import SystemHost, drive
from tests.faults.interrupts import each_line

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")


class Counting(SystemHost):
    """Counts what a commit has to settle."""

    settled = 0

    def settle(self, results: Any) -> None:
        found = list(results)
        self.settled += len(found)
        super().settle(found)


async def test_ringing_costs_the_same_for_one_and_for_thousands() -> None:
    host = Counting()
    head = 0
    watcher = Watcher(host, lambda: head, lambda: False)
    tasks = [asyncio.ensure_future(watcher.wait(0)) for _ in range(2000)]
    await asyncio.sleep(0)
    assert watcher.waiting == 2000
    head = 1
    await asyncio.to_thread(watcher.publish, head)
    assert await asyncio.gather(*tasks) == [1] * 2000
    assert host.settled == 1
    assert watcher.waiting == 0
    watcher.close()


async def test_one_that_waits_for_more_and_one_that_is_cancelled_disturb_nobody() -> None:
    head = 0
    watcher = Watcher(SystemHost(), lambda: head, lambda: False)
    early, late, cancelled = (asyncio.ensure_future(watcher.wait(after)) for after in (0, 1, 0))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    head = 1
    watcher.publish(head)
    assert await early == 1
    await asyncio.sleep(0)
    assert not late.done()
    assert cancelled.cancelled()
    head = 2
    watcher.publish(head)
    assert await late == 2
    late = asyncio.ensure_future(watcher.wait(2))
    await asyncio.sleep(0)
    watcher.close()
    with pytest.raises(StoreClosed):
        await late


def test_threads_wait_at_gates_of_their_own() -> None:
    head = 0
    watcher = Watcher(SystemHost(), lambda: head, lambda: False)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(drive(watcher.wait(0)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while watcher.waiting < 4:
        pass
    head = 1
    watcher.publish(head)
    for thread in threads:
        thread.join(10)
    assert found == [1] * 4
    watcher.close()


class Numbers(AsyncIterator[int]):
    """An iterator that an interrupt in its own code does not end."""

    def __init__(self) -> None:
        self.next = 0

    def __aiter__(self) -> Numbers:
        return self

    async def __anext__(self) -> int:
        self.next += 1
        return self.next


def test_an_interrupted_iteration_goes_on_with_the_next_item() -> None:
    numbers = Numbers()
    iterator = DrivenIterator(numbers)
    found: list[int] = []
    for place in each_line(lambda: found.append(iterator.take(5))):
        found.append(iterator.take(5))
        assert found[-1] == len(found), place
    assert found == list(range(1, len(found) + 1)), "nothing is lost, nothing comes twice"
    assert len(found) > 10


def test_an_iteration_that_was_interrupted_in_its_own_code_does_not_end_silently() -> None:
    async def changes() -> AsyncIterator[int]:
        yield 1
        raise KeyboardInterrupt

    iterator = DrivenIterator(changes())
    assert next(iterator) == 1
    with pytest.raises(KeyboardInterrupt):
        next(iterator)
    with pytest.raises(StoreClosed, match="start it again"):
        next(iterator)
    iterator.close()
