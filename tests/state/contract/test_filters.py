"""The contract of Bloom filters."""

from __future__ import annotations

import pytest

from holdfast.contract.errors import InvalidValue, KeyNotFound
from holdfast.state.filters import digest_of, shape_of
from tests.state.contract.conftest import Hold
from tests.state.contract.subjects import Subject

pytestmark = pytest.mark.row("D-129", "D-145", "D-116")


def test_a_filter_has_what_was_added(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, f = subject.adapter, subject.key("f")
        shape = shape_of(600, 0.01)
        assert shape.blocks > 1
        one, two = digest_of("one"), digest_of("two")
        for call in (adapter.filter_add, adapter.filter_has):
            with pytest.raises(KeyNotFound):
                await call(f, [one])
        assert await adapter.filter_head(f) is None
        assert await adapter.filter_create(f, shape, 0) is None
        assert await adapter.filter_create(f, shape_of(5, 0.5), 0) == shape
        assert await adapter.filter_head(f) == (shape, 0)
        assert await adapter.filter_has(f, [one, two]) == [False, False]
        assert await adapter.filter_add(f, [one]) == [True]
        assert await adapter.filter_add(f, [one, two]) == [False, True]
        assert await adapter.filter_has(f, [two, digest_of("three"), one]) == [True, False, True]
        assert await adapter.filter_head(f) == (shape, 2)

        items = [digest_of(str(number)) for number in range(500)]
        new = await adapter.filter_add(f, items)
        assert new is not None
        assert new.count(False) < 5
        assert await adapter.filter_has(f, items) == [True] * 500
        strangers = [digest_of(f"no {number}") for number in range(1000)]
        assert (await adapter.filter_has(f, strangers)).count(True) <= 10
        held = await adapter.filter_head(f)
        assert held == (shape, 2 + new.count(True))

        # What does not fit leaves nothing behind.
        many = [digest_of(f"more {number}") for number in range(200)]
        before = await adapter.filter_has(f, many)
        assert await adapter.filter_add(f, many) is None
        assert await adapter.filter_has(f, many) == before
        assert await adapter.filter_head(f) == held

        # Made anew it is empty: of what it had nothing is left.
        assert await adapter.delete([f]) == 1
        assert await adapter.filter_create(f, shape, 0) is None
        assert (await adapter.filter_has(f, items)).count(True) == 0

    holds(test)


def test_a_filter_ends_with_all_it_had(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, f, shape = subject.adapter, subject.key("f"), shape_of(100, 0.01)
        assert await adapter.filter_create(f, shape, 100) is None
        assert await adapter.filter_create(f, shape, 60_000) == shape
        await adapter.filter_add(f, [digest_of("one")])
        assert 0 < (await adapter.remaining_ms(f) or 0) <= 100
        await subject.passes(0.1)
        assert await adapter.filter_head(f) is None
        with pytest.raises(KeyNotFound):
            await adapter.filter_has(f, [digest_of("one")])
        assert await adapter.filter_create(f, shape, 0) is None
        assert await adapter.filter_has(f, [digest_of("one")]) == [False]

    holds(test)


def test_a_filter_and_other_kinds(holds: Hold) -> None:
    async def test(subject: Subject) -> None:
        adapter, f, other = subject.adapter, subject.key("f"), subject.key("other")
        shape = shape_of(100, 0.01)
        await adapter.set(other, b"a value that is no filter")
        with pytest.raises(InvalidValue):
            await adapter.filter_create(other, shape, 0)
        with pytest.raises(InvalidValue):
            await adapter.filter_add(other, [digest_of("a")])
        with pytest.raises(InvalidValue):
            await adapter.filter_has(other, [digest_of("a")])
        with pytest.raises(InvalidValue):
            await adapter.filter_head(other)
        await adapter.filter_create(f, shape, 0)
        await adapter.filter_add(f, [digest_of("a")])
        await adapter.set(f, b"over it")
        assert await adapter.get(f) == b"over it"
        await adapter.delete([f])
        await adapter.filter_create(f, shape, 0)
        assert await adapter.filter_has(f, [digest_of("a")]) == [False]

    holds(test)
