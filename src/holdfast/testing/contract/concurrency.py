"""Many tasks of one loop at once, and callers that are cancelled."""

from __future__ import annotations

import asyncio

from holdfast.contract.batch import Batch, CheckKey, CheckRange, Draft, Put, Receipt
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range, Record
from holdfast.runtime.system import drive
from holdfast.testing.driving import in_threads
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, contents, increment, put, value_of, walk

TASKS = 64


class Concurrency(Section):
    @promise(tasks=True)
    async def test_commits_of_many_tasks_all_arrive_in_some_order(self, subject: Subject) -> None:
        engine = await subject.open()
        revisions = await asyncio.gather(
            *(put(engine, (b"%03d" % number, b"%d" % number)) for number in range(TASKS * 4))
        )
        assert len(set(revisions)) == len(revisions)
        rows = await walk(engine)
        assert {key: record.revision for key, record in rows} == {
            b"%03d" % number: revision for number, revision in enumerate(revisions)
        }
        assert await engine.head() == max(revisions)

    @promise(tasks=True)
    async def test_of_many_who_find_it_absent_one_makes_it(self, subject: Subject) -> None:
        engine = await subject.open()

        async def claim(number: int) -> int | None:
            batch = Batch([CheckKey(b"claim", None), Put(b"claim", b"%d" % number)])
            try:
                await engine.commit(batch)
            except Conflict:
                return None
            return number

        outcomes = await asyncio.gather(*(claim(number) for number in range(TASKS)))
        winners = [number for number in outcomes if number is not None]
        assert len(winners) == 1, "several found it absent and made it"
        assert await value_of(engine, b"claim") == b"%d" % winners[0]

    @promise("trap 29", tasks=True)
    async def test_every_decision_stands_on_the_one_before_it_whoever_makes_it(
        self, subject: Subject
    ) -> None:
        """Tasks and a thread beside the loop: each keeps what it replaced, so a gap would show."""
        engine = await subject.open()
        rounds = 25

        def link(records: list[Record | None], revision: int) -> Draft:
            del revision
            number, last = (0, b"") if records[0] is None else (int(records[0].value), b"")
            if records[0] is not None:
                last = b"%d" % records[0].revision
            draft = Draft()
            draft.rows = {b"n": b"%d" % (number + 1), b"past%06d" % number: last}
            return draft

        async def several(task: int) -> None:
            for number in range(rounds):
                await engine.transact([b"n"], link)
                await put(engine, (b"own%d-%d" % (task, number), b""))

        thread = asyncio.create_task(
            asyncio.to_thread(in_threads, engine, lambda number: drive(several(-number - 1)), 2)
        )
        await asyncio.gather(*(several(task) for task in range(8)))
        await thread
        total = 10 * rounds
        assert await value_of(engine, b"n") == b"%d" % total
        past = await walk(engine, Range.prefix(b"past"))
        assert [key for key, _ in past] == [b"past%06d" % number for number in range(total)]
        # Each link names the revision of the one before.
        assert [record.value for _, record in past[1:]] == [
            b"%d" % record.revision for _, record in past[:-1]
        ]

    @promise("trap 29", tasks=True)
    async def test_of_many_who_count_a_range_one_adds_to_it(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"seat1", b""), (b"seat2", b""))
        head = await engine.head()
        seats = Range.prefix(b"seat")

        async def take(number: int) -> Receipt | None:
            batch = Batch([CheckRange(seats, head, 2), Put(b"seat-%d" % number, b"")])
            try:
                return await engine.commit(batch)
            except Conflict:
                return None

        outcomes = await asyncio.gather(*(take(number) for number in range(TASKS)))
        assert sum(outcome is not None for outcome in outcomes) == 1
        assert len(await contents(engine)) == 1 + len([b"seat1", b"seat2"])

    @promise("trap 29", tasks=True)
    async def test_write_skew_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"alice", b"on call"), (b"bob", b"on call"))

        async def leave(key: bytes) -> bool:
            page = await engine.scan(Range())
            if any(record.value == b"off" for _, record in page.rows):
                return False
            await asyncio.sleep(0)
            try:
                await engine.commit(
                    Batch([CheckRange(Range(), page.revision, 2), Put(key, b"off")])
                )
            except Conflict:
                return False
            return True

        assert sum(await asyncio.gather(leave(b"alice"), leave(b"bob"))) == 1

    @promise(tasks=True)
    async def test_reads_and_pages_are_of_one_moment(self, subject: Subject) -> None:
        engine = await subject.open()
        keys = [b"%d" % number for number in range(8)]
        await put(engine, *((key, b"0") for key in keys))
        writing = True

        async def write() -> None:
            nonlocal writing
            for number in range(1, 120):
                await put(engine, *((key, b"%d" % number) for key in keys))
            writing = False

        async def watch() -> None:
            while writing:
                records = await engine.read(keys)
                page = await engine.scan(Range())
                for found in (records, [record for _, record in page.rows]):
                    assert len(set(found)) == 1, "half of a batch was seen"
                await asyncio.sleep(0)

        await asyncio.gather(write(), watch(), watch())

    @promise(tasks=True)
    async def test_a_cancelled_commit_is_there_wholly_or_not_at_all(self, subject: Subject) -> None:
        engine = await subject.open()
        pairs = [(b"a%d" % number, b"b%d" % number) for number in range(24)]
        for number, (left, right) in enumerate(pairs):
            writing = asyncio.create_task(put(engine, (left, b""), (right, b"")))
            for _ in range(number % 6):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._assert_whole(engine, pairs)
        # Whatever was under way is decided by now, and the engine goes on.
        await put(engine, (b"after", b""))
        await self._assert_whole(engine, pairs)
        engine = await self._reopened(subject, engine)
        await self._assert_whole(engine, pairs)

    @promise(tasks=True)
    async def test_cancelled_callers_do_not_hold_up_the_others(self, subject: Subject) -> None:
        engine = await subject.open()
        writing = [asyncio.create_task(put(engine, (b"%d" % n, b""))) for n in range(TASKS)]
        deciding = [
            asyncio.create_task(engine.transact([b"n"], increment(b"n"))) for _ in range(TASKS)
        ]
        await asyncio.sleep(0)
        for task in [*writing[::2], *deciding[::2]]:
            task.cancel()
        await asyncio.gather(*writing[::2], *deciding[::2], return_exceptions=True)
        await asyncio.gather(*writing[1::2], *deciding[1::2])
        found = await contents(engine)
        assert {b"%d" % n for n in range(1, TASKS, 2)} <= found.keys()
        assert TASKS // 2 <= int(found[b"n"]) <= TASKS

    # --- Inside -----------------------------------------------------------------------------

    async def _reopened(self, subject: Subject, engine: Engine) -> Engine:
        return await subject.reopen(engine) if engine.capabilities.persistent else engine

    async def _assert_whole(self, engine: Engine, pairs: list[tuple[bytes, bytes]]) -> None:
        records = await engine.read([key for pair in pairs for key in pair])
        for left, right in zip(records[::2], records[1::2], strict=True):
            assert left == right, "half of a cancelled commit is there"
