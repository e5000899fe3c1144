"""Where the time goes: the profile that stands beside a missed target."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from benchmarks.figures import number

#: How many functions are shown.
LINES = 16
#: How waiting for other threads looks to the one that is profiled.
_WAITING = ("poll' of 'select", "acquire' of '_thread")

Place = tuple[str, int, str]


def profile(work: Callable[[], int]) -> str:
    """The functions of this thread that took most of the time of `work`.

    `work` returns how many operations it did. Microseconds for each operation: in the function
    itself, and with what it called. The profiler slows every call, so shares are to be trusted,
    sums are not.
    """
    profiler = cProfile.Profile()
    operations = profiler.runcall(work)
    taken = cast("dict[Place, tuple[Any, ...]]", pstats.Stats(profiler).__dict__["stats"])
    rows = sorted(taken.items(), key=lambda item: -cast("float", item[1][2]))
    lines = [f"{'itself':>9} {'with callees':>12} {'calls':>7}   (µs and calls per operation)"]
    for place, (_, calls, itself, with_callees, _) in rows[:LINES]:
        lines.append(
            f"{number(itself / operations * 1e6):>9} "
            f"{number(with_callees / operations * 1e6):>12} "
            f"{number(calls / operations):>7}   {_name(place)}"
        )
    return "\n".join(lines)


def _name(place: Place) -> str:
    file, line, name = place
    if any(part in name for part in _WAITING):
        return f"{name} (waits for other threads and their flushes)"
    if file == "~":
        return name
    # The file with its folder: many packages have an engine.py.
    return f"{'/'.join(Path(file).parts[-2:])}:{line} {name}"
