"""Many threads at once, each driving the engine without a loop."""

from __future__ import annotations

import threading

from holdfast.contract.batch import Batch, CheckKey, Put
from holdfast.contract.errors import Conflict, StoreClosed
from holdfast.contract.record import Range
from holdfast.runtime.system import drive
from holdfast.testing.driving import THREADS, in_threads
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, contents, increment, put, value_of

COMMITS_BEFORE_CLOSING = 12


class Threads(Section):
    @promise()
    async def test_threads_lose_no_increment(self, subject: Subject) -> None:
        engine = await subject.open()
        rounds = 60

        def work(thread: int) -> None:
            for number in range(rounds):
                drive(engine.transact([b"n"], increment(b"n")))
                drive(put(engine, (b"own%d-%d" % (thread, number), b"")))

        in_threads(engine, work)
        assert await value_of(engine, b"n") == b"%d" % (THREADS * rounds)
        assert len(await contents(engine)) == THREADS * rounds + 1

    @promise()
    async def test_of_many_threads_that_find_it_absent_one_makes_it(self, subject: Subject) -> None:
        engine = await subject.open()
        claims = 40
        won: list[int] = []

        def work(thread: int) -> None:
            del thread
            for number in range(claims):
                key = b"claim%d" % number
                try:
                    drive(engine.commit(Batch([CheckKey(key, None), Put(key, b"")])))
                except Conflict:
                    continue
                won.append(number)

        in_threads(engine, work)
        assert sorted(won) == list(range(claims))

    @promise()
    async def test_threads_see_a_batch_wholly_or_not_at_all(self, subject: Subject) -> None:
        engine = await subject.open()
        keys = [b"%d" % number for number in range(8)]
        await put(engine, *((key, b"0") for key in keys))
        written = threading.Event()

        def work(thread: int) -> None:
            if thread == 0:
                for number in range(1, 100):
                    drive(put(engine, *((key, b"%d" % number) for key in keys)))
                written.set()
            while not written.is_set():
                records = drive(engine.read(keys))
                page = drive(engine.scan(Range()))
                for found in (records, [record for _, record in page.rows]):
                    assert len(set(found)) == 1, "half of a batch was seen"

        in_threads(engine, work)

    @promise("E-017")
    async def test_commits_of_threads_that_meet_a_close_are_done_or_refused(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        done: set[bytes] = set()

        def work(thread: int) -> None:
            number = 0
            while True:
                key = b"%d-%d" % (thread, number)
                try:
                    drive(put(engine, (key, b"")))
                except StoreClosed:
                    return
                done.add(key)
                number += 1
                if thread == 0 and number == COMMITS_BEFORE_CLOSING:
                    drive(engine.close())

        in_threads(engine, work)
        assert len(done) >= COMMITS_BEFORE_CLOSING
        await subject.close(engine)
        if engine.capabilities.persistent:
            engine = await subject.open()
            assert set(await contents(engine)) == done
