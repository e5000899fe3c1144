"""Every store that is measured, and what an acknowledged write survives in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from benchmarks.peers.driver import PeerMissing
from benchmarks.stores.base import Store


class Survives(Enum):
    """What an acknowledged write survives. Stores are compared within one class only."""

    POWER_LOSS = "each write is flushed before it returns: it survives a power loss"
    PROCESS_DEATH = "each write is handed to the system: it survives the death of the process"
    AFTER_A_WHILE = "a write survives the death of the process once an interval has passed"
    NOTHING = "memory: a write ends with the process"

    @property
    def label(self) -> str:
        """What it survives, in two words or three."""
        return self.name.lower().replace("_", " ")


class Kind(Enum):
    """Where a store comes from."""

    OURS = "ours"
    RAW = "raw driver"
    PEER = "rival"


@dataclass(frozen=True, eq=False)
class Subject:
    """A store in one configuration.

    Attributes:
        name: as the tables call it.
        kind: where it comes from.
        survives: its class.
        maker: `module:Class` of the adapter.
        options: of the adapter.
        ordered: whether it can scan a range of keys.
        records_max: how far it can be filled in reasonable time; None: as far as wanted.
        requires: modules it imports.
        champion: the configuration of ours that the class is judged by.
        note: what the reader of a table has to know.
    """

    name: str
    kind: Kind
    survives: Survives
    maker: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ordered: bool = False
    records_max: int | None = None
    requires: tuple[str, ...] = ()
    champion: bool = False
    note: str = ""

    def store(self, folder: Path) -> Store:
        """The store, not yet open."""
        module, _, name = self.maker.partition(":")
        return cast("Store", getattr(import_module(module), name)(folder, **self.options))


#: A rewrite of the whole file for each write takes a second at this size already.
TINYDB_RECORDS = 1_000


def _ours(
    engine: str, durability: str, survives: Survives, *, champion: bool, journal: str = ""
) -> list[Subject]:
    options = {"engine": engine, "durability": durability, "journal": journal}
    mode = "" if engine == "memory" else f" {durability}"
    mode += ", journal" if journal else ""
    return [
        Subject(
            f"holdfast {engine}{mode}, {handle}", Kind.OURS, survives,
            f"benchmarks.stores.ours:{name}", options, ordered=True,
            champion=champion and handle == ("sync" if journal else "async"),
        )
        for handle, name in (("async", "AsyncHoldfast"), ("sync", "SyncHoldfast"))
    ]  # fmt: skip


def _raw(name: str, survives: Survives, maker: str, **options: Any) -> Subject:
    return Subject(
        name, Kind.RAW, survives, f"benchmarks.stores.raw:{maker}", options, ordered=True
    )  # fmt: skip


def _peer(
    name: str, survives: Survives, maker: str, requires: tuple[str, ...], note: str = "",
    *, ordered: bool = False, records_max: int | None = None, **options: Any,
) -> Subject:  # fmt: skip
    return Subject(
        name, Kind.PEER, survives, f"benchmarks.peers.{maker}", options, ordered, records_max,
        requires, note=note,
    )  # fmt: skip


_FLUSHED, _WRITTEN = Survives.POWER_LOSS, Survives.PROCESS_DEATH
_LATER, _MEMORY = Survives.AFTER_A_WHILE, Survives.NOTHING
_KEY_VALUE, _KEY_VALUE_ON = "key_value:KeyValue", ("key_value.aio",)

SUBJECTS: tuple[Subject, ...] = (
    *_ours("lmdb", "full", _FLUSHED, champion=False),
    *_ours("lmdb", "full", _FLUSHED, champion=True, journal="8MiB"),
    *_ours("sqlite", "full", _FLUSHED, champion=False),
    _raw("raw lmdb", _FLUSHED, "RawLmdb"),
    _raw("raw sqlite3 FULL", _FLUSHED, "RawSqlite", synchronous="FULL"),
    _peer("diskcache FULL", _FLUSHED, "disk_cache:DiskCache", ("diskcache",), synchronous="FULL"),
    _peer("sqlitedict FULL", _FLUSHED, "sqlite_dict:SqliteDict", ("sqlitedict",),
          synchronous="FULL"),
    _peer("py-key-value disk FULL", _FLUSHED, _KEY_VALUE, (*_KEY_VALUE_ON, "diskcache"),
          kind="disk", flush=True),
    _peer("py-key-value rocksdb sync", _FLUSHED, _KEY_VALUE, (*_KEY_VALUE_ON, "rocksdict"),
          kind="rocksdb", flush=True),
    _peer("TinyDB", _FLUSHED, "tiny_db:TinyDb", ("tinydb",), f"{TINYDB_RECORDS:,} records only",
          records_max=TINYDB_RECORDS),
    _peer("ZODB", _FLUSHED, "zodb:Zodb", ("ZODB",),
          "a value read is the cached object itself", ordered=True),

    *_ours("sqlite", "relaxed", _WRITTEN, champion=True),
    _raw("raw sqlite3 NORMAL", _WRITTEN, "RawSqlite", synchronous="NORMAL"),
    _raw("raw lmdb, no flush", _WRITTEN, "RawLmdb", flush=False),
    _peer("diskcache", _WRITTEN, "disk_cache:DiskCache", ("diskcache",)),
    _peer("sqlitedict autocommit", _WRITTEN, "sqlite_dict:SqliteDict", ("sqlitedict",)),
    _peer("py-key-value disk", _WRITTEN, _KEY_VALUE, (*_KEY_VALUE_ON, "diskcache"), kind="disk"),
    _peer("py-key-value rocksdb", _WRITTEN, _KEY_VALUE, (*_KEY_VALUE_ON, "rocksdict"),
          kind="rocksdb"),
    _peer("cashews disk", _WRITTEN, "cashews_cache:Cashews", ("cashews", "diskcache"),
          kind="disk"),

    *_ours("lmdb", "relaxed", _LATER, champion=True),
    _peer("sqlitedict", _LATER, "sqlite_dict:SqliteDict", ("sqlitedict",),
          "commits after each 1,000 writes", commit_each=1_000),

    *_ours("memory", "full", _MEMORY, champion=True),
    _raw("sorted dict", _MEMORY, "RawDict"),
    _peer("aiocache memory", _MEMORY, "aio_cache:AioCache", ("aiocache",),
          "a value read is the stored object itself"),
    _peer("cashews mem", _MEMORY, "cashews_cache:Cashews", ("cashews",),
          "a value read is the stored object itself", kind="mem"),
    _peer("py-key-value memory", _MEMORY, _KEY_VALUE, _KEY_VALUE_ON, kind="memory"),
)  # fmt: skip


def subject(name: str) -> Subject:
    """The subject of that name."""
    return next(one for one in SUBJECTS if one.name == name)


def of_class(survives: Survives, *, with_peers: bool) -> list[Subject]:
    """The subjects that are compared with each other."""
    return [
        one
        for one in SUBJECTS
        if one.survives is survives and (with_peers or one.kind != Kind.PEER)
    ]


def require_peers(modules: Iterable[str] | None = None) -> None:
    """Raise PeerMissing unless the modules are installed; None: those of every rival here."""
    if modules is None:
        modules = [name for one in SUBJECTS for name in one.requires]
    wanted = {name.partition(".")[0] for name in modules}
    missing = sorted(name for name in wanted if find_spec(name) is None)
    if missing:
        raise PeerMissing(
            f"rivals are missing: {', '.join(missing)}. Install the dependency group `bench` "
            "(`make bench` does), or pass --without-peers"
        )
