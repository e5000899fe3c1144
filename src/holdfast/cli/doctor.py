"""Commands on the installation: doctor and engines."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import holdfast
from holdfast.cli import exits, opening, options, shown
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.contract.errors import StoreError
from holdfast.engines.embedded.network import NETWORK_FILE_SYSTEMS, file_system_of
from holdfast.runtime.system import system_components
from holdfast.store.registry import engine_class, engine_names

#: What each extra brings: (distribution, module), and what it is for.
EXTRAS = {
    "core": (("lmdb", "lmdb"), ("msgspec", "msgspec"), ("orjson", "orjson"),
             ("sortedcontainers", "sortedcontainers")),
    "compression": (("zstandard", "zstandard"), ("lz4", "lz4"), ("cramjam", "cramjam")),
    "protobuf": (("protobuf", "google.protobuf"),),
    "cli": (("typer", "typer"), ("rich", "rich")),
    "schema": (("jsonschema-rs", "jsonschema_rs"),),
    "documents": (("google-re2", "re2"), ("PyStemmer", "Stemmer")),
    "vector": (("numpy", "numpy"), ("usearch", "usearch")),
    "encryption": (("cryptography", "cryptography"),),
    "redis": (("redis", "redis"), ("hiredis", "hiredis")),
    "postgres": (("psycopg", "psycopg"),),
    "telemetry": (("opentelemetry-api", "opentelemetry"),),
}  # fmt: skip

#: Less room than this is worth a word.
FREE_BYTES_LOW = 1024**3


class Finding(NamedTuple):
    """Something that could be better, and what to do. `serious`: things fail because of it."""

    serious: bool
    text: str


class Part(NamedTuple):
    """A distribution that an extra brings; `version` is None when it is not installed."""

    extra: str
    name: str
    version: str | None


def engines(as_json: options.AsJson = False) -> int:
    """List the engines that can be opened, with what each can do."""
    rows = [(name, *_engine(name)) for name in engine_names()]
    if as_json:
        shown.document(
            [
                {"engine": name, "available": found is not None, "problem": problem}
                | ({} if found is None else {"capabilities": _capability_document(found)})
                for name, found, problem in rows
            ]
        )
        return exits.OK
    facts = [_engine_facts(name, found, problem) for name, found, problem in rows]
    shown.table(
        None,
        ["engine", *(name for name, *_ in rows)],
        [(label, *(one[label] for one in facts)) for label in facts[0]],
    )
    return exits.OK


def doctor(url: options.Url = "", as_json: options.AsJson = False) -> int:
    """Look at the installation, the place and, with a URL, the database; say what could be better.

    Ends with 1 when something is seriously wrong.
    """
    findings: list[Finding] = []
    versions = _versions()
    parts = _parts()
    _judge_parts(parts, findings)
    config = opening.config_of(url) if url else None
    place = _place(config, findings)
    database = _database(url, findings) if config is not None else None
    if as_json:
        shown.document(
            {
                "versions": versions,
                "parts": [part._asdict() for part in parts],
                "place": place,
                "database": database,
                "findings": [finding._asdict() for finding in findings],
            }
        )
    else:
        _print(versions, parts, place, database, findings)
    return exits.ABSENT if any(finding.serious for finding in findings) else exits.OK


def _print(
    versions: dict[str, str],
    parts: list[Part],
    place: dict[str, Any],
    database: dict[str, Any] | None,
    findings: list[Finding],
) -> None:
    shown.facts(versions.items())
    shown.table(
        None,
        ["extra", "package", "version"],
        [(part.extra, part.name, part.version or "not installed") for part in parts],
    )
    told = dict(place)
    if told["free_bytes"] is not None:
        told["free"] = shown.size_of(told.pop("free_bytes"))
    shown.facts(told.items())
    if database is not None:
        shown.line("")
        shown.facts(
            (name, str(fact) if isinstance(fact, int) else fact) for name, fact in database.items()
        )
    shown.line("")
    for finding in findings:
        shown.line(f"{'problem' if finding.serious else 'better'}: {finding.text}")
    if not findings:
        shown.line("nothing to improve")


def _versions() -> dict[str, str]:
    # Here, so that no other command loads the drivers.
    import sqlite3

    versions = {
        "holdfast": holdfast.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "sqlite library": sqlite3.sqlite_version,
    }
    if find_spec("lmdb") is not None:
        import lmdb

        versions["lmdb library"] = ".".join(map(str, lmdb.version()))
    return versions


def _parts() -> list[Part]:
    parts = []
    for extra, wanted in EXTRAS.items():
        for distribution, _module in wanted:
            try:
                version: str | None = metadata.version(distribution)
            except metadata.PackageNotFoundError:
                version = None
            parts.append(Part(extra, distribution, version))
    return parts


def _judge_parts(parts: list[Part], findings: list[Finding]) -> None:
    for extra in EXTRAS:
        missing = [part.name for part in parts if part.extra == extra and part.version is None]
        if missing and extra == "core":
            findings.append(
                Finding(True, f"{', '.join(missing)} missing: install holdfast-db again")
            )
        elif missing:
            findings.append(
                Finding(
                    False,
                    f"the extra {extra} is not complete ({', '.join(missing)} missing); if you "
                    f'need it: pip install "holdfast-db[{extra}]"',
                )
            )


def _place(config: EngineConfig | None, findings: list[Finding]) -> dict[str, Any]:
    """The file system that the database is on, or would be on when made here."""
    path = config.path if isinstance(config, PathConfig) else Path()
    folder = path.resolve()
    while not folder.is_dir():
        folder = folder.parent
    kind = file_system_of(folder)
    free = shutil.disk_usage(folder).free
    if kind in NETWORK_FILE_SYSTEMS:
        findings.append(
            Finding(
                True,
                f"{folder} is on the network file system {kind}, where locks cannot be trusted; "
                "keep the database on a local disk",
            )
        )
    if kind == "tmpfs":
        findings.append(Finding(False, f"{folder} is in memory (tmpfs): gone at the next restart"))
    if free < FREE_BYTES_LOW:
        findings.append(Finding(False, f"only {shown.size_of(free)} free in {folder}"))
    if not os.access(folder, os.W_OK):
        findings.append(Finding(True, f"{folder} cannot be written to by this user"))
    return {"folder": str(folder), "file_system": kind, "free_bytes": free}


def _database(url: str, findings: list[Finding]) -> dict[str, Any] | None:
    async def work() -> dict[str, Any]:
        async with opening.for_reading(url) as db:
            return {
                "url": opening.config_of(url).url,
                "engine": db.capabilities.engine,
                "durability": db.capabilities.durability,
                "revision": await db.head(),
                "entries": await db.entries.count(),
            }

    try:
        found = opening.run(work())
    except StoreError as error:
        findings.append(Finding(True, f"{error.code}: {error}"))
        return None
    if found["durability"] == "relaxed":
        findings.append(
            Finding(
                False,
                "durability=relaxed: the last writes before a loss of power may be gone; leave it "
                "out for durability=full",
            )
        )
    return found


def _engine(name: str) -> tuple[Capabilities | None, str | None]:
    """What an engine can do in its default configuration, without opening a database."""
    try:
        kind = engine_class(name)
        config_type = kind.config_type
        config: EngineConfig
        if issubclass(config_type, PathConfig):
            config = config_type(path=Path("example"))
        else:
            config = config_type()
        return kind(config, system_components()).capabilities, None
    except StoreError as error:
        return None, str(error)


def _engine_facts(name: str, found: Capabilities | None, problem: str | None) -> dict[str, Any]:
    """What a person chooses an engine by."""
    if found is None:
        labels = _engine_facts(name, Capabilities(engine=name, io=Io.INLINE), None)
        return dict.fromkeys(labels, "") | {"url": f"not available: {problem}"}
    return {
        "url": f"{name}:///path" if found.persistent else f"{name}://",
        "outlives the process": found.persistent,
        "processes at once": "several" if found.shared else "one",
        "durability": found.durability if found.persistent else "none",
        "isolation": found.isolation.value,
        "snapshots": found.snapshots,
        "waits for changes": found.waits,
        "compacts its files": found.compacts,
        "checks itself": found.checks,
        "longest key": shown.size_of(found.key_bytes_max),
        "biggest row": shown.size_of(found.value_bytes_max),
        "operations of a commit": found.batch_operations_max,
    }


def _capability_document(found: Capabilities) -> dict[str, Any]:
    return {
        name: str(fact) if isinstance(fact := getattr(found, name), str) else fact
        for name in Capabilities.__dataclass_fields__
    }
