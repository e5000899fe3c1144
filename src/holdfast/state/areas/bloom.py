"""`bloom`: whether an item was surely never added, in a hundredth of the room of a set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.contract.errors import InvalidInput, QuotaExceeded
from holdfast.state.areas.area import Area
from holdfast.state.checks import Duration, ttl_ms
from holdfast.state.filters import (
    BLOCK_BYTES,
    FILTER_ITEMS_MAX,
    digest_of,
    no_filter,
    shape_of,
)
from holdfast.state.telemetry import operation

_CREATE = operation("bloom.create", "bloom", {"ctx.bloom.ttl": float}, {"ctx.bloom.created": bool})
_ADD = operation("bloom.add", "bloom", {"ctx.bloom.count": int}, {"ctx.bloom.added": int})
_CONTAINS = operation("bloom.contains", "bloom", {"ctx.bloom.count": int}, {"ctx.bloom.found": int})
_INFO = operation("bloom.info", "bloom", success={"ctx.bloom.items": int})
_REMOVE = operation("bloom.remove", "bloom", success={"ctx.bloom.existed": bool})


class BloomInfo(NamedTuple):
    """What a filter says of itself.

    Attributes:
        capacity: for how many items it states its error rate; more are refused.
        error_rate: the share of items never added that it takes for members when it is full.
        items: how many were added that it did not have before.
        bytes: what it takes.
    """

    capacity: int
    error_rate: float
    items: int
    bytes: int


class Bloom(Area):
    """Bloom filters. "No" is certain; "yes" is wrong for at most the stated share of items.

    Each call is one round trip and one step on the keeper, however many items it has.
    """

    area = "bloom"

    async def create(
        self, key: str, capacity: int, error_rate: float = 0.01, *, ttl: Duration | None = None
    ) -> bool:
        """Make a filter; False when the same one is there already, with what it holds.

        Args:
            key: its key.
            capacity: how many different items it is for.
            error_rate: the share of other items that it may take for members then, from 0.000001
                to 0.5. At 0.01 an item takes ten bits, at 0.0001 twenty.
            ttl: how long it is kept, from now; for good unless given.

        Raises:
            InvalidInput: a filter of another capacity or error rate stands there; or these cannot
                be.
        """
        whole_key, shape = self._key(key), shape_of(capacity, error_rate)
        span = 0 if ttl is None else ttl_ms(ttl)
        there = await self._observer.run(
            _CREATE,
            key,
            self._adapter.filter_create(whole_key, shape, span),
            {"ctx.bloom.ttl": span / 1000} if span else {},
            lambda there: {"ctx.bloom.created": there is None},
        )
        if there is not None and there != shape:
            raise InvalidInput(
                f"a filter for {capacity} items at {error_rate} was wanted; found one for "
                f"{there.capacity} at {there.error_rate}. Give the same, or remove it first"
            )
        return there is None

    async def add(self, key: str, item: str | bytes) -> bool:
        """Add an item: True when it was surely not there before. A text is its bytes in UTF-8.

        Raises:
            KeyNotFound: there is no filter.
            QuotaExceeded: it holds as many items as it was made for; nothing was added.
        """
        [added] = await self.add_many(key, (item,))
        return added

    async def add_many(self, key: str, items: Iterable[str | bytes]) -> list[bool]:
        """Add up to 1,000 items, all or none; for each whether it was surely not there before."""
        whole_key, digests = self._key(key), _digests(items)
        distinct = list(dict.fromkeys(digests))
        added = await self._observer.run(
            _ADD,
            key,
            self._add(whole_key, distinct),
            {"ctx.bloom.count": len(digests)},
            lambda added: {"ctx.bloom.added": sum(added)},
        )
        new = {digest for digest, one in zip(distinct, added, strict=True) if one}
        answers = []
        for digest in digests:
            answers.append(digest in new)
            new.discard(digest)
        return answers

    async def contains(self, key: str, item: str | bytes) -> bool:
        """Whether an item was added: False is certain, True is wrong at the stated rate at most.

        Raises:
            KeyNotFound: there is no filter.
        """
        [found] = await self.contains_many(key, (item,))
        return found

    async def contains_many(self, key: str, items: Iterable[str | bytes]) -> list[bool]:
        """The same for up to 1,000 items."""
        whole_key, digests = self._key(key), _digests(items)
        return await self._observer.run(
            _CONTAINS,
            key,
            self._adapter.filter_has(whole_key, digests),
            {"ctx.bloom.count": len(digests)},
            lambda found: {"ctx.bloom.found": sum(found)},
        )

    async def info(self, key: str) -> BloomInfo | None:
        """What it is for and holds; None when there is none."""
        found = await self._observer.run(
            _INFO,
            key,
            self._adapter.filter_head(self._key(key)),
            success=lambda found: {} if found is None else {"ctx.bloom.items": found[1]},
        )
        if found is None:
            return None
        shape, items = found
        return BloomInfo(shape.capacity, shape.error_rate, items, shape.blocks * BLOCK_BYTES)

    async def remove(self, key: str) -> bool:
        """Remove a filter with what it holds; whether there was one."""
        removed = await self._observer.run(
            _REMOVE,
            key,
            self._adapter.delete([self._key(key)]),
            success=lambda removed: {"ctx.bloom.existed": removed > 0},
        )
        return removed > 0

    async def _add(self, whole_key: str, digests: list[bytes]) -> list[bool]:
        if not digests:
            if await self._adapter.filter_head(whole_key) is None:
                raise no_filter()
            return []
        added = await self._adapter.filter_add(whole_key, digests)
        if added is None:
            raise QuotaExceeded(
                "the filter holds as many items as it was made for, and would state a wrong error "
                "rate with more; nothing was added. Make a larger one"
            )
        return added


def _digests(items: Iterable[str | bytes]) -> list[bytes]:
    if isinstance(items, str | bytes):
        raise InvalidInput("several items are wanted; found one. Use add or contains for it")
    digests: list[bytes] = []
    for item in items:
        if len(digests) == FILTER_ITEMS_MAX:
            raise InvalidInput(
                f"one call has at most {FILTER_ITEMS_MAX} items; found more. Make several calls"
            )
        digests.append(digest_of(item))
    return digests
