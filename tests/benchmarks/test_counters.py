"""What one operation does is bounded: a change that adds a coroutine or many calls fails here.

The bounds are what was counted when they were last lowered. A change that needs more says why.
"""

import os
from pathlib import Path

import pytest

from benchmarks.child import Session
from benchmarks.counting import count
from benchmarks.workloads import counters

#: By engine and operation: coroutine steps, and calls of Python functions.
BOUNDS: dict[str, dict[str, tuple[float, float]]] = {
    "memory": {
        "sync set": (0, 43), "sync get": (0, 6), "sync modify": (0, 53),
        "sync items, each": (0.1, 2.61), "async set": (1, 50), "async get": (1, 8),
        "async modify": (1, 60),
    },
    "lmdb relaxed": {
        "sync set": (0, 61), "sync get": (0, 8), "sync modify": (0, 71),
        "sync items, each": (0.1, 4), "async get": (1, 10),
    },
    "lmdb full": {
        "sync set": (0, 82), "sync get": (0, 6), "sync modify": (0, 92),
        "sync items, each": (0.1, 1.8), "async get": (1, 8),
    },
    "sqlite full": {
        "sync set": (0, 91), "sync get": (0, 10), "sync modify": (0, 101),
        "sync items, each": (0.1, 1.7), "async get": (1, 12),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", counters.ENGINES)
def test_an_operation_does_no_more_than_it_did(name: str, tmp_path: Path) -> None:
    found = counters.count_all(Session(), name, tmp_path)
    assert found.keys() == BOUNDS[name].keys()
    over = {
        what: (counts.coroutines, counts.calls)
        for what, counts in found.items()
        if counts.coroutines > BOUNDS[name][what][0] or counts.calls > BOUNDS[name][what][1]
    }
    assert not over, f"coroutine steps and calls above their bounds {BOUNDS[name]}"


async def nothing() -> None:
    pass


def test_coroutines_and_calls_are_counted() -> None:
    def one(_number: int) -> None:
        coroutine = nothing()
        with pytest.raises(StopIteration):
            coroutine.send(None)

    def two(number: int) -> None:
        one(number)
        one(number)

    single, double = count(one), count(two)
    assert (single.coroutines, double.coroutines) == (1, 2)
    assert double.calls == 2 * single.calls + 1


def test_bytes_are_counted_where_the_system_tells_them(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        counts = count(lambda _number: os.write(file.fileno(), b"x" * 10))
    assert counts.bytes_written == (10 if Path("/proc/self/io").exists() else None)
