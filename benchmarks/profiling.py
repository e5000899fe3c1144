"""Where the time goes: the profile that stands beside a missed target."""

from __future__ import annotations

import cProfile
import io
import pstats
from collections.abc import Callable

LINES = 14


def profile(work: Callable[[], object]) -> str:
    """The functions that took most of the time of `work`, by their own time."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    text = io.StringIO()
    statistics = pstats.Stats(profiler, stream=text)
    statistics.strip_dirs().sort_stats("tottime").print_stats(LINES)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())
