"""The directory of a database: what lies in it, and whether it may be there.

<engine>/   the driver's own files, in its own format
lock        locked while open; says who writes
ballast     disk space kept aside for deletes
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from holdfast.contract.errors import IntegrityFailed, NotADatabase, StoreNotFound
from holdfast.contract.files import flush_directory
from holdfast.engines.embedded.ballast import Ballast

#: By this file a driver finds all others.
_CURRENT = "CURRENT"
_TABLES = frozenset((".sst", ".ldb", ".blob"))


class Place:
    """Where one database lies.

    Attributes:
        directory: made absolute.
        tables: the driver's own directory in it.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self.directory = path.absolute()
        self.tables = self.directory / engine
        self.lock = self.directory / "lock"
        self.ballast = Ballast(self.directory / "ballast")
        self._current = str(self.tables / _CURRENT)  # Joined once: every commit looks there.

    @property
    def holds_tables(self) -> bool:
        """Whether the driver made its files."""
        return os.path.exists(self._current)  # noqa: PTH110 - three times as quick

    @property
    def size(self) -> int:
        """Of all files of the driver, in bytes."""
        total = 0
        for path in self.tables.iterdir():
            with suppress(FileNotFoundError):  # Gone meanwhile.
                total += path.stat().st_size
        return total

    def refuse_foreign(self) -> None:
        """Raise NotADatabase where something else lies."""
        if not os.path.lexists(self.directory):
            return
        if not self.directory.is_dir():
            raise NotADatabase(
                f"{self.directory} is a file, and a database of this engine is a directory; "
                "point the URL at another path",
                path=str(self.directory),
            )
        own = {self.tables.name, "lock", "ballast"}
        foreign = sorted(path.name for path in self.directory.iterdir() if path.name not in own)
        if foreign and not self.holds_tables:
            raise NotADatabase(
                f"the directory {self.directory} holds other files ({foreign[0]!r} and so on) and "
                "no database of this engine; point the URL at a new or empty one, or at the engine "
                "that made it",
                path=str(self.directory),
            )
        self._refuse_headless()

    def make(self) -> None:
        """Make the directories, for their owner alone, and make sure they survive a crash."""
        if not self.tables.exists():
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                self.directory.mkdir(mode=0o700)
            flush_directory(self.directory.parent)
            with suppress(FileExistsError):
                self.tables.mkdir(mode=0o700)
            flush_directory(self.directory)

    def missing(self) -> StoreNotFound:
        """The refusal to make a database."""
        return StoreNotFound(
            f"there is no database at {self.directory}; open it without read_only and with create "
            "to make one, or give another path",
            path=str(self.directory),
        )

    def _refuse_headless(self) -> None:
        """A driver that does not find its list of files would begin anew over what is there."""
        if self.holds_tables or not self.tables.is_dir():
            return
        tables = sorted(path.name for path in self.tables.iterdir() if path.suffix in _TABLES)
        if tables:
            raise IntegrityFailed(
                f"{self.tables / _CURRENT} is missing, and there are tables ({tables[0]} and so "
                "on). Restore a backup, or that file",
                path=str(self.directory),
                log=_CURRENT,
            )
