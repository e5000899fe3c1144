"""`lmdb:///path`: ordered and transactional; readers never wait, processes share it."""

from holdfast.engines.lmdb.config import LmdbConfig
from holdfast.engines.lmdb.engine import LmdbEngine

__all__ = ["LmdbConfig", "LmdbEngine"]
