"""Values are compressed on their way down and come up as they were.

    holdfast.open("lmdb:///app?layers=compress")
    holdfast.open("lmdb:///app", layers=[Compress(compression="lz4", above=1024)])

    offset  bytes  field of a stored value that is not simply the value
    0       3      the mark: C1 48 5A
    3       1      0: the value follows as it is; otherwise the code of its compression
    4       ...    the value, or the compressed value in the container of its format

A value stays as it is when it is short, or would not get shorter; so do values that were written
before the layer. One that itself begins with the mark is stored behind a header with code 0. Each
header says how its value was compressed: the setting may change at any time.

Rows of the system and of the feed stay as they are. What stands below may have to read them: which
key of an encryption a row is under depends on what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from holdfast.codecs.compression import COMPRESSIONS, CompressionName, compression_named
from holdfast.contract.batch import (
    Answer,
    Append,
    Batch,
    Decide,
    Draft,
    Need,
    Operation,
    Put,
    Receipt,
    Rewrite,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.config import ByteSize
from holdfast.contract.engine import NOT_NOW, Engine, Layer, NotNow, Peeked, Snapshot
from holdfast.contract.errors import DeserializationFailed, IntegrityFailed, ValueTooLarge
from holdfast.contract.layering import LayerSettings
from holdfast.contract.limits import check_batch, check_draft, check_key
from holdfast.contract.record import Page, Range, Record

#: No text, and no value that MessagePack or JSON makes, begins with the first byte.
MARK: Final = b"\xc1HZ"
HEAD_BYTES: Final = len(MARK) + 1
#: How the keys of rows begin that stay as they are: the feed, the system (docs/format.md).
LEGIBLE: Final = b"FS"
ABOVE_MIN: Final = 128
ABOVE_MAX: Final = 2**30
_AS_IT_IS: Final = 0


@dataclass(frozen=True, kw_only=True)
class Compress(LayerSettings):
    """Compresses values.

    Attributes:
        compression: `zstd`, `lz4`, `snappy` or `gzip`; `none` writes values as they are and still
            reads what is compressed.
        above: longer values are compressed, in bytes.
    """

    layer: ClassVar[str] = "compress"

    compression: CompressionName = "zstd"
    above: ByteSize = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("above", ABOVE_MIN, ABOVE_MAX)

    def __call__(self, engine: Engine) -> CompressLayer:
        return CompressLayer(engine, self)


class CompressLayer(Layer):
    """An engine whose values are stored compressed."""

    feature = "compress"

    def __init__(self, inner: Engine, settings: Compress | None = None) -> None:
        super().__init__(inner)
        self.settings = settings or Compress()
        chosen = compression_named(self.settings.compression)
        chosen.compress(b"")  # Its library is missing now, not at the first write.
        self._compress = chosen.compress
        self._head = MARK + bytes((chosen.code,))
        self._above = self.settings.above if chosen.code else ABOVE_MAX
        self._limits: tuple[Capabilities, Capabilities] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Those of the engine, with room for the header of a value that cannot do without."""
        below = self.inner.capabilities
        if self._limits is None or self._limits[0] is not below:
            headers = HEAD_BYTES * below.batch_operations_max
            mine = replace(
                below,
                value_bytes_max=below.value_bytes_max - HEAD_BYTES,
                batch_bytes_max=below.batch_bytes_max - min(headers, below.batch_bytes_max // 2),
            )
            self._limits = (below, mine)
        return self._limits[1]

    # --- Reading ----------------------------------------------------------------------------

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        records = await self.inner.read(keys, at=at)
        return list(map(self._shown, keys, records))

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return self._shown_page(range, await self.inner.scan(range, at=at))

    def peek(self, key: bytes) -> Peeked:
        """See `Engine.peek`."""
        inner = self.inner.peek
        assert inner is not None
        found = inner(key)
        if found is None or found is NOT_NOW:
            return found
        return self._unpacked(key, found[0]), found[1]

    def peek_page(self, range: Range) -> Page | NotNow:
        """See `Engine.peek_page`."""
        inner = self.inner.peek_page
        assert inner is not None
        page = inner(range)
        return page if page is NOT_NOW else self._shown_page(range, page)

    # --- Writing ----------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Receipt:
        return self._told(await self.inner.commit(self._packed_batch(batch)))

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        packing = self._packing(keys, decide)
        return self._told(await self.inner.transact(keys, packing, previous=previous))

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        """See `Engine.transact_now`."""
        inner = self.inner.transact_now
        assert inner is not None
        receipt = inner(keys, self._packing(keys, decide))
        return receipt if receipt is NOT_NOW else self._told(receipt)

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        for key, _ in rows:
            check_key(key, self.capabilities.key_bytes_max)
        packed = [
            (key, one and Record(self._packed(key, one.value), one.revision)) for key, one in rows
        ]
        await self.inner.load(packed, next_revision=next_revision)

    # --- Inside -----------------------------------------------------------------------------

    def _packed(self, key: bytes, value: bytes) -> bytes:
        if key[0] in LEGIBLE:
            return value
        if len(value) > self._above:
            packed = self._compress(value)
            if len(packed) + HEAD_BYTES < len(value):
                return self._head + packed
        if value[: len(MARK)] == MARK:
            return MARK + bytes((_AS_IT_IS,)) + value
        return value

    def _unpacked(self, key: bytes, stored: bytes) -> bytes:
        if stored[: len(MARK)] != MARK or key[0] in LEGIBLE:
            return stored
        code = stored[HEAD_BYTES - 1] if len(stored) >= HEAD_BYTES else len(COMPRESSIONS)
        try:
            if code < len(COMPRESSIONS):
                most = self.inner.capabilities.value_bytes_max
                return COMPRESSIONS[code].decompress(stored[HEAD_BYTES:], most)
            found = "a compression that this version does not know"
            cause: Exception | None = None
        except (DeserializationFailed, ValueTooLarge) as error:
            found, cause = f"{COMPRESSIONS[code].name} data that is damaged", error
        raise IntegrityFailed(
            f"a compressed value was wanted; found {found}. It was changed, or written past the "
            "layer compress: run `holdfast check`, then restore a backup",
            key=key,
        ) from cause

    def _shown(self, key: bytes, record: Record | None) -> Record | None:
        return record and Record(self._unpacked(key, record[0]), record[1])

    def _shown_page(self, range: Range, page: Page) -> Page:
        """The page with its values; a shorter one where they are more than a page holds."""
        rows: list[tuple[bytes, Record]] = []
        room = self.inner.capabilities.page_bytes_max
        for key, (stored, revision) in page.rows:
            value = self._unpacked(key, stored)
            room -= len(key) + len(value)
            if room < 0 and rows:
                return Page(rows, range.after(rows[-1][0]), page.revision)
            rows.append((key, Record(value, revision)))
        return Page(rows, page.resume, page.revision)

    def _told(self, receipt: Receipt) -> Receipt:
        before = receipt.previous
        if before is None:
            return receipt
        return receipt._replace(
            previous={key: self._shown(key, one) for key, one in before.items()}
        )

    def _packing(self, keys: Sequence[bytes], decide: Decide) -> Decide:
        """The function that decides, with values as they were before it and packed behind it."""
        first = len(keys)
        asked = list(keys)
        shown: Callable[[bytes, Record | None], Record | None] = self._shown

        def decide_packed(records: list[Record | None], revision: int) -> Answer:
            nonlocal asked
            if len(records) == first:
                asked = list(keys)  # A new attempt.
            answer = decide(list(map(shown, asked, records)), revision)
            if type(answer) is Draft:
                return self._packed_draft(answer)
            if type(answer) is Need:
                asked = [*asked, *answer.keys]
            if isinstance(answer, Batch):
                return self._packed_batch(answer)
            return answer

        return decide_packed

    def _packed_draft(self, draft: Draft) -> Draft:
        check_draft(draft, self.capabilities)
        packed = Draft()
        packed.rows = {
            key: None if value is None else self._packed(key, value)
            for key, value in draft.rows.items()
        }
        packed.appends = [(prefix, self._packed(prefix, value)) for prefix, value in draft.appends]
        packed.ranges, packed.checks, packed.id = draft.ranges, draft.checks, draft.id
        return packed

    def _packed_batch(self, batch: Batch) -> Batch:
        check_batch(batch, self.capabilities)
        operations: list[Operation] = [
            one._replace(value=self._packed(one[0], one.value))
            if isinstance(one, Put | Append | Rewrite)
            else one
            for one in batch.operations
        ]
        return replace(batch, operations=operations)
