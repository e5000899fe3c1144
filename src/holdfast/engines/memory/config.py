"""The settings of `memory://`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.config import BYTES_MAX, ByteSize, EngineConfig
from holdfast.contract.errors import ConfigInvalid


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(EngineConfig):
    """Settings of `memory://`.

    Attributes:
        name: handles of one process that give the same name share one database; without a name
            each handle has its own.
        size_max: the most that keys and values may take together; above it writes raise
            StorageFull, while deletes still work. 0: no limit.
    """

    scheme: ClassVar[str] = "memory"

    name: str | None = None
    size_max: ByteSize = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.size_max <= BYTES_MAX:
            raise ConfigInvalid(
                f"size_max is a size of 0 (no limit) to {BYTES_MAX} bytes; found {self.size_max}",
                parameter="size_max",
            )

    @property
    def identity(self) -> str | None:
        return f"memory:{self.name}" if self.name is not None else None
