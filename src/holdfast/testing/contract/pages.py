"""The revision of a page: with it a range that was read can be checked without a snapshot."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from holdfast.contract.batch import CheckRange, Delete, Put
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, always, commit, put

#: How many commits run beside the scans.
COMMITS = 200


class Pages(Section):
    @promise()
    async def test_a_page_carries_the_revision_of_the_newest_commit(self, subject: Subject) -> None:
        engine = await subject.open()
        assert (await engine.scan(Range())).revision == 0
        head = await put(engine, (b"a", b"1"), (b"b", b"1"), (b"c", b"1"))
        for range in (Range(), Range(limit=1), Range(b"b"), Range(reverse=True, limit=2)):
            assert (await engine.scan(range)).revision == head
        # The newest commit need not have written anything that the page shows.
        head = await put(engine, (b"z", b"2"))
        assert (await engine.scan(Range(None, b"c"))).revision == head
        head = (await commit(engine, Delete(b"z"))).revision
        assert (await engine.scan(Range(None, b"c"))).revision == head
        head = (await engine.transact([b"a"], always(Put(b"y", b"")))).revision
        assert (await engine.scan(Range(None, b"c"))).revision == head

    @promise()
    async def test_a_page_without_rows_carries_its_revision_too(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        for range in (Range(b"b"), Range(b"x", b"a"), Range(b"c", b"c", reverse=True)):
            page = await engine.scan(range)
            assert (page.rows, page.resume, page.revision) == ([], None, head)

    @promise()
    async def test_each_page_of_a_walk_carries_the_revision_of_its_own_moment(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        head = await put(engine, *((b"%d" % number, b"") for number in range(6)))
        page = await engine.scan(Range(limit=2))
        assert page.revision == head
        assert page.resume is not None
        head = await put(engine, (b"0", b"later"))
        page = await engine.scan(page.resume)
        assert page.revision == head

    @promise()
    async def test_a_refused_batch_does_not_show_in_the_revision_of_a_page(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        with pytest.raises(Conflict):
            await commit(engine, Put(b"a", b"2"), CheckRange(Range(), 0, 0))
        assert (await engine.scan(Range())).revision == head

    @promise(tasks=True)
    async def test_rows_and_revision_of_a_page_are_of_one_moment(self, subject: Subject) -> None:
        engine = await subject.open()
        counted = await put(engine, (b"count", b"0"))
        # What the counter stood at after each commit; the commits are made one after the other.
        values = {counted: b"0"}
        done = False

        async def write() -> None:
            nonlocal done
            for number in range(1, COMMITS + 1):
                value = b"%d" % number
                values[await put(engine, (b"count", value))] = value
                await asyncio.sleep(0)  # Without a pause no scan could come in between.
            done = True

        async def scan() -> None:
            seen: list[tuple[int, bytes]] = []
            while not done:
                page = await engine.scan(Range())
                ((_, record),) = page.rows
                assert record.revision <= page.revision, "a page is never older than its rows"
                seen.append((page.revision, record.value))
                await asyncio.sleep(0)
            assert all(values[revision] == value for revision, value in seen)
            assert all(one <= two for (one, _), (two, _) in itertools.pairwise(seen))

        await asyncio.gather(write(), *(scan() for _ in range(3)))

    @promise()
    async def test_a_page_can_be_checked_by_its_own_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b""), (b"b", b""), (b"other", b""))
        await put(engine, (b"other", b"newer"))
        range = Range(b"a", b"c")
        page = await engine.scan(range)
        check = CheckRange(range, page.revision, len(page.rows))
        await commit(engine, check, Put(b"other", b"checked"))
        await put(engine, (b"aa", b"phantom"))
        with pytest.raises(Conflict):
            await commit(engine, check, Put(b"other", b"unseen"))

    @promise(needs="snapshots")
    async def test_the_pages_of_a_snapshot_carry_its_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b"1"), (b"b", b"1"))
        await put(engine, (b"c", b"1"))
        with await engine.snapshot() as snapshot:
            await put(engine, (b"a", b"2"))
            for range in (Range(), Range(limit=1), Range(b"x"), Range(b"b", b"a")):
                page = await engine.scan(range, at=snapshot)
                assert page.revision == snapshot.revision
            assert (await engine.scan(Range())).revision > snapshot.revision

    @promise(needs="persistent")
    async def test_the_revision_of_a_page_outlives_the_handle(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b""))
        head = (await commit(engine, Delete(b"a"))).revision
        engine = await subject.reopen(engine)
        assert (await engine.scan(Range())).revision == head
