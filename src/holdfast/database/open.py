"""`open`: from a URL or a configuration to a database."""

from __future__ import annotations

from holdfast.codecs.compression import CompressionName, compression_named
from holdfast.codecs.serializers import (
    EXTENDED,
    JSON,
    MESSAGE_PACK,
    ORDERED,
    Serializer,
    SerializerName,
    registry,
)
from holdfast.contract.capability import Durability
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.runtime import Clock, Components, SystemIds
from holdfast.database.address import Address, config_of
from holdfast.database.handle import Database
from holdfast.records.compose import Wishes
from holdfast.runtime.system import system_components
from holdfast.store.encryption.settings import Encryption, encryption_asked
from holdfast.store.instances import Layers
from holdfast.store.registry import read_layers
from holdfast.store.versions.cache import CacheLimits

_SERIALIZERS: dict[str, Serializer] = {
    "msgpack": MESSAGE_PACK,
    "json": JSON,
    "ordered": ORDERED,
    "extended": EXTENDED,
}


def open(
    address: Address,
    *,
    read_only: bool | None = None,
    create: bool | None = None,
    durability: Durability | None = None,
    flush_interval: float | None = None,
    serializer: SerializerName | Serializer = "msgpack",
    compression: CompressionName = "none",
    housekeeping: bool = True,
    logged: bool = False,
    cached: bool | CacheLimits = False,
    layers: Layers = (),
    encryption: Encryption | str | None = None,
    emulation: bool = True,
    clock: Clock | None = None,
    components: Components | None = None,
) -> Database:
    """The database at a URL, to be used as `async with holdfast.open(...) as db`.

    Args:
        address: `memory://`, `lmdb:///app` (relative path), `sqlite:////var/app.db` (absolute),
            with parameters such as `?durability=relaxed`; an engine's configuration object; or a
            path: a directory is of lmdb, a file of sqlite, as is a new name that ends with .db,
            .sqlite or .sqlite3.
        read_only, create, durability, flush_interval: settings that every engine has, in place of
            what the address says; `flush_interval` in seconds. See `EngineConfig`.
        serializer: how this handle stores values: `msgpack`, `ordered`, which keeps the order of
            mappings, `extended`, which keeps tuples, Decimal, UUID, dates and enums, `json`, or a
            `Serializer` of your own, which the process then knows. Any handle reads what is known.
        compression: `none`, `gzip`, `lz4`, `snappy` or `zstd`, likewise.
        housekeeping: whether this process ends expired entries; `sweep()` does it by hand.
        logged: whether each operation on entries leaves a record; see `Database.log`.
        cached: whether entries read again may come from memory, or how much of it to use.
        layers: what stands above the engine, outermost first: names such as `read_only`, or
            whatever makes a `Layer` of an engine. `?layers=` in the address does the same.
        encryption: encrypts what the engine stores: an `Encryption`, or where its keys are, as
            `file:PATH` or `env:VARIABLE`. `?encryption=` in the address does the same.
        emulation: False refuses an engine on which something would be emulated that others do
            themselves; `explain` tells which.
        clock: tells the time in place of the machine's; for tests, such as `ManualClock`.
        components: clock, ids and ways to wait other than the machine's; for tests.

    Raises:
        ConfigInvalid, EngineNotFound, DriverMissing: the address or an argument cannot be used.
    """
    check_switches(housekeeping=housekeeping, logged=logged, emulation=emulation)
    return Database(
        config_of(
            address,
            read_only=read_only,
            create=create,
            durability=durability,
            flush_interval=flush_interval,
        ),
        _components(components, clock),
        serializer=_serializer_of(serializer),
        compression=compression_named(compression),
        housekeeping=housekeeping,
        wishes=Wishes(logged, _limits_of(cached)),
        layers=(*_layers_of(address), *_listed(layers), *_encryption_of(address, encryption)),
        emulation=emulation,
    )


def check_switches(**switches: object) -> None:
    """Raise ConfigInvalid unless each is true or false."""
    for name, given in switches.items():
        _require(name, given, bool, "true or false")


def _require(name: str, given: object, kind: type | tuple[type, ...], wanted: str) -> None:
    if not isinstance(given, kind):
        raise ConfigInvalid(f"{name} is {wanted}; found a {type(given).__name__}", parameter=name)


def _limits_of(cached: bool | CacheLimits) -> CacheLimits | None:
    _require("cached", cached, (bool, CacheLimits), "true, false or CacheLimits")
    if isinstance(cached, bool):
        return CacheLimits() if cached else None
    for name, most in cached._asdict().items():
        if type(most) is not int:
            raise ConfigInvalid(
                f"{name} of cached= is a whole number; found a {type(most).__name__}",
                parameter="cached",
            )
    return cached


def _serializer_of(given: str | Serializer) -> Serializer:
    """The serializer; one of somebody's own is known to the process from now on."""
    if isinstance(given, Serializer):
        registry.register(given)
        return given
    if not isinstance(given, str) or given not in _SERIALIZERS:
        known = ", ".join(_SERIALIZERS)
        raise ConfigInvalid(f"serializer is one of {known}, or a Serializer; found {given!r}")
    return _SERIALIZERS[given]


def _listed(layers: Layers) -> Layers:
    """The layers, also where their names stand in one text, as in an address."""
    if not isinstance(layers, str):
        _require("layers", layers, (list, tuple), "a list of names and of what makes layers")
        return layers
    return [name.strip() for name in layers.split(",") if name.strip()]


def _layers_of(address: Address) -> tuple[str, ...]:
    return read_layers(address) if isinstance(address, str) else ()


def _encryption_of(address: Address, given: Encryption | str | None) -> tuple[Encryption, ...]:
    asked = encryption_asked(address if isinstance(address, str) else "", given)
    return () if asked is None else (asked,)


def _components(given: Components | None, clock: Clock | None) -> Components:
    """What the handle is given, with the clock if there is one."""
    components = given if given is not None else system_components()
    _require("components", components, Components, "made of clock, ids and host")
    if clock is None:
        return components
    if not hasattr(clock, "now_ms") or not hasattr(clock, "monotonic"):
        raise ConfigInvalid(
            f"clock tells `now_ms` and `monotonic`; found a {type(clock).__name__}",
            parameter="clock",
        )
    return Components(host=components.host, clock=clock, ids=SystemIds(clock))
