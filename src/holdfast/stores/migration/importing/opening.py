"""Which kind of data lies somewhere, and the source that reads it."""

from __future__ import annotations

import dbm
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.contract.errors import InvalidInput
from holdfast.contract.runtime import Clock, SystemClock
from holdfast.stores.migration.importing import pickles
from holdfast.stores.migration.importing.bson_dump import BsonSource, collections_of
from holdfast.stores.migration.importing.dbm_file import DbmSource, ShelfSource
from holdfast.stores.migration.importing.diskcache_folder import DiskcacheSource, shards
from holdfast.stores.migration.importing.leveldb_folder import LeveldbSource, is_leveldb
from holdfast.stores.migration.importing.redis_keys import RedisSource
from holdfast.stores.migration.importing.source import Source
from holdfast.stores.migration.importing.sqlite_file import SqliteFile, is_sqlite
from holdfast.stores.migration.importing.sqlitedict_file import COLUMNS, SqlitedictSource
from holdfast.stores.migration.importing.tinydb_file import TinydbSource
from holdfast.stores.migration.importing.zodb_file import ZodbSource, is_zodb


class _Asked(NamedTuple):
    place: str
    clock: Clock
    table: str
    match: str
    unpickle: bool
    text: bool

    @property
    def path(self) -> Path:
        return Path(self.place)


#: How each kind is opened, and which options it has.
_KINDS: Final[dict[str, tuple[Callable[[_Asked], Source], frozenset[str]]]] = {
    "dbm": (lambda asked: DbmSource(asked.path), frozenset()),
    "shelve": (
        lambda asked: ShelfSource(asked.path, unpickle=asked.unpickle), frozenset(("unpickle",)),
    ),
    "diskcache": (
        lambda asked: DiskcacheSource(asked.path, asked.clock, unpickle=asked.unpickle),
        frozenset(("unpickle",)),
    ),
    "sqlitedict": (
        lambda asked: SqlitedictSource(asked.path, table=asked.table, unpickle=asked.unpickle),
        frozenset(("table", "unpickle")),
    ),
    "tinydb": (lambda asked: TinydbSource(asked.path, table=asked.table), frozenset(("table",))),
    "redis": (
        lambda asked: RedisSource(asked.place, asked.clock, match=asked.match, text=asked.text),
        frozenset(("match", "text")),
    ),
    "leveldb": (lambda asked: LeveldbSource(asked.path), frozenset()),
    "mongodb": (lambda asked: BsonSource(asked.path, table=asked.table), frozenset(("table",))),
    "zodb": (
        lambda asked: ZodbSource(asked.path, table=asked.table, unpickle=asked.unpickle),
        frozenset(("table", "unpickle")),
    ),
}  # fmt: skip

#: The kinds of sources there are.
KINDS: Final = tuple(_KINDS)


def open_source(
    place: str | Path,
    kind: str | None = None,
    *,
    table: str = "",
    match: str = "",
    unpickle: bool = False,
    text: bool = False,
    clock: Clock | None = None,
) -> Source:
    """Open older data for reading; it is closed by the end of a `with`.

    Args:
        place: the path of a file or folder, or a URL `redis://`.
        kind: one of `KINDS`; None: guessed.
        table: of sources with tables or collections, which one; empty: all.
        match: of Redis, a pattern of keys as SCAN has it.
        unpickle: load pickles. That runs whatever code they name: only of a source that you trust.
        text: of Redis, whether strings are text in UTF-8; False: bytes.
        clock: what expiries are told by; None: the machine's.

    Raises:
        InvalidInput: nothing that can be imported is there, or the kind lacks an option.
        DriverMissing: the package that reads it is not installed.
        IntegrityFailed: it is truncated or damaged.
    """
    asked = _Asked(str(place), clock or SystemClock(), table, match, unpickle, text)
    name = guess(asked.place) if kind is None else kind
    if name not in _KINDS:
        raise InvalidInput(f"a kind of source is one of {', '.join(KINDS)}; found {name!r}")
    make, options = _KINDS[name]
    given: dict[str, Any] = {"table": table, "match": match, "unpickle": unpickle, "text": text}
    for option, value in given.items():
        if value and option not in options:
            raise InvalidInput(f"a source of the kind {name} has no option {option}; leave it out")
    return make(asked)


def guess(place: str) -> str:
    """The kind of what lies somewhere.

    Raises:
        InvalidInput: nothing is there, or nothing that is known.
    """
    if place.startswith(("redis://", "rediss://", "unix://")):
        return "redis"
    path = Path(place)
    found = _folder(path) if path.is_dir() else _file(path)
    if found is None:
        what = "something else" if path.exists() else "nothing of that name"
        raise InvalidInput(
            f"data of a kind that can be imported was wanted at {place}; found {what}. The kinds "
            f"are {', '.join(KINDS)}; say which it is with --from (kind=)"
        )
    return found


def _folder(path: Path) -> str | None:
    if shards(path):
        return "diskcache"
    if is_leveldb(path):
        return "leveldb"
    return "mongodb" if any(path.rglob("*.bson")) or any(path.rglob("*.bson.gz")) else None


def _file(path: Path) -> str | None:
    if is_zodb(path):
        return "zodb"
    if is_sqlite(path) and not dbm.whichdb(str(path)):
        file = SqliteFile("sqlitedict", path)
        try:
            return "sqlitedict" if COLUMNS in file.tables().values() else None
        finally:
            file.close()
    if path.name.endswith((".bson", ".bson.gz")):
        return "mongodb" if collections_of(path) else None
    if path.suffix == ".json" and path.is_file():
        return "tinydb"
    if not dbm.whichdb(str(path)):
        return None
    with DbmSource(path) as source:
        values = (item.value for item in source.items())
        return "shelve" if pickles.is_pickle(next(values, b"")) else "dbm"
