"""`open`: from a URL or a configuration to a database."""

from __future__ import annotations

from holdfast.codecs.compression import compression_named
from holdfast.codecs.serializers import JSON, MESSAGE_PACK, Serializer
from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.runtime import Components
from holdfast.database.handle import Database
from holdfast.records.compose import Wishes
from holdfast.runtime.system import system_components
from holdfast.store.instances import Layers
from holdfast.store.registry import read_config, read_layers
from holdfast.store.versions.cache import CacheLimits

_SERIALIZERS: dict[str, Serializer] = {"msgpack": MESSAGE_PACK, "json": JSON}


def open(
    address: str | EngineConfig,
    *,
    serializer: str = "msgpack",
    compression: str = "none",
    housekeeping: bool = True,
    logged: bool = False,
    cached: bool | CacheLimits = False,
    layers: Layers = (),
    emulation: bool = True,
    components: Components | None = None,
) -> Database:
    """The database at a URL, to be used as `async with holdfast.open(...) as db`.

    Args:
        address: `memory://`, `lmdb:///app` (relative path), `sqlite:////var/app.db` (absolute),
            with parameters such as `?durability=relaxed`; or an engine's configuration object.
        serializer: how this handle stores values: `msgpack` or `json`. Any handle reads both.
        compression: `none`, `gzip`, `lz4`, `snappy` or `zstd`, likewise.
        housekeeping: whether this process ends expired entries; `sweep()` does it by hand.
        logged: whether each operation on entries leaves a record; see `Database.log`.
        cached: whether entries read again may come from memory, or how much of it to use.
        layers: what stands above the engine, outermost first: names such as `read_only`, or
            whatever makes a `Layer` of an engine. `?layers=` in the address does the same.
        emulation: False refuses an engine on which something would be emulated that others do
            themselves; `explain` tells which.
        components: clock, ids and ways to wait other than the machine's; for tests.

    Raises:
        ConfigInvalid, EngineNotFound, DriverMissing: the address or an argument cannot be used.
    """
    if serializer not in _SERIALIZERS:
        known = ", ".join(_SERIALIZERS)
        raise ConfigInvalid(f"serializer is one of {known}; found {serializer!r}")
    limits = CacheLimits() if cached is True else cached or None
    return Database(
        read_config(address),
        components if components is not None else system_components(),
        serializer=_SERIALIZERS[serializer],
        compression=compression_named(compression),
        housekeeping=housekeeping,
        wishes=Wishes(logged, limits),
        layers=(*read_layers(address), *layers),
        emulation=emulation,
    )
