"""What the tests of RocksDB and LevelDB share: short ways to open, write, read and look inside."""

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

import pytest

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.record import Range
from holdfast.contract.runtime import Components
from holdfast.engines.lsm.engine import LsmEngine
from holdfast.engines.rocksdb import RocksdbConfig, RocksdbEngine
from holdfast.runtime.system import drive, system_components

#: Either engine, and the modes of durability that it has.
every_engine = pytest.mark.parametrize("name", ["rocksdb", "leveldb"])
every_mode = pytest.mark.parametrize("name", ["rocksdb", "rocksdb relaxed", "leveldb"])


def make(name: str, path: Path, components: Components | None = None, **settings: Any) -> LsmEngine:
    """A closed engine of that name and mode."""
    engine, _, durability = name.partition(" ")
    settings = {"path": path, "durability": durability or "full", **settings}
    parts = components or system_components()
    if engine == "rocksdb":
        return RocksdbEngine(RocksdbConfig(**settings), parts)
    # Its driver is not on every Python.
    from holdfast.engines.leveldb import LeveldbConfig, LeveldbEngine

    return LeveldbEngine(LeveldbConfig(**settings), parts)


@contextmanager
def opened(
    name: str, path: Path, components: Components | None = None, **settings: Any
) -> Iterator[LsmEngine]:
    """An open engine, closed with the block."""
    engine = make(name, path, components, **settings)
    drive(engine.open())
    try:
        yield engine
    finally:
        drive(engine.close())


def put(engine: LsmEngine, key: bytes, value: bytes = b"value") -> int:
    """Write one row; its revision."""
    return drive(engine.commit(Batch([Put(key, value)]))).revision


def delete(engine: LsmEngine, *keys: bytes) -> int:
    """Delete rows; the revision."""
    return drive(engine.commit(Batch([Delete(key) for key in keys]))).revision


def get(engine: LsmEngine, key: bytes) -> bytes | None:
    """The value of the key."""
    (record,) = drive(engine.read([key]))
    return None if record is None else record.value


def contents(engine: LsmEngine) -> dict[bytes, bytes]:
    """Everything that is there."""
    found: dict[bytes, bytes] = {}
    rest: Range | None = Range()
    while rest is not None:
        page = drive(engine.scan(rest))
        found |= {key: record.value for key, record in page.rows}
        rest = page.resume
    return found


def tables(path: Path) -> list[Path]:
    """The files of rows, of whatever driver."""
    suffixes = (".sst", ".ldb", ".blob")
    return sorted(file for file in path.rglob("*") if file.suffix in suffixes)


def start_child(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program; its first line of output says that it is ready."""
    return subprocess.Popen(
        _command(program, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    )


def run_child(program: str, *arguments: object, before: tuple[str, ...] = ()) -> str:
    """What a Python program prints; the helpers of this module are imported there.

    Args:
        before: a command that runs it.
    """
    done = subprocess.run(
        [*before, *_command(program, *arguments)],
        capture_output=True,
        text=True,
        timeout=50,
        env=_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill(child: subprocess.Popen[str]) -> None:
    """End the child as a crash would."""
    child.send_signal(signal.SIGKILL)
    child.communicate()


def _command(program: str, *arguments: object) -> list[str]:
    preamble = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.engines.lsm.lsm_database import *\n"
    )
    return [sys.executable, "-c", preamble + textwrap.dedent(program), *map(str, arguments)]


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[3]
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))}
