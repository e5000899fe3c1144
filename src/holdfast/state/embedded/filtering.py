"""Bloom filters: a head, and a row for each block that has bits."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.contract.batch import Need
from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import Record
from holdfast.state.adapter import FilterShape
from holdfast.state.embedded.base import EmbeddedPart
from holdfast.state.embedded.rows import FILTER, living
from holdfast.state.filters import (
    BLOCK_BYTES,
    bits_of,
    block_of,
    has_bits,
    no_filter,
    set_bits,
)
from holdfast.store.plain.rows import pack_plain, plain_value
from holdfast.store.plan import Plan

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, float, int, int, int]).decode


def head_of(payload: bytes) -> tuple[FilterShape, int]:
    """The shape of a filter, and how many items it holds. Raises IntegrityFailed."""
    try:
        capacity, error_rate, blocks, hashes, items = _decode(payload)
    except msgspec.DecodeError:
        raise IntegrityFailed(
            "the head of a filter is no such thing; run `holdfast check` on the database"
        ) from None
    return FilterShape(capacity, error_rate, blocks, hashes), items


class EmbeddedFilters(EmbeddedPart):
    """The verbs of filters."""

    async def filter_create(self, key: str, shape: FilterShape, ttl_ms: int) -> FilterShape | None:
        ground = self._ground or await self._open()
        there: FilterShape | None = None

        def write(plan: Plan, data_key: bytes, record: Record | None) -> None:
            nonlocal there
            there = None
            row = living(record, plan.now_ms)
            if row is not None:
                there = head_of(row.require(FILTER))[0]
                return
            until_ms = plan.now_ms + ttl_ms if ttl_ms else 0
            ground.put(plan, data_key, record, FILTER, _encode((*shape, 0)), until_ms)

        await ground.decide(key, write)
        return there

    async def filter_add(self, key: str, digests: Sequence[bytes]) -> list[bool] | None:
        ground = self._ground or await self._open()
        data_key = ground.row_key(key)
        places = ground.places.stream(data_key)
        added: list[bool] | None = None
        asked: list[int] = []

        def write(plan: Plan, records: Sequence[Record | None]) -> Need | None:
            nonlocal added, asked
            record, *there = records
            row = living(record, plan.now_ms)
            if row is None:
                raise no_filter()
            shape, items = head_of(row.require(FILTER))
            if not there:
                asked = sorted({block_of(digest, shape) for digest in digests})
                return Need([places.block(number) for number in asked])
            blocks = dict(zip(asked, map(_block, there), strict=True))
            places_of = [(block_of(one, shape), bits_of(one, shape)) for one in digests]
            added = [not has_bits(blocks[block], bits) for block, bits in places_of]
            if items + sum(added) > shape.capacity:
                added = None
                return None
            for new, (block, bits) in zip(added, places_of, strict=True):
                if new:
                    set_bits(blocks[block], bits)
            for number in {block for new, (block, _) in zip(added, places_of, strict=True) if new}:
                plan.put(places.block(number), pack_plain(bytes(blocks[number])))
            if any(added):
                payload = _encode((*shape, items + sum(added)))
                ground.put(plan, data_key, record, FILTER, payload, row.until_ms)
            return None

        await ground.commit((data_key,), write)
        return added

    async def filter_has(self, key: str, digests: Sequence[bytes]) -> list[bool]:
        ground = self._ground or await self._open()
        data_key = ground.row_key(key)
        places = ground.places.stream(data_key)
        known: FilterShape | None = None
        wanted: list[int] = []
        while True:
            # The head once more, with the blocks: another filter may have come between.
            ground.space.check()
            keys = [data_key, *(places.block(number) for number in wanted)]
            record, *there = await ground.space.read(keys)
            row = living(record, ground.space.clock.now_ms())
            if row is None:
                raise no_filter()
            shape, _ = head_of(row.require(FILTER))
            if shape == known:
                break
            known, wanted = shape, sorted({block_of(digest, shape) for digest in digests})
        blocks = dict(zip(wanted, map(_block, there), strict=True))
        return [has_bits(blocks[block_of(one, shape)], bits_of(one, shape)) for one in digests]

    async def filter_head(self, key: str) -> tuple[FilterShape, int] | None:
        ground = self._ground or await self._open()
        row = await ground.find(key)
        return None if row is None else head_of(row.require(FILTER))


def _block(record: Record | None) -> bytearray:
    if record is None:
        return bytearray(BLOCK_BYTES)
    block = bytearray(plain_value(record.value))
    if len(block) != BLOCK_BYTES:
        raise IntegrityFailed(
            f"a block of a filter has {BLOCK_BYTES} bytes; found {len(block)}. Remove the filter"
        )
    return block
