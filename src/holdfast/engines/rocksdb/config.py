"""The settings of `rocksdb://`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from holdfast.contract.config import ByteSize
from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.lsm.config import LsmConfig

Compression = Literal["none", "lz4", "zstd", "snappy"]


@dataclass(frozen=True, kw_only=True)
class RocksdbConfig(LsmConfig):
    """Settings of `rocksdb:///path`; the path is a directory.

    Attributes:
        compression: of tables: `lz4`, `zstd` (smaller, slower), `snappy`, or `none`.
        separate_values: values of so many bytes or more stand in files of their own, so that they
            are not written again when their keys are merged; 0: none.
    """

    scheme: ClassVar[str] = "rocksdb"
    opens_beside_failure: ClassVar[bool] = True

    compression: Compression = "lz4"
    separate_values: ByteSize = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.separate_values < 0:
            raise ConfigInvalid(
                f"rocksdb: separate_values is zero or more; found {self.separate_values}",
                parameter="separate_values",
            )
