"""Trails of random steps: run until the time is up, and shortened where one fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.modes import ModeScene
from tests.faults.random_faults import FaultyWork
from tests.store.random_operations import Step, steps_of

#: How many steps a database lives, before the next one begins.
STEPS_MAX = 250
#: How long a failing trail is shortened, and how long one try of it may take.
SHRINK_S, TRY_S = 60.0, 20.0

Run = Callable[[list[Step]], BaseException | None]


def run(mode: str, steps: Iterable[Step], folder: Path) -> None:
    """Do these steps on a new database."""
    asyncio.run(FaultyWork(ModeScene(mode, folder)).run(steps))


def run_for(mode: str, seed: int, seconds: float, folder: Path, steps_min: int) -> None:
    """Do random steps until the time is up, and at least `steps_min` of them.

    Raises:
        AssertionError: a step failed. It tells the seed, and a short trail that fails too.
    """
    deadline, total = time.monotonic() + seconds, 0
    for number in count(seed):
        trail: list[Step] = []
        try:
            with TemporaryDirectory(dir=folder) as own:
                run(
                    mode,
                    _noted(steps_of(number, FaultyWork.names), trail, deadline, steps_min - total),
                    Path(own),
                )
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            short, last = shrink(trail, lambda steps: _failure(mode, steps, folder))
            raise AssertionError(
                f"{mode}: seed {number} fails after {len(trail)} steps with {error!r}; so does\n"
                f"    run({mode!r}, {short}, folder)\nwith {last!r}"
            ) from error
        total += len(trail)
        if time.monotonic() >= deadline and total >= steps_min:
            return
    raise AssertionError("seeds have no end")


def shrink(
    trail: list[Step], failure: Run, seconds: float = SHRINK_S
) -> tuple[list[Step], BaseException | None]:
    """The shortest trail found that fails too, and how; the trail itself where it does not.

    Leaves out halves, then quarters and so on, as long as what is left fails.
    """
    deadline = time.monotonic() + seconds
    last = failure(trail)
    size = (len(trail) + 1) // 2
    while last is not None and size and time.monotonic() < deadline:
        at, shorter = 0, False
        while at < len(trail) and time.monotonic() < deadline:
            rest = trail[:at] + trail[at + size :]
            found = failure(rest) if rest else None
            if found is None:
                at += size
            else:
                trail, last, shorter = rest, found, True
        if size == 1 and not shorter:
            break
        size = max(size // 2, 1)
    return trail, last


def _noted(
    steps: Iterator[Step], trail: list[Step], deadline: float, steps_min: int
) -> Iterator[Step]:
    while len(trail) < STEPS_MAX and (len(trail) < steps_min or time.monotonic() < deadline):
        trail.append(next(steps))
        yield trail[-1]


def _failure(mode: str, steps: list[Step], folder: Path) -> BaseException | None:
    """What becomes of these steps, once more."""
    with ExitStack() as stack:
        own = stack.enter_context(TemporaryDirectory(dir=folder))
        try:
            asyncio.run(asyncio.wait_for(FaultyWork(ModeScene(mode, Path(own))).run(steps), TRY_S))
        except Exception as error:
            return error
    return None
