"""Rows that are sifted are those that are scanned, of the same snapshot.

An engine that has no such call, or refuses it for now, leaves nothing to compare.
"""

from __future__ import annotations

from typing import cast

import pytest

from holdfast.contract.batch import Batch, Delete
from holdfast.contract.engine import NOT_NOW, Engine, Snapshot
from holdfast.contract.errors import StoreClosed
from holdfast.contract.lookup import Look, Sifted
from holdfast.contract.record import Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, answering, draft, put

RANGES = (
    Range(), Range(reverse=True), Range(b"03", b"11"), Range(b"03", b"11", reverse=True),
    Range(limit=1), Range(limit=5), Range(b"2", limit=3, reverse=True), Range(b"z", b"a"),
    Range(b"zz"), Range.prefix(b"1", limit=2),
)  # fmt: skip
#: Several pages of them.
BIG_BYTES, BIG_ROWS = 300_000, 20
ROWS = tuple((b"%02d" % number, b"%d" % number) for number in range(25))


class Sifting(Section):
    @promise(needs="snapshots")
    async def test_rows_are_sifted_as_they_are_scanned(self, subject: Subject) -> None:
        engine = await subject.open()
        logs = draft(*ROWS, (b"03", b"new"), (b"x", b""), appends=[(b"1", b"x")] * 3)
        await engine.transact([], answering(logs))
        with await engine.snapshot() as moment:
            await put(engine, (b"07", b"of another moment"))
            await engine.commit(Batch([Delete(b"08")]))
            await _sift_as_scan(engine, moment)
        await subject.close(engine)
        if engine.peek_sifted is not None:
            with pytest.raises(StoreClosed):
                engine.peek_sifted(Range(), bytes.hex, moment)

    @promise(needs="snapshots")
    async def test_big_rows_are_sifted_page_by_page(self, subject: Subject) -> None:
        engine = await subject.open()
        size = min(BIG_BYTES, engine.capabilities.value_bytes_max)
        if engine.peek_sifted is None:
            return
        for at in range(BIG_ROWS):
            await put(engine, (b"%02d" % at, b"%d" % at + bytes(size - 2)))
        with await engine.snapshot() as moment:
            rest, looked = cast("Range | None", Range()), 0
            while rest is not None:
                page = await engine.scan(rest, at=moment)
                sifted = engine.peek_sifted(rest, _even, moment)
                if sifted is not NOT_NOW:
                    assert (sifted.looked, sifted.resume) == (len(page.rows), page.resume)
                looked, rest = looked + len(page.rows), page.resume
        assert looked == BIG_ROWS

    @promise(needs="snapshots")
    async def test_what_looks_at_rows_may_raise(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, *ROWS)
        for kind in (KeyError, StopIteration, KeyboardInterrupt):
            error = kind()
            with await engine.snapshot() as moment:
                sift = engine.peek_sifted
                if sift is None or sift(Range(), _nothing, moment) is NOT_NOW:
                    continue
                with pytest.raises(kind) as raised:
                    sift(Range(), _raising_at(b"7", error), moment)
                assert raised.value is error
            with await engine.snapshot() as moment:
                await _sift_as_scan(engine, moment)


def _even(value: bytes) -> bytes | None:
    """What is seen in a value that ends with an even digit."""
    return b"seen " + value if value[-1:] in (b"0", b"2", b"4", b"6", b"8") else None


def _nothing(_value: bytes) -> None:
    return None


def _raising_at(wanted: bytes, error: BaseException) -> Look:
    def look(value: bytes) -> None:
        if value == wanted:
            raise error

    return look


async def _sift_as_scan(engine: Engine, moment: Snapshot) -> None:
    if engine.peek_sifted is None:
        return
    for look in (_even, bytes.hex, _nothing):
        for range in RANGES:
            page = await engine.scan(range, at=moment)
            seen = [(*row, look(row[1].value)) for row in page.rows]
            wanted = [row for row in seen if row[2] is not None]
            expected = Sifted(wanted, len(page.rows), page.resume)
            sifted = engine.peek_sifted(range, look, moment)
            if sifted is not NOT_NOW:
                assert sifted == expected, f"sift answers {sifted!r}, scan {expected!r}"
