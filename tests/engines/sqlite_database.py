"""What the tests of the SQLite engine share: short ways to open, write, read and look inside."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from holdfast.contract.batch import Batch, Put
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.engines.sqlite import SqliteConfig, SqliteEngine
from holdfast.runtime.system import SystemHost, drive, system_components


def make(path: Path, components: Components | None = None, **settings: Any) -> SqliteEngine:
    """A closed engine."""
    config = SqliteConfig(path=path, **settings)
    return SqliteEngine(config, components or system_components())


@contextmanager
def opened(
    path: Path, components: Components | None = None, **settings: Any
) -> Iterator[SqliteEngine]:
    """An open engine, closed with the block."""
    engine = make(path, components, **settings)
    drive(engine.open())
    try:
        yield engine
    finally:
        drive(engine.close())


def put(engine: SqliteEngine, key: bytes, value: bytes = b"value") -> int:
    """Write one row; its revision."""
    return drive(engine.commit(Batch([Put(key, value)]))).revision


def get(engine: SqliteEngine, key: bytes) -> bytes | None:
    """The value of the key."""
    (record,) = drive(engine.read([key]))
    return None if record is None else record.value


def with_clock(clock: ManualClock) -> Components:
    """The machine's components, but for the clock."""
    return Components(host=SystemHost(), clock=clock, ids=SystemIds(clock))


def sql(path: Path, statement: str) -> list[Any]:
    """Run one statement on the file, with the driver alone."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def run_child(program: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a process of its own; the helpers of this module are imported."""
    return subprocess.run(
        child_command(program, *arguments),
        capture_output=True,
        text=True,
        timeout=50,
        env=child_environment(),
        check=False,
        **options,
    )


def start_child(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program; its first line of output says that it is ready."""
    return subprocess.Popen(
        child_command(program, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )


def child_command(program: str, *arguments: object) -> list[str]:
    preamble = "import sys\nfrom pathlib import Path\nfrom tests.engines.sqlite_database import *\n"
    return [
        sys.executable,
        "-c",
        preamble + textwrap.dedent(program),
        *(str(argument) for argument in arguments),
    ]


def child_environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))}


def kill(child: subprocess.Popen[str]) -> None:
    """End the child as a crash would."""
    child.send_signal(signal.SIGKILL)
    child.communicate()


def files_in(folder: Path) -> list[str]:
    """The names of the files in the folder."""
    return sorted(file.name for file in folder.iterdir())
