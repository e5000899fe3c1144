"""What the tests of the file engine share: short ways to open, write, read and look inside."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.record import Range
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.engines.file import FileConfig, FileEngine
from holdfast.runtime.system import SystemHost, drive, system_components


def make(path: Path, components: Components | None = None, **settings: Any) -> FileEngine:
    """A closed engine."""
    return FileEngine(FileConfig(path=path, **settings), components or system_components())


@contextmanager
def opened(
    path: Path, components: Components | None = None, **settings: Any
) -> Iterator[FileEngine]:
    """An open engine, closed with the block."""
    engine = make(path, components, **settings)
    drive(engine.open())
    try:
        yield engine
    finally:
        drive(engine.close())


def put(engine: FileEngine, key: bytes, value: bytes = b"value") -> int:
    """Write one row; its revision."""
    return drive(engine.commit(Batch([Put(key, value)]))).revision


def delete(engine: FileEngine, *keys: bytes) -> int:
    """Delete rows; the revision."""
    return drive(engine.commit(Batch([Delete(key) for key in keys]))).revision


def get(engine: FileEngine, key: bytes) -> bytes | None:
    """The value of the key."""
    (record,) = drive(engine.read([key]))
    return None if record is None else record.value


def contents(engine: FileEngine) -> dict[bytes, bytes]:
    """Everything that is there."""
    found: dict[bytes, bytes] = {}
    rest: Range | None = Range()
    while rest is not None:
        page = drive(engine.scan(rest))
        found |= {key: record.value for key, record in page.rows}
        rest = page.resume
    return found


def with_clock(clock: ManualClock) -> Components:
    """The machine's components, but for the clock."""
    return Components(host=SystemHost(), clock=clock, ids=SystemIds(clock))


def segments(path: Path) -> list[Path]:
    """The segments of a database, the oldest first."""
    return sorted(file for file in path.iterdir() if file.suffix in (".jsonl", ".msgpack"))


def written(segment: Path) -> bytes:
    """What stands in a segment, without what it is filled with ahead."""
    return segment.read_bytes().rstrip(padding(segment))


def padding(segment: Path) -> bytes:
    """What a segment is filled with ahead, one byte of it."""
    return b"\t" if segment.suffix == ".jsonl" else b"\0"


def left_behind(engine: FileEngine, folder: Path) -> Path:
    """A copy of an open database, as if its process had ended now."""
    copy = folder / f"copy {len(list(folder.iterdir()))}"
    shutil.copytree(engine.config.path, copy)  # type: ignore[attr-defined]
    return copy


def start_child(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program; its first line of output says that it is ready."""
    return subprocess.Popen(
        _command(program, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    )


def run_child(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a process of its own; the helpers of this module are imported."""
    return subprocess.run(
        _command(program, *arguments),
        capture_output=True,
        text=True,
        timeout=50,
        env=_environment(),
        check=False,
    )


def kill(child: subprocess.Popen[str]) -> None:
    """End the child as a crash would."""
    child.send_signal(signal.SIGKILL)
    child.communicate()


def _command(program: str, *arguments: object) -> list[str]:
    preamble = "import sys\nfrom pathlib import Path\nfrom tests.engines.file_database import *\n"
    return [
        sys.executable,
        "-c",
        preamble + textwrap.dedent(program),
        *(str(argument) for argument in arguments),
    ]


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))}
