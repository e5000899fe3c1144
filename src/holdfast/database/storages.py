"""Storages by configuration: one collection in a database of its own, opened by what names it.

    async with open_storage({"type": "sqlite", "database": "app.db"}) as users: ...
    async with JSONStorageAdapter("users.json", pretty=True) as users: ...

What an adapter opens is a `Collection`, whatever the adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import ConfigInvalid, EngineNotFound
from holdfast.database.address import file_of
from holdfast.database.open import check_switches
from holdfast.database.storage_adapter import StorageAdapter, T, type_name
from holdfast.store.registry import engine_names

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)


class SQLiteStorageAdapter(StorageAdapter[T]):
    """A collection in a SQLite database.

    Args:
        database: path of the file; `:memory:` is gone when it is closed.
        table_name: of the collection: letters, digits and `_`.
        wal: the log of SQLite is always in use, and cannot be switched off.
        foreign_keys: whether SQLite checks foreign keys; there are none, so nothing changes.
        type, common: see `StorageAdapter`.
    """

    def __init__(
        self,
        database: str | Path,
        *,
        table_name: str = "storage",
        wal: bool = True,
        foreign_keys: bool = True,
        type: type[T] | None = None,
        **common: Any,
    ) -> None:
        if not isinstance(table_name, str) or not _TABLE_NAME.fullmatch(table_name):
            raise ConfigInvalid(
                "table_name is a name such as users_2: a letter or _, then letters, digits and _, "
                "63 characters at most; found another text",
                parameter="table_name",
            )
        check_switches(wal=wal, foreign_keys=foreign_keys)
        if not wal:
            raise ConfigInvalid(
                "wal=False was asked for; the engine always writes a log ahead, which is what lets "
                "readers and a writer work at once. Leave wal out",
                parameter="wal",
            )
        self.foreign_keys = foreign_keys
        where: EngineConfig | str = "memory://"
        if str(database) != ":memory:":
            from holdfast.engines.sqlite.config import SqliteConfig

            where = SqliteConfig(path=file_of(database, "database"))
        super().__init__(where, table_name, type=type, **common)


class EngineStorageAdapter(StorageAdapter[T]):
    """A collection in a database on any engine.

    Args:
        url: of the database.
        name: of the collection.
        type, common: see `StorageAdapter`.
    """

    def __init__(
        self, url: str, *, name: str = "storage", type: type[T] | None = None, **common: Any
    ) -> None:
        super().__init__(url, name, type=type, **common)


def open_storage(config: Mapping[str, Any]) -> StorageAdapter[Any]:
    """The adapter that a configuration names; open it with `async with`.

    Args:
        config: `type`: `json`, `sqlite` or the name of an engine (with its `url`), and what the
            adapter of that type takes.

    Raises:
        ConfigInvalid: there is no type, or a setting cannot be.
        EngineNotFound: the type is neither an adapter nor an engine.
    """
    if not isinstance(config, Mapping):
        raise ConfigInvalid(
            "a storage is opened by a mapping such as {'type': 'sqlite', 'database': 'app.db'}; "
            f"found a {type_name(config)}"
        )
    settings = dict(config)
    kind = settings.pop("type", None)
    if not isinstance(kind, str):
        raise ConfigInvalid("the configuration of a storage names its type; found none")
    if kind == "json":
        from holdfast.database.json_storage import JSONStorageAdapter

        adapter: Any = JSONStorageAdapter
    elif kind == "sqlite" and "url" not in settings:
        adapter = SQLiteStorageAdapter
    elif kind in engine_names():
        settings.setdefault("url", f"{kind}://")
        if not str(settings["url"]).startswith(f"{kind}:"):
            raise ConfigInvalid(f"the url of a storage of type {kind} begins with {kind}://")
        adapter = EngineStorageAdapter
    else:
        known = ", ".join(["json", *engine_names()])
        raise EngineNotFound(
            f"the type of a storage is one of {known}; found {kind[:80]!r}", scheme=kind[:80]
        )
    settings["type"] = settings.pop("value_type", None)
    try:
        return cast("StorageAdapter[Any]", adapter(**settings))
    except TypeError as error:
        raise ConfigInvalid(f"a storage of type {kind} takes other settings: {error}") from error
