"""The settings of `sqlite://`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.config import ByteSize, PathConfig, Seconds
from holdfast.contract.errors import ConfigInvalid

PAGE_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)


@dataclass(frozen=True, kw_only=True)
class SqliteConfig(PathConfig):
    """Settings of `sqlite://`.

    Attributes:
        busy_timeout: how long a write waits for the writer of another process.
        cache_size: page cache of each connection (one writes, one per reading thread).
        mmap_size: how much of the file is mapped instead of read; 0 switches mapping off.
        page_size: of a new database; an existing one keeps its own.
        checkpoint_pages: how many pages the log may gather before they move to the main file.
        snapshot_age_max: an older snapshot is closed, because it keeps the log from being reused.
    """

    scheme: ClassVar[str] = "sqlite"

    busy_timeout: Seconds = 30.0
    cache_size: ByteSize = 64 * 2**20
    mmap_size: ByteSize = 0
    page_size: ByteSize = 4096
    checkpoint_pages: int = 4_000
    snapshot_age_max: Seconds = 15 * 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.durability == "server":
            raise ConfigInvalid(
                "sqlite: durability is 'full' or 'relaxed'; found 'server', which no file has",
                parameter="durability",
            )
        if self.page_size not in PAGE_SIZES:
            raise ConfigInvalid(
                f"sqlite: page_size is a power of two from 512 to 65536; found {self.page_size}",
                parameter="page_size",
            )
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ConfigInvalid(
                    f"sqlite: {name} is at least {least}; found {getattr(self, name)}",
                    parameter=name,
                )


_LEAST = {
    "busy_timeout": 0,
    "cache_size": 64 * 2**10,
    "mmap_size": 0,
    "checkpoint_pages": 100,
    "snapshot_age_max": 1,
}
