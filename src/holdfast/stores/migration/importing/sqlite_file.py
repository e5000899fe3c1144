"""An SQLite file that another program wrote, for reading alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from holdfast.contract.errors import IntegrityFailed
from holdfast.stores.migration.importing.source import foreign

_MAGIC: Final = b"SQLite format 3\x00"


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as those of SQLite do."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


class SqliteFile:
    """A connection that cannot write.

    Raises:
        InvalidInput: there is no such file, or it is not of SQLite.
    """

    def __init__(self, kind: str, path: Path) -> None:
        if not is_sqlite(path):
            foreign(kind, path, "a foreign file" if path.exists() else "nothing of that name")
        self._path = path
        self._database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )

    def rows(self, statement: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows that a statement gives, all of one moment."""
        with self._read(), closing(self._database.execute(statement, values)) as cursor:
            yield from cursor  # One row at a time in memory.

    def tables(self) -> dict[str, list[str]]:
        """The names of the columns of each table."""
        names = [name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type='table'")]
        columns = "SELECT name FROM pragma_table_info(?)"
        return {name: [one for (one,) in self.rows(columns, name)] for name in names}

    def look(self) -> object:
        """Equal to an earlier one unless another connection committed meanwhile."""
        return next(self.rows("PRAGMA data_version"))

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise IntegrityFailed(
                f"the SQLite file {self._path} cannot be read to its end ({error}): it is "
                "truncated, damaged or locked. Copy it again with its -wal file, or run "
                "PRAGMA integrity_check",
                path=str(self._path),
            ) from None
