"""The embedded engines and modes, as `ENGINES` of the common part's tests, and SQLite's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.contract.engine import Engine
from holdfast.engines.sqlite import SqliteConfig, SqliteEngine
from holdfast.runtime.system import drive, system_components
from tests.engines.embedded import engines

#: By name: makes a closed engine in an empty folder.
ENGINES: dict[str, Callable[[Path], Engine]] = {
    **engines.ENGINES,
    "sqlite": lambda path: SqliteEngine(SqliteConfig(path=path / "app.db"), system_components()),
    "sqlite relaxed": lambda path: SqliteEngine(
        SqliteConfig(path=path / "app.db", durability="relaxed"), system_components()
    ),
}


@contextmanager
def driven(name: str, path: Path) -> Iterator[Engine]:
    """An engine of that name, open for callers without a loop."""
    engine = ENGINES[name](path)
    drive(engine.open())
    try:
        yield engine
    finally:
        drive(engine.close())
