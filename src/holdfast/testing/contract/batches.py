"""Batches: six operations that happen together or not at all, in order, once."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    Delete,
    DeleteRange,
    Operation,
    Put,
    append_key,
)
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range, Record
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, keys_in, put, value_of, walk


class Batches(Section):
    @promise("trap 43")
    async def test_a_batch_applies_all_its_operations_as_one(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"gone", b""), (b"range1", b""), (b"range2", b""))
        before = await engine.head()
        receipt = await commit(
            engine,
            Put(b"a", b"1"),
            Delete(b"gone"),
            DeleteRange(Range.prefix(b"range")),
            Append(b"log", b"2"),
            Put(b"z", b"3"),
        )
        logged = append_key(b"log", receipt.revision, 0)
        assert await contents(engine) == {b"a": b"1", b"z": b"3", logged: b"2"}
        assert {record.revision for _, record in await walk(engine)} == {receipt.revision}
        assert await engine.head() == receipt.revision > before

    @promise()
    async def test_a_later_operation_on_a_key_wins(self, subject: Subject) -> None:
        engine = await subject.open()
        table: list[tuple[list[Operation], bytes | None]] = [
            ([Put(b"k", b"1"), Put(b"k", b"2")], b"2"),
            ([Put(b"k", b"1"), Delete(b"k")], None),
            ([Delete(b"k"), Put(b"k", b"2")], b"2"),
            ([Put(b"k", b"1"), Delete(b"k"), Put(b"k", b"3")], b"3"),
            ([Put(b"k", b"1"), DeleteRange(Range(b"k", b"l"))], None),
            ([DeleteRange(Range()), Put(b"k", b"4")], b"4"),
            ([Put(b"k", b"1"), DeleteRange(Range(b"k\0", None))], b"1"),
        ]
        for operations, expected in table:
            for standing in (False, True):
                await commit(engine, Put(b"k", b"before") if standing else Delete(b"k"))
                await commit(engine, *operations)
                assert await value_of(engine, b"k") == expected, operations

    @promise("E-012")
    async def test_deleting_an_absent_key_is_no_error(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"other", b"kept"))
        await commit(engine, Delete(b"nope"))
        await commit(engine, Delete(b"nope"))
        assert await contents(engine) == {b"other": b"kept"}

    @promise("K-023")
    async def test_a_delete_can_tell_whether_it_removed_something(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b""))
        for stood in (True, False):
            receipt = await commit(engine, Delete(b"k"), previous=True)
            assert receipt.previous is not None
            assert (receipt.previous[b"k"] is not None) is stood
            assert await value_of(engine, b"k") is None

    @promise("E-012")
    async def test_deleting_a_range_removes_exactly_its_keys(self, subject: Subject) -> None:
        engine = await subject.open()
        letters = [b"a", b"b", b"c", b"d", b"e"]
        table = [
            (Range(b"b", b"d"), b"ade"), (Range(b"b", b"d\0"), b"ae"), (Range(None, b"c"), b"cde"),
            (Range(b"c"), b"ab"), (Range(), b""), (Range(b"d", b"b"), b"abcde"),
            (Range(b"x", b"z"), b"abcde"), (Range(b"b", b"d", True), b"ade"),
            (Range(b"b", b"d", False, 1), b"ade"), (Range.prefix(b"c"), b"abde"),
        ]  # fmt: skip
        for range, left in table:
            await put(engine, *((letter, b"") for letter in letters))
            await commit(engine, DeleteRange(range))
            assert await keys_in(engine) == [bytes((letter,)) for letter in left], range

    @promise()
    async def test_deleting_a_range_of_many_pages_leaves_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        many = min(
            2 * engine.capabilities.page_rows_max + 7, engine.capabilities.batch_operations_max
        )
        await put(engine, (b"a", b""), (b"z", b""))
        await put(engine, *((b"m%06d" % number, b"") for number in range(many)))
        await commit(engine, DeleteRange(Range.prefix(b"m")))
        assert await keys_in(engine) == [b"a", b"z"]

    @promise()
    async def test_a_put_after_its_range_was_deleted_stays(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"m1", b"old"), (b"m2", b"old"))
        receipt = await commit(
            engine, Put(b"m0", b"x"), DeleteRange(Range.prefix(b"m")), Put(b"m1", b"new")
        )
        assert await walk(engine) == [(b"m1", Record(b"new", receipt.revision))]

    @promise()
    async def test_an_append_makes_its_key_of_revision_and_index(self, subject: Subject) -> None:
        engine = await subject.open()
        commits = 3
        for _ in range(commits):
            receipt = await commit(
                engine,
                Put(b"a", b""),
                Append(b"log/", b"first"),
                Delete(b"a"),
                Append(b"other/", b"second"),
                Append(b"log/", b"third"),
            )
            revision = receipt.revision.to_bytes(8, "big")
            assert await value_of(engine, b"log/" + revision + b"\0\0\0\0") == b"first"
            assert await value_of(engine, b"other/" + revision + b"\0\0\0\1") == b"second"
            assert await value_of(engine, b"log/" + revision + b"\0\0\0\2") == b"third"
        assert len(await keys_in(engine)) == 3 * commits

    @promise()
    async def test_appends_stand_in_commit_order(self, subject: Subject) -> None:
        engine = await subject.open()
        for number in range(300):
            await commit(
                engine,
                Append(b"log", b"%d" % (2 * number)),
                Append(b"log", b"%d" % (2 * number + 1)),
            )
        values = [record.value for _, record in await walk(engine, Range.prefix(b"log"))]
        assert values == [b"%d" % number for number in range(600)]

    @promise()
    async def test_a_batch_with_a_known_id_is_not_applied_again(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await commit(engine, Append(b"log", b"once"), Put(b"k", b"1"), id=b"retry-1")
        await put(engine, (b"k", b"2"))
        head = await engine.head()
        again = await commit(engine, Append(b"log", b"once"), Put(b"k", b"1"), id=b"retry-1")
        assert again.revision == first.revision
        assert await engine.head() == head
        assert await value_of(engine, b"k") == b"2"
        assert len(await keys_in(engine, Range.prefix(b"log"))) == 1
        other = await commit(engine, Append(b"log", b"twice"), id=b"retry-2")
        assert other.revision > head

    @promise()
    async def test_a_known_id_answers_before_its_checks_do(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await commit(engine, CheckKey(b"k", None), Put(b"k", b"1"), id=b"create")
        # The retry's check fails on what the first attempt wrote itself.
        again = await commit(engine, CheckKey(b"k", None), Put(b"k", b"1"), id=b"create")
        assert again.revision == first.revision

    @promise()
    async def test_the_id_of_a_refused_batch_is_free(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b"there"))
        with pytest.raises(Conflict):
            await commit(engine, CheckKey(b"k", None), Put(b"n", b"1"), id=b"id")
        await commit(engine, Put(b"n", b"2"), id=b"id")
        assert await value_of(engine, b"n") == b"2"

    @promise()
    async def test_a_batch_id_is_known_for_a_minute_at_least(self, subject: Subject) -> None:
        clock = subject.stop_the_clock()
        engine = await subject.open()
        first = await commit(engine, Append(b"log", b"once"), id=b"retry")
        clock.advance(60)
        await commit(engine, Append(b"log", b"other"), id=b"another")
        again = await commit(engine, Append(b"log", b"once"), id=b"retry")
        assert again.revision == first.revision

    @promise(needs="persistent")
    async def test_a_batch_id_is_known_after_reopening(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await commit(engine, Append(b"log", b"once"), id=b"retry")
        engine = await subject.reopen(engine)
        again = await commit(engine, Append(b"log", b"once"), id=b"retry")
        assert again.revision == first.revision
        assert len(await keys_in(engine)) == 1

    @promise()
    async def test_previous_is_what_stood_before_the_batch(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"changed", b"old"), (b"deleted", b""), (b"other", b""))
        receipt = await commit(
            engine,
            Put(b"changed", b"between"),
            Put(b"changed", b"new"),
            Delete(b"deleted"),
            Put(b"made", b"new"),
            Delete(b"absent"),
            previous=True,
        )
        assert receipt.previous is not None
        assert {
            key: receipt.previous[key] for key in (b"changed", b"deleted", b"made", b"absent")
        } == {
            b"changed": Record(b"old", first),
            b"deleted": Record(b"", first),
            b"made": None,
            b"absent": None,
        }
        assert b"other" not in receipt.previous

    @promise()
    async def test_previous_is_not_told_unasked(self, subject: Subject) -> None:
        engine = await subject.open()
        assert (await commit(engine, Put(b"k", b"1"))).previous is None

    @promise()
    async def test_operations_may_be_any_sequence(self, subject: Subject) -> None:
        engine = await subject.open()
        await engine.commit(Batch((Put(b"a", b"1"), Put(b"b", b"2"))))
        operations: list[Operation] = [Put(b"c", b"3")]
        await engine.commit(Batch(operations))
        operations[0] = Put(b"c", b"changed after")
        assert await contents(engine) == {b"a": b"1", b"b": b"2", b"c": b"3"}
