"""One Ctrl-C at every line of opening a file database, and of compacting it.

Apart from the other engines, because an opening reads the whole journal: each attempt gets a copy.
"""

from __future__ import annotations

import gc
import shutil
import threading
from pathlib import Path

import pytest

from holdfast.runtime.system import drive
from tests.engines.file_database import contents, delete, make, opened, put
from tests.faults.interrupts import each_line, elsewhere

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    # Dropped by the interrupt between its making and its first owner, and closed by that.
    pytest.mark.filterwarnings("ignore:unclosed file"),
]


def _resources() -> tuple[int, int]:
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def each(step: int) -> pytest.MarkDecorator:
    """Every so many lines in `make test`, every line in `make torture`."""
    return pytest.mark.parametrize("step", [step, pytest.param(1, marks=pytest.mark.torture)])


@each(11)
@pytest.mark.parametrize("durability", ["full", "relaxed"])
@pytest.mark.parametrize("there", [True, False])
def test_an_opening_interrupted_at_any_line_leaves_nothing_open(
    tmp_path: Path, durability: str, there: bool, step: int
) -> None:
    template = tmp_path / "template"
    template.mkdir()
    if there:
        with opened(template, durability=durability) as engine:
            put(engine, b"a")
            put(engine, b"b")
    path = tmp_path / "app"

    def works() -> None:
        with opened(path, durability=durability) as engine:
            put(engine, b"c")
            expected = {b"a", b"b", b"c"} if there else {b"c"}
            assert contents(engine).keys() == expected

    shutil.copytree(template, path)
    works()
    before = _resources()
    engines = []

    def open_one() -> None:
        engines.append(make(path, durability=durability))
        drive(engines[-1].open())

    def begin() -> None:
        shutil.rmtree(path)
        shutil.copytree(template, path)

    begin()
    places = 0
    for place in each_line(open_one, step=step):
        places += 1
        # Whoever was interrupted has the engine, and may close it; that it is open is not said.
        while engines:
            drive(engines.pop().close())
        elsewhere(works, place)
        begin()
    drive(engines.pop().close())
    assert places > 20
    after = _resources()
    assert after[0] <= before[0]
    assert after[1] <= before[1]


@each(13)
def test_a_compaction_interrupted_at_any_line_loses_nothing(tmp_path: Path, step: int) -> None:
    with opened(tmp_path / "app") as engine:
        expected = {b"%d" % number: b"%d" % number * 20 for number in range(3)}
        for key, value in expected.items():
            put(engine, key, value)
        put(engine, b"gone")
        delete(engine, b"gone")
        places = 0
        for place in each_line(lambda: drive(engine.compact()), step=step):
            places += 1

            def works(place: str = place, number: int = places) -> None:
                put(engine, b"new", b"%d" % number)
                assert contents(engine) == {**expected, b"new": b"%d" % number}, place

            elsewhere(works, place)
            assert drive(engine.check()) == [], place
            # What is written meanwhile would else make it longer by more than a step each time.
            drive(engine.compact())
            put(engine, b"0", expected[b"0"])
        assert places > 20
        assert drive(engine.check()) == []
    with opened(tmp_path / "app") as engine:
        assert {**expected, b"new": b"%d" % places} == contents(engine)
        assert drive(engine.check()) == []
