"""Ctrl-C at every line: a call is run again and again, interrupted one line later each time.

A signal's exception comes between two bytecodes of the main thread; a trace function raises it at
the beginning of a line, which is every place that matters and more: when a `with` block ends, its
first line is traced once more, before the lock is given back, and no signal is looked at there;
nor is one at a `try:`, which is no instruction but its name, nor on the way of an exception to the
first call of its handler.

Between the making of a coroutine and its first step lies a line, too: tests ignore the warning that
it was never awaited.
"""

from __future__ import annotations

import dis
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Self

import holdfast

_SOURCE = str(Path(holdfast.__file__).parent)
#: How long a call may take that comes after an interrupt.
PATIENCE_S = 10.0


class Interrupter:
    """Raises KeyboardInterrupt in this thread at the n-th line of the library.

    Attributes:
        place: where it was raised; None while it was not.
    """

    def __init__(self, line: int) -> None:
        self._left = line
        #: Where an exception is on its way, and nothing was called since.
        self._unwinding: FrameType | None = None
        self.place: str | None = None

    def __enter__(self) -> Self:
        global _at_work
        self._before, _at_work = sys.gettrace(), self
        sys.settrace(_at_call)
        return self

    def __exit__(self, *_: object) -> None:
        global _at_work  # noqa: PLW0603 - see `_at_call`
        sys.settrace(self._before)
        _at_work = self._unwinding = None  # Which would hold what the call had.

    def at_line(self, frame: FrameType) -> None:
        """Raise if it is the line."""
        if self._unwinding is frame:
            if _calls(frame.f_code, frame.f_lineno):
                self._unwinding = None
        elif self.place is None and not _passes_signals(frame):
            self._left -= 1
            if self._left < 0 and not collects(frame):
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt

    def at_exception(self, frame: FrameType) -> None:
        """An exception goes through the frame, or to one of its handlers."""
        self._unwinding = frame


# Functions that are never collected: once a trace function has raised in a generator, Python 3.11
# may call it again when it is gone.
_at_work: Interrupter | None = None


def _at_call(frame: FrameType, _event: str, _argument: Any) -> Any:
    return _at_line if frame.f_code.co_filename.startswith(_SOURCE) else None


def _at_line(frame: FrameType, event: str, _argument: Any) -> Any:
    if _at_work is not None:
        if event == "line":
            _at_work.at_line(frame)
        elif event == "exception":
            _at_work.at_exception(frame)
    return _at_line


def collects(frame: FrameType | None) -> bool:
    """Whether a collected object runs this: what is raised there reaches nobody."""
    if sys.exc_info()[0] is GeneratorExit:
        return True  # A generator that nobody asks any more runs its `finally`.
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename == weakref.__file__:
            return True
        frame = frame.f_back
    return False


def _passes_signals(frame: FrameType) -> bool:
    """Whether no signal is looked at here: at a `try:`, or before a lock is given back."""
    return frame.f_lasti in _deaf(frame.f_code)


@lru_cache(None)
def _deaf(code: CodeType) -> frozenset[int]:
    """Where the code does nothing, or calls `__exit__` with three Nones, as a `with` block ends."""
    instructions = list(dis.get_instructions(code))
    found = set()
    for at, instruction in enumerate(instructions):
        if instruction.opname == "NOP":
            found.add(instruction.offset)
        three = instructions[at : at + 3]
        if len(three) == 3 and all(
            one.opname == "LOAD_CONST" and one.argval is None for one in three
        ):
            found.add(instruction.offset)
            if at and instructions[at - 1].opname == "SWAP":
                found.add(instructions[at - 1].offset)
    return frozenset(found)


@lru_cache(None)
def _calls(code: CodeType, line: int) -> bool:
    """Whether a line calls something: until a handler does, no signal is looked at in it."""
    lines = ((start, end) for start, end, number in code.co_lines() if number == line)
    places = {offset for start, end in lines for offset in range(start, end)}
    return any(
        one.opname.startswith("CALL") or one.opname == "JUMP_BACKWARD"
        for one in dis.get_instructions(code)
        if one.offset in places
    )


def each_line(
    call: Callable[[], object], *, first: int = 0, step: int = 1, most: int = 100_000
) -> Iterator[str]:
    """Run the call interrupted at one line after the other, until it runs through.

    Yields:
        Where it was interrupted, each time: look then whether everything works.
    """
    for line in range(first, most, step):
        interrupter = Interrupter(line)
        # It may be caught where that is right, such as on the way to a clean end.
        with suppress(KeyboardInterrupt), interrupter:
            call()
        if interrupter.place is None:
            return
        # Nothing holds the traceback any more, and with it what the call had.
        yield interrupter.place
    raise AssertionError(f"the call has more than {most} lines")


def elsewhere(work: Callable[[], object], place: str) -> None:
    """Run the work in a thread of its own, which sees every lock that this one left locked."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), f"after an interrupt at {place} another thread hangs"
    if failed:
        raise AssertionError(f"after an interrupt at {place} another thread fails") from failed[0]
