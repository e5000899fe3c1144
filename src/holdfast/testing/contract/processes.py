"""Several processes on one database, and processes that end without closing it."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack

from holdfast.contract.errors import ErrorCode
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, contents, increment, put, value_of
from holdfast.testing.worker import DEATH, run_worker, start_worker

PROCESSES = 3
INCREMENTS = 40
#: Generous: the promise is that the waiter wakes at all.
WAKE_TIMEOUT_S = 30.0


class Processes(Section):
    @promise("trap 50", "K-005", needs="shared")
    async def test_another_process_reads_what_this_one_wrote(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"key", b"from here"))
        answer = run_worker(subject, "read", "key")
        assert answer == {"value": "from here", "head": revision}
        answer = run_worker(subject, "put", "key", "from there")
        assert await value_of(engine, b"key") == b"from there"
        assert await engine.head() == answer["revision"] > revision

    @promise(needs="shared")
    async def test_processes_lose_no_increment(self, subject: Subject) -> None:
        engine = await subject.open()
        with ExitStack() as stack:
            workers = [
                stack.enter_context(start_worker(subject, "increment", "n", str(INCREMENTS)))
                for _ in range(PROCESSES)
            ]
            own = [
                (await engine.transact([b"n"], increment(b"n"))).revision for _ in range(INCREMENTS)
            ]
            revisions = [*own]
            for worker in workers:
                revisions += worker.result()["revisions"]
        assert await value_of(engine, b"n") == b"%d" % (INCREMENTS * (PROCESSES + 1))
        assert len(set(revisions)) == len(revisions), "two processes got one revision"

    @promise("trap 50", needs="shared", tasks=True)
    async def test_a_commit_wakes_another_process(self, subject: Subject) -> None:
        engine = await subject.open()
        if not engine.capabilities.waits:
            return
        head = await put(engine, (b"key", b""))
        with start_worker(subject, "wait", str(head)) as worker:
            assert await asyncio.to_thread(worker.line) == {"waiting": head}
            revision = await put(engine, (b"key", b"new"))
            async with asyncio.timeout(WAKE_TIMEOUT_S):
                assert await asyncio.to_thread(worker.result) == {"head": revision}

    @promise(needs="shared", tasks=True)
    async def test_a_commit_of_another_process_wakes_this_one(self, subject: Subject) -> None:
        engine = await subject.open()
        if not engine.capabilities.waits:
            return
        head = await put(engine, (b"key", b""))
        waiting = asyncio.create_task(engine.wait(head))
        answer = await asyncio.to_thread(run_worker, subject, "put", "key", "new")
        async with asyncio.timeout(WAKE_TIMEOUT_S):
            assert await waiting == answer["revision"]

    @promise()
    async def test_a_forked_child_is_refused_and_its_parent_goes_on(self, subject: Subject) -> None:
        if not hasattr(os, "fork"):
            return  # Nothing here can break the promise.
        with start_worker(subject, "fork") as worker:
            child = worker.line()["child"]
            assert child == [ErrorCode.WRONG_CONTEXT] * len(child)
            assert worker.result()["value"] == "before"

    @promise("trap 16", needs="persistent")
    async def test_what_was_acknowledged_survives_the_end_of_its_process(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        full = engine.capabilities.durability != "relaxed"
        await put(engine, (b"before", b""))
        await subject.close(engine)
        with start_worker(subject, "put-and-die", "key", "value") as worker:
            answer = worker.result()
            assert worker.exit_code == DEATH
        engine = await subject.open()
        found = await contents(engine)
        assert b"before" in found
        # In relaxed mode the newest writes may be lost with their process; torn they may not be.
        if full or b"key" in found:
            assert found.get(b"key") == b"value", "an acknowledged write is lost"
            assert await engine.head() == answer["revision"]
            assert await put(engine, (b"after", b"")) > answer["revision"]
