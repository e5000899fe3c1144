"""Single rows that are read again come from memory while the database has not changed.

    holdfast.open("postgres://localhost/app?layers=cache:size=64MiB")

Each read asks the server for its head, which is small, and a row for which nothing was committed
since it was read comes from memory. So what is read is as new as without the layer, whoever
writes. It is a gain where rows are big and writes rare: a row that is not at hand costs one more
question. Engines that answer from this machine are refused: reading them costs less than asking.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from holdfast.contract.capability import Io
from holdfast.contract.config import ByteSize
from holdfast.contract.engine import Engine, Layer, NotNow, Peeked, Snapshot
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.forks import renewed_lock
from holdfast.contract.layering import LayerSettings
from holdfast.contract.record import Page, Range, Record

ROWS_MAX: Final = 10_000_000
SIZE_MAX: Final = 2**40
#: What a row takes beside its key and value, in bytes.
ROW_BYTES: Final = 400


@dataclass(frozen=True, kw_only=True)
class Cache(LayerSettings):
    """Keeps rows that were read.

    Attributes:
        rows: how many at most.
        size: how much they may take together, in bytes.
    """

    layer: ClassVar[str] = "cache"

    rows: int = 10_000
    size: ByteSize = 16 * 2**20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("rows", 1, ROWS_MAX)
        self._within("size", 1, SIZE_MAX)

    def __call__(self, engine: Engine) -> CacheLayer:
        if engine.capabilities.io is not Io.REMOTE:
            raise ConfigInvalid(
                "the layer cache is for engines with a server; "
                f"{engine.capabilities.engine} answers from this machine, which costs less than "
                "asking whether it changed. Leave it out",
                parameter="layers",
            )
        return CacheLayer(engine, self)


class _Kept(NamedTuple):
    """A row as it stood at one moment.

    Attributes:
        lineage, head: the moment: the head of the database, asked before the row was read.
        record: None where there was none.
        size: in bytes.
    """

    lineage: str
    head: int
    record: Record | None
    size: int


class CacheLayer(Layer):
    """An engine whose rows are kept.

    Attributes:
        hits: how many reads were answered from memory.
        misses: how many were not.
    """

    passes_writes = True

    def __init__(self, inner: Engine, settings: Cache | None = None) -> None:
        super().__init__(inner)
        self.settings = settings or Cache()
        self.hits = 0
        self.misses = 0
        self._lock = renewed_lock(self, "_lock")
        #: The one used longest ago first.
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """How much the rows in memory take, in bytes."""
        return self._size

    async def close(self) -> None:
        try:
            await self.inner.close()
        finally:
            with self._lock:
                self._kept.clear()
                self._size = 0

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        if at is not None or len(keys) != 1 or type(keys[0]) is not bytes:
            return await self.inner.read(keys, at=at)
        key = keys[0]
        # Asked before the row is read: if it is the head still, no commit came between them.
        head = await self.inner.head()
        lineage = self.inner.lineage
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.head == head and kept.lineage == lineage:
                self._kept.move_to_end(key)
                self.hits += 1
                return [kept.record]
            self.misses += 1
        (record,) = await self.inner.read(keys)
        size = ROW_BYTES + len(key) + (len(record.value) if record is not None else 0)
        self._keep(key, _Kept(lineage, head, record, size))
        return [record]

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return await self.inner.scan(range, at=at)

    def peek(self, key: bytes) -> Peeked:
        """See `Engine.peek`."""
        assert self.inner.peek is not None
        return self.inner.peek(key)

    def peek_page(self, range: Range) -> Page | NotNow:
        """See `Engine.peek_page`."""
        assert self.inner.peek_page is not None
        return self.inner.peek_page(range)

    def _keep(self, key: bytes, kept: _Kept) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self._size -= before.size
            if kept.size > self.settings.size:
                return
            self._kept[key] = kept
            self._size += kept.size
            while self._size > self.settings.size or len(self._kept) > self.settings.rows:
                self._size -= self._kept.popitem(last=False)[1].size
