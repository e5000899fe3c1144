"""A page that is gathered some rows at a time is the one that is gathered row by row."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from holdfast.contract.record import Record
from holdfast.engines.embedded.paging import gathered

Rows = list[tuple[bytes, Record]]


def one_by_one(rows: Rows, end: bytes, rows_max: int, bytes_max: int) -> tuple[Rows, bool]:
    page: Rows = []
    bytes_left = bytes_max
    for row in rows:
        if row[0] >= end:
            break
        page.append(row)
        bytes_left -= len(row[0]) + len(row[1].value)
        if len(page) == rows_max or bytes_left <= 0:
            return page, True
    return page, False


def test_pages_end_with_their_rows_their_bytes_or_the_range() -> None:
    chance = Random(7)
    full = 0
    for _ in range(400):
        number = chance.choice([0, 1, 7, 8, 9, 30, 700])
        size = chance.choice([0, 10, 1000])
        rows = [
            (b"%05d" % at, Record(bytes(chance.randrange(size + 1)), at)) for at in range(number)
        ]
        end = b"%05d" % chance.randrange(number + 2)
        rows_max, bytes_max = chance.choice([1, 8, 64, 1000]), chance.choice([1, 50, 5_000, 10**6])
        driven = iter(rows)

        def within(some: Rows, end: bytes = end) -> Rows:
            return [row for row in some if row[0] < end]

        page = gathered(driven, within, rows_max, bytes_max)
        assert page == one_by_one(rows, end, rows_max, bytes_max)
        full += page[1]
    assert 100 < full < 400


def test_of_big_rows_few_are_read_in_vain() -> None:
    read = 0

    def big() -> Iterator[tuple[bytes, Record]]:
        nonlocal read
        for at in range(1000):
            read += 1
            yield b"%05d" % at, Record(bytes(100_000), at)

    rows, full = gathered(big(), list, 1000, 3_000_000)
    assert full
    assert len(rows) == 30
    assert read < 40
