"""Limits and bad input: exactly the limit works, one more is refused, and nothing was written."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    Operation,
    Put,
)
from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidKey, InvalidValue, StoreError, ValueTooLarge
from holdfast.contract.record import Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, always, commit, contents, keys_in, put, value_of

#: What an append adds to its prefix.
APPEND_BYTES = 12
NOT_BYTES: list[Any] = ["text", None, 7, 1.5, ["x"], object()]


class Limits(Section):
    @promise("E-011")
    async def test_an_empty_key_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        for operation in (Put(b"", b"value"), Delete(b""), CheckKey(b"", None)):
            await _refused(engine, InvalidKey, operation)

    @promise("E-011")
    async def test_a_key_that_is_not_bytes_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        for key in NOT_BYTES:
            await _refused(engine, InvalidKey, Put(key, b"value"))
            await _refused(engine, InvalidKey, Delete(key))
            await _refused(engine, InvalidKey, Append(key, b"value"))

    @promise("E-011")
    async def test_a_value_that_is_not_bytes_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        for value in NOT_BYTES:
            await _refused(engine, InvalidValue, Put(b"key", value))
            await _refused(engine, InvalidValue, Append(b"log", value))

    @promise()
    async def test_an_operation_that_is_none_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        for operation in ("put", None, (b"key", b"value")):
            await _refused(engine, StoreError, operation)  # type: ignore[arg-type]

    @promise()
    async def test_the_widest_check_of_a_range_works_and_one_row_more_is_refused(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        limits = engine.capabilities
        widest = limits.check_range_rows_max or 1_500
        step = min(limits.batch_operations_max, widest)
        for start in range(0, widest, step):
            ends = range(start, min(start + step, widest))
            await commit(engine, *(Put(b"k%07d" % number, b"") for number in ends))
        head = await put(engine, (b"other", b""))
        await put(engine, (b"another", b""))  # Or there would be nothing to walk for.
        await commit(engine, CheckRange(Range.prefix(b"k"), head, widest), Put(b"good", b""))
        if limits.check_range_rows_max is None:
            return
        await put(engine, (b"k", b""))
        check = CheckRange(Range.prefix(b"k"), await engine.head() - 1, widest + 1)
        with pytest.raises(ValueTooLarge) as refused:
            await commit(engine, check, Put(b"bad", b""))
        assert refused.value.details["limit"] == widest
        assert await value_of(engine, b"good") == b""
        assert await value_of(engine, b"bad") is None

    @promise()
    async def test_the_longest_key_works_and_one_byte_more_is_refused(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        limit = engine.capabilities.key_bytes_max
        longest = b"k" * limit
        await put(engine, (longest, b"value"))
        assert await value_of(engine, longest) == b"value"
        await commit(engine, Delete(longest))
        assert await value_of(engine, longest) is None
        await _refused(engine, InvalidKey, Put(longest + b"k", b"value"))

    @promise()
    async def test_the_longest_append_works_and_one_byte_more_is_refused(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        longest = b"p" * (engine.capabilities.key_bytes_max - APPEND_BYTES)
        await commit(engine, Append(longest, b"value"))
        assert [len(key) for key in await keys_in(engine)] == [engine.capabilities.key_bytes_max]
        await _refused(engine, InvalidKey, Append(longest + b"p", b"value"))

    @promise()
    async def test_the_largest_value_works_and_one_byte_more_is_refused(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        limit = engine.capabilities.value_bytes_max
        if limit <= self.written_bytes_max:
            await put(engine, (b"key", bytes(limit)))
            assert await value_of(engine, b"key") == bytes(limit)
            await commit(engine, Delete(b"key"))
        await _refused(engine, ValueTooLarge, Put(b"key", bytes(limit + 1)))
        await _refused(engine, ValueTooLarge, Append(b"log", bytes(limit + 1)))

    @promise()
    async def test_the_longest_batch_works_and_one_operation_more_is_refused(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        limit = engine.capabilities.batch_operations_max
        await engine.commit(Batch([Put(b"%04d" % (n % 1000), b"%d" % n) for n in range(limit)]))
        assert await value_of(engine, b"%04d" % ((limit - 1) % 1000)) == b"%d" % (limit - 1)
        await _refused(engine, ValueTooLarge, *[Put(b"new", b"")] * (limit + 1))

    @promise()
    async def test_a_batch_of_too_many_bytes_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        limits = engine.capabilities
        value = bytes(min(limits.value_bytes_max, limits.batch_bytes_max))
        # The same value object many times: the batch is large, the test is not.
        fitting = limits.batch_bytes_max // (len(value) + limits.key_bytes_max)
        if fitting * len(value) <= self.written_bytes_max:
            await commit(engine, *[Put(b"same", value)] * fitting)
            assert await value_of(engine, b"same") == value
        excess = limits.batch_bytes_max // len(value) + 1
        if excess <= limits.batch_operations_max:
            await _refused(engine, ValueTooLarge, *[Put(b"new", value)] * excess)

    @promise("trap 43")
    async def test_one_bad_operation_refuses_the_whole_batch(self, subject: Subject) -> None:
        engine = await subject.open()
        good: list[Operation] = [Put(b"a", b"1"), Put(b"b", b"2"), Append(b"log", b"3")]
        for place in range(len(good) + 1):
            await _refused(engine, InvalidKey, *good[:place], Put(b"", b""), *good[place:])

    @promise()
    async def test_a_bad_batch_from_a_decision_is_refused_alike(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"key", b"kept"))
        limit = engine.capabilities.key_bytes_max
        for bad in (Put(b"", b""), Put(b"k" * (limit + 1), b""), Put("key", b"")):  # type: ignore[arg-type]
            with pytest.raises(InvalidKey):
                await engine.transact([b"key"], always(Delete(b"key"), bad))
            assert await contents(engine) == {b"key": b"kept"}


async def _refused(engine: Engine, error: type[StoreError], *operations: Operation) -> None:
    before, head = await contents(engine), await engine.head()
    with pytest.raises(error) as refusal:
        await commit(engine, *operations)
    assert str(refusal.value), "the refusal says what was wanted and found"
    assert await contents(engine) == before
    assert await engine.head() == head
