"""The LevelDB engine."""

from __future__ import annotations

from holdfast.engines.leveldb.config import LeveldbConfig
from holdfast.engines.leveldb.driver import open_driver
from holdfast.engines.lsm.engine import LsmEngine


class LeveldbEngine(LsmEngine):
    """Records in the tables of LevelDB."""

    config_type = LeveldbConfig
    _open_driver = staticmethod(open_driver)
