"""A task that only writes does not starve its neighbours, even where no write ever waits."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Awaitable, Callable
from time import thread_time

from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, increment

#: How often the loop must turn while a task writes without a pause, in time of the processor:
#: how long others keep the machine busy is not the engine's doing.
TURN_S = 0.005
#: A timer that is due is noticed in one turn and wakes its task in the next.
TURNS_OF_A_TIMER = 3
#: What a slow machine may add.
SLACK_S = 0.005
#: How long the task writes: of the processor's time, or at most by the clock.
WRITES_CPU_S = 0.15
WRITES_S = 1.0
TICK_S = 0.001


class Yielding(Section):
    @promise("trap 29", tasks=True)
    async def test_a_task_that_only_commits_lets_the_loop_turn(self, subject: Subject) -> None:
        engine = await subject.open()
        batch = Batch([Put(b"k", b"value")])
        await _turns_while(engine, lambda: engine.commit(batch))

    @promise("trap 29", tasks=True)
    async def test_a_task_that_only_transacts_lets_the_loop_turn(self, subject: Subject) -> None:
        engine = await subject.open()
        await _turns_while(engine, lambda: engine.transact([b"n"], increment(b"n")))

    @promise("trap 29", tasks=True)
    async def test_a_task_that_decides_now_lets_the_loop_turn(self, subject: Subject) -> None:
        engine = await subject.open()

        async def decide() -> None:
            decide_now = engine.transact_now
            if decide_now is None or decide_now([b"n"], increment(b"n")) is NOT_NOW:
                await engine.transact([b"n"], increment(b"n"))

        await _turns_while(engine, decide)

    @promise("trap 29", tasks=True)
    async def test_many_tasks_that_only_commit_let_the_loop_turn(self, subject: Subject) -> None:
        engine = await subject.open()

        async def commit_beside_others() -> None:
            await asyncio.gather(
                *(engine.commit(Batch([Put(b"%d" % number, b"")])) for number in range(32))
            )

        await _turns_while(engine, commit_beside_others)


async def _turns_while(engine: Engine, write: Callable[[], Awaitable[object]]) -> None:
    ticks = [thread_time()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            ticks.append(thread_time())

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    now = engine.components.clock.monotonic
    until, used = now() + WRITES_S, thread_time() + WRITES_CPU_S
    while now() < until and thread_time() < used:
        await write()
    ticking.cancel()
    ticks.append(thread_time())
    held = statistics.median(after - before for before, after in itertools.pairwise(ticks))
    assert held <= TURN_S * TURNS_OF_A_TIMER + SLACK_S, (
        f"a task that only writes lets a timer wait for {held * 1000:.0f} ms of the processor's "
        f"time; the loop is to turn every {TURN_S * 1000:.0f} ms"
    )
