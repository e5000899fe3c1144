"""An interrupt (Ctrl-C) at each step of a commit in the journal: it is whole or absent."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.batch import Batch, CheckKey, Put
from holdfast.contract.record import Range
from holdfast.engines.lmdb import LmdbEngine, journal_file, journaled, writer
from holdfast.engines.lmdb.locks import ProcessLocks
from holdfast.runtime.system import drive
from tests.engines.journal.journal_database import crashed, is_on, journaling
from tests.engines.lmdb_database import get, opened
from tests.faults.interrupts import each_line, elsewhere
from tests.faults.test_interrupted_engines import VERBS

POINTS: dict[str, tuple[type, str]] = {
    "write": (journal_file.JournalFile, "_write"),
    "bytes": (journal_file.JournalFile, "_write_all"),
    "append": (journal_file.JournalFile, "append"),
    "begin": (journal_file.JournalFile, "begin"),
    "start": (journaled.Journaled, "_begin_generation"),
    "land": (journaled.Journaled, "_land_now"),
    "layer": (journaled.Journaled, "_layer"),
    "roll": (journaled.Journaled, "_roll"),
    "drain": (journaled.Journaled, "_drain"),
    "bulk": (journaled.Journaled, "_write"),
    "direct": (journaled.Journaled, "_go_direct"),
    "resolve": (journaled.Journaled, "_resolve"),
    "finish": (writer.LmdbWriter, "finish"),
    "commit": (writer.LmdbWriter, "_commit"),
    "abandon": (writer.LmdbWriter, "abandon"),
    "end turn": (ProcessLocks, "end_turn"),
    "unclaim": (ProcessLocks, "unclaim"),
}
WAYS = ("commit", "roll", "share", "big", "start")


@pytest.mark.row("K-022", "trap 15")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, when: str, way: str
) -> None:
    """A counter shows whether a commit is there twice, or was told and is not there."""
    app = tmp_path / "app"
    interrupted: list[str] = []

    def arm() -> None:
        owner, attribute = POINTS[point]
        action = getattr(owner, attribute)

        def once(*arguments: Any, **named: Any) -> Any:
            here = threading.current_thread() is threading.main_thread() and not interrupted
            if here and when == "before":
                interrupted.append(point)
                raise KeyboardInterrupt
            result = action(*arguments, **named)
            if here:
                interrupted.append(point)
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(owner, attribute, once)

    told = 0
    with journaling(app) as engine:
        for _ in range(3):
            told = _add(engine, told)
        assert is_on(engine)
        _prepare(engine, way)
        arm()
        value = b"x" * 100_000 if way == "big" else b""
        maybe = told + 1
        try:
            _add(engine, told, value)
        except KeyboardInterrupt:
            told = _counted(engine)
            assert told in (maybe - 1, maybe)
        else:
            told = maybe
        interrupted.append("once")
        for _ in range(3):
            told = _add(engine, told)
        assert _counted(engine) == told
        head = drive(engine.head())
        left = crashed(app, tmp_path / "left") if engine._journaled is not None else app
    for path in (app, left):
        with opened(path) as engine:
            assert (_counted(engine), drive(engine.head())) == (told, head)
            assert drive(engine.check()) == []


def _prepare(engine: LmdbEngine, way: str) -> None:
    """Have the next commit do more than append."""
    assert engine._journaled is not None
    if way == "roll":
        engine._journaled._roll_soon = True
    elif way == "share":
        engine._journaled._due = True
    elif way == "start":
        engine._flush()


def _add(engine: LmdbEngine, told: int, value: bytes = b"") -> int:
    """Count one more, on what was told before; the count."""
    found = drive(engine.read([b"count"]))[0]
    revision = None if found is None else found.revision
    assert told == (0 if found is None else int(found.value))
    batch = Batch(
        [CheckKey(b"count", revision), Put(b"count", b"%d" % (told + 1)), Put(b"v", value)]
    )
    drive(engine.commit(batch))
    return told + 1


def _counted(engine: LmdbEngine) -> int:
    return int(get(engine, b"count") or b"0")


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.row("K-022", "trap 15")
@pytest.mark.parametrize("verb", ["transact", "commit", "snapshot"])
def test_a_verb_interrupted_at_any_line(tmp_path: Path, verb: str) -> None:
    """And a kill right then leaves what every reader saw."""
    app, copies = tmp_path / "app", 0
    with journaling(app) as engine:
        VERBS[verb](engine)
        known = 0

        def works() -> None:
            nonlocal known
            _prepare(engine, ("commit", "roll", "share", "start")[copies % 4])
            known = _add(engine, known)

        for place in each_line(lambda: VERBS[verb](engine)):
            elsewhere(works, place)
            if copies % 40 == 0:
                left = crashed(app, tmp_path / str(copies))
                with opened(left) as other:
                    assert drive(other.scan(Range())) == drive(engine.scan(Range())), place
            copies += 1
        assert copies > 10
        assert drive(engine.check()) == []
