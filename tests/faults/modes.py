"""Every engine and mode that a database can be opened on without a server, for tests of faults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.store.scene import Scene

#: By name: the address of a database in a folder.
MODES = {
    "memory": "memory://?name={number}",
    "lmdb": "lmdb:///{folder}/app",
    "lmdb relaxed": "lmdb:///{folder}/app?durability=relaxed",
    "sqlite": "sqlite:///{folder}/app.db",
    "sqlite relaxed": "sqlite:///{folder}/app.db?durability=relaxed",
    "file": "file:///{folder}/app",
    "file relaxed": "file:///{folder}/app?durability=relaxed",
    "rocksdb": "rocksdb:///{folder}/app",
    "rocksdb relaxed": "rocksdb:///{folder}/app?durability=relaxed",
    "leveldb": "leveldb:///{folder}/app",
}
#: Those whose databases outlive their handles.
KEPT = tuple(name for name in MODES if name != "memory")

_numbers = count(1)


def url_of(mode: str, folder: Path) -> str:
    """The address of a database that nothing else uses."""
    return MODES[mode].format(folder=folder, number=f"faults-{os.getpid()}-{next(_numbers)}")


class ModeScene(Scene):
    """A scene on an engine in a mode.

    Attributes:
        mode: its name.
    """

    def __init__(self, mode: str, folder: Path) -> None:
        super().__init__(mode.partition(" ")[0], folder)
        self.mode = mode
        self.url = url_of(mode, folder)


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a file system: thousands of flushes come."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield otherwise
        return
    with TemporaryDirectory(dir=memory, prefix="holdfast-faults-") as folder:
        yield Path(folder)
