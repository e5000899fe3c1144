"""`rocksdb:///path`: a log-structured merge tree for much data and many writes."""

from holdfast.engines.rocksdb.config import RocksdbConfig
from holdfast.engines.rocksdb.engine import RocksdbEngine

__all__ = ["RocksdbConfig", "RocksdbEngine"]
