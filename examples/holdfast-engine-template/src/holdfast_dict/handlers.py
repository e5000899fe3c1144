"""A handler: it stands around a store of entries and sees every write, whatever call made it."""

from collections.abc import Sequence
from typing import Any, Self

import msgspec

from holdfast.records.decorators.base import Decorator
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.records.services.protocols import Outcome
from holdfast.records.write import Write


class Stamped(Decorator):
    """Names who wrote, where the caller did not."""

    def __init__(self, inner: KeyValueStoreInterface, name: str) -> None:
        super().__init__(inner)
        self.name = name

    def around(self, inner: KeyValueStoreInterface) -> Self:
        return type(self)(inner, self.name)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return await self.inner.write([self._stamped(one) for one in writes])

    def _stamped(self, one: Write) -> Write:
        if one.options.modified_by is not None:
            return one
        options: Any = msgspec.structs.replace(one.options, modified_by=self.name)
        return msgspec.structs.replace(one, options=options)
