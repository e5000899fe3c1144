"""The writer of `tests.crash.writer` with every commit in a journal, killed at a point if told so.

    python -m tests.crash.journal.writer URL SEED [WRITES]

`HOLDFAST_CRASH_POINT` names one of `POINTS`, before or after, and the call that the process does
not survive: `append after 3`. The journal begins with the first commit, ages and idles sooner than
outside of tests, so that a short life goes through all its states.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from typing import Any

from holdfast.engines.lmdb import (
    journal_bulk,
    journal_file,
    journaled,
    locks,
    replay,
    warm_up,
    writer,
)
from tests.crash import writer as application

#: Where a process may die: what is called there.
POINTS: dict[str, tuple[Any, str]] = {
    "make": (journal_file.JournalFile, "_make"),
    "write": (journal_file.JournalFile, "_write_all"),
    "append": (journal_file.JournalFile, "append"),
    "begin": (journal_file.JournalFile, "begin"),
    "start": (journaled.Journaled, "_begin_generation"),
    "land": (journaled.Journaled, "_land_now"),
    "layer": (journaled.Journaled, "_layer"),
    "roll": (journaled.Journaled, "_roll"),
    "apply": (journaled.Journaled, "_apply"),
    "drain": (journaled.Journaled, "_drain"),
    "direct": (journaled.Journaled, "_go_direct"),
    "bulk": (journal_bulk, "_apply"),
    "finish": (writer.LmdbWriter, "finish"),
    "unclaim": (locks.ProcessLocks, "unclaim"),
    "settle": (replay, "_settle"),
    "replay": (replay, "_replay"),
}


def hurry() -> None:
    """Have the journal begin at once, and change halves and drain often."""
    warm_up.WARM_UP_COMMITS = 0
    warm_up.DENIED_S = 0.005
    journaled.AGE_S = 0.05
    journaled.IDLE_S = 0.02


def die_at(point: str) -> None:
    """Kill this process at the call that the point names."""
    name, when, number = point.split()
    owner, attribute = POINTS[name]
    action = getattr(owner, attribute)
    count = itertools.count(1)

    def last(*arguments: Any, **named: Any) -> Any:
        now = next(count) == int(number)
        if now and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = action(*arguments, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, attribute, last)


if __name__ == "__main__":
    hurry()
    if "HOLDFAST_CRASH_POINT" in os.environ:
        die_at(os.environ["HOLDFAST_CRASH_POINT"])
    asyncio.run(application.main(sys.argv[1], *map(int, (*sys.argv[2:], "0")[:2])))
