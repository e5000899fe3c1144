"""The settings of `memory://`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.config import EngineConfig


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(EngineConfig):
    """Settings of `memory://`.

    Attributes:
        name: handles of one process that give the same name share one database; without a name
            each handle has its own.
    """

    scheme: ClassVar[str] = "memory"

    name: str | None = None

    @property
    def identity(self) -> str | None:
        return f"memory:{self.name}" if self.name is not None else None
