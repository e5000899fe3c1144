"""What names a database: a URL, a path, or a configuration; with settings beside it."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from holdfast.contract.config import EngineConfig, require_path
from holdfast.contract.errors import ConfigInvalid
from holdfast.store.registry import engine_class, read_config

#: What a database is named by.
Address = str | PathLike[str] | EngineConfig

#: Names of files that say that a new database is to be one file.
_FILES = {".db", ".sqlite", ".sqlite3"}


def config_of(address: Address, **settings: Any) -> EngineConfig:
    """The configuration that an address and settings spell.

    Args:
        address: a URL, a configuration, or a path: a directory is of lmdb, a file of sqlite; of
            what is not there yet, a name that ends with .db, .sqlite or .sqlite3 is a file's.
        settings: of the configuration, in place of what the address says; None: as that says.

    Raises:
        ConfigInvalid, EngineNotFound, DriverMissing: it cannot be used.
    """
    config = _of_path(address) if isinstance(address, PathLike) else read_config(address)
    given = {name: value for name, value in settings.items() if value is not None}
    return replace(config, **given) if given else config


def file_of(given: Any, name: str) -> Path:
    """The path of a file that a setting gives. Raises ConfigInvalid."""
    if isinstance(given, str | PathLike):
        text = fspath(given)
        if isinstance(text, str) and Path(text).name:
            return Path(text)
    raise ConfigInvalid(
        f"{name} is the path of a file; found "
        + ("one without a name" if isinstance(given, str | PathLike) else type(given).__name__),
        parameter=name,
    )


def _of_path(address: PathLike[str]) -> EngineConfig:
    text = fspath(address)
    if not isinstance(text, str):
        raise ConfigInvalid(
            "a path of text was wanted; found one of bytes. Decode it with os.fsdecode"
        )
    path = Path(text)
    require_path(path)
    is_file = _is_file(path)
    engine = engine_class("sqlite" if is_file else "lmdb")
    config_type: Any = engine.config_type
    config: EngineConfig = config_type(path=path)
    return config


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() or (not path.exists() and path.suffix in _FILES)
    except OSError:  # The engine says what is wrong with it.
        return path.suffix in _FILES
