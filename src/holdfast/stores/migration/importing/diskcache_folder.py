"""`diskcache`: an SQLite file of keys, and values in it or in files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.contract.runtime import Clock
from holdfast.stores.migration.importing import pickles
from holdfast.stores.migration.importing.source import Item, Source, foreign, shown, text_key
from holdfast.stores.migration.importing.sqlite_file import SqliteFile, is_sqlite

FILE: Final = "cache.db"
_RAW, _BINARY, _TEXT, _PICKLE = 1, 2, 3, 4
_SHARD: Final = re.compile(r"\d{3}")
_COUNT_PICKLES: Final = "SELECT count(*) FROM Cache WHERE mode = ? OR raw = 0"
_ROWS: Final = "SELECT key, raw, expire_time, mode, filename, value, size FROM Cache ORDER BY rowid"


def shards(folder: Path) -> list[Path]:
    """The folders of a cache, or of the shards of a `FanoutCache`; none for a foreign folder."""
    if is_sqlite(folder / FILE):
        return [folder]
    if not folder.is_dir():
        return []
    found = sorted(one for one in folder.iterdir() if _SHARD.fullmatch(one.name))
    return [one for one in found if is_sqlite(one / FILE)]


class DiskcacheSource(Source):
    """The folder of a `Cache` or `FanoutCache`, read without that package.

    What has expired is left out; other expiries are kept.

    Args:
        folder: of the cache.
        clock: tells what has expired.
        unpickle: load keys and values that are pickles: only of a source that you trust.

    Raises:
        InvalidInput: a foreign folder; or it holds pickles, and `unpickle` was not given.
    """

    kind = "diskcache"

    def __init__(self, folder: Path, clock: Clock, *, unpickle: bool = False) -> None:
        self._clock = clock
        found = shards(folder)
        if not found:
            foreign(self.kind, folder, f"no folder with a {FILE}")
        with ExitStack() as opened:
            self._files = []
            for shard in found:
                file = SqliteFile(self.kind, shard / FILE)
                opened.callback(file.close)
                if "Cache" not in file.tables():
                    foreign(self.kind, folder, f"a {FILE} without a table Cache")
                self._files.append((shard.resolve(), file))
            if not unpickle:
                count = sum(next(file.rows(_COUNT_PICKLES, _PICKLE))[0] for _, file in self._files)
                if count:
                    raise pickles.refuse(f"{count:,} items are pickles", self.kind)
            self._open = opened.pop_all()

    def items(self) -> Iterator[Item]:
        for folder, file in self._files:
            for key, raw, expires, mode, name, value, size in file.rows(_ROWS):
                if expires is not None and expires * 1000 <= self._clock.now_ms():
                    continue
                found = text_key(key if raw else pickles.load(bytes(key), "that is a pickle"))
                content = _value(folder, found, mode, name, value)
                ends = None if expires is None else int(expires * 1000)
                yield Item(
                    found,
                    content,
                    ends,
                    size=max(size, len(value or b"") if isinstance(value, bytes) else 0),
                )

    def look(self) -> object:
        return tuple(file.look() for _, file in self._files)

    def close(self) -> None:
        self._open.close()


def _value(folder: Path, key: str | bytes, mode: int, name: str | None, value: Any) -> Any:
    if mode == _RAW:
        return value
    if mode not in (_BINARY, _TEXT, _PICKLE):
        raise InvalidInput(
            f"values of the modes 1 to 4 were wanted; found {mode} under the key {shown(key)}. A "
            "Disk of your own wrote it: read it by that",
            key=shown(key),
        )
    content = bytes(value) if name is None else _content(folder, key, name)
    if mode == _PICKLE:
        return pickles.load(content, shown(key))
    if mode == _BINARY:
        return content
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise IntegrityFailed(
            f"the value of the key {shown(key)} was wanted as text in UTF-8; found other bytes: "
            "its file is damaged. Remove the key from the cache, and do it again",
            key=shown(key),
        ) from None


def _content(folder: Path, key: str | bytes, name: str) -> bytes:
    path = (folder / name).resolve()
    # The name comes from a file that anybody may have made.
    if not path.is_relative_to(folder):
        raise InvalidInput(
            f"the file of the key {shown(key)} was wanted inside {folder}; found one outside. The "
            "cache is not what diskcache writes",
            key=shown(key),
        )
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise IntegrityFailed(
            f"the value of the key {shown(key)} was wanted in a file of {folder}; found none: the "
            "cache changed meanwhile, or is damaged. Stop who uses it and do it again, or run "
            "Cache.check(fix=True)",
            key=shown(key),
        ) from None
