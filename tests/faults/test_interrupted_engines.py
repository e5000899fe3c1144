"""One Ctrl-C at every line of an engine's verbs: afterwards everything works."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.contract.batch import Append, Batch, CheckKey, Delete, DeleteRange, Draft, Put
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range, Record
from holdfast.runtime.system import drive
from tests.engines.embedded.engines import ENGINES, OPEN_AT_ONCE, driven, writing
from tests.faults.interrupts import each_line, elsewhere

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    # Dropped by the interrupt between its making and its first owner, and closed by that.
    pytest.mark.filterwarnings("ignore:unclosed file"),
]


def _now(engine: Engine) -> object:
    assert engine.transact_now is not None
    return engine.transact_now([b"a", b"b"], writing(b"a"))


def _whole(records: list[Record | None], revision: int) -> Draft:
    """Two rows that belong together."""
    draft = Draft()
    draft.rows[b"left"] = draft.rows[b"right"] = b"%d" % revision
    draft.appends.append((b"log", b""))
    return draft


VERBS: dict[str, Callable[[Engine], object]] = {
    "transact at once": _now,
    "transact": lambda engine: drive(engine.transact([b"left"], _whole)),
    "commit": lambda engine: drive(
        engine.commit(Batch([Put(b"c", b"1"), Delete(b"d"), DeleteRange(Range(b"e", b"f"))]))
    ),
    "checks": lambda engine: drive(engine.commit(Batch([CheckKey(b"none", None), Put(b"c", b"")]))),
    "read": lambda engine: drive(engine.read([b"left", b"right", b"c"])),
    "scan": lambda engine: drive(engine.scan(Range.prefix(b"l", limit=2))),
    "snapshot": lambda engine: drive(engine.snapshot()).close(),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ENGINES)
def test_a_verb_interrupted_at_any_line(name: str, verb: str, tmp_path: Path) -> None:
    with driven(name, tmp_path) as engine:
        VERBS[verb](engine)
        known = 0

        def works() -> None:
            nonlocal known
            head = drive(engine.transact([b"left"], _whole)).revision
            assert head > known
            known = head
            left, right = drive(engine.read([b"left", b"right"]))
            assert left is not None
            assert left == right == Record(b"%d" % head, head)

        interrupted = 0
        for place in each_line(lambda: VERBS[verb](engine)):
            interrupted += 1
            elsewhere(works, place)
        assert interrupted > 10
        assert drive(engine.check()) == []
        left, right = drive(engine.read([b"left", b"right"]))
        assert left == right
        revisions = [record.revision for _, record in drive(engine.scan(Range.prefix(b"log"))).rows]
        assert len(set(revisions)) == len(revisions), "no batch is written twice"


@pytest.mark.parametrize("name", ENGINES)
def test_a_batch_with_an_id_is_repeated_after_an_interrupt_at_any_line(
    name: str, tmp_path: Path
) -> None:
    """Whether the interrupted call wrote or not: once it is repeated, it has written once."""
    with driven(name, tmp_path) as engine:
        number = 0

        def commit() -> int:
            batch = Batch([Append(b"log", b"%d" % number)], id=b"%d" % number)
            return drive(engine.commit(batch)).revision

        for place in each_line(commit):
            revision = commit()
            assert commit() == revision, place
            rows = drive(engine.scan(Range.prefix(b"log"))).rows
            written = [record.revision for _, record in rows if record.value == b"%d" % number]
            assert written == [revision], place
            number += 1
        assert number > 10


@pytest.mark.parametrize("name", ENGINES)
def test_an_interrupted_leader_leaves_the_others_batches_to_them(name: str, tmp_path: Path) -> None:
    """Threads that write meanwhile neither get the interrupt nor wait for ever."""
    with driven(name, tmp_path) as engine:
        done = threading.Event()
        counts = [0, 0]
        failed: list[BaseException] = []

        def write(number: int) -> None:
            def decide(records: list[Record | None], revision: int) -> Draft:
                draft = Draft()
                there = int(records[0].value) if records[0] is not None else 0
                draft.rows[b"%d" % number] = b"%d" % (there + 1)
                return draft

            try:
                while not done.is_set():
                    drive(engine.transact([b"%d" % number], decide))
                    counts[number] += 1
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(2)]
        for thread in threads:
            thread.start()
        for place in each_line(lambda: VERBS["transact"](engine), step=2):
            assert not failed, place
        done.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        records = drive(engine.read([b"0", b"1"]))
        assert [int(one.value) for one in records if one is not None] == counts
        assert drive(engine.check()) == []


def _resources() -> tuple[int, int]:
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("name", OPEN_AT_ONCE)
def test_an_open_interrupted_at_any_line_leaves_nothing_open(name: str, tmp_path: Path) -> None:
    made = ENGINES[name]

    def open_and_close() -> None:
        drive(made(tmp_path).open())

    def works() -> None:
        engine = made(tmp_path)
        drive(engine.open())
        drive(engine.transact([], writing(b"a")))
        drive(engine.close())

    works()
    before = _resources()
    opened: list[Engine] = []

    def open_one() -> None:
        engine = made(tmp_path)
        opened.append(engine)
        drive(engine.open())

    places = 0
    for place in each_line(open_one, step=3):
        places += 1
        # Whoever was interrupted has the engine, and may close it; that it is open is not said.
        if opened:
            drive(opened.pop().close())
        elsewhere(works, place)
    drive(opened.pop().close())
    assert places > 2
    after = _resources()
    assert after[0] <= before[0]
    assert after[1] <= before[1]


@pytest.mark.parametrize("name", ENGINES)
def test_a_close_interrupted_at_any_line_can_be_repeated(name: str, tmp_path: Path) -> None:
    made = ENGINES[name]

    def works() -> None:
        engine = made(tmp_path)
        drive(engine.open())
        drive(engine.transact([], writing(b"a")))
        drive(engine.close())

    works()
    before = _resources()
    engines: list[Engine] = []

    def ready() -> Engine:
        engine = made(tmp_path)
        drive(engine.open())
        drive(engine.transact([], writing(b"a")))
        engines.append(engine)
        return engine

    ready()
    for place in each_line(lambda: drive(engines[-1].close()), step=2):
        drive(engines[-1].close())
        elsewhere(works, place)
        ready()
    after = _resources()
    assert after[0] <= before[0]
    assert after[1] <= before[1]
