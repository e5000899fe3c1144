"""What the author of an engine states about it, for this process and for those that tests start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.runtime import Components
from holdfast.runtime.system import system_components


class Author(ABC):
    """An engine under test: how it is configured, made and equipped.

    Attributes:
        engine_type: the engine under test.
        promise_timeout_s: a promise that takes longer on its loop is broken.
        written_bytes_max: limits above this are proved by refusing what is over them only.
    """

    engine_type: type[Engine]
    promise_timeout_s: float = 45.0
    written_bytes_max: int = 80 * 1024 * 1024

    @abstractmethod
    def make_config(self, folder: Path) -> EngineConfig:
        """The configuration of a database inside `folder`; the same folder, the same database."""

    def make_engine(self, config: EngineConfig, components: Components) -> Engine:
        """A new, closed engine. Override it to test a stack of layers."""
        return self.engine_type(config, components)

    def make_components(self) -> Components:
        """What the engine is given; by default the machine's own."""
        return system_components()
