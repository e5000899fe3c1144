"""TinyDB: one JSON file of tables, each a mapping of numbers to documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from holdfast.contract.errors import InvalidInput, ValueTooLarge
from holdfast.stores.migration.importing.source import Item, Source, foreign, looks

#: The biggest file. It is one JSON document, which TinyDB reads as a whole, too.
FILE_BYTES_MAX: Final = 256 * 1024 * 1024


class TinydbSource(Source):
    """A file of TinyDB's `JSONStorage`, read without that package.

    Args:
        path: of the file.
        table: which of its tables; empty: all, each of them named where there are several.

    Raises:
        InvalidInput: a foreign or truncated file, or no such table.
        ValueTooLarge: it has over 256 MiB.
    """

    kind = "tinydb"

    def __init__(self, path: Path, *, table: str = "") -> None:
        self._path = path
        found = _tables(path)
        if table and table not in found:
            raise InvalidInput(
                f"a table {table!r} was wanted; found {', '.join(sorted(found)) or 'none at all'}. "
                "Name one of these"
            )
        self._tables = {table: found[table]} if table else found

    def items(self) -> Iterator[Item]:
        named = len(self._tables) > 1
        for table, documents in self._tables.items():
            for number, document in documents.items():
                yield Item(number, document, table=table if named else "")

    def look(self) -> object:
        return looks([self._path])


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        foreign("tinydb", path, "no file")
    size = path.stat().st_size
    if size > FILE_BYTES_MAX:
        raise ValueTooLarge(
            f"a TinyDB file of at most {FILE_BYTES_MAX} bytes was wanted; found {size}. Write its "
            "documents as JSON Lines, and import these",
            limit=FILE_BYTES_MAX,
            found=size,
        )
    content = path.read_bytes()
    try:
        # An empty file is a TinyDB that nothing was written to.
        tables = orjson.loads(content) if content.strip() else {}
    except orjson.JSONDecodeError as error:
        raise InvalidInput(
            f"the TinyDB file {path} was wanted as one JSON document; it ends to be that at the "
            f"character {error.pos} of {len(content)} bytes: it is truncated, or another program "
            "wrote it. Copy it again while nobody writes it"
        ) from None
    if not is_tinydb(tables):
        foreign(
            "tinydb",
            path,
            "JSON without tables of numbered documents (`holdfast import` reads other JSON)",
        )
    return dict(tables)


def is_tinydb(content: Any) -> bool:
    """Whether JSON is an object of tables whose documents have numbers."""
    return isinstance(content, dict) and all(
        isinstance(table, dict)
        and all(key.isdecimal() and isinstance(value, dict) for key, value in table.items())
        for table in content.values()
    )
