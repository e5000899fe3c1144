"""The breaker opens, rests, asks once, and closes or opens by the answer."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contract.batch import Batch, Draft, Put
from holdfast.contract.engine import NOT_NOW
from holdfast.contract.errors import (
    ConfigInvalid,
    Conflict,
    ConnectionFailed,
    ConnectionLost,
    InvalidKey,
    InvalidValue,
    StoreClosed,
    StoreError,
)
from holdfast.contract.record import Record
from holdfast.contract.runtime import ManualClock
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.breaker import Breaker, BreakerLayer
from holdfast.layers.faults import Fault, FaultsLayer
from holdfast.runtime.system import drive
from tests.layers.trouble import components, failing, opened

LOST = ConnectionLost("planned")


def breaking(*faults: Fault) -> tuple[BreakerLayer, FaultsLayer, ManualClock]:
    given, _, clock = components()
    below = failing(given, *faults)
    return Breaker(failures=3, rest_s=5.0)(below), below, clock


def state_of(layer: BreakerLayer) -> str:
    return layer.state


def lose(layer: BreakerLayer, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionLost, match="planned"):
            drive(layer.read([b"k"]))


@pytest.mark.row("D-142")
def test_it_opens_asks_once_and_closes() -> None:
    layer, below, clock = breaking(*(Fault("read", on=n, error=LOST) for n in range(1, 5)))
    lose(layer, 3)
    assert state_of(layer) == "open"
    for call in (lambda: layer.read([b"k"]), lambda: layer.commit(Batch([Put(b"k", b"1")]))):
        with pytest.raises(ConnectionFailed, match=r"open: 3 calls in a row .* in 5\.0 s"):
            drive(call())
    assert below.calls["read"] == 3
    assert below.calls["commit"] == 0
    clock.advance(5.0)
    lose(layer, 1)  # Asks, and is told that nothing has changed.
    assert state_of(layer) == "open"
    with pytest.raises(ConnectionFailed):
        drive(layer.read([b"k"]))
    clock.advance(5.0)
    assert drive(layer.read([b"k"])) == [None]
    assert state_of(layer) == "closed"
    assert layer.refused == 3
    assert below.calls["read"] == 5


def test_only_failures_in_a_row_count() -> None:
    layer, _, _ = breaking(*(Fault("read", on=n, error=LOST) for n in (1, 2, 4, 5)))
    lose(layer, 2)
    drive(layer.read([b"k"]))
    lose(layer, 2)
    assert state_of(layer) == "closed"


def test_an_engine_that_says_no_is_well() -> None:
    layer, _, _ = breaking(
        *(Fault("read", on=n, error=LOST) for n in (1, 2, 4, 5)),
        Fault("read", on=3, error=Conflict("planned")),
    )
    lose(layer, 2)
    with pytest.raises(Conflict):
        drive(layer.read([b"k"]))
    lose(layer, 2)
    assert state_of(layer) == "closed"


def test_while_one_asks_the_others_are_refused() -> None:
    layer, _, clock = breaking(*(Fault("read", on=n, error=LOST) for n in (1, 2, 3)))
    lose(layer, 3)
    clock.advance(5.0)
    met: list[Any] = []

    def decide(records: list[Record | None], revision: int) -> Draft:
        try:
            drive(layer.head())
        except ConnectionFailed as error:
            met.append(str(error))
        return Draft()

    drive(layer.transact([], decide))
    assert len(met) == 1
    assert met[0].startswith("the breaker is half-open")
    assert state_of(layer) == "closed"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x")])
def test_who_asks_and_is_interrupted_leaves_the_question_to_the_next(error: Any) -> None:
    layer, _, clock = breaking(
        *(Fault("read", on=n, error=LOST) for n in (1, 2, 3)), Fault("read", on=4, error=error)
    )
    lose(layer, 3)
    clock.advance(5.0)
    with pytest.raises(type(error)):
        drive(layer.read([b"k"]))
    assert state_of(layer) == "open"
    drive(layer.read([b"k"]))
    assert state_of(layer) == "closed"


def test_what_a_function_raises_is_not_trouble_of_the_engine() -> None:
    layer, _, _ = breaking()

    def decide(records: list[Record | None], revision: int) -> Draft:
        raise ConnectionLost("of another server")

    for _ in range(5):
        with pytest.raises(ConnectionLost):
            drive(layer.transact([], decide))
    assert state_of(layer) == "closed"


def test_letting_go_is_never_refused() -> None:
    layer, below, _ = breaking(*(Fault("read", on=n, error=LOST) for n in (1, 2, 3)))
    lose(layer, 3)
    drive(layer.close())
    assert below.calls["close"] == 1


def test_calls_without_a_coroutine_stay_and_are_guarded() -> None:
    class Losing(MemoryEngine):
        async def head(self) -> int:
            raise LOST

    given, _, _ = components()
    layer = opened(Breaker(failures=1)(Losing(MemoryConfig(), given)))
    assert layer.peek is not None
    assert layer.peek(b"k") is None
    with pytest.raises(ConnectionLost):
        drive(layer.head())
    assert layer.peek(b"k") is NOT_NOW
    assert layer.transact_now is not None
    assert layer.transact_now([], lambda *_: Batch([Put(b"k", b"1")])) is NOT_NOW
    with pytest.raises(ConnectionFailed):
        drive(layer.transact([], lambda *_: Batch([Put(b"k", b"1")])))


def test_settings_that_make_no_sense_are_refused() -> None:
    assert Breaker.from_text("failures=2:rest_s=1m") == Breaker(failures=2, rest_s=60.0)
    for text in ("failures=0", "rest_s=0", "rest_s=2h", "rests=1", "failures=1.5"):
        with pytest.raises(ConfigInvalid, match=r"failures|rest_s"):
            Breaker.from_text(text)


@pytest.mark.parametrize("error", [InvalidKey("x"), StoreClosed("x"), StoreError("x")])
def test_who_asks_and_is_refused_before_the_engine_leaves_the_question_to_the_next(
    error: StoreError,
) -> None:
    layer, below, clock = breaking(
        *(Fault("read", on=n, error=LOST) for n in (1, 2, 3, 5)), Fault("read", on=4, error=error)
    )
    lose(layer, 3)
    clock.advance(5.0)
    with pytest.raises(type(error)):
        drive(layer.read([b"k"]))
    assert state_of(layer) == "open"
    lose(layer, 1)  # The next one asks at once, and the engine is still away.
    assert state_of(layer) == "open"
    with pytest.raises(ConnectionFailed):
        drive(layer.read([b"k"]))
    assert below.calls["read"] == 5


def test_the_words_of_a_server_close_the_breaker_whatever_they_became() -> None:
    layer, _, clock = breaking(
        *(Fault("read", on=n, error=LOST) for n in (1, 2, 3)),
        Fault("read", on=4, error=InvalidValue("x", reply="WRONGTYPE")),
    )
    lose(layer, 3)
    clock.advance(5.0)
    with pytest.raises(InvalidValue):
        drive(layer.read([b"k"]))
    assert state_of(layer) == "closed"


def test_what_says_nothing_of_the_engine_does_not_end_a_row_of_failures() -> None:
    layer, _, _ = breaking(
        *(Fault("read", on=n, error=LOST) for n in (1, 2, 4)),
        Fault("read", on=3, error=InvalidKey("x")),
    )
    lose(layer, 2)
    with pytest.raises(InvalidKey):
        drive(layer.read([b"k"]))
    lose(layer, 1)
    assert state_of(layer) == "open"


def test_one_that_asks_for_long_does_not_keep_the_others_out_for_ever() -> None:
    layer, _, clock = breaking(*(Fault("read", on=n, error=LOST) for n in (1, 2, 3)))
    lose(layer, 3)
    clock.advance(5.0)

    def decide(records: list[Record | None], revision: int) -> Draft:
        with pytest.raises(ConnectionFailed):
            drive(layer.head())
        clock.advance(5.0)
        drive(layer.head())
        assert state_of(layer) == "closed"
        return Draft()

    drive(layer.transact([], decide))
    assert state_of(layer) == "closed"
