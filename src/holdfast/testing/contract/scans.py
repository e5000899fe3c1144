"""Scanning ranges: byte order, exact borders, pages that continue where the last one ended."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import Delete
from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidInput
from holdfast.contract.record import Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, keys_in, put, walk

#: Keys whose order as bytes differs from other orders people have tried.
UNORDERED = [
    b"b", b"a", b"B", b"a\0", b"\xff", b"\0", b"aa", b"10", b"9", b"\xff\xff", b"a\xff",
    b"\xc3\xa9", b"z", b"\x7f", b"\x80", b"ab", b"\0\0", b"Z",
]  # fmt: skip


class Scans(Section):
    @promise("E-015", "K-024")
    async def test_keys_come_in_byte_order(self, subject: Subject) -> None:
        engine = await subject.open()
        for key in UNORDERED:
            await put(engine, (key, b"value of " + key))
        rows = await walk(engine)
        assert [key for key, _ in rows] == sorted(UNORDERED)
        assert [record.value for _, record in rows] == [b"value of " + key for key, _ in rows]

    @promise("E-019")
    async def test_reverse_is_the_exact_opposite(self, subject: Subject) -> None:
        engine = await _with_letters(subject)
        for start, end in [(None, None), (b"b", b"e"), (b"b", None), (None, b"e"), (b"bb", b"dd")]:
            forward = await walk(engine, Range(start, end))
            backward = await walk(engine, Range(start, end, reverse=True))
            assert backward == forward[::-1]

    @promise("E-019")
    async def test_the_start_belongs_to_a_range_and_the_end_does_not(
        self, subject: Subject
    ) -> None:
        engine = await _with_letters(subject)
        table: list[tuple[bytes | None, bytes | None, bytes]] = [
            (b"b", b"d", b"bc"), (b"b", b"d\0", b"bcd"), (b"b\0", b"d", b"c"), (b"a", b"b", b"a"),
            (None, b"c", b"ab"), (b"d", None, b"def"), (None, None, b"abcdef"), (b"g", None, b""),
            (None, b"a", b""), (b"0", b"9", b""), (b"f", b"z", b"f"), (b"\0", b"\xff", b"abcdef"),
        ]  # fmt: skip
        for start, end, letters in table:
            expected = [bytes((letter,)) for letter in letters]
            assert await keys_in(engine, Range(start, end)) == expected, (start, end)
            backward = await keys_in(engine, Range(start, end, reverse=True))
            assert backward == expected[::-1], (start, end)

    @promise("E-019")
    async def test_a_range_that_ends_before_it_starts_is_empty(self, subject: Subject) -> None:
        engine = await _with_letters(subject)
        for start, end in [(b"d", b"b"), (b"c", b"c"), (b"f", b"a"), (b"z", b"\0")]:
            for reverse in (False, True):
                page = await engine.scan(Range(start, end, reverse))
                assert (page.rows, page.resume) == ([], None)

    @promise("E-019")
    async def test_a_prefix_holds_exactly_the_keys_that_begin_with_it(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        keys = [b"org_1", b"org_1/", b"org_1/a", b"org_12", b"org_1\xff", b"org_2", b"\xff\xff\0"]
        keys += [b"\xff", b"\xff\xff", b"or"]
        await put(engine, *((key, b"") for key in keys))
        for prefix in [b"org_1", b"org_1/", b"org", b"\xff", b"\xff\xff", b"none", b""]:
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert await keys_in(engine, Range.prefix(prefix)) == expected, prefix

    @promise("E-019")
    async def test_a_limit_bounds_each_page_and_the_rest_follows(self, subject: Subject) -> None:
        engine = await _with_letters(subject)
        for reverse in (False, True):
            everything = [key for key, _ in await walk(engine, Range(reverse=reverse))]
            for limit in (1, 2, 3, 5, 6, 7):
                page = await engine.scan(Range(reverse=reverse, limit=limit))
                assert [key for key, _ in page.rows] == everything[:limit], (reverse, limit)
                pages = await keys_in(engine, Range(reverse=reverse, limit=limit))
                assert pages == everything, (reverse, limit)

    @promise("E-019")
    async def test_a_continued_range_keeps_its_borders(self, subject: Subject) -> None:
        engine = await _with_letters(subject)
        for limit in (1, 2, 3):
            assert await keys_in(engine, Range(b"b", b"f", limit=limit)) == [b"b", b"c", b"d", b"e"]
            backward = await keys_in(engine, Range(b"b", b"f", reverse=True, limit=limit))
            assert backward == [b"e", b"d", b"c", b"b"]

    @promise()
    async def test_a_limit_below_one_is_refused(self, subject: Subject) -> None:
        engine = await _with_letters(subject)
        for limit in (0, -1):
            with pytest.raises(InvalidInput):
                await engine.scan(Range(limit=limit))

    @promise()
    async def test_a_page_ends_at_the_row_limit_of_the_engine(self, subject: Subject) -> None:
        engine = await subject.open()
        limit = engine.capabilities.page_rows_max
        keys = [b"%08d" % number for number in range(limit + 3)]
        for start in range(0, len(keys), 1000):
            await put(engine, *((key, b"") for key in keys[start : start + 1000]))
        for wanted in (Range(), Range(limit=limit + 3), Range(reverse=True)):
            page = await engine.scan(wanted)
            assert len(page.rows) <= limit
            assert page.resume is not None
            expected = keys[::-1] if wanted.reverse else keys
            assert await keys_in(engine, wanted) == expected

    @promise()
    async def test_a_page_ends_at_the_byte_limit_of_the_engine(self, subject: Subject) -> None:
        engine = await subject.open()
        limits = engine.capabilities
        value = bytes(min(limits.page_bytes_max // 4 + 1, limits.value_bytes_max))
        keys = [b"%04d" % number for number in range(limits.page_bytes_max // len(value) + 3)]
        for key in keys:
            await put(engine, (key, value))
        for reverse in (False, True):
            page = await engine.scan(Range(reverse=reverse))
            # The row that reaches the limit is the last of its page.
            sizes = [len(key) + len(record.value) for key, record in page.rows]
            assert sizes
            assert sum(sizes[:-1]) < limits.page_bytes_max
            assert len(sizes) < len(keys)
            assert page.resume is not None
            assert await keys_in(engine, Range(reverse=reverse)) == sorted(keys, reverse=reverse)

    @promise()
    async def test_a_row_above_the_byte_limit_of_a_page_is_a_page(self, subject: Subject) -> None:
        engine = await subject.open()
        limits = engine.capabilities
        value = bytes(min(limits.page_bytes_max + 1, limits.value_bytes_max))
        await put(engine, (b"a", b"small"), (b"b", value), (b"c", b"small"))
        for reverse in (False, True):
            rows = await walk(engine, Range(reverse=reverse))
            assert sorted((key, len(record.value)) for key, record in rows) == [
                (b"a", 5), (b"b", len(value)), (b"c", 5),
            ]  # fmt: skip

    @promise("E-015")
    async def test_a_walk_goes_on_rightly_while_rows_change(self, subject: Subject) -> None:
        engine = await _with_letters(subject)
        first = await engine.scan(Range(limit=2))
        assert first.resume is not None
        # The last row seen goes, one appears behind the walk, one before it.
        await commit(engine, Delete(b"b"))
        await put(engine, (b"a\0", b"behind"), (b"b\0", b"before"))
        assert await keys_in(engine, first.resume) == [b"b\0", b"c", b"d", b"e", b"f"]

    @promise()
    async def test_an_empty_database_scans_as_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        for reverse in (False, True):
            page = await engine.scan(Range(reverse=reverse))
            assert (page.rows, page.resume) == ([], None)

    @promise()
    async def test_reading_and_scanning_agree(self, subject: Subject) -> None:
        engine = await _with_letters(subject)
        rows = await walk(engine)
        assert await engine.read([key for key, _ in rows]) == [record for _, record in rows]


async def _with_letters(subject: Subject) -> Engine:
    """An engine with the keys a to f, written in another order by several commits."""
    engine = await subject.open()
    await put(engine, (b"d", b"4"), (b"a", b"1"))
    await put(engine, (b"f", b"6"))
    await put(engine, (b"c", b"3"), (b"e", b"5"), (b"b", b"2"))
    return engine
