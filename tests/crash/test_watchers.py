"""A process that watches: what waiting costs it, how soon it is told, and by whom."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import holdfast
from tests.crash.harness import START_TIMEOUT_S, environment, run_and_kill
from tests.crash.test_kills import Mode, every_mode

#: How often an idle watcher may wake in a second, of all its threads.
WAKES_PER_S_MAX = 50
IDLE_S = 3.0
#: How long a test waits for what must happen; it happens far sooner.
PATIENCE_S = 30.0


class Watching:
    """A process that watches.

    Attributes:
        changes: what it told, in order.
    """

    def __init__(self, url: str, since: int) -> None:
        self.changes: list[dict[str, Any]] = []
        self._told = threading.Condition()
        self._answers: list[dict[str, Any]] = []
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.watcher", url, str(since)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        assert self._ready.wait(START_TIMEOUT_S), "the watcher did not begin"

    def until(self, revision: int) -> dict[str, Any]:
        """The change of that revision, once it was told."""
        with self._told:
            assert self._told.wait_for(lambda: self._of(revision), PATIENCE_S), (
                f"the watcher was not told of revision {revision}"
            )
            return self._of(revision)[0]

    def woken(self) -> tuple[int, float]:
        """(how often it has woken so far, moment)."""
        assert self.process.stdin is not None
        with self._told:
            count = len(self._answers)
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
            assert self._told.wait_for(lambda: len(self._answers) > count, PATIENCE_S)
            return self._answers[-1]["woken"], self._answers[-1]["at"]

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self._reading.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _of(self, revision: int) -> list[dict[str, Any]]:
        return [change for change in self.changes[-50:] if change["revision"] == revision]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            with self._told:
                if "ready" in said:
                    self._ready.set()
                elif "woken" in said:
                    self._answers.append(said)
                else:
                    self.changes.append(said)
                self._told.notify_all()


@contextmanager
def watching(url: str, since: int) -> Iterator[Watching]:
    watcher = Watching(url, since)
    try:
        yield watcher
    finally:
        watcher.end()


async def _write(url: str, times: int = 1, pause_s: float = 0.0) -> list[tuple[int, float]]:
    """(revision, moment of the acknowledgement) of some writes."""
    written = []
    async with holdfast.open(url) as db:
        for number in range(times):
            entry = await db.entries.set("a:1", number)
            written.append((entry.revision, time.monotonic()))
            await asyncio.sleep(pause_s)
    return written


@pytest.mark.row("K-022")
@every_mode
def test_a_watcher_outlives_the_writers_that_are_killed(tmp_path: Path, mode: Mode) -> None:
    url = mode.url(tmp_path)
    [(since, _)] = asyncio.run(_write(url))
    with watching(url, since) as watcher:
        for seed in range(2):
            life = run_and_kill(url, seed, after_s=0.2)
            [(revision, _)] = asyncio.run(_write(url))
            watcher.until(revision)
            told = {change["revision"] for change in watcher.changes}
            promised = {claim["revision"] for claim in life.claims if "revision" in claim}
            assert promised, "the writer did write"
            if mode.keeps_all:
                assert promised <= told, "a change was never told"
        places = [(change["revision"], change["index"]) for change in watcher.changes]
        assert places == sorted(set(places)), "changes are told in order, each once"


@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_an_idle_watcher_seldom_wakes_and_is_told(tmp_path: Path, engine: str) -> None:
    url = Mode(engine, "full").url(tmp_path)
    [(since, _)] = asyncio.run(_write(url))
    with watching(url, since) as watcher:
        watcher.until(asyncio.run(_write(url))[0][0])
        woken, start = watcher.woken()
        time.sleep(IDLE_S)
        woken_then, end = watcher.woken()
        wakes = (woken_then - woken) / (end - start)
        for revision, _ in asyncio.run(_write(url, 10)):
            watcher.until(revision)
        assert wakes <= WAKES_PER_S_MAX
