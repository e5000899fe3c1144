"""`Need`: a function of `transact` that has to see more keys before it can decide."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.contract.batch import NEEDS_MAX, Answer, Batch, Need, Put
from holdfast.contract.errors import InvalidInput
from holdfast.contract.record import Record
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, contents, draft, increment, put, value_of

TASKS = 32


class Needs(Section):
    @promise()
    async def test_a_function_sees_the_further_keys_behind_the_first(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"1"), (b"b", b"2"))
        second = await put(engine, (b"c", b"3"))
        seen: list[list[Record | None]] = []

        def decide(records: list[Record | None], revision: int) -> Answer:
            assert revision > second
            seen.append(list(records))
            further = {1: [b"c", b"none"], 3: [b"b", b"a"]}
            if len(records) in further:
                return Need(further[len(records)])
            return draft((b"decided", b"%d" % len(records)))

        receipt = await engine.transact([b"a"], decide)
        a, b, c = Record(b"1", first), Record(b"2", first), Record(b"3", second)
        assert seen[-3:] == [[a], [a, c, None], [a, c, None, b, a]]
        assert await value_of(engine, b"decided") == b"5"
        assert receipt.revision == await engine.head()

    @promise()
    async def test_who_has_seen_more_may_decide_for_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))

        def decide(records: list[Record | None], revision: int) -> Answer:
            del revision
            return Need([b"a"]) if not records else None

        receipt = await engine.transact([], decide)
        assert receipt.revision == head == await engine.head()

    @promise()
    async def test_what_was_decided_on_further_keys_tells_what_it_replaced(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"1"), (b"b", b"2"))

        def decide(records: list[Record | None], revision: int) -> Answer:
            del revision
            if len(records) == 1:
                return Need([b"b"])
            return Batch([Put(b"a", b"new"), Put(b"b", b"new"), Put(b"c", b"new")])

        receipt = await engine.transact([b"a"], decide, previous=True)
        assert receipt.previous == {
            b"a": Record(b"1", first),
            b"b": Record(b"2", first),
            b"c": None,
        }

    @promise()
    async def test_asking_is_bounded_and_asking_on_and_on_is_refused(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))

        def patient(times: int) -> tuple[list[int], object]:
            calls: list[int] = []

            def decide(records: list[Record | None], revision: int) -> Answer:
                del revision
                calls.append(len(records))
                return Need([b"a"]) if len(records) < times else draft((b"b", b""))

            return calls, decide

        calls, decide = patient(NEEDS_MAX)
        await engine.transact([], decide)  # type: ignore[arg-type]
        assert calls[-NEEDS_MAX - 1 :] == list(range(NEEDS_MAX + 1))
        calls, decide = patient(NEEDS_MAX + 100)
        with pytest.raises(InvalidInput, match=str(NEEDS_MAX)):
            await engine.transact([], decide)  # type: ignore[arg-type]
        assert max(calls) == NEEDS_MAX
        assert await engine.head() == head + 1
        await engine.transact([b"a"], increment(b"a"))
        assert await contents(engine) == {b"a": b"2", b"b": b""}

    @promise("trap 29", tasks=True)
    async def test_what_was_seen_later_is_as_safe_as_what_was_seen_first(
        self, subject: Subject
    ) -> None:
        """Which key to count in stands under another key, and changes meanwhile."""
        engine = await subject.open()
        await put(engine, (b"which", b"n0"))

        def decide(records: list[Record | None], revision: int) -> Answer:
            del revision
            which = records[0]
            assert which is not None
            if len(records) == 1:
                return Need([which.value])
            count = 1 + int(records[1].value if records[1] else 0)
            return draft((which.value, b"%d" % count))

        async def count() -> None:
            for _ in range(4):
                await engine.transact([b"which"], decide)

        async def move() -> None:
            for number in range(1, 4):
                await put(engine, (b"which", b"n%d" % number))
                await asyncio.sleep(0)

        await asyncio.gather(*(count() for _ in range(TASKS)), move())
        counted = await contents(engine)
        del counted[b"which"]
        assert sum(map(int, counted.values())) == TASKS * 4

    @promise("trap 50", needs="transacts_once", tasks=True)
    async def test_a_function_that_asks_is_told_the_revision_of_its_commit_each_time(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()

        async def ask() -> None:
            told: list[int] = []

            def decide(records: list[Record | None], revision: int) -> Answer:
                told.append(revision)
                if len(records) == 1:
                    return Need([b"n"])
                return increment(b"n")(records[1:], revision)

            receipt = await engine.transact([b"which"], decide)
            assert told == [receipt.revision] * 2

        await asyncio.gather(*(ask() for _ in range(TASKS)))
        assert await value_of(engine, b"n") == b"%d" % TASKS
