"""What an engine answers without a coroutine is what it answers with one: peek and transact now.

An engine that has none of these calls, or refuses one for now, leaves nothing to compare but that
nothing happened; a layer that passes them by shows here.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from holdfast.contract.batch import (
    Answer,
    Append,
    Batch,
    CheckKey,
    Decide,
    Delete,
    DeleteRange,
    Need,
    Put,
    append_key,
)
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.errors import Conflict, InvalidKey, ReadOnly, StoreClosed, WrongContext
from holdfast.contract.lookup import TAIL, Fence, LookedUp, Lookup, Tally
from holdfast.contract.record import Counted, Range, Record
from holdfast.runtime.system import drive
from holdfast.testing.driving import THREADS, in_threads
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import (
    Subject,
    answering,
    contents,
    draft,
    increment,
    now_or_transact,
    put,
    raising,
    value_of,
)

#: More rows than an engine counts in one step.
ROWS_COUNTED = 5_000


class AtOnce(Section):
    @promise()
    async def test_a_page_peeked_at_is_the_page_that_is_scanned(self, subject: Subject) -> None:
        engine = await subject.open()
        await _peek_as_scan(engine)
        await put(engine, *((b"%02d" % number, b"value") for number in range(25)))
        await _peek_as_scan(engine)
        await put(engine, (b"03", b"new"), (b"x", b""))
        await engine.commit(Batch([Delete(b"07")]))
        await _peek_as_scan(engine)
        await subject.close(engine)
        if engine.peek_page is not None:
            with pytest.raises(StoreClosed):
                await _peek_page_or_scan(engine, Range())

    @promise()
    async def test_a_page_of_many_rows_is_peeked_at_up_to_the_limit(self, subject: Subject) -> None:
        engine = await subject.open()
        limit = engine.capabilities.page_rows_max
        await put(engine, *((b"%06d" % number, b"") for number in range(limit)), (b"z", b"last"))
        await _peek_as_scan(engine)

    @promise()
    async def test_rows_are_counted_as_they_are_scanned(self, subject: Subject) -> None:
        engine = await subject.open()
        await _count_as_scan(engine)
        await put(engine, *((b"%02d" % number, b"value") for number in range(25)))
        await _count_as_scan(engine)
        longest = b"0" * engine.capabilities.key_bytes_max
        logs = draft((b"03", b"new"), (b"x", b""), (longest, b""), appends=[(b"1", b"x")] * 3)
        await engine.transact([], answering(logs))
        await engine.commit(Batch([Delete(b"07"), DeleteRange(Range(b"11", b"12"))]))
        await _count_as_scan(engine)
        await engine.commit(Batch([Delete(longest), Append(b"2", b"")]))
        await _count_as_scan(engine)
        await subject.close(engine)
        if engine.peek_count is not None:
            with pytest.raises(StoreClosed):
                await _peek_count_or_scan(engine, Range())

    @promise()
    async def test_many_rows_are_counted_up_to_the_limit_alone(self, subject: Subject) -> None:
        engine = await subject.open()
        rows = min(engine.capabilities.page_rows_max, ROWS_COUNTED)
        await put(engine, *((b"%06d" % number, b"") for number in range(rows)), (b"z", b"last"))
        await _count_as_scan(engine)

    @promise()
    async def test_an_index_is_looked_up_as_it_is_scanned_and_read(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, FENCE, *INDEX, *((TARGETS + name, b"of " + name) for name in TARGETED))
        await _look_up_as_scan(engine)
        await put(engine, (TARGETS + b"b", b"new"), (TARGETS + b"lacking", b"come"))
        await engine.commit(Batch([Delete(TARGETS + b"a"), Delete(INDEX[3][0])]))
        await _look_up_as_scan(engine)
        await put(engine, (FENCE.key, b"another"))
        if engine.peek_lookup is not None:
            assert engine.peek_lookup(LOOKUPS[0]) is NOT_NOW, "its fence is another"
        if engine.peek_tally is not None:
            assert engine.peek_tally(TALLY) is NOT_NOW, "its fence is another"

    @promise()
    async def test_deciding_now_does_what_transact_does(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"1"), (b"b", b"2"))
        seen: list[list[Record | None]] = []

        def decide(records: list[Record | None], revision: int) -> Answer:
            assert revision > first
            seen.append(list(records))
            if len(records) == 1:
                return Need([b"b", b"none"])
            return draft((b"a", b"decided"), (b"b", None), appends=[(b"log", b"x")])

        receipt = await now_or_transact(engine, [b"a"], decide)
        a, b = Record(b"1", first), Record(b"2", first)
        assert seen[-2:] == [[a], [a, b, None]]
        log = append_key(b"log", receipt.revision, 0)
        assert await contents(engine) == {b"a": b"decided", log: b"x"}
        assert receipt.revision == await engine.head()
        assert receipt.previous is None
        batch = Batch([Put(b"c", b"3"), Append(b"other", b""), Delete(b"a")])
        receipt = await now_or_transact(engine, [], answering(batch))
        other = append_key(b"other", receipt.revision, 0)
        assert await contents(engine) == {b"c": b"3", log: b"x", other: b""}
        for idle in (None, draft(), Batch([])):
            assert (await now_or_transact(engine, [b"a"], answering(idle))).revision == receipt[0]
        again = draft((b"c", b"4"), id=b"once")
        first_time = await now_or_transact(engine, [], answering(again))
        assert await now_or_transact(engine, [], answering(again)) == first_time
        assert await engine.head() == first_time.revision

    @promise()
    async def test_what_is_refused_now_is_refused_as_by_transact(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        mistake = KeyError("of the caller")
        cases: list[tuple[type[BaseException], Decide]] = [
            (Conflict, answering(draft((b"b", b""), checks=[CheckKey(b"a", None)]))),
            (Conflict, answering(Batch([Put(b"b", b""), CheckKey(b"a", None)]))),
            (InvalidKey, answering(draft((b"", b"")))),
            (KeyError, raising(mistake)),
            (KeyboardInterrupt, raising(KeyboardInterrupt())),
        ]
        for kind, decide in cases:
            with pytest.raises(kind):
                await now_or_transact(engine, [b"a"], decide)
            assert await engine.head() == head
            assert await contents(engine) == {b"a": b"1"}
        await now_or_transact(engine, [b"a"], increment(b"a"))
        assert await value_of(engine, b"a") == b"2"

    @promise("E-017")
    async def test_deciding_now_on_a_closed_engine_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b"1"))
        await subject.close(engine)
        decided: list[int] = []
        with pytest.raises(StoreClosed):
            await now_or_transact(engine, [b"a"], lambda _, revision: decided.append(revision))
        assert decided == []

    @promise(needs="persistent")
    async def test_deciding_now_on_what_is_for_reading_is_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b"1"))
        engine = await subject.reopen(engine, read_only=True)
        decided: list[int] = []
        with pytest.raises(ReadOnly):
            await now_or_transact(engine, [b"a"], lambda _, revision: decided.append(revision))
        assert decided == []

    @promise()
    async def test_deciding_while_somebody_decides_is_refused_for_now(
        self, subject: Subject
    ) -> None:
        """A function that calls back must not meet a half of its own commit."""
        engine = await subject.open()
        inner: list[object] = []

        def outer(records: list[Record | None], revision: int) -> Answer:
            if engine.transact_now is not None:
                try:
                    inner.append(engine.transact_now([b"n"], increment(b"n")))
                except WrongContext:
                    inner.append(NOT_NOW)  # Refused for good, which is as well.
            return increment(b"n")(records, revision)

        await now_or_transact(engine, [b"n"], outer)
        if engine.capabilities.transacts_once:
            assert all(answer is NOT_NOW for answer in inner)
            assert await value_of(engine, b"n") == b"1"

    @promise()
    async def test_threads_that_decide_now_lose_no_increment(self, subject: Subject) -> None:
        engine = await subject.open()
        rounds = 100

        def work(thread: int) -> None:
            for _ in range(rounds):
                if thread == 0:
                    drive(engine.transact([b"n"], increment(b"n")))
                else:
                    drive(now_or_transact(engine, [b"n"], increment(b"n")))

        in_threads(engine, work)
        assert await value_of(engine, b"n") == b"%d" % (THREADS * rounds)

    @promise(needs="waits", tasks=True)
    async def test_deciding_now_wakes_who_waits(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"n", b"0"))
        waiting = [asyncio.create_task(engine.wait(head + 1)) for _ in range(3)]
        await asyncio.sleep(0.02)
        # Who has written before may write now: what an engine does once for that is done.
        assert await put(engine, (b"other", b"")) == head + 1
        await asyncio.sleep(0.02)  # It woke them; they wait again.
        receipt = await now_or_transact(engine, [b"n"], increment(b"n"))
        assert await asyncio.gather(*waiting) == [receipt.revision] * 3


async def _peek_page_or_scan(engine: Engine, range: Range) -> None:
    assert engine.peek_page is not None
    if engine.peek_page(range) is NOT_NOW:
        await engine.scan(range)


async def _peek_count_or_scan(engine: Engine, range: Range) -> None:
    assert engine.peek_count is not None
    if engine.peek_count(range) is NOT_NOW:
        await engine.scan(range)


RANGES = (
    Range(), Range(reverse=True), Range(b"03", b"11"), Range(b"03", b"11", reverse=True),
    Range(limit=1), Range(b"2", limit=3, reverse=True), Range(b"z", b"a"), Range(b"zz"),
    Range.prefix(b"1", limit=2),
)  # fmt: skip
#: The same with limits that lie about the number of rows, and bounds about appended and long keys.
COUNTED = (
    *RANGES, Range.prefix(b"1"), Range(b"1\0"), Range(None, b"000"), Range(b"0" * 481, b"1"),
    Range(limit=25), Range(limit=26), Range(limit=1_000_000),
)  # fmt: skip


async def _count_as_scan(engine: Engine) -> None:
    """Counting may be refused for now; what it answers are the rows of all pages."""
    if engine.peek_count is None:
        return
    for range in COUNTED:
        counted = engine.peek_count(range)
        rows, rest, revision = 0, cast("Range | None", replace(range, limit=None)), 0
        while rest is not None:
            page = await engine.scan(rest)
            rows, rest, revision = rows + len(page.rows), page.resume, page.revision
        expected = Counted(rows if range.limit is None else min(rows, range.limit), revision)
        if counted is not NOT_NOW:
            assert counted == expected, f"{range}: count answers {counted!r}, scan {expected!r}"


async def _peek_as_scan(engine: Engine) -> None:
    """Peeking may be refused for now; what it answers is what scanning answers."""
    if engine.peek_page is None:
        return
    for range in RANGES:
        rest: Range | None = range
        while rest is not None:
            peeked = engine.peek_page(rest)
            page = await engine.scan(rest)
            if peeked is not NOT_NOW:
                assert peeked == page, f"peek answers {peeked!r}, scan {page!r}"
            rest = page.resume


FENCE = Fence(b"fence", b"as believed")
TARGETS = b"target "
NOTE = b"note "
TARGETED = (b"a", b"b", b"cc", b"d")


def _row(value: bytes, name: bytes, named: bytes) -> tuple[bytes, bytes]:
    """A row of an index, whose key ends with the name of its target and how long that is.

    Its value names another one, or nothing.
    """
    return b"index " + value + name + len(name).to_bytes(2, "big"), NOTE + named


INDEX = (
    _row(b"1", b"a", b"cc"), _row(b"1", b"b", b""), _row(b"2", b"lacking", b"a"),
    _row(b"2", b"cc", b"lacking"), _row(b"3", b"d", b""), _row(b"3", b"a", b"d"),
)  # fmt: skip
WHOLE = (b"index ", b"index\xff")
SPANS = (
    (WHOLE,),
    ((b"index 1", b"index 2"), (b"index 3", b"index 4")),
    ((b"index 5", b"index 6"),),
)
LOOKUPS = [
    Lookup(FENCE, spans, reverse, limit, TARGETS, cut, in_value=in_value)
    for spans in SPANS
    for reverse in (False, True)
    for limit in (1, 2, 6, 100)
    for cut in (TAIL, (-3, 1))
    for in_value in (None, len(NOTE))
]
TALLY = Tally(FENCE, [(*WHOLE, limit) for limit in (1, 4, 5, 6, 7)] + [(b"t", b"target b", 9)])


def _target(lookup: Lookup, key: bytes, value: bytes) -> bytes:
    if lookup.in_value is not None and value[lookup.in_value :]:
        return lookup.into + value[lookup.in_value :]
    if lookup.cut is TAIL:
        return lookup.into + key[-2 - int.from_bytes(key[-2:], "big") : -2]
    start, length = lookup.cut
    return lookup.into + key[start:][:length]


async def _look_up_as_scan(engine: Engine) -> None:
    """Looking up may be refused for now; what it answers is what scans and reads answer."""
    if engine.peek_lookup is not None:
        for lookup in LOOKUPS:
            rows: list[LookedUp] = []
            for start, end in lookup.spans:
                page = await engine.scan(Range(start, end, lookup.reverse, lookup.limit))
                for key, (value, _) in page.rows:
                    [found] = await engine.read([_target(lookup, key, value)])
                    rows.append((key, value, None if found is None else found.value))
            answer = engine.peek_lookup(lookup)
            if answer is not NOT_NOW:
                assert answer == rows, f"{lookup}: look-up answers {answer!r}, scan {rows!r}"
    if engine.peek_tally is not None:
        counts = [
            len((await engine.scan(Range(start, end, limit=limit))).rows)
            for start, end, limit in TALLY.spans
        ]
        counted = engine.peek_tally(TALLY)
        assert counted is NOT_NOW or counted == counts, f"tally {counted!r}, scan {counts!r}"
