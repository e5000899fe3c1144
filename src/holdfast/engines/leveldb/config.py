"""The settings of `leveldb://`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.lsm.config import LsmConfig

Compression = Literal["none", "snappy"]


@dataclass(frozen=True, kw_only=True)
class LeveldbConfig(LsmConfig):
    """Settings of `leveldb:///path`; the path is a directory.

    Attributes:
        compression: of tables: `snappy`, or `none`.
    """

    scheme: ClassVar[str] = "leveldb"

    compression: Compression = "snappy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.durability == "relaxed":
            # It closes a full log without a flush, so a later write could outlive an earlier one.
            raise ConfigInvalid(
                "leveldb: durability is 'full'; found 'relaxed', for which LevelDB would have to "
                "flush its log after the writes, and it flushes with a write or never. Use rocksdb",
                parameter="durability",
            )
