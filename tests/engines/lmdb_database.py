"""What the tests of the LMDB engine share: short ways to open, write, read and look inside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.record import Range
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.runtime.system import SystemHost, drive, system_components


def make(path: Path, components: Components | None = None, **settings: Any) -> LmdbEngine:
    """A closed engine."""
    return LmdbEngine(LmdbConfig(path=path, **settings), components or system_components())


@contextmanager
def opened(
    path: Path, components: Components | None = None, **settings: Any
) -> Iterator[LmdbEngine]:
    """An open engine, closed with the block."""
    engine = make(path, components, **settings)
    drive(engine.open())
    try:
        yield engine
    finally:
        drive(engine.close())


def put(engine: LmdbEngine, key: bytes, value: bytes = b"value") -> int:
    """Write one row; its revision."""
    return drive(engine.commit(Batch([Put(key, value)]))).revision


def delete(engine: LmdbEngine, *keys: bytes) -> int:
    """Delete rows; the revision."""
    return drive(engine.commit(Batch([Delete(key) for key in keys]))).revision


def get(engine: LmdbEngine, key: bytes) -> bytes | None:
    """The value of the key."""
    (record,) = drive(engine.read([key]))
    return None if record is None else record.value


def flush(engine: LmdbEngine) -> None:
    """Have the file hold everything that is acknowledged."""
    engine._flush()


def keys(engine: LmdbEngine, range: Range = Range()) -> list[bytes]:  # noqa: B008 - frozen
    """Every key of the range, page by page."""
    found: list[bytes] = []
    rest: Range | None = range
    while rest is not None:
        page = drive(engine.scan(rest))
        found += [key for key, _ in page.rows]
        rest = page.resume
    return found


def with_clock(clock: ManualClock) -> Components:
    """The machine's components, but for the clock."""
    return Components(host=SystemHost(), clock=clock, ids=SystemIds(clock))


@contextmanager
def driver(path: Path, **settings: Any) -> Iterator[lmdb.Environment]:
    """The closed database's files, with the driver alone."""
    environment = lmdb.open(str(path), map_size=1 << 30, max_dbs=4, **settings)
    try:
        yield environment
    finally:
        environment.close()


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


@contextmanager
def child(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python program that said by its first line of output that it is ready; killed at last."""
    process = subprocess.Popen(
        child_command(program, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """End the process as a crash would."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def child_command(program: str, *arguments: object) -> list[str]:
    """How a Python program is started."""
    preamble = (
        "import sys, time\n"
        "from holdfast.contract.batch import Batch, Put\n"
        "from tests.engines.lmdb_database import *\n"
    )
    return [
        sys.executable,
        "-c",
        preamble + textwrap.dedent(program),
        *(str(argument) for argument in arguments),
    ]


def child_environment() -> dict[str, str]:
    """The environment in which children find this repository."""
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))}
