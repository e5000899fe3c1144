"""A capability that a layer changes: it says a smaller number and keeps it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from holdfast.contract.batch import Append, Batch, Decide, Draft, Need, Put, Receipt
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Layer
from holdfast.contract.errors import ValueTooLarge
from holdfast.contract.record import Record

VALUE_BYTES_MAX = 64 * 1024


class SmallValues(Layer):
    """Refuses values above 64 KiB, as a back end that costs by the page might want."""

    passes_reads: ClassVar[bool] = True

    @property
    def capabilities(self) -> Capabilities:
        below = self.inner.capabilities
        return replace(below, value_bytes_max=min(below.value_bytes_max, VALUE_BYTES_MAX))

    async def commit(self, batch: Batch) -> Receipt:
        self._require_small(batch)
        return await self.inner.commit(batch)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        def decided(records: list[Record | None], revision: int) -> Draft | Batch | Need | None:
            answer = decide(records, revision)
            if isinstance(answer, Draft | Batch):
                self._require_small(answer if isinstance(answer, Batch) else answer.batch())
            return answer

        return await self.inner.transact(keys, decided, previous=previous)

    def _require_small(self, batch: Batch) -> None:
        most = self.capabilities.value_bytes_max
        for one in batch.operations:
            if isinstance(one, Put | Append) and len(one.value) > most:
                raise ValueTooLarge(
                    f"a value has at most {most} bytes here; found {len(one.value)}. Store it in "
                    "parts, or leave the layer out",
                    limit=most,
                )
