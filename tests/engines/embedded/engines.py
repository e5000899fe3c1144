"""The embedded engines and modes that tests of their common part run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.contract.batch import Decide, Draft
from holdfast.contract.engine import Engine
from holdfast.contract.record import Record
from holdfast.engines.file import FileConfig, FileEngine
from holdfast.engines.lmdb import LmdbConfig, LmdbEngine
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.engines.rocksdb import RocksdbConfig, RocksdbEngine
from holdfast.engines.sqlite import SqliteConfig, SqliteEngine
from holdfast.runtime.system import drive, system_components

Make = Callable[[], Engine]


def _leveldb(path: Path) -> Engine:
    # Its driver is not on every Python.
    from holdfast.engines.leveldb import LeveldbConfig, LeveldbEngine

    return LeveldbEngine(LeveldbConfig(path=path), system_components())


#: By name: makes a closed engine in an empty folder.
ENGINES: dict[str, Callable[[Path], Engine]] = {
    "lmdb": lambda path: LmdbEngine(LmdbConfig(path=path / "app"), system_components()),
    "lmdb relaxed": lambda path: LmdbEngine(
        LmdbConfig(path=path / "app", durability="relaxed"), system_components()
    ),
    "memory": lambda path: MemoryEngine(MemoryConfig(), system_components()),
    "file": lambda path: FileEngine(FileConfig(path=path / "app"), system_components()),
    "file relaxed": lambda path: FileEngine(
        FileConfig(path=path / "app", durability="relaxed"), system_components()
    ),
    "sqlite": lambda path: SqliteEngine(SqliteConfig(path=path / "app.db"), system_components()),
    "sqlite relaxed": lambda path: SqliteEngine(
        SqliteConfig(path=path / "app.db", durability="relaxed"), system_components()
    ),
    "rocksdb": lambda path: RocksdbEngine(RocksdbConfig(path=path / "app"), system_components()),
    "rocksdb relaxed": lambda path: RocksdbEngine(
        RocksdbConfig(path=path / "app", durability="relaxed"), system_components()
    ),
    "leveldb": lambda path: _leveldb(path / "app"),
}

#: Those that take the same number of steps to open whatever was written before.
OPEN_AT_ONCE = [name for name in ENGINES if not name.startswith("file")]


@contextmanager
def driven(name: str, path: Path) -> Iterator[Engine]:
    """An engine of that name, open for callers without a loop."""
    engine = ENGINES[name](path)
    drive(engine.open())
    try:
        yield engine
    finally:
        drive(engine.close())


def writing(key: bytes, value: bytes = b"value") -> Decide:
    """A function that writes one row whatever stands there."""

    def decide(records: list[Record | None], revision: int) -> Draft:
        draft = Draft()
        draft.rows[key] = value
        return draft

    return decide


def raising(error: BaseException) -> Decide:
    """A function that fails."""

    def decide(records: list[Record | None], revision: int) -> Draft:
        raise error

    return decide
