"""Children: they answer, their failures are told, and the shim in them counts flushes."""

from pathlib import Path
from time import perf_counter

import pytest

from benchmarks import measuring
from benchmarks.child import Child, ChildFailed
from benchmarks.shim import Shim, compile_shim
from tests import needs
from tests.benchmarks import children

NAMES = ("holdfast memory, async", "holdfast lmdb full, sync")


def test_a_call_runs_in_the_child_and_its_failure_leaves_it_usable() -> None:
    with Child() as child:
        with pytest.raises(ChildFailed, match="on purpose"):
            child.call(children.fail)
        assert child.call(children.process) == child.pid


def test_a_dead_child_is_told_with_its_last_words() -> None:
    with Child() as child, pytest.raises(ChildFailed, match="last words"):
        child.call(children.die)


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    compiled = compile_shim(tmp_path)
    assert compiled is not None
    return compiled


@needs.preloading
def test_the_shim_counts_flushes_and_nothing_else(shim: Shim, tmp_path: Path) -> None:
    with Child(shim.environment()) as child:
        before, plain, after = child.call(children.flush, tmp_path, 5)
    assert before is not None
    assert plain == before
    assert after == before + 15


@needs.preloading
def test_the_shim_makes_each_flush_take_longer(shim: Shim, tmp_path: Path) -> None:
    with Child(shim.environment(delay_us=2_000)) as child:
        child.call(children.process)
        started = perf_counter()
        child.call(children.flush, tmp_path, 5)
        assert perf_counter() - started >= 15 * 0.002


def test_without_the_shim_flushes_are_unknown(tmp_path: Path) -> None:
    with Child() as child:
        assert child.call(children.flush, tmp_path, 1) == (None, None, None)


@pytest.mark.parametrize("name", NAMES)
def test_verification_passes_what_was_written(name: str, tmp_path: Path) -> None:
    with Child() as child:
        child.call(measuring.fill, name, tmp_path, 200, 1)
        for letter in "ADEF":
            child.call(measuring.measure, name, letter, 0.001)
        assert "past versions" in child.call(children.verify, name)


@pytest.mark.parametrize("name", NAMES)
def test_verification_finds_a_write_that_was_not_asked_for(name: str, tmp_path: Path) -> None:
    with Child() as child:
        child.call(measuring.fill, name, tmp_path, 120, 1)
        child.call(children.write_behind_the_model, name, 77)
        with pytest.raises(ChildFailed, match="Wrong: user/000000:77"):
            child.call(children.verify, name)


@pytest.mark.parametrize("name", NAMES)
def test_verification_finds_a_lost_write(name: str, tmp_path: Path) -> None:
    with Child() as child:
        child.call(measuring.fill, name, tmp_path, 120, 1)
        child.call(children.forget_a_write, name, 5)
        with pytest.raises(ChildFailed, match="Wrong: user/000000:05"):
            child.call(children.verify, name)
