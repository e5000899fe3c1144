"""Running the command line: in this process for details, as a process for what only that has."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli import main
from holdfast.cli.app import app
from tests.tidy import repository

SECONDS_MAX = 30


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its output as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """Its error as a program reads it."""
        return json.loads(self.err)["error"]


Cli = Callable[..., Result]


@pytest.fixture(params=["lmdb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that does not exist yet, on each engine that outlives a command."""
    address = f"{request.param}:///{tmp_path / 'database'}"
    monkeypatch.setenv("HOLDFAST_URL", address)
    return address


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in this process."""
    monkeypatch.delenv("HOLDFAST_DEBUG", raising=False)

    def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
        capsysbinary.readouterr()
        if stdin is not None:
            content = stdin.encode() if isinstance(stdin, str) else stdin
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = main(arguments)
        captured = capsysbinary.readouterr()
        return Result(code, captured.out.decode(), captured.err.decode())

    return run


def every_command() -> list[str]:
    """The names of all commands, those of groups with the group before them."""
    alone = [str(one.name) for one in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        members = group.typer_instance.registered_commands
        alone += [f"{group.name} {one.name}" for one in members]
    return alone


def environment(**more: str) -> dict[str, str]:
    """Of a process that runs our source."""
    return os.environ | {"PYTHONPATH": str(repository.SOURCE)} | more


def started(*arguments: str, **more: Any) -> "subprocess.Popen[str]":
    """A command as a running process."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "holdfast", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
        **more,
    )


def process(*arguments: str, stdin: str | None = None, **variables: str) -> Result:
    """A command as a process, run to its end."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "holdfast", *arguments],
        input=stdin,
        capture_output=True,
        env=environment(**variables),
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)
