"""A call that takes too long is given up, and says what may have become of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Draft, Put
from holdfast.contract.errors import ConfigInvalid, OutcomeUnknown, TimedOut
from holdfast.contract.layering import Verb
from holdfast.contract.record import Range, Record
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.faults import Fault, FaultPlan, FaultsLayer
from holdfast.layers.time_limit import LIMITED, TimeLimit
from holdfast.runtime.system import drive, system_components

LONG_S = 30.0


def calls_of(layer: Any) -> dict[Verb, Any]:
    return {
        "head": layer.head,
        "read": lambda: layer.read([b"k"]),
        "scan": lambda: layer.scan(Range()),
        "snapshot": layer.snapshot,
        "commit": lambda: layer.commit(Batch([Put(b"k", b"1")])),
        "transact": lambda: layer.transact([b"k"], lambda *_: Batch([Put(b"k", b"1")])),
        "load": lambda: layer.load([(b"k", Record(b"1", 1))]),
    }


@pytest.mark.parametrize("verb", sorted(LIMITED))
def test_what_takes_too_long_is_given_up(verb: Verb) -> None:
    plan = FaultPlan((Fault(verb, on=1, delay_s=LONG_S),))
    wanted = OutcomeUnknown if verb in ("commit", "transact", "load") else TimedOut

    async def main() -> None:
        below = FaultsLayer(MemoryEngine(MemoryConfig(), system_components()), plan)
        layer = TimeLimit(seconds=0.01)(below)
        await layer.open()
        call = calls_of(layer)[verb]
        with pytest.raises(wanted, match=r"0.01 s.*time_limit:seconds") as failure:
            await call()
        assert failure.value.details["timeout_s"] == 0.01
        await call()
        await layer.close()

    asyncio.run(main())


def test_what_has_no_end_is_not_limited() -> None:
    async def main() -> None:
        layer = TimeLimit(seconds=0.01)(MemoryEngine(MemoryConfig(), system_components()))
        await layer.open()
        waiting = asyncio.create_task(layer.wait(0))
        await asyncio.sleep(0.03)
        assert not waiting.done()
        await layer.commit(Batch([Put(b"k", b"1")]))
        assert await waiting == 1
        await layer.close()

    asyncio.run(main())


@pytest.mark.parametrize("error", [TimeoutError("mine"), TimedOut("mine"), KeyError("mine")])
def test_what_a_function_raises_stays_what_it_is(error: Exception) -> None:
    def decide(records: list[Record | None], revision: int) -> Draft:
        raise error

    async def main() -> None:
        layer = TimeLimit()(MemoryEngine(MemoryConfig(), system_components()))
        await layer.open()
        with pytest.raises(type(error)) as failure:
            await layer.transact([], decide)
        assert failure.value is error
        await layer.close()

    asyncio.run(main())


def test_a_caller_without_a_loop_is_limited_where_it_waits() -> None:
    class Waiting(MemoryEngine):
        async def snapshot(self) -> Any:
            await self.wait(10)

    layer = TimeLimit(seconds=0.01)(Waiting(MemoryConfig(), system_components()))
    drive(layer.open())
    with pytest.raises(TimedOut, match="snapshot was not done within"):
        drive(layer.snapshot())
    drive(layer.close())


def test_it_keeps_what_the_engine_answers_without_a_coroutine() -> None:
    layer = TimeLimit()(MemoryEngine(MemoryConfig(), system_components()))
    drive(layer.open())
    assert layer.transact_now is not None
    layer.transact_now([b"k"], lambda *_: Batch([Put(b"k", b"1")]))
    assert layer.peek is not None
    assert layer.peek(b"k") == (b"1", 1)


def test_settings_that_make_no_sense_are_refused() -> None:
    assert TimeLimit.from_text("seconds=250ms") == TimeLimit(seconds=0.25)
    for text in ("seconds=0", "seconds=2d", "seconds=x", "second=1"):
        with pytest.raises(ConfigInvalid, match="seconds"):
            TimeLimit.from_text(text)
