"""Revisions: one number for the whole database that only grows, and the lineage it belongs to."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import Append, CheckKey, DeleteRange, Put
from holdfast.contract.errors import Conflict, InvalidKey
from holdfast.contract.record import Cursor, Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, put, walk


class Revisions(Section):
    @promise()
    async def test_a_new_database_is_at_revision_zero(self, subject: Subject) -> None:
        engine = await subject.open()
        assert await engine.head() == 0

    @promise()
    async def test_every_commit_gets_a_higher_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        revisions = [0]
        for number in range(50):
            revisions.append(await put(engine, (b"%d" % (number % 7), b"")))
            assert await engine.head() == revisions[-1]
        assert revisions == sorted(set(revisions))

    @promise()
    async def test_an_empty_batch_takes_no_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        assert (await commit(engine)).revision == 0
        revision = await put(engine, (b"k", b""))
        receipt = await commit(engine)
        assert receipt.revision == revision == await engine.head()

    @promise()
    async def test_a_refused_commit_leaves_no_trace_in_the_revisions(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        first = await put(engine, (b"k", b""))
        with pytest.raises(Conflict):
            await commit(engine, CheckKey(b"k", None), Put(b"k", b"lost"))
        with pytest.raises(InvalidKey):
            await commit(engine, Put(b"k", b"lost"), Put(b"", b""))
        assert await engine.head() == first
        second = await put(engine, (b"k", b"kept"))
        assert second > first
        assert [record.revision for _, record in await walk(engine)] == [second]

    @promise(needs="persistent")
    async def test_no_revision_is_used_twice_across_reopening(self, subject: Subject) -> None:
        engine = await subject.open()
        used: list[int] = []
        for number in range(4):
            used.append(await put(engine, (b"k%d" % number, b"")))
            used.append((await commit(engine, Append(b"log", b""))).revision)
            engine = await subject.reopen(engine)
            assert await engine.head() == used[-1]
        # Not even when the rows that carried the highest ones are gone.
        used.append((await commit(engine, DeleteRange(Range()))).revision)
        engine = await subject.reopen(engine)
        assert await contents(engine) == {}
        used.append(await put(engine, (b"k", b"")))
        assert used == sorted(set(used))

    @promise(needs="persistent")
    async def test_a_database_keeps_its_lineage(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b""))
        lineage = engine.lineage
        for _ in range(2):
            engine = await subject.reopen(engine)
            assert engine.lineage == lineage

    @promise()
    async def test_a_lineage_can_stand_in_a_cursor(self, subject: Subject) -> None:
        engine = await subject.open()
        cursor = Cursor(engine.lineage, await put(engine, (b"k", b"")))
        assert cursor.lineage
        assert Cursor.parse(str(cursor)) == cursor

    @promise()
    async def test_two_databases_have_different_lineages(self, subject: Subject) -> None:
        engine = await subject.open()
        folder = subject.folder / "another"
        folder.mkdir()
        other = self.make_engine(self.make_config(folder), self.make_components())
        try:
            await other.open()
            assert engine.lineage != other.lineage
            await put(engine, (b"here", b""))
            assert await contents(other) == {}
            assert await other.head() == 0
        finally:
            await other.close()
