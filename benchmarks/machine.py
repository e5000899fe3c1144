"""The machine a run was made on, and how long its disk takes to flush."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.figures import Figure, percentile, size

_FLUSHES = 40
_FLUSH_BYTES = 4096
_DISTRIBUTIONS = (
    "lmdb", "msgspec", "diskcache", "sqlitedict", "py-key-value-aio", "rocksdict", "aiocache",
    "cashews", "tinydb", "ZODB",
)  # fmt: skip


def flush_ms(folder: Path, flushes: int = _FLUSHES) -> Figure:
    """Milliseconds of one fdatasync after an overwrite of 4 KiB, each of several."""
    path = folder / "flush"
    flush = getattr(os, "fdatasync", os.fsync)
    taken = []
    with path.open("w+b", buffering=0) as file:
        file.write(bytes(_FLUSH_BYTES))
        flush(file.fileno())
        for number in range(flushes):
            file.seek(0)
            file.write(bytes([number % 256]) * _FLUSH_BYTES)
            started = perf_counter()
            flush(file.fileno())
            taken.append((perf_counter() - started) * 1000)
    path.unlink()
    return Figure.of(taken)


def describe(folder: Path) -> list[str]:
    """Lines on processor, memory, system, disk and versions."""
    flush = flush_ms(folder)
    versions = [f"lmdb library {_lmdb_version()}", f"SQLite {sqlite3.sqlite_version}"]
    for name in _DISTRIBUTIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return [
        f"processor: {_processor()}, {os.cpu_count()} cores, {platform.machine()}",
        f"memory: {_memory()}; {load_said(_load(), os.cpu_count() or 1)}",
        f"system: {platform.system()} {platform.release()}",
        f"Python: {platform.python_implementation()} {platform.python_version()}",
        f"disk: {_file_system(folder)}; {_flush_text(flush)}",
        f"versions: {', '.join(versions)}",
    ]


def _flush_text(flush: Figure) -> str:
    usual = percentile(flush.rounds, 0.95)
    return (
        f"one flush of 4 KiB: median {flush.median:.2f} ms, 95 % within {usual:.2f} ms, "
        f"{flush.low:.2f} to {flush.high:.2f} ms"
    )


def revision() -> str:
    """The commit measured, and whether files differ from it."""
    try:
        repository = Path(__file__).resolve().parent
        commit = _output("git", "-C", str(repository), "rev-parse", "--short", "HEAD")
        changed = _output("git", "-C", str(repository), "status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (" with changes" if changed else "")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    return size(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def load_said(load: float | None, cores: int) -> str:
    """The load average, and a warning where other programs had a good part of the cores."""
    said = f"load average at the start {'unknown' if load is None else f'{load:.2f}'}"
    if load is None or load <= cores / 2:
        return said
    return f"{said}: **the machine was busy with other work; its figures are not to be quoted**"


def _file_system(folder: Path) -> str:
    """The kind of file system and its device, of the longest mount point above the folder."""
    where = str(folder.resolve())
    best = ("", f"unknown ({sys.platform})")
    for line in _lines("/proc/mounts"):
        device, mount, kind, *_ = line.split()
        inside = where == mount or where.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best[0]):
            best = (mount, f"{kind} on {Path(device).name}")
    return best[1]


def _lmdb_version() -> str:
    import lmdb

    return ".".join(map(str, lmdb.version()))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
