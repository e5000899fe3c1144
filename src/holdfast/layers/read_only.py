"""A handle that reads an engine others may write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdfast.contract.batch import Batch, Decide, Receipt
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Layer
from holdfast.contract.errors import ReadOnly
from holdfast.contract.record import Record


class ReadOnlyLayer(Layer):
    """Refuses every write with ReadOnly."""

    passes_reads = True

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            self.inner.capabilities, writable=False, compacts=False, loads=False, rewrites=False
        )

    async def commit(self, batch: Batch) -> Receipt:
        raise _refused()

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        raise _refused()

    async def compact(self) -> int:
        raise _refused()

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        raise _refused()


def _refused() -> ReadOnly:
    return ReadOnly("this handle was opened for reading only; open the database to write")
