"""`transact`: reading, deciding and committing as one step."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.contract.batch import Append, Batch, CheckKey, Decide, Delete, Put, append_key
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Record
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, always, contents, increment, never, put, value_of

#: How many tasks fight for one key.
TASKS = 64


class Mistake(Exception):
    """What a decision of the caller's raises."""


class Transactions(Section):
    @promise()
    async def test_a_decision_sees_the_records_in_the_order_of_the_keys(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"1"))
        second = await put(engine, (b"b", b"2"))
        seen: list[list[Record | None]] = []

        def decide(records: list[Record | None], revision: int) -> None:
            assert revision > second
            seen.append(records)

        await engine.transact([b"b", b"none", b"a"], decide)
        assert seen[-1] == [Record(b"2", second), None, Record(b"1", first)]

    @promise()
    async def test_what_was_decided_is_committed(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b"1"), (b"other", b"2"))
        receipt = await engine.transact(
            [b"a"],
            always(Put(b"a", b"decided"), Delete(b"other"), Append(b"log", b"3")),
        )
        log = append_key(b"log", receipt.revision, 0)
        assert await contents(engine) == {b"a": b"decided", log: b"3"}
        assert await engine.head() == receipt.revision

    @promise()
    async def test_a_decision_for_nothing_writes_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        receipt = await engine.transact([b"a"], never)
        assert receipt.revision == head == await engine.head()
        receipt = await engine.transact([b"a"], always())
        assert receipt.revision == head == await engine.head()
        assert await contents(engine) == {b"a": b"1"}

    @promise()
    async def test_a_transaction_may_look_at_no_keys(self, subject: Subject) -> None:
        engine = await subject.open()
        await engine.transact([], always(Put(b"a", b"1")))
        assert await value_of(engine, b"a") == b"1"

    @promise()
    async def test_a_decision_that_raises_concerns_only_its_caller(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        mistake = Mistake("of the caller")
        with pytest.raises(Mistake) as raised:
            await engine.transact([b"a"], _raising(mistake))
        assert raised.value is mistake
        assert await engine.head() == head
        assert await contents(engine) == {b"a": b"1"}
        await engine.transact([b"a"], increment(b"a"))
        assert await value_of(engine, b"a") == b"2"

    @promise(tasks=True)
    async def test_one_raising_decision_among_many_spoils_none_of_them(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        outcomes = await asyncio.gather(
            *(
                engine.transact(
                    [b"n"], _raising(Mistake(str(n))) if n % 3 == 0 else increment(b"n")
                )
                for n in range(TASKS)
            ),
            return_exceptions=True,
        )
        for number, outcome in enumerate(outcomes):
            if number % 3 == 0:
                assert isinstance(outcome, Mistake)
                assert str(outcome) == str(number), "each caller gets its own mistake"
            else:
                assert not isinstance(outcome, BaseException), outcome
        assert await value_of(engine, b"n") == b"%d" % sum(n % 3 != 0 for n in range(TASKS))

    @promise("trap 29", "E-029", tasks=True)
    async def test_many_tasks_lose_no_increment(self, subject: Subject) -> None:
        engine = await subject.open()
        rounds = 4

        async def work() -> list[int]:
            return [
                (await engine.transact([b"n"], increment(b"n"))).revision for _ in range(rounds)
            ]

        revisions = await asyncio.gather(*(work() for _ in range(TASKS)))
        assert await value_of(engine, b"n") == b"%d" % (TASKS * rounds)
        flat = [revision for each in revisions for revision in each]
        assert len(set(flat)) == len(flat), "each commit has a revision of its own"
        assert all(each == sorted(each) for each in revisions)

    @promise("trap 50", needs="transacts_once", tasks=True)
    async def test_a_decision_runs_exactly_once_and_knows_its_revision(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        told: list[int] = []

        def decide(records: list[Record | None], revision: int) -> Batch | None:
            told.append(revision)
            return increment(b"n")(records, revision)

        noise = [asyncio.create_task(put(engine, (b"other", b"%d" % n))) for n in range(TASKS)]
        receipts = await asyncio.gather(*(engine.transact([b"n"], decide) for _ in range(TASKS)))
        await asyncio.gather(*noise)
        assert len(told) == TASKS, "the decision ran more than once"
        committed = [receipt.revision for receipt in receipts]
        assert sorted(told) == sorted(committed), "the revision told is the one of the commit"

    @promise("trap 25", tasks=True)
    async def test_each_transaction_replaces_what_it_decided_on(self, subject: Subject) -> None:
        engine = await subject.open()
        callers = 100
        receipts = await asyncio.gather(
            *(engine.transact([b"n"], increment(b"n"), previous=True) for _ in range(callers))
        )
        before: list[int] = []
        for receipt in receipts:
            assert receipt.previous is not None
            record = receipt.previous[b"n"]
            before.append(0 if record is None else int(record.value))
            assert record is None or record.revision < receipt.revision
        assert sorted(before) == list(range(callers)), "each saw another predecessor"

    @promise()
    async def test_previous_is_told_when_asked_for(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"n", b"1"), (b"other", b"2"))
        decide = always(Put(b"n", b"new"), Delete(b"other"), Put(b"third", b""))
        receipt = await engine.transact([b"n"], decide)
        assert receipt.previous is None
        await put(engine, (b"n", b"1"), (b"other", b"2"))
        receipt = await engine.transact([b"n"], decide, previous=True)
        assert receipt.previous is not None
        values = {key: record and record.value for key, record in receipt.previous.items()}
        assert values == {b"n": b"1", b"other": b"2", b"third": b""}
        assert first < receipt.revision

    @promise()
    async def test_a_failed_check_of_a_decided_batch_is_a_conflict(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"n", b"1"), (b"guard", b""))
        with pytest.raises(Conflict):
            await engine.transact(
                [b"n"],
                always(CheckKey(b"guard", None), Put(b"n", b"2")),
            )
        assert await value_of(engine, b"n") == b"1"

    @promise()
    async def test_a_decided_batch_with_a_known_id_is_not_applied_again(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()

        def decide(records: list[Record | None], revision: int) -> Batch:
            batch = increment(b"n")(records, revision)
            return Batch(batch.operations, id=b"once")

        first = await engine.transact([b"n"], decide)
        again = await engine.transact([b"n"], decide)
        assert again.revision == first.revision
        assert await value_of(engine, b"n") == b"1"


def _raising(mistake: Exception) -> Decide:
    def decide(records: list[Record | None], revision: int) -> Batch:
        del records, revision
        raise mistake

    return decide
