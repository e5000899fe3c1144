"""The optional verbs that keep a database healthy and move it: compact, check, load."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import CheckKey, DeleteRange, Put, Rewrite
from holdfast.contract.errors import InvalidKey
from holdfast.contract.record import Range, Record
from holdfast.testing.contract.sizes import long_keys
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, put, revision_of, walk


class Maintenance(Section):
    @promise("trap 50", needs="compacts")
    async def test_compaction_changes_nothing_but_space(self, subject: Subject) -> None:
        engine = await subject.open()
        for number in range(40):
            await put(engine, (b"k%d" % number, bytes(5_000)), (b"e%d" % number, b""))
        await commit(engine, DeleteRange(Range(b"k1", b"k4")))
        rows, head = await walk(engine), await engine.head()
        freed = await engine.compact()
        assert type(freed) is int
        assert freed >= 0
        assert await walk(engine) == rows
        assert await engine.head() == head
        revision = await put(engine, (b"after", b""))
        assert revision > head

    @promise("trap 50", needs="checks")
    async def test_a_sound_store_passes_its_own_check(self, subject: Subject) -> None:
        engine = await subject.open()
        assert await engine.check() == []
        keys = long_keys(engine.capabilities.key_bytes_max)
        large = bytes(min(engine.capabilities.value_bytes_max, 300_000))
        await put(engine, *((key, b"v") for key in keys), (b"large", large))
        await commit(engine, DeleteRange(Range(keys[3], keys[9])), Put(b"large", b"small"))
        assert await engine.check() == []

    @promise("trap 50", needs="loads")
    async def test_loaded_rows_keep_their_revisions(self, subject: Subject) -> None:
        engine = await subject.open()
        rows = [(b"c", Record(b"3", 90)), (b"a", Record(b"", 7)), (b"b", Record(b"2", 41))]
        newest = max(record.revision for _, record in rows)
        await engine.load(rows)
        assert await walk(engine) == sorted(rows)
        assert await engine.head() >= newest
        assert await put(engine, (b"new", b"")) > newest

    @promise(needs="loads")
    async def test_loading_goes_on_and_ends_at_the_next_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        keys = long_keys(engine.capabilities.key_bytes_max)
        rows = [(key, Record(b"%d" % number, number + 1)) for number, key in enumerate(keys)]
        for start in range(0, len(rows), 10):
            await engine.load(rows[start : start + 10])
        first = 5_000
        await engine.load([], next_revision=first)
        assert await walk(engine) == rows
        assert await put(engine, (b"new", b"")) == first
        assert await engine.head() == first
        assert await revision_of(engine, keys[0]) == 1
        if engine.capabilities.persistent:
            engine = await subject.reopen(engine)
            assert (await contents(engine)).keys() == {*keys, b"new"}
            assert await put(engine, (b"newer", b"")) > first

    @promise(needs="loads")
    async def test_loading_removes_what_comes_without_a_record(self, subject: Subject) -> None:
        engine = await subject.open()
        keys = long_keys(engine.capabilities.key_bytes_max)
        await engine.load([(key, Record(b"old", 3)) for key in keys])
        gone, kept, newer = keys[::2], keys[1::2], 9
        removals = [(key, None) for key in [*gone, b"never"]]
        await engine.load([*removals, (kept[0], Record(b"new", newer))])
        assert await contents(engine) == dict.fromkeys(kept, b"old") | {kept[0]: b"new"}
        assert await revision_of(engine, kept[0]) == newer
        assert await put(engine, (gone[0], b"again")) > newer
        if engine.capabilities.checks:
            assert await engine.check() == []

    @promise(needs="loads")
    async def test_loading_refuses_what_a_commit_refuses(self, subject: Subject) -> None:
        engine = await subject.open()
        long = b"k" * (engine.capabilities.key_bytes_max + 1)
        for key in (b"", long):
            with pytest.raises(InvalidKey):
                await engine.load([(b"good", Record(b"", 1)), (key, Record(b"", 2))])
        assert await contents(engine) == {}

    @promise("E-129", needs="rewrites")
    async def test_a_rewritten_row_has_other_bytes_and_its_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"one"), (b"b", b"two"))
        second = await put(engine, (b"b", b"three"))
        rewrites = [Rewrite(b"a", b"other"), Rewrite(b"b", b"bytes"), Rewrite(b"absent", b"")]
        revision = (await commit(engine, CheckKey(b"a", first), *rewrites)).revision
        assert revision > second
        rows = [(b"a", Record(b"other", first)), (b"b", Record(b"bytes", second))]
        assert await walk(engine) == rows
        assert await engine.head() == revision
        after = await commit(engine, CheckKey(b"a", first), Put(b"c", b""))
        assert after.revision > revision
        if engine.capabilities.persistent:
            engine = await subject.reopen(engine)
            assert (await walk(engine))[:2] == rows
