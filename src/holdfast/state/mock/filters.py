"""Bloom filters of the adapter in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from holdfast.state.adapter import FilterShape, StateAdapter
from holdfast.state.filters import BLOCK_BYTES, bits_of, block_of, has_bits, no_filter, set_bits


class MemoryFilter:
    """One filter: blocks that have bits, and how many items were added."""

    def __init__(self, shape: FilterShape) -> None:
        self.shape = shape
        self.items = 0
        self._blocks: dict[int, bytearray] = {}

    def has(self, digest: bytes) -> bool:
        """Whether all bits of an item are set."""
        block = self._blocks.get(block_of(digest, self.shape))
        return block is not None and has_bits(block, bits_of(digest, self.shape))

    def add(self, digest: bytes) -> None:
        """Set the bits of an item."""
        block = self._blocks.setdefault(block_of(digest, self.shape), bytearray(BLOCK_BYTES))
        set_bits(block, bits_of(digest, self.shape))


class MemoryFilters(StateAdapter):
    """The verbs of filters, on what an adapter keeps."""

    @abstractmethod
    def _filter(self, key: str) -> MemoryFilter | None: ...

    @abstractmethod
    def _keep_filter(self, key: str, made: MemoryFilter, ttl_ms: int) -> None: ...

    async def filter_create(self, key: str, shape: FilterShape, ttl_ms: int) -> FilterShape | None:
        there = self._filter(key)
        if there is not None:
            return there.shape
        self._keep_filter(key, MemoryFilter(shape), ttl_ms)
        return None

    async def filter_add(self, key: str, digests: Sequence[bytes]) -> list[bool] | None:
        there = self._require(key)
        new = [not there.has(digest) for digest in digests]
        if there.items + sum(new) > there.shape.capacity:
            return None
        for digest in digests:
            there.add(digest)
        there.items += sum(new)
        return new

    async def filter_has(self, key: str, digests: Sequence[bytes]) -> list[bool]:
        there = self._require(key)
        return [there.has(digest) for digest in digests]

    async def filter_head(self, key: str) -> tuple[FilterShape, int] | None:
        there = self._filter(key)
        return None if there is None else (there.shape, there.items)

    def _require(self, key: str) -> MemoryFilter:
        there = self._filter(key)
        if there is None:
            raise no_filter()
        return there
