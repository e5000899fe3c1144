"""How many messages each verb costs the server: counted there, and bounded for one and for many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from holdfast.contract.batch import Answer, Batch, CheckKey, Draft, Need, Put
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range, Record
from holdfast.testing.subject import answering, draft, increment
from tests.engines.remote.loopback_engine import LoopbackEngine
from tests.engines.remote.scene import opened, put, round_trips, run, value

TASKS = 64

Work = Callable[[LoopbackEngine], Awaitable[object]]


def asks_for_more(records: list[Record | None], revision: int) -> Answer:
    del revision
    return Need([b"further"]) if len(records) == 1 else draft((b"a", b""))


ONE: list[tuple[str, Work, dict[str, int]]] = [
    ("head", lambda engine: engine.head(), {"read": 1}),
    ("read", lambda engine: engine.read([b"a", b"b", b"none"]), {"read": 1}),
    ("read nothing", lambda engine: engine.read([]), {}),
    ("scan", lambda engine: engine.scan(Range()), {"scan": 1}),
    ("scan of no keys", lambda engine: engine.scan(Range(b"b", b"a")), {"read": 1}),
    ("commit", lambda engine: engine.commit(Batch([Put(b"a", b"")])), {"commit_many": 1}),
    ("transact", lambda engine: engine.transact([b"a"], increment(b"n")),
     {"read": 1, "commit_many": 1}),
    ("transact nothing", lambda engine: engine.transact([b"a"], answering(None)), {"read": 1}),
    ("transact an empty draft", lambda engine: engine.transact([b"a"], answering(Draft())),
     {"read": 1}),
    ("transact with further keys", lambda engine: engine.transact([b"a"], asks_for_more),
     {"read": 2, "commit_many": 1}),
    ("wait", lambda engine: engine.wait(0), {"wait_above": 1}),
    ("check", lambda engine: engine.check(), {"check": 1}),
    ("load", lambda engine: engine.load([(b"z", Record(b"", 9))]), {"load": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("work", "expected"), [one[1:] for one in ONE], ids=[one[0] for one in ONE]
)
def test_round_trips_of_one_call(work: Work, expected: dict[str, int], tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as writer:
            await put(writer, b"a", b"1")
            async with opened(tmp_path) as engine:
                assert await round_trips(engine, lambda: work(engine)) == expected

    run(test)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda engine, number: engine.read([b"%d" % number, b"shared"]), {"read": 1}),
        (lambda engine, number: engine.head(), {"read": 1}),
        (lambda engine, number: engine.commit(Batch([Put(b"%d" % number, b"")])),
         {"commit_many": 1}),
        (lambda engine, number: engine.transact([b"n"], increment(b"n")),
         {"read": 1, "commit_many": 1}),
        (lambda engine, number: engine.transact([b"%d" % number], increment(b"%d" % number)),
         {"read": 1, "commit_many": 1}),
        (lambda engine, number: engine.transact([b"n"], answering(None)), {"read": 1}),
        (lambda engine, number: engine.wait(0), {"wait_above": 1}),
    ],
    ids=["read", "head", "commit", "transact one key", "transact", "decide nothing", "wait"],
)  # fmt: skip
def test_many_tasks_share_the_round_trips_of_one(
    work: Callable[[LoopbackEngine, int], Awaitable[object]],
    expected: dict[str, int],
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with opened(tmp_path) as writer:
            await put(writer, b"shared", b"1")
            async with opened(tmp_path) as engine:

                async def all_of_them() -> None:
                    await asyncio.gather(*(work(engine, number) for number in range(TASKS)))

                assert await round_trips(engine, all_of_them) == expected

    run(test)


def test_each_shared_answer_is_of_its_own_keys(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            await engine.commit(
                Batch([Put(b"%d" % number, b"%d" % number) for number in range(20)])
            )
            found = await asyncio.gather(
                *(engine.read([b"%d" % (number + 1), b"%d" % number]) for number in range(20))
            )
            for number, records in enumerate(found):
                values = [record and record.value for record in records]
                assert values == [b"%d" % (number + 1) if number < 19 else None, b"%d" % number]

    run(test)


def test_a_transaction_that_loses_is_decided_anew_and_the_others_are_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine, opened(tmp_path) as other:
            decided = 0

            def slow(records: list[Record | None], revision: int) -> Answer:
                nonlocal decided
                decided += 1
                return increment(b"n")(records, revision)

            works = [asyncio.create_task(engine.transact([b"n"], slow)) for _ in range(8)]
            await put(other, b"n", b"100")
            await asyncio.gather(*works)
            # Whoever came before the other is overwritten by it, whoever came after counts on.
            assert 100 <= int(await value(engine, b"n") or 0) <= 108
            assert 8 <= decided <= 16

    run(test)


def test_a_function_that_asks_for_other_keys_each_time_comes_to_an_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            asked = 0

            def restless(records: list[Record | None], revision: int) -> Answer:
                nonlocal asked
                asked += 1
                return Need([b"%d" % asked])

            with pytest.raises(Conflict, match="other keys in each of"):
                await engine.transact([], restless)
            await engine.transact([b"n"], increment(b"n"))

    run(test)


def test_a_batch_that_may_not_be_applied_is_the_last_of_its_group(tmp_path: Path) -> None:
    """What follows would be told a revision that it may not get."""

    async def test() -> None:
        async with opened(tmp_path) as engine:
            told: list[tuple[int, int]] = []

            async def work(number: int) -> None:
                revisions: list[int] = []

                def decide(records: list[Record | None], revision: int) -> Answer:
                    revisions.append(revision)
                    checks = [CheckKey(b"never", None)] if number % 2 else []
                    return draft((b"%d" % number, b""), checks=checks)

                receipt = await engine.transact([b"%d" % number], decide)
                told.append((revisions[-1], receipt.revision))

            await asyncio.gather(*(work(number) for number in range(8)))
            assert all(promised <= got for promised, got in told)
            assert len({got for _, got in told}) == 8

    run(test)
