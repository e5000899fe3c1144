"""`memory://`: the database in this process's memory, gone when its last handle closes."""

from holdfast.engines.memory.config import MemoryConfig
from holdfast.engines.memory.engine import MemoryEngine

__all__ = ["MemoryConfig", "MemoryEngine"]
