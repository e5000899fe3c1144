"""From a URL's scheme to an engine, loaded when it is first asked for."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, cast
from urllib.parse import unquote

from holdfast.contract.config import EngineConfig, masked
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, DriverMissing, EngineNotFound

#: The entry-point group under which engines register, ours and others' alike.
GROUP = "holdfast.engines"

#: Ours once more, so that a source tree works without being installed, and so that opening one
#: of them does not read the metadata of every installed distribution.
_LAYERS = re.compile(r"([?&])layers=([^&#]*)(&|$)")

_OURS = {
    "memory": "holdfast.engines.memory:MemoryEngine",
    "lmdb": "holdfast.engines.lmdb:LmdbEngine",
    "sqlite": "holdfast.engines.sqlite:SqliteEngine",
    "redis": "holdfast.engines.redis:RedisEngine",
    "file": "holdfast.engines.file:FileEngine",
    "postgres": "holdfast.engines.postgres:PostgresEngine",
    "rocksdb": "holdfast.engines.rocksdb:RocksdbEngine",
    "leveldb": "holdfast.engines.leveldb:LeveldbEngine",
}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)

#: What brings a driver that is not there, by scheme.
_REMEDIES = {
    "lmdb": 'pip install "holdfast-db[lmdb]"',
    "redis": 'pip install "holdfast-db[redis]"',
    "postgres": 'pip install "holdfast-db[postgres]"',
    "rocksdb": 'pip install "holdfast-db[rocksdb]"',
    "leveldb": 'pip install "holdfast-db[leveldb]", on Linux with a Python up to 3.12',
    "sqlite": "it belongs to the standard library: use a Python that was built with it",
}


def engine_names() -> list[str]:
    """The schemes that can be opened, ours and those of installed distributions."""
    from importlib.metadata import entry_points  # Reads mail headers: not for every program.

    return sorted({*_OURS, *(point.name for point in entry_points(group=GROUP))})


def engine_class(scheme: str) -> type[Engine]:
    """The engine registered for the scheme.

    Raises:
        EngineNotFound: there is none.
        DriverMissing: its driver is not installed.
    """
    target = _OURS.get(scheme)
    if target is None:
        from importlib.metadata import entry_points

        points = entry_points(group=GROUP, name=scheme)
        if not points:
            known = ", ".join(f"{name}://" for name in engine_names())
            raise EngineNotFound(
                f"no engine is registered for {scheme}://; found {known}. Install the package "
                f"that brings it, or register a class under the entry-point group {GROUP}",
                scheme=scheme,
            )
        target = next(iter(points)).value
    module_name, _, class_name = target.partition(":")
    try:
        module = import_module(module_name)
    except DriverMissing:
        raise
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "holdfast":
            raise  # No driver is missing: the fault is in an engine itself.
        raise DriverMissing(
            f"the engine {scheme} needs the module {error.name!r}, which is not installed; "
            f"{_REMEDIES.get(scheme, 'install it with the package that brings the engine')}",
            scheme=scheme,
            extra=scheme if scheme in _REMEDIES and scheme != "sqlite" else None,
        ) from error
    return cast("type[Engine]", getattr(module, class_name))


def read_config(address: str | EngineConfig) -> EngineConfig:
    """The configuration that a URL spells; a configuration is returned as it is."""
    if isinstance(address, EngineConfig):
        return address
    if not isinstance(address, str):
        raise ConfigInvalid(
            "a database is opened by its URL, such as lmdb:///app, a Path or a configuration; "
            f"found a {_name(address)}"
        )
    scheme, separator, _ = address.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ConfigInvalid(
            "a database URL begins with its engine: lmdb:///app or memory://; "
            f"found {masked(address)!r}. To open a path, pass a pathlib.Path"
        )
    return engine_class(scheme).config_type.from_url(_without_layers(address)[0])


def read_layers(address: str | EngineConfig) -> tuple[str, ...]:
    """The layers that a URL names above its engine: `?layers=read_only,mine`."""
    return _without_layers(address)[1] if isinstance(address, str) else ()


def _without_layers(address: str) -> tuple[str, tuple[str, ...]]:
    """(the URL without its layers, their names): layers are no setting of an engine."""
    found = _LAYERS.search(address)
    if found is None:
        return address, ()
    rest = address[: found.start()] + (found[1] if found[3] == "&" else "")
    names = tuple(unquote(name) for name in found[2].split(",") if name)
    return rest + address[found.end() :], names


def _name(value: Any) -> str:
    return type(value).__name__
