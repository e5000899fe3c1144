"""The settings that engines on log-structured merge trees share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.config import ByteSize, PathConfig, Seconds
from holdfast.contract.errors import ConfigInvalid

#: Drivers keep two write buffers at the least, and want some room in them.
WRITE_BUFFER_MIN = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class LsmConfig(PathConfig):
    """Settings of a directory with sorted tables.

    Attributes:
        cache_size: the most that blocks of tables kept in memory take.
        write_buffer: how much is gathered in memory, and in the log, before it becomes a table.
        bloom_bits: bits for each key by which a read leaves out tables without it; 0: none.
        lock_timeout: how long an opening waits for the process that has the database open.
        snapshot_age_max: an older snapshot is closed, because it keeps overwritten rows alive.
        ballast: disk space kept aside, so that deletes still work when the disk is full.
    """

    #: The driver can read a database that it has no room to open for writing.
    opens_beside_failure: ClassVar[bool] = False

    cache_size: ByteSize = 128 * 2**20
    write_buffer: ByteSize = 64 * 2**20
    bloom_bits: int = 10
    lock_timeout: Seconds = 0.5
    snapshot_age_max: Seconds = 15 * 60.0
    ballast: ByteSize = 4 * 2**20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.durability == "server":
            raise ConfigInvalid(
                f"{self.scheme}: durability is 'full' or 'relaxed'; found 'server', which no "
                "directory has",
                parameter="durability",
            )
        for name, least in (
            ("cache_size", 0),
            ("write_buffer", WRITE_BUFFER_MIN),
            ("bloom_bits", 0),
            ("lock_timeout", 0),
            ("ballast", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigInvalid(
                    f"{self.scheme}: {name} is at least {least}; found {getattr(self, name)}",
                    parameter=name,
                )
        if self.snapshot_age_max <= 0:
            raise ConfigInvalid(
                f"{self.scheme}: snapshot_age_max is above zero; found {self.snapshot_age_max}",
                parameter="snapshot_age_max",
            )
