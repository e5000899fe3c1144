"""`leveldb:///path`: the tables that many programs read; RocksDB is its faster descendant."""

from holdfast.engines.leveldb.config import LeveldbConfig
from holdfast.engines.leveldb.engine import LeveldbEngine

__all__ = ["LeveldbConfig", "LeveldbEngine"]
