"""What one operation does, counted: figures that no other load on the machine can change."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import msgspec

from benchmarks.shim import flushes

#: How many operations are counted; the first ones, which make things once, are not.
OPERATIONS = 50
WARM_UP = 20
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_WRITTEN = "wchar:"


class Counts(msgspec.Struct, frozen=True):
    """What an operation does, in the thread that asks for it.

    Calls are those of the middle operation, bytes and flushes an average.

    Attributes:
        coroutines: how often a coroutine or asynchronous generator is begun or gone on with.
        calls: of Python functions, those included.
        c_calls: of functions in C that Python calls by name.
        bytes_written: handed to the system by this process; None where it does not tell.
        flushes: of this process; None without the shim.
    """

    coroutines: float
    calls: float
    c_calls: float
    bytes_written: float | None
    flushes: float | None


def count(operation: Callable[[int], object]) -> Counts:
    """What `operation(number)` does, for numbers from 0."""
    for number in range(WARM_UP):
        operation(number)
    return Counts(*_calls(operation), *_written(operation))


def _calls(operation: Callable[[int], object]) -> tuple[float, float, float]:
    rounds = [_calls_once(operation, number) for number in range(OPERATIONS)]
    # The middle: a thread that keeps house may be in an operation's way now and then, and then that
    # one has to make a connection of its own.
    coroutines, calls, c_calls = (median(counted) for counted in zip(*rounds, strict=True))
    return coroutines, calls, c_calls


def _calls_once(operation: Callable[[int], object], number: int) -> tuple[int, int, int]:
    found = {"call": 0, "c_call": 0, "coroutine": 0}

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            found["call"] += 1
            if frame.f_code.co_flags & _COROUTINE:
                found["coroutine"] += 1
        elif event == "c_call":
            found["c_call"] += 1

    # A collection would run what others left behind.
    gc.disable()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        operation(number)
    finally:
        sys.setprofile(before)
        gc.enable()
    # Without what ends the counting.
    return found["coroutine"], found["call"], found["c_call"] - 1


def _written(operation: Callable[[int], object]) -> tuple[float | None, float | None]:
    bytes_before, flushed = bytes_written(), flushes()
    for number in range(OPERATIONS):
        operation(number)
    bytes_after, flushed_after = bytes_written(), flushes()
    written = None
    if bytes_before is not None and bytes_after is not None:
        written = (bytes_after - bytes_before) / OPERATIONS
    if flushed is None or flushed_after is None:
        return written, None
    return written, (flushed_after - flushed) / OPERATIONS


def bytes_written() -> int | None:
    """What this process handed to the system so far; None where that is not told."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(_WRITTEN)), None)
