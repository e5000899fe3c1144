"""Snapshots: a view that stands still while writes go on."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import Delete, DeleteRange, Put
from holdfast.contract.errors import StoreClosed
from holdfast.contract.record import Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, keys_in, put, value_of, walk

YEAR_S = 365 * 86_400


class Snapshots(Section):
    @promise("trap 50", needs="snapshots")
    async def test_a_snapshot_is_a_fixed_view(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"changed", b"old"), (b"deleted", b"old"), (b"kept", b"old"))
        with await engine.snapshot() as snapshot:
            assert snapshot.revision == revision
            before = await walk(engine, at=snapshot)
            await put(engine, (b"changed", b"new"), (b"made", b"new"))
            await commit(engine, Delete(b"deleted"))
            for _ in range(2):
                assert await walk(engine, at=snapshot) == before
                assert await contents(engine, at=snapshot) == {
                    b"changed": b"old", b"deleted": b"old", b"kept": b"old",
                }  # fmt: skip
            records = await engine.read([b"made", b"changed", b"deleted"], at=snapshot)
            assert [record and record.value for record in records] == [None, b"old", b"old"]
        assert await contents(engine) == {b"changed": b"new", b"kept": b"old", b"made": b"new"}

    @promise(needs="snapshots")
    async def test_a_snapshot_contains_the_newest_commit(self, subject: Subject) -> None:
        engine = await subject.open()
        for number in range(5):
            revision = await put(engine, (b"k", b"%d" % number))
            with await engine.snapshot() as snapshot:
                assert snapshot.revision == revision
                assert await value_of(engine, b"k", snapshot) == b"%d" % number

    @promise(needs="snapshots")
    async def test_a_snapshot_of_nothing_stays_empty(self, subject: Subject) -> None:
        engine = await subject.open()
        with await engine.snapshot() as snapshot:
            assert snapshot.revision == 0
            await put(engine, (b"k", b""))
            assert await contents(engine, at=snapshot) == {}

    @promise(needs="snapshots")
    async def test_several_snapshots_show_each_their_own_moment(self, subject: Subject) -> None:
        engine = await subject.open()
        snapshots = []
        for number in range(6):
            await put(engine, (b"k", b"%d" % number), (b"k%d" % number, b""))
            snapshots.append(await engine.snapshot())
        await commit(engine, DeleteRange(Range()))
        for number in (3, 0, 5, 1, 4, 2):
            assert await value_of(engine, b"k", snapshots[number]) == b"%d" % number
            assert len(await keys_in(engine, at=snapshots[number])) == number + 2
            snapshots[number].close()
        assert await contents(engine) == {}

    @promise(needs="snapshots")
    async def test_a_snapshot_is_walked_in_pages_and_both_ways(self, subject: Subject) -> None:
        engine = await subject.open()
        keys = [b"%02d" % number for number in range(20)]
        await put(engine, *((key, b"") for key in keys))
        with await engine.snapshot() as snapshot:
            page = await engine.scan(Range(limit=5), at=snapshot)
            await commit(engine, DeleteRange(Range(b"03", b"12")), Put(b"05x", b""))
            assert page.resume is not None
            assert await keys_in(engine, page.resume, at=snapshot) == keys[5:]
            assert await keys_in(engine, Range(reverse=True, limit=3), at=snapshot) == keys[::-1]
            assert await keys_in(engine, Range(b"04", b"06"), at=snapshot) == [b"04", b"05"]

    @promise(needs="snapshots")
    async def test_values_in_a_snapshot_stay_whole(self, subject: Subject) -> None:
        engine = await subject.open()
        value = bytes(range(256)) * (min(engine.capabilities.value_bytes_max, 600_000) // 256)
        await put(engine, (b"k", value))
        with await engine.snapshot() as snapshot:
            await put(engine, (b"k", b"small"))
            for number in range(20):
                await put(engine, (b"filler", bytes([number]) * 10_000))
            assert await value_of(engine, b"k", snapshot) == value

    @promise(needs="snapshots")
    async def test_a_snapshot_is_never_wrong_however_old(self, subject: Subject) -> None:
        clock = subject.stop_the_clock()
        engine = await subject.open()
        await put(engine, (b"k", b"old"))
        snapshot = await engine.snapshot()
        age_max_s = engine.capabilities.snapshot_age_max_s
        clock.advance(0.9 * age_max_s if age_max_s else 10 * YEAR_S)
        await put(engine, (b"k", b"new"))
        assert await value_of(engine, b"k", snapshot) == b"old", "closed before its time"
        if age_max_s:
            clock.advance(age_max_s)
            await put(engine, (b"k", b"newer"))
            try:
                assert await value_of(engine, b"k", snapshot) == b"old"
            except StoreClosed:
                assert await value_of(engine, b"k") == b"newer"
        snapshot.close()

    @promise(needs="snapshots")
    async def test_closing_a_snapshot_twice_does_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        snapshot = await engine.snapshot()
        other = await engine.snapshot()
        snapshot.close()
        snapshot.close()
        await put(engine, (b"k", b""))
        assert await contents(engine, at=other) == {}
        other.close()

    @promise("E-017", needs="snapshots")
    async def test_a_closed_snapshot_refuses(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b""))
        snapshot = await engine.snapshot()
        snapshot.close()
        with pytest.raises(StoreClosed):
            await engine.read([b"k"], at=snapshot)
        with pytest.raises(StoreClosed):
            await engine.scan(Range(), at=snapshot)

    @promise("E-017", needs="snapshots")
    async def test_an_engine_closes_over_open_snapshots(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b"1"))
        snapshot = await engine.snapshot()
        await subject.close(engine)
        with pytest.raises(StoreClosed):
            await engine.read([b"k"], at=snapshot)
        snapshot.close()
        if engine.capabilities.persistent:
            engine = await subject.open()
            await put(engine, (b"k", b"2"))
            assert await value_of(engine, b"k") == b"2"
