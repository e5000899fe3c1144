"""A call is made again when that is safe, and never when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Draft, Put
from holdfast.contract.errors import (
    ConfigInvalid,
    Conflict,
    ConnectionFailed,
    ConnectionLost,
    OutcomeUnknown,
    Overloaded,
    StoreError,
    StoreLocked,
    TimedOut,
)
from holdfast.contract.record import Range, Record
from holdfast.engines.file import FileConfig, FileEngine
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers.faults import Fault
from holdfast.layers.retry import PAUSE_MAX_S, Retry
from holdfast.runtime.system import drive
from tests.layers.trouble import components, failing

HARMLESS = (ConnectionFailed, ConnectionLost, Overloaded, StoreLocked)
TROUBLE = (*HARMLESS, OutcomeUnknown, TimedOut)


@pytest.mark.parametrize("kind", TROUBLE)
@pytest.mark.parametrize("verb", ["head", "read", "scan", "snapshot", "wait", "check"])
def test_a_read_is_made_again_whatever_went_wrong(verb: Any, kind: type[StoreError]) -> None:
    given, host, _ = components()
    below = failing(given, Fault(verb, on=1, error=kind("x")), Fault(verb, on=2, error=kind("x")))
    layer = Retry()(below)
    drive(layer.commit(Batch([Put(b"k", b"1")])))
    calls: dict[str, Any] = {
        "head": layer.head,
        "read": lambda: layer.read([b"k"]),
        "scan": lambda: layer.scan(Range()),
        "snapshot": layer.snapshot,
        "wait": lambda: layer.wait(0),
        "check": layer.check,
    }
    drive(calls[verb]())
    assert below.calls[verb] == 3
    assert layer.retried == 2
    assert len(host.resting.rests) == 2
    assert 0.025 <= host.resting.rests[0] <= 0.05 <= host.resting.rests[1] <= 0.1


def test_the_last_attempt_tells_what_it_met() -> None:
    given, host, _ = components()
    faults = [Fault("read", on=n, error=ConnectionLost(f"attempt {n}")) for n in range(1, 9)]
    below = failing(given, *faults)
    layer = Retry(attempts=4, pause_s=20.0)(below)
    with pytest.raises(ConnectionLost, match="attempt 4"):
        drive(layer.read([b"k"]))
    assert below.calls["read"] == 4
    assert max(host.resting.rests) <= PAUSE_MAX_S
    once = Retry(attempts=1)(below)
    with pytest.raises(ConnectionLost, match="attempt 5"):
        drive(once.read([b"k"]))


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_write_of_which_nothing_was_written_is_made_again(kind: type[StoreError]) -> None:
    given, _, _ = components()
    below = failing(
        given, Fault("commit", on=1, error=kind("x")), Fault("transact", on=1, error=kind("x"))
    )
    layer = Retry()(below)
    assert drive(layer.commit(Batch([Put(b"k", b"1")]))).revision == 1
    assert drive(layer.transact([b"k"], lambda *_: Batch([Put(b"k", b"2")]))).revision == 2
    assert (below.calls["commit"], below.calls["transact"]) == (2, 2)


@pytest.mark.parametrize("kind", [OutcomeUnknown, TimedOut])
def test_a_write_that_may_have_happened_is_repeated_with_its_id_alone(
    kind: type[StoreError],
) -> None:
    given, _, _ = components()
    below = failing(
        given,
        Fault("commit", on=1, error=kind("x"), after=True),
        Fault("commit", on=2, error=kind("x"), after=True),
        Fault("transact", on=1, error=kind("x"), after=True),
    )
    layer = Retry()(below)
    with pytest.raises(kind):
        drive(layer.commit(Batch([Put(b"k", b"1")])))
    assert below.calls["commit"] == 1
    receipt = drive(layer.commit(Batch([Put(b"k", b"2")], id=bytes(16))))
    assert below.calls["commit"] == 3
    assert receipt.revision == drive(layer.head()) == 2, "applied once"
    with pytest.raises(kind):
        drive(layer.transact([b"k"], lambda *_: Batch([Put(b"k", b"3")])))
    assert below.calls["transact"] == 1


def test_a_function_that_may_run_once_runs_once() -> None:
    given, _, _ = components()
    below = failing(given, Fault("transact", on=1, error=ConnectionLost("x"), after=True))
    assert below.capabilities.transacts_once
    ran = []

    def decide(records: list[Record | None], revision: int) -> Draft:
        ran.append(revision)
        return Draft()

    with pytest.raises(ConnectionLost):
        drive(Retry()(below).transact([b"k"], decide))
    assert ran == [1]


class Deciding(MemoryEngine):
    """Runs the function as often as it takes, as engines with a server do."""

    @property
    def capabilities(self) -> Any:
        from dataclasses import replace

        return replace(super().capabilities, transacts_once=False)


def test_what_a_function_raises_is_not_trouble_of_the_engine() -> None:
    given, _, _ = components()
    engine = Deciding(MemoryConfig(), given)
    drive(engine.open())
    ran = []

    def decide(records: list[Record | None], revision: int) -> Draft:
        ran.append(revision)
        raise ConnectionLost("of another server")

    with pytest.raises(ConnectionLost, match="of another server"):
        drive(Retry()(engine).transact([b"k"], decide))
    assert len(ran) == 1


@pytest.mark.parametrize("error", [Conflict("x"), ValueError("x"), KeyboardInterrupt()])
def test_other_failures_come_out_at_once(error: Any) -> None:
    given, host, _ = components()
    below = failing(given, Fault("read", on=1, error=error))
    layer = Retry()(below)
    with pytest.raises(type(error)):
        drive(layer.read([b"k"]))
    assert below.calls["read"] == 1
    assert host.resting.rests == []


def test_it_keeps_what_the_engine_answers_without_a_coroutine() -> None:
    given, _, _ = components()
    engine = MemoryEngine(MemoryConfig(), given)
    drive(engine.open())
    layer = Retry()(engine)
    assert layer.transact_now is not None
    layer.transact_now([b"k"], lambda *_: Batch([Put(b"k", b"1")]))
    assert layer.peek is not None
    assert layer.peek(b"k") == (b"1", 1)
    assert layer.peek_page is not None
    assert layer.peek_page(Range()) == drive(layer.scan(Range()))
    assert Retry()(failing(given)).peek is None, "the engine below has none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attempts=0", "attempts is from 1 to 100; found 0"),
        ("attempts=many", "a whole number; found 'many'"),
        ("pause_s=1h", "pause_s is from 0"),
        ("attempt=3", "did you mean 'attempts'"),
        ("attempts", "a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        Retry.from_text(text)
    assert Retry.from_text("attempts=5:pause_s=10ms") == Retry(attempts=5, pause_s=0.01)
    with pytest.raises(ConfigInvalid, match="whole number"):
        Retry(attempts="3")  # type: ignore[arg-type]


def test_a_database_that_another_holds_is_opened_once_it_is_free(tmp_path: Path) -> None:
    given, host, _ = components()
    config = FileConfig(path=tmp_path / "app")
    holder = FileEngine(config, given)
    drive(holder.open())
    layer = Retry()(FileEngine(config, given))
    with pytest.raises(StoreLocked):
        drive(layer.open())
    assert layer.retried == 2
    rest = host.resting.sleep

    async def freed(seconds: float) -> None:
        await holder.close()
        await rest(seconds)

    host.resting.sleep = freed  # type: ignore[method-assign]
    drive(layer.open())
    assert drive(layer.commit(Batch([Put(b"k", b"1")]))).revision == 1
    drive(layer.close())
