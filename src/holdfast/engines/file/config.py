"""The settings of `file://`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from holdfast.contract.config import ByteSize, PathConfig, Seconds
from holdfast.contract.errors import ConfigInvalid

#: How records are written: lines of JSON, or MessagePack in frames.
Format = Literal["json", "msgpack"]


@dataclass(frozen=True, kw_only=True)
class FileConfig(PathConfig):
    """Settings of `file:///path`; the path is a directory.

    Attributes:
        format: how records are written: `json`, one line each that people can read and mend, or
            `msgpack`, smaller and faster. Files of the other format stay readable beside it.
        cache_size: the most that values kept in memory take; keys are always in memory.
        lock_timeout: how long an opening waits for the process that has the database open.
        snapshot_age_max: an older snapshot is closed, because it keeps files from being removed.
        ballast: disk space kept aside, so that deletes still work when the disk is full.
    """

    scheme: ClassVar[str] = "file"

    format: Format = "json"
    cache_size: ByteSize = 32 * 2**20
    lock_timeout: Seconds = 0.5
    snapshot_age_max: Seconds = 15 * 60.0
    ballast: ByteSize = 2 * 2**20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.durability == "server":
            raise ConfigInvalid(
                "file: durability is 'full' or 'relaxed'; found 'server', which no file has",
                parameter="durability",
            )
        for name in ("cache_size", "lock_timeout", "ballast"):
            if getattr(self, name) < 0:
                raise ConfigInvalid(
                    f"file: {name} is zero or more; found {getattr(self, name)}", parameter=name
                )
        if self.snapshot_age_max <= 0:
            raise ConfigInvalid(
                f"file: snapshot_age_max is above zero; found {self.snapshot_age_max}",
                parameter="snapshot_age_max",
            )
