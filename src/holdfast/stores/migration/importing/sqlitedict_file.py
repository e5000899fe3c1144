"""`sqlitedict`: tables of key and value in an SQLite file; usually the values are pickles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from holdfast.contract.errors import InvalidInput
from holdfast.stores.migration.importing import pickles
from holdfast.stores.migration.importing.source import Item, Source, foreign, shown, text_key
from holdfast.stores.migration.importing.sqlite_file import SqliteFile

COLUMNS: Final = ["key", "value"]


class SqlitedictSource(Source):
    """A file of `sqlitedict`, read without that package.

    Values that some other `encode` wrote come as they are stored: text, bytes or a number.

    Args:
        path: of the file.
        table: which of its tables; empty: all, each of them named where there are several.
        unpickle: load the pickles: only of a source that you trust. Without it they stay bytes.

    Raises:
        InvalidInput: a foreign file, or no such table.
    """

    kind = "sqlitedict"

    def __init__(self, path: Path, *, table: str = "", unpickle: bool = False) -> None:
        self._file = SqliteFile(self.kind, path)
        try:
            tables = [name for name, columns in self._file.tables().items() if columns == COLUMNS]
            if not tables:
                foreign(self.kind, path, "an SQLite file without a table of key and value")
            if table and table not in tables:
                raise InvalidInput(
                    f"a table {table!r} was wanted; found {', '.join(sorted(tables))}. Name one "
                    "of these"
                )
        except BaseException:
            self._file.close()
            raise
        self._tables = [table] if table else sorted(tables)
        self._named = len(self._tables) > 1
        self._unpickle = unpickle
        self.raw = not unpickle and not self._named

    def items(self) -> Iterator[Item]:
        for table in self._tables:
            quoted = table.replace('"', '""')
            # A name cannot be a parameter; it comes from the file, and is quoted.
            statement = f'SELECT key, value FROM "{quoted}" ORDER BY rowid'  # noqa: S608
            for key, value in self._file.rows(statement):
                name = text_key(key)
                size = len(value) if isinstance(value, bytes | str) else 0
                if self._unpickle and isinstance(value, bytes) and pickles.is_pickle(value):
                    value = pickles.load(value, shown(name))  # noqa: PLW2901 - the same value
                yield Item(name, value, None, table if self._named else "", size)

    def look(self) -> object:
        return self._file.look()

    def close(self) -> None:
        self._file.close()
