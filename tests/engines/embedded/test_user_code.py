"""User code inside a commit: what it raises is its caller's, and it cannot write itself."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.batch import Draft, Receipt
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.errors import StoreLocked, WrongContext
from holdfast.contract.record import Record
from holdfast.engines.embedded import committer
from holdfast.engines.embedded.pace import FLUSH_MAX_S
from holdfast.engines.lmdb import LmdbEngine
from holdfast.runtime.system import drive
from tests.engines.embedded.engines import ENGINES, driven, raising, writing

ERRORS = [
    StopIteration("nothing left"),
    StopAsyncIteration(),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    KeyboardInterrupt(),
    pytest.fail.Exception("a test failed"),
    ValueError("wrong"),
]


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def engine(name: str, tmp_path: Path) -> Iterator[Engine]:
    with driven(name, tmp_path) as engine:
        yield engine


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_a_function_raises_reaches_its_thread_alone(
    engine: Engine, error: BaseException
) -> None:
    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(expected) as caught:
        drive(engine.transact([b"a"], raising(error)))
    if expected is RuntimeError:
        assert caught.value.__cause__ is error
    assert drive(engine.transact([b"a"], writing(b"a"))).revision == 1
    assert engine.transact_now is not None
    with pytest.raises(expected):
        engine.transact_now([b"a"], raising(error))
    receipt = engine.transact_now([b"a"], writing(b"a"))
    assert receipt is not NOT_NOW
    assert receipt.revision == 2


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_what_a_function_raises_reaches_its_task_alone(
    name: str, tmp_path: Path, error: BaseException
) -> None:
    engine = ENGINES[name](tmp_path)
    await engine.open()

    async def fail() -> type[BaseException]:
        # Caught here: asyncio lets SystemExit and KeyboardInterrupt of a task end its loop.
        try:
            await engine.transact([b"a"], raising(error))
        except BaseException as caught:
            return type(caught)
        raise AssertionError("it did not fail")

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    try:
        for _ in range(2):
            results = await asyncio.wait_for(
                asyncio.gather(
                    engine.transact([b"a"], writing(b"a")),
                    fail(),
                    engine.transact([b"b"], writing(b"b")),
                    fail(),
                    engine.transact([b"c"], writing(b"c")),
                ),
                10,
            )
            assert [one if isinstance(one, type) else type(one) for one in results] == [
                Receipt, expected, Receipt, expected, Receipt,
            ]  # fmt: skip
        assert await engine.head() == 6
    finally:
        await engine.close()


def test_a_write_inside_a_function_is_refused_by_name(engine: Engine) -> None:
    def decide(records: list[Record | None], revision: int) -> Draft:
        drive(engine.transact([b"b"], writing(b"b")))
        raise AssertionError("it was not refused")

    with pytest.raises(WrongContext, match="after the call"):
        drive(engine.transact([b"a"], decide))

    def decide_now(records: list[Record | None], revision: int) -> Draft:
        assert engine.transact_now is not None
        engine.transact_now([b"b"], writing(b"b"))
        raise AssertionError("it was not refused")

    with pytest.raises(WrongContext):
        drive(engine.transact([b"a"], decide_now))
    drive(engine.transact([b"a"], writing(b"a")))
    assert drive(engine.read([b"b"])) == [None]


async def test_a_write_handed_over_inside_a_function_is_refused(name: str, tmp_path: Path) -> None:
    """On a loop: to another thread, and from there back to the loop."""
    engine = ENGINES[name](tmp_path)
    await engine.open()
    loop = asyncio.get_running_loop()

    def to_a_thread(records: list[Record | None], revision: int) -> Draft:
        def write() -> None:
            drive(engine.transact([b"b"], writing(b"b")))

        failed: list[BaseException] = []

        def work() -> None:
            try:
                context.run(write)
            except WrongContext as error:
                failed.append(error)

        context = contextvars.copy_context()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        raise failed[0]

    def to_the_loop(records: list[Record | None], revision: int) -> Draft:
        write = engine.transact([b"b"], writing(b"b"))
        asyncio.run_coroutine_threadsafe(write, loop).result(20)
        raise AssertionError("it was not refused")

    try:
        with pytest.raises(WrongContext):
            await asyncio.wait_for(engine.transact([b"a"], to_a_thread), 10)
        if isinstance(engine, LmdbEngine) and name == "lmdb":
            # Where flushes are long, the function does not run on the loop's own thread.
            engine._pace.flush_s = FLUSH_MAX_S * 2
            engine._pace._retry_at = math.inf
            with pytest.raises(WrongContext):
                await asyncio.wait_for(engine.transact([b"a"], to_the_loop), 10)
        await engine.transact([b"a"], writing(b"a"))
        assert await engine.read([b"b"]) == [None]
    finally:
        await engine.close()


def test_a_function_that_waits_for_another_threads_write_does_not_hang(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "PATIENCE_S", 0.05)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            drive(engine.transact([b"b"], writing(b"b")))
        except StoreLocked as error:
            failed.append(error)

    def decide(records: list[Record | None], revision: int) -> Draft:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        raise failed[0]

    with pytest.raises(StoreLocked, match="function"):
        drive(engine.transact([b"a"], decide))
    drive(engine.transact([b"a"], writing(b"a")))
    assert drive(engine.read([b"b"])) == [None]


def test_a_slow_function_does_not_refuse_who_came_while_it_ran(engine: Engine) -> None:
    entered, go_on = threading.Event(), threading.Event()
    results: list[Any] = []

    def slow(records: list[Record | None], revision: int) -> Draft:
        entered.set()
        assert go_on.wait(10)
        return writing(b"slow")(records, revision)  # type: ignore[return-value]

    threads = [
        threading.Thread(target=lambda: results.append(drive(engine.transact([], slow)))),
        threading.Thread(target=lambda: results.append(drive(engine.transact([], writing(b"a"))))),
    ]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(one.revision for one in results) == [1, 2]


async def test_a_context_copied_inside_a_function_may_write_later(
    name: str, tmp_path: Path
) -> None:
    """So a task that the function starts is not refused once the function has returned."""
    engine = ENGINES[name](tmp_path)
    await engine.open()
    copied: list[contextvars.Context] = []

    def decide(records: list[Record | None], revision: int) -> Draft:
        copied.append(contextvars.copy_context())
        return writing(b"a")(records, revision)  # type: ignore[return-value]

    try:
        await engine.transact([b"a"], decide)
        write = engine.transact([b"b"], writing(b"b"))
        assert (await asyncio.create_task(write, context=copied[0])).revision == 2
    finally:
        await engine.close()
