"""docs/configuration.md: which engine, every setting there is, and what to turn when it matters.

The tables are read from the living package: the engines that are registered, with what they can do,
and the classes of settings. So a new engine and a new setting stand on the page by themselves.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import msgspec

import holdfast
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.runtime.system import system_components
from holdfast.store.registry import engine_class, engine_names
from holdfast.store.versions.retention import Retention
from tools.reference_text import WRITTEN_BY, markdown, summary, table

INTRO = """\
Three questions, in this order: which engine, which settings, and, once it is measured that
something is too slow or too large, which of them to turn."""

REGISTERED = """\
The engines that are registered, with what speaks for and against each; [what each can
do](engines.md) in full."""

DECISION = (
    ("nothing may be installed", "`sqlite`"),
    ("one machine, most reads, several processes", "`lmdb`"),
    ("several containers on one volume", "`sqlite`"),
    ("people read the files, or mend them with an editor", "`file`"),
    ("tests, and caches that may go", "`memory`, with `size_max`"),
    ("several machines, and Redis is there", "`redis`"),
    ("several machines, standbys that never lose an acknowledged write", "`postgres`"),
    ("one machine, and a second one ready", "`lmdb` or `sqlite`, with `holdfast follow`"),
)

#: Classes with settings besides those of engines: module, class, and what they are for.
CLASSES = (
    ("holdfast.store.versions.cache", "CacheLimits", "`holdfast.open(..., cached=...)`"),
    ("holdfast.stores.config", "StoreConfig", "`db.stores.create(name, config=...)`"),
    (
        "holdfast.database.store_root", "MultiStoreConfig",
        "stores on several engines below one folder",
    ),
    ("holdfast.documents.caching", "CacheConfig", "`db.collection(..., cache=...)`"),
    (
        "holdfast.documents.serialization", "SerializationConfig",
        "`db.collection(..., serialization=...)`",
    ),
    ("holdfast.state.redis.config", "RedisConfig", "`RedisAdapter(...)`: state on Redis itself"),
)  # fmt: skip

ENVIRONMENT = (
    ("`HOLDFAST_URL`", "the database of the command line where `--url` is left out"),
    ("`HOLDFAST_DEBUG`", "`1`: the command line shows where an error comes from"),
    ("`HOLDFAST_STORES_ROOT`, ...", "what `MultiStoreConfig.from_environment` reads"),
)

SECURITY = """\
Passwords stand in URLs or, better, in the configuration object; whatever is printed masks them. TLS
to servers is a setting of their engine (`tls`, `sslmode`). Files of a database belong to the user
that made them, so give its folder to nobody else: a backup, a standby and a shipped copy hold the
same data as the database. Values never reach logs, errors or telemetry."""

#: Tip, what it does, the workload that measured it, and what it found.
TIPS = {
    "Throughput": (
        (
            "Let many callers write at once, on one handle.",
            "They share flushes: 256 tasks write 59 times what one does where a flush takes 2 ms.",
            "group-commit",
        ),
        (
            "Write many in one call: `set_many`, or a transaction.",
            "One commit and one flush for all; 100,000 records load at 41,000 a second.",
            "ycsb",
        ),
        (
            "`?durability=relaxed`, where the last 50 ms may be lost.",
            "One caller writes without waiting for the disk; `survival` tells what is kept.",
            "survival",
        ),
        (
            "Count with `counter` of the state view, not with `modify` of one entry.",
            "A counter keeps no past and tells no change.",
            "counters",
        ),
        (
            "`modify` one hot key from many tasks; do not read, decide and `set`.",
            "64 tasks change one key 27,000 times a second: it is decided inside the commit.",
            "hot-key",
        ),
    ),
    "Latency": (
        (
            "Keep a handle open; do not open one for each request.",
            "Opening takes 15 to 20 ms, a value 0.01 ms.",
            "cold-open",
        ),
        (
            "Use the handle of your kind: async on a loop, `holdfast.sync` elsewhere.",
            "Neither hops between threads; they cost within a microsecond of each other.",
            "headline",
        ),
        (
            "`cached=True` on `sqlite` and for big values; leave it out on `lmdb`.",
            "From 5 µs to 2 µs on `sqlite`; LMDB reads from memory as it is.",
            "decorators",
        ),
        (
            "Do not fear a long past: it makes no write slower.",
            "A set of a key with 100,000 versions costs what one with 10 does.",
            "set-cost",
        ),
    ),
    "Memory": (
        (
            "Walk with `items` and `keys`; do not collect.",
            "Pages of at most 1,000 rows or 4 MiB are in memory at a time.",
            "scan",
        ),
        (
            "`?cache_size=` of `sqlite` is per connection, one for each reading thread.",
            "A loaded record takes 1.0 KiB of memory there and 0.3 KiB on `lmdb`.",
            "ycsb",
        ),
        (
            "Bound a database in memory: `memory://?size_max=256MiB`.",
            "Beyond it writes raise StorageFull. A row takes some 0.3 KiB beside its bytes.",
            "ycsb",
        ),
    ),
    "Disk": (
        (
            "Say how much of the past is kept: `db.retention.keep`, `keep_feed`.",
            "By default an overwrite leaves 1.5 to 2.4 KiB of past for seven days.",
            "file-growth",
        ),
        (
            "`holdfast compact` after retention became shorter; `holdfast size` shows what it is.",
            "`sqlite` gave 159 MiB back down to 84 MiB.",
            "file-growth",
        ),
        (
            '`compression="zstd"` for texts and documents above some hundred bytes.',
            "The richness (metadata, digest, past, feed) is small beside values of that size.",
            "by-hand",
        ),
    ),
}  # fmt: skip


def configuration_page() -> str:
    """The whole page."""
    parts = [
        "# Configure", WRITTEN_BY, INTRO,
        "## Which engine", table(("you have", "take"), DECISION),
        REGISTERED,
        engines_table(),
        "## Opening a database", "Arguments of `holdfast.open`, whatever the engine.",
        arguments_of(holdfast.open),
    ]  # fmt: skip
    parts.append("## Settings of engines")
    parts.append(
        "In the URL (`lmdb:///app?map_size=64GiB`) or as fields of the configuration object. Sizes "
        "read `512KiB`, durations `50ms`, `2s`, `15m`."
    )
    for name in engine_names():
        kind = engine_class(name).config_type
        parts += [f"### `{name}`", settings_of(kind)]
    parts.append("## Settings of views")
    for module, name, use in CLASSES:
        kind = getattr(importlib.import_module(module), name)
        parts += [f"### `{name}`", f"{use}. {summary(kind.__doc__)}", settings_of(kind)]
    parts += ["### Retention", "`db.retention.keep`: the past of a namespace."]
    parts.append(arguments_of(Retention.keep))
    parts += ["`db.retention.keep_feed`: the feed.", arguments_of(Retention.keep_feed)]
    parts += ["## Environment", table(("variable", "what it does"), ENVIRONMENT)]
    parts += ["## Security", SECURITY, "## Tuning", tuning_intro()]
    for name, tips in TIPS.items():
        rows = [(tip, found, f"[`{bench}`](benchmarks.md#workloads)") for tip, found, bench in tips]
        parts += [f"### {name}", table(("do", "what was measured", "workload"), rows)]
    return "\n\n".join(parts) + "\n"


def tuning_intro() -> str:
    return (
        "Each tip is backed by a workload: `python -m benchmarks --only NAME` measures it on your "
        "machine. The figures here are of two cores of an AMD EPYC "
        "([the run](benchmarks-figures.md)). "
        "Measure before and after; change one thing."
    )


def engines_table() -> str:
    """The registered engines: what each is, what speaks for it and what against."""
    rows = []
    for name in engine_names():
        kind = engine_class(name)
        package = importlib.import_module(kind.__module__.rpartition(".")[0])
        pros, cons = judged(capabilities_of(name))
        told = summary(package.__doc__ or kind.__doc__)
        rows.append((f"`{name}`", told, "; ".join(pros), "; ".join(cons) or "-"))
    return table(("engine", "what it is", "for it", "against it"), rows)


def capabilities_of(name: str) -> Capabilities:
    """What an engine can do as configured by default."""
    kind = engine_class(name)
    config: EngineConfig
    if issubclass(kind.config_type, PathConfig):
        config = kind.config_type(path=Path("example"))
    else:
        config = kind.config_type()
    return kind(config, system_components()).capabilities


def judged(can: Capabilities) -> tuple[list[str], list[str]]:
    """What speaks for an engine and what against it, from what it says it can do."""
    judgements = (
        (can.persistent, "outlives the process", "gone with the process"),
        (can.shared, "several processes at once", "one process at a time"),
        (
            can.durability == "full" and can.persistent, "each write survives a power loss",
            "what a write survives is the server's setting" if can.durability == "server" else "",
        ),
        (can.io is not Io.REMOTE, "no server to run", "a round trip for each call"),
        (
            can.snapshots, "snapshots, hot backups, standbys",
            "no snapshots: no `backup`, `copy` or `follow` from it",
        ),
        (
            can.transacts_once, "decides inside the commit",
            "a function of a write may run more than once",
        ),
        (can.compacts, "gives space back", ""),
    )  # fmt: skip
    pros = [one for holds, one, _ in judgements if holds]
    cons = [other for holds, _, other in judgements if not holds and other]
    return pros, cons


def settings_of(kind: Any) -> str:
    """Every setting of a class: name, default, meaning."""
    told: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        told |= attributes_of(owner)
    rows = [(f"`{name}`", default, told.get(name, "")) for name, default in settings(kind).items()]
    return table(("setting", "default", "meaning"), rows)


def settings(kind: Any) -> dict[str, str]:
    """The names of the settings of a class, with their defaults."""
    if dataclasses.is_dataclass(kind):
        return {
            one.name: "required" if one.default is dataclasses.MISSING else f"`{one.default}`"
            for one in dataclasses.fields(kind)
        }
    if issubclass(kind, msgspec.Struct):
        return {
            one.encode_name: "required" if one.required else f"`{_default(one)}`"
            for one in msgspec.structs.fields(kind)
        }
    return {name: f"`{kind._field_defaults.get(name)}`" for name in kind._fields}


def _default(one: Any) -> Any:
    factory = one.default_factory
    return one.default if factory is msgspec.NODEFAULT else factory()


def attributes_of(owner: type) -> dict[str, str]:
    """What the Attributes section of a class says, by name; also under the names it encodes."""
    said: dict[str, str] = {}
    for names, text in re.findall(
        r"^- ((?:`\w+`(?:, )?)+): (.+)$", markdown(owner.__doc__), re.MULTILINE
    ):
        for name in re.findall(r"`(\w+)`", names):
            said[name] = said[_camel(name)] = text.replace("|", r"\|")
    return said


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(one.capitalize() for one in others)


def arguments_of(function: Any) -> str:
    """The keyword arguments of a function: name, default, meaning."""
    told = {}
    for names, text in re.findall(
        r"^- ((?:`\w+`(?:, )?)+): (.+)$", markdown(function.__doc__), re.MULTILINE
    ):
        for name in re.findall(r"`(\w+)`", names):
            told[name] = text.replace("|", r"\|")
    rows = []
    for name, one in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        default = "required" if one.default is one.empty else f"`{one.default!r}`"
        rows.append((f"`{name}`", default, told.get(name, "")))
    return table(("argument", "default", "meaning"), rows)
