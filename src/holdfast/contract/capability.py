"""What an engine or a stack of layers can do, as a value that tests can prove."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Durability = Literal["full", "relaxed", "server"]


class Io(StrEnum):
    """How an engine waits."""

    INLINE = "inline"  # never: memory only
    BLOCKING = "blocking"  # holds the thread while a disk answers
    REMOTE = "remote"  # suspends while a server answers; without a loop it holds the thread


class Isolation(StrEnum):
    """The strongest isolation transactions can have on the engine."""

    NONE = "none"
    SNAPSHOT = "snapshot"
    SERIALIZABLE = "serializable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Flags and limits. Each field is a promise that the contract suite checks both ways.

    Attributes:
        engine: name of the engine at the bottom of the stack.
        io: how it waits.
        isolation: what transactions can promise on it.
        durability: what an acknowledged write survives: `full` power loss, `relaxed` see the
            engine's page, `server` whatever the remote server is set to.
        persistent: data survives the process.
        shared: several processes may have the database open at once.
        writable: False when opened for reading only.
        snapshots: `snapshot()` works, and `read` and `scan` take `at=`. Without them what was read
            is checked by `Page.revision` and the revisions of records.
        transacts_once: `transact` runs the function exactly once, inside the commit.
        waits: `wait()` works; a commit of any process wakes it.
        compacts, checks, loads: the optional verbs of those names work.
        rewrites: a batch may hold `Rewrite`, which keeps the revision of its row.
        key_bytes_max, value_bytes_max: limits of one row.
        batch_operations_max, batch_bytes_max: limits of one batch.
        check_range_rows_max: how many rows one CheckRange may span, on engines that would serve
            nobody else while they walk more; None: any number.
        page_rows_max, page_bytes_max: when a scan ends a page.
        snapshot_age_max_s: a snapshot older than this may be closed by the engine; None: never.
    """

    engine: str
    io: Io
    isolation: Isolation = Isolation.SERIALIZABLE
    durability: Durability = "full"
    persistent: bool = True
    shared: bool = True
    writable: bool = True
    snapshots: bool = False
    transacts_once: bool = False
    waits: bool = False
    compacts: bool = False
    checks: bool = False
    loads: bool = False
    rewrites: bool = False
    key_bytes_max: int = 4096
    value_bytes_max: int = 64 * 1024 * 1024
    batch_operations_max: int = 100_000
    batch_bytes_max: int = 256 * 1024 * 1024
    check_range_rows_max: int | None = None
    page_rows_max: int = 1000
    page_bytes_max: int = 4 * 1024 * 1024
    snapshot_age_max_s: float | None = None
