"""The RocksDB engine."""

from __future__ import annotations

from holdfast.engines.lsm.engine import LsmEngine
from holdfast.engines.rocksdb.config import RocksdbConfig
from holdfast.engines.rocksdb.driver import open_driver


class RocksdbEngine(LsmEngine):
    """Records in the tables of RocksDB."""

    config_type = RocksdbConfig
    _open_driver = staticmethod(open_driver)
