"""The tutorial, typed: a prompt in one process, its console commands in others, outputs compared.

What is shown below a command or a block has to be printed, line by line and in that order. Time
stamps and lineages count as equal; `...` stands for any rest of a line.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.tidy import repository

TUTORIAL = repository.ROOT / "docs/tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: How long anything may take to be printed.
PATIENCE_S = 30.0
TYPED = "---- typed ----"


def normal(line: str) -> str:
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "<time>", line)
    line = re.sub(r"\b[0-9a-f]{32}\b", "<lineage>", line)
    return " ".join(line.split())


def missing(shown: str, printed: str) -> str | None:
    """The first shown line that was not printed, or not in this order."""
    lines = iter([normal(line) for line in printed.splitlines()])
    for wanted in (normal(line) for line in shown.splitlines() if line.strip()):
        begin, dots, _ = wanted.partition("...")
        if not any(line == wanted or (dots and line.startswith(begin.rstrip())) for line in lines):
            return wanted
    return None


class Process:
    """A process whose output is gathered while it runs."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.ended = False
        self._arrived = threading.Condition()
        self._gathering = threading.Thread(target=self._gather, daemon=True)
        self._gathering.start()

    def _gather(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._arrived:
                self.lines.append(line.rstrip("\n"))
                self._arrived.notify_all()
        with self._arrived:
            self.ended = True
            self._arrived.notify_all()

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def printed(self, since: int = 0) -> str:
        return "\n".join(self.lines[since:])

    def wait_for(self, shown: str, since: int = 0) -> None:
        """Return when all shown lines are printed after the first `since` ones."""
        deadline = time.monotonic() + PATIENCE_S
        with self._arrived:
            while gap := missing(shown, self.printed(since)):
                rest = 0.0 if self.ended else deadline - time.monotonic()
                assert rest > 0, f"not printed: {gap}\n--- printed:\n{self.printed(since)}"
                self._arrived.wait(rest)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Its exit code; ended with a signal when it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._gathering.join(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return code


class Prompt(Process):
    """A prompt that blocks are typed into, line by line, as a reader does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        prompt = str(Path(__file__).with_name("prompt.py"))
        super().__init__([sys.executable, "-u", prompt], folder, environment)

    def run(self, block: str) -> str:
        """Type a block; what it printed. A traceback fails."""
        before = len(self.lines)
        # An empty line ends an indented block, as at every prompt.
        self.type(f"{block}\nprint('\\n{TYPED}')\n")
        self.wait_for(TYPED, since=before)
        # Prompts stand before what is printed, and have no line of their own.
        text = re.sub(r"^(?:(?:>>>|\.\.\.) )+", "", self.printed(before), flags=re.MULTILINE)
        assert "Traceback" not in text, f"{block}\n{text}"
        return text.partition(TYPED)[0]


class Terminals:
    """The prompt, the console commands, and the watch among them that stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "PYTHONPATH": str(repository.SOURCE),
            "COLUMNS": "110",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUNBUFFERED": "1",
        }
        self.prompt = Prompt(folder, self.environment)
        self.watch: Process | None = None
        self.started: list[Process] = [self.prompt]

    def console(self, block: str) -> None:
        """Run the `$` lines of a block; a block without any shows what the watch prints."""
        parts = re.split(r"^\$ (.+)\n", block, flags=re.MULTILINE)
        before, commands = parts[0], list(zip(parts[1::2], parts[2::2], strict=True))
        if not commands:
            assert self.watch is not None, "no watch is running that could print this"
            self.watch.wait_for(before)
        for command, shown in commands:
            words = shlex.split(command)
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                self.environment[name] = value
            elif words[0] == "holdfast":
                self.holdfast(words[1:], shown)

    def holdfast(self, words: list[str], shown: str) -> None:
        process = Process([sys.executable, "-m", "holdfast", *words], self.folder, self.environment)
        self.started.append(process)
        process.wait_for(shown)
        if words[0] == "watch":
            self.watch = process
            return
        code = process.process.wait(PATIENCE_S)
        assert (code != 0) == ("error:" in shown), (
            f"{words} ended with {code}:\n{process.printed()}"
        )

    def close(self) -> None:
        for process in self.started:
            process.end()


@contextmanager
def terminals(folder: Path) -> Iterator[Terminals]:
    opened = Terminals(folder)
    try:
        yield opened
    finally:
        opened.close()


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(TUTORIAL.read_text())


@pytest.mark.row("trap 53")
def test_the_tutorial_works_as_typed(tmp_path: Path) -> None:
    with terminals(tmp_path) as opened:
        printed = trail = ""
        for language, block in blocks():
            if language == "python":
                printed = opened.prompt.run(block)
                trail = printed if "await audit(" in block else trail
            elif language == "text":
                gap = missing(block, printed)
                assert gap is None, f"not printed: {gap}\n--- printed:\n{printed}"
            elif language == "console":
                opened.console(block)
        assert len(opened.started) > 5
        assert opened.watch is not None
        assert opened.watch.end(signal.SIGINT) == 0
        opened.watch.wait_for("resume with --since ...")
    assert missing_of_the_trail(trail) == []
    lines = (tmp_path / "iceland.jsonl").read_text().splitlines()
    assert len(lines) == 6


def missing_of_the_trail(printed: str) -> list[str]:
    """Author and comment of each change that the tutorial makes and the trail does not show."""
    text = TUTORIAL.read_text()
    changes = re.findall(r'modified_by="(\w+)",\s+comment="([^"]+)"', text)
    changes += re.findall(r'--modified-by (\w+) --comment "([^"]+)"', text)
    # The trail begins after the import, and tells of entries.
    told = {f"by {who} - {why}" for who, why in changes} - {
        "by geonames - import", "by ada - what a city is",
    }  # fmt: skip
    assert len(told) == 6, "the tutorial changed: count its changes again"
    return sorted(line for line in told if line not in printed)


def test_a_trail_without_its_comments_is_noticed() -> None:
    assert len(missing_of_the_trail("set cities/IS:3413829 by ada - None {}")) == 6


def test_what_is_not_printed_is_noticed() -> None:
    assert missing("one\ntwo", "one\n2") == "two"
    assert missing("two\none", "one\ntwo") == "one"
    assert missing("at 2026-01-01 10:00:00Z", "at  2025-12-31 23:59:59Z") is None
    assert missing("begins ...", "begins and ends\n") is None


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    with terminals(tmp_path) as opened, pytest.raises(AssertionError, match="ZeroDivisionError"):
        opened.prompt.run("print(await __import__('asyncio').sleep(0, 1 / 0))")
