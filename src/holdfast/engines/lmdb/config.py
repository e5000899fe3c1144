"""What the LMDB engine can be told."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.config import ByteSize, PathConfig, Seconds
from holdfast.contract.errors import ConfigInvalid

_TIB = 1 << 40
#: Where address space is plenty and files are sparse, the map is as large as it will ever be.
_ROOMY = os.name == "posix" and sys.maxsize > 2**32
#: Elsewhere the map (on Windows the file itself) starts small and is doubled when it is full.
_MAP_START = 64 * 1024 * 1024
MAP_MIN = 64 * 1024
#: Bounds of the journal's size.
JOURNAL_MIN = 64 * 1024
JOURNAL_MAX = 1 << 30


@dataclass(frozen=True, kw_only=True)
class LmdbConfig(PathConfig):
    """Settings of `lmdb:///path`; the path is a directory.

    Attributes:
        map_size: address space reserved at first; it is doubled when the database outgrows it.
        map_size_max: the most the database may take; above it writes raise StorageFull.
        readers_max: read transactions and snapshots open at one moment, of all processes.
        reader_timeout: how long a read waits for one of them to end.
        lock_timeout: how long a commit waits while another process commits.
        snapshot_age_max: an older snapshot is closed, by the next commit at the latest, because the
            space of everything overwritten since it was taken cannot be used again.
        ballast: disk space kept aside, so that deletes still work when the disk is full.
        relaxed_bytes_max: in `relaxed` mode, this many unflushed bytes start a flush early. Also
            the most that open snapshots keep in memory of what the file lacks.
        journal: size of the journal that takes commits of a process which has the database to
            itself, so that each costs one short flush; 0: no journal. Only for `full`.
    """

    scheme: ClassVar[str] = "lmdb"

    map_size: ByteSize = _TIB if _ROOMY else _MAP_START
    map_size_max: ByteSize = _TIB if sys.maxsize > 2**32 else 1 << 30
    readers_max: int = 1024
    reader_timeout: Seconds = 5.0
    lock_timeout: Seconds = 5.0
    snapshot_age_max: Seconds = 900.0
    ballast: ByteSize = 1024 * 1024
    relaxed_bytes_max: ByteSize = 16 * 1024 * 1024
    journal: ByteSize = 0

    @property
    def reserve_bytes(self) -> int:
        """Disk space kept aside: what the journal holds has to find room in LMDB's file."""
        return max(self.ballast, 2 * self.journal)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.map_size < MAP_MIN:
            raise ConfigInvalid(
                f"map_size is {MAP_MIN} bytes or more; found {self.map_size}",
                parameter="map_size",
            )
        if self.map_size > self.map_size_max:
            # A map size alone is a limit: whoever names one does not want more taken.
            if self.map_size_max != type(self).map_size_max:
                raise ConfigInvalid(
                    f"map_size is map_size_max ({self.map_size_max}) at most; "
                    f"found {self.map_size}",
                    parameter="map_size",
                )
            object.__setattr__(self, "map_size_max", self.map_size)
        for name in ("reader_timeout", "lock_timeout"):
            if getattr(self, name) < 0:
                raise ConfigInvalid(f"{name} is a time of zero or more", parameter=name)
        for name in ("snapshot_age_max", "readers_max", "relaxed_bytes_max"):
            if getattr(self, name) <= 0:
                raise ConfigInvalid(f"{name} is above zero", parameter=name)
        if self.ballast < 0:
            raise ConfigInvalid("ballast is a size of zero or more", parameter="ballast")
        self._check_journal()
        if self.durability == "server":
            raise ConfigInvalid(
                "lmdb flushes by itself: durability is full or relaxed; found 'server'",
                parameter="durability",
            )

    def _check_journal(self) -> None:
        if self.journal and not JOURNAL_MIN <= self.journal <= JOURNAL_MAX:
            raise ConfigInvalid(
                f"journal is 0 or a size from {JOURNAL_MIN} to {JOURNAL_MAX} bytes; "
                f"found {self.journal}",
                parameter="journal",
            )
        if self.journal and self.durability == "relaxed":
            raise ConfigInvalid(
                "the journal is for durability=full: relaxed commits wait for no flush anyway; "
                "leave one of the two away",
                parameter="journal",
            )
