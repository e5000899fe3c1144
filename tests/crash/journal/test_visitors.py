"""Processes that come and go beside one with a journal: never a stale read, never a second meaning.

A visitor opens the database at any moment and has to see everything that was told before it began
to open it. No revision is told twice. The writer is killed in the middle, also while a visitor
knocks or is inside.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

import holdfast.sync
from tests.crash.harness import environment
from tests.crash.journal.modes import JOURNAL

ROUNDS, ROUNDS_TORTURE = 2, 25
LIFE_S, LIFE_TORTURE_S = 1.5, 5.0
#: However slow the machine is.
VISITS_MIN = 2
PATIENCE_S = 30.0


class _Told:
    """What was acknowledged, to whomever: the newest revision by key, and who wrote which."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.writers: dict[int, object] = {}
        self.lineage: str | None = None
        self.count = 0

    def note(self, key: str, revision: int, who: object) -> None:
        known = self.writers.setdefault(revision, who)
        assert known == who, f"revision {revision} was told to two"
        self.newest[key] = max(self.newest.get(key, 0), revision)
        self.count += 1

    def opened(self, lineage: str, head: int) -> None:
        assert self.lineage in (None, lineage), "nothing is lost, so the lineage stays"
        self.lineage = lineage
        assert head >= max(self.writers, default=0), "told, and gone"


class _Process:
    """A program of `visited.py`, and the lines that it told and nobody has read yet."""

    def __init__(self, what: str, url: str, chance: Random) -> None:
        self.program = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.journal.visited", what, url, str(chance.random())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        self._rest = b""
        self.ended = False

    def ask(self, question: object) -> None:
        assert self.program.stdin is not None
        with suppress(BrokenPipeError):  # It was killed; the end of its output says so.
            self.program.stdin.write(json.dumps(question).encode() + b"\n")
            self.program.stdin.flush()

    def told(self, patience_s: float, *, all_of_it: bool = False) -> list[Any]:
        """What it told since the last call."""
        assert self.program.stdout is not None
        while not self.ended and select.select([self.program.stdout], [], [], patience_s)[0]:
            more = os.read(self.program.stdout.fileno(), 1 << 20)
            self.ended = not more
            self._rest += more
            if not all_of_it:
                patience_s = 0.0
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        self.program.kill()
        self.program.communicate()


class _Round:
    """One life of a writer, with its visitors."""

    def __init__(self, url: str, told: _Told, chance: Random) -> None:
        self._url = url
        self._told = told
        self._chance = chance
        self._writer = _Process("write", url, chance)
        self._visitor = _Process("visit", url, chance)
        self._opened = False
        self._inside = False
        self.visits = 0

    def live(self, life_s: float) -> None:
        """Until the writer is killed."""
        latest = time.monotonic() + PATIENCE_S
        try:
            while not self._opened:
                assert time.monotonic() < latest, "the writer did not open the database"
                self._note(self._writer.told(0.05))
            end = time.monotonic() + life_s * (0.5 + self._chance.random())
            while time.monotonic() < end or self.visits < VISITS_MIN:
                assert time.monotonic() < latest, "a visitor did not come back"
                self._note(self._writer.told(0.002))
                assert not self._writer.ended, "the writer failed"
                self._receive()
            # It is killed while somebody knocks or is inside.
        finally:
            self._writer.program.kill()
            self._note(self._writer.told(1.0, all_of_it=True))
            self._writer.end()
            while self._inside and time.monotonic() < latest + PATIENCE_S:
                self._receive(again=False)
            self._visitor.end()

    def _receive(self, *, again: bool = True) -> None:
        """Have the visitor come, and note what it saw."""
        for seen in self._visitor.told(0.0):
            self._inside = False
            assert seen["wrong"] == [], "a stale read"
            assert seen["check"] == []
            for key, revision in seen["wrote"]:
                self._told.note(key, revision, self._visitor)
            self.visits += 1
        if self._visitor.ended:
            assert self._visitor.program.wait() == -9, "the visitor failed"
            self._visitor.end()
            self._visitor, self._inside = _Process("visit", self._url, self._chance), False
        if again and not self._inside and self._chance.random() < 0.2:
            self._inside = True
            self._visitor.ask(self._told.newest)

    def _note(self, lines: list[Any]) -> None:
        for line in lines:
            if isinstance(line, dict):
                self._told.opened(line["lineage"], line["head"])
                self._opened = True
            else:
                key, revision = line
                self._told.note(key, revision, self._writer)


def _come_and_go(folder: Path, seed: int, rounds: int, life_s: float) -> None:
    url, told, chance, visits = JOURNAL.url(folder), _Told(), Random(seed), 0
    for number in range(rounds):
        one = _Round(url, told, chance)
        one.live(life_s)
        visits += one.visits
        with holdfast.sync.open(url) as db:
            told.opened(db.cursor.rpartition(".")[0], db.revision)
            for key, revision in told.newest.items():
                entry = db.entries.get(key)
                assert entry is not None
                assert entry.revision >= revision
            assert db.check() == []
            told.note("p", db.entries.set("p", number).revision, number)
    print(f"{rounds} kills, {told.count} writes told, {visits} visits")  # noqa: T201
    assert visits >= rounds * VISITS_MIN
    assert told.count > 20 * rounds


@pytest.mark.row("K-022", "trap 15", "trap 16")
def test_visitors_see_what_was_told(tmp_path: Path) -> None:
    _come_and_go(tmp_path, 0, ROUNDS, LIFE_S)


@pytest.mark.torture
@pytest.mark.row("K-022", "trap 15", "trap 16")
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_visitors_see_what_was_told(tmp_path: Path, seed: int) -> None:
    _come_and_go(tmp_path, seed, ROUNDS_TORTURE, LIFE_TORTURE_S)
