"""`ReadOnlyStore`: a store that can be handed to who must not write."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contract.errors import ReadOnly
from holdfast.records.decorators.base import Decorator
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import Write


class ReadOnlyStore(Decorator):
    """Refuses every write with ReadOnly."""

    def around(self, inner: KeyValueStoreInterface) -> ReadOnlyStore:
        return ReadOnlyStore(inner)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        raise ReadOnly(
            "this store was handed out for reading; write through the one it was made from"
        )
