"""Long keys and large values: the same order and the same bytes as short ones."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import CheckKey, CheckRange, Delete, DeleteRange, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, keys_in, put, value_of

#: Around the limits of drivers, where engines switch to another way of storing a key.
KEY_SIZES = (479, 480, 481, 500, 510, 511, 512, 1000, 1023, 1024, 1025, 2047, 2048, 4095, 4096)
#: Around the sizes at which engines switch to another way of storing a value.
VALUE_SIZES = (0, 1, 4095, 4096, 65_535, 65_536, 262_143, 262_144, 262_145, 3_000_001)


def long_keys(key_bytes_max: int) -> list[bytes]:
    """Short and long keys that share prefixes, so that only exact order keeps them apart."""
    keys = {b"p", b"p" * 10, b"p" * 10 + b"\xff", b"a", b"z"}
    for size in KEY_SIZES:
        stem = b"p" * (size - 1)
        keys |= {stem + b"p", stem + b"\0", stem + b"\xff", stem[:-1] + b"q"}
    return sorted(key for key in keys if len(key) <= key_bytes_max)


class Sizes(Section):
    @promise("E-015")
    async def test_long_and_short_keys_share_one_order(self, subject: Subject) -> None:
        engine, keys = await self._with_long_keys(subject)
        assert await keys_in(engine) == keys
        assert await keys_in(engine, Range(reverse=True)) == keys[::-1]
        assert await keys_in(engine, Range(limit=3)) == keys
        assert await keys_in(engine, Range(limit=3, reverse=True)) == keys[::-1]
        records = await engine.read(keys)
        assert [record and record.value for record in records] == [_value(key) for key in keys]

    @promise("E-019")
    async def test_ranges_between_long_keys_are_exact(self, subject: Subject) -> None:
        engine, keys = await self._with_long_keys(subject)
        borders = keys[::3] + [key[:-1] for key in keys[::5] if len(key) > 1]
        for start in borders[::2]:
            for end in borders[1::2]:
                expected = [key for key in keys if start <= key < end]
                assert await keys_in(engine, Range(start, end)) == expected
                assert await keys_in(engine, Range(start, end, True)) == expected[::-1]

    @promise()
    async def test_long_keys_are_overwritten_checked_and_deleted(self, subject: Subject) -> None:
        engine, keys = await self._with_long_keys(subject)
        head = await engine.head()
        longest = max(keys, key=len)
        await commit(engine, CheckKey(longest, head), Put(longest, b"new"))
        assert await value_of(engine, longest) == b"new"
        await commit(engine, *(Delete(key) for key in keys[1::2]))
        keys = keys[::2]
        assert await keys_in(engine) == keys
        await commit(engine, DeleteRange(Range(keys[4], keys[-4])))
        assert await keys_in(engine) == keys[:4] + keys[-4:]

    @promise()
    async def test_range_checks_count_long_keys(self, subject: Subject) -> None:
        engine, keys = await self._with_long_keys(subject)
        deep = Range.prefix(b"p" * 400)
        count = sum(key in deep for key in keys)
        head = await engine.head()
        await put(engine, (b"elsewhere", b""))
        await commit(engine, CheckRange(deep, head, count), Put(b"elsewhere", b"again"))
        await commit(engine, Delete(max(keys, key=len)))
        with pytest.raises(Conflict):
            await commit(engine, CheckRange(deep, head, count), Put(b"elsewhere", b"never"))
        assert await value_of(engine, b"elsewhere") == b"again"

    @promise()
    async def test_values_of_every_size_come_back_whole(self, subject: Subject) -> None:
        engine = await subject.open()
        sizes = [size for size in VALUE_SIZES if size <= engine.capabilities.value_bytes_max]
        expected = {b"%08d" % size: _bytes(size) for size in sizes}
        for key, value in expected.items():
            await put(engine, (key, value))
        assert await contents(engine) == expected
        for key, value in expected.items():
            assert await value_of(engine, key) == value
        if engine.capabilities.persistent:
            engine = await subject.reopen(engine)
            assert await contents(engine) == expected

    @promise()
    async def test_values_grow_and_shrink_in_place(self, subject: Subject) -> None:
        engine = await subject.open()
        sizes = [size for size in VALUE_SIZES if size <= engine.capabilities.value_bytes_max]
        for size in [*sizes, *sizes[::-1]]:
            await put(engine, (b"key", _bytes(size)), (b"other", b"kept"))
            assert await value_of(engine, b"key") == _bytes(size)
        await commit(engine, Delete(b"key"))
        assert await contents(engine) == {b"other": b"kept"}

    async def _with_long_keys(self, subject: Subject) -> tuple[Engine, list[bytes]]:
        engine = await subject.open()
        keys = long_keys(engine.capabilities.key_bytes_max)
        # Every other one in a second commit, so that neighbours arrive at different times.
        await put(engine, *((key, _value(key)) for key in keys[::2][::-1]))
        await put(engine, *((key, _value(key)) for key in keys[1::2]))
        if engine.capabilities.persistent:
            engine = await subject.reopen(engine)
        head = await engine.head()
        await put(engine, *((key, _value(key)) for key in keys))
        assert await engine.head() > head
        return engine, keys


def _value(key: bytes) -> bytes:
    return b"%d" % len(key) + key[-2:]


def _bytes(size: int) -> bytes:
    """Bytes of that size in which every place can be told from its neighbours."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]
