"""Checks: a batch is refused when what it was decided on no longer stands."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import (
    Append,
    CheckKey,
    CheckRange,
    Delete,
    DeleteRange,
    Operation,
    Put,
)
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Range
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, put, value_of

MIDDLE = Range(b"m", b"n")


class Checks(Section):
    @promise()
    async def test_a_key_check_passes_when_the_key_stands_as_expected(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"k", b"1"))
        await put(engine, (b"other", b""))
        await commit(engine, CheckKey(b"k", revision), CheckKey(b"absent", None), Put(b"k", b"2"))
        assert await value_of(engine, b"k") == b"2"

    @promise("E-029", "trap 29")
    async def test_a_key_check_fails_when_the_key_was_overwritten(self, subject: Subject) -> None:
        engine = await subject.open()
        old = await put(engine, (b"k", b"1"))
        new = await put(engine, (b"k", b"2"))
        await _refused(engine, CheckKey(b"k", old))
        await _refused(engine, CheckKey(b"k", new + 1))
        await _refused(engine, CheckKey(b"k", 0))

    @promise()
    async def test_a_key_check_fails_when_the_key_appeared(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b""))
        await _refused(engine, CheckKey(b"k", None))

    @promise()
    async def test_a_key_check_fails_when_the_key_is_gone(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"k", b"1"))
        await commit(engine, Delete(b"k"))
        await _refused(engine, CheckKey(b"k", revision))
        await put(engine, (b"k", b"1"))
        # The same value again is still another write.
        await _refused(engine, CheckKey(b"k", revision))

    @promise()
    async def test_a_conflict_tells_what_was_expected_and_found(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"k", b"1"))
        with pytest.raises(Conflict) as refusal:
            await commit(engine, CheckKey(b"k", None), Put(b"k", b"2"))
        details = refusal.value.details
        assert (details["key"], details["expected"], details["found"]) == (b"k", None, revision)

    @promise("trap 43")
    async def test_a_failed_check_writes_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b"1"), (b"m1", b"1"))
        before, head = await contents(engine), await engine.head()
        writes: list[Operation] = [
            Put(b"a", b"new"), Delete(b"k"), DeleteRange(Range()), Append(b"log", b"new"),
        ]  # fmt: skip
        for place in range(len(writes) + 1):
            with pytest.raises(Conflict):
                await commit(engine, *writes[:place], CheckKey(b"k", None), *writes[place:])
            with pytest.raises(Conflict):
                await commit(engine, *writes[:place], CheckRange(MIDDLE, 0, 0), *writes[place:])
            assert await contents(engine) == before
        assert await engine.head() == head, "a refused batch takes no revision"

    @promise()
    async def test_one_failing_check_among_many_refuses_the_batch(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, *((b"k%d" % number, b"") for number in range(10)))
        checks = [CheckKey(b"k%d" % number, revision) for number in range(10)]
        await commit(engine, *checks)
        for place in range(10):
            wrong = [*checks[:place], CheckKey(b"k%d" % place, None), *checks[place + 1 :]]
            await _refused(engine, *wrong)

    @promise()
    async def test_checks_are_decided_on_the_state_before_the_batch(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"k", b"1"), (b"m1", b""))
        await put(engine, (b"elsewhere", b""))
        await commit(
            engine,
            Put(b"new", b""),
            Put(b"k", b"2"),
            Delete(b"m1"),
            Put(b"m2", b""),
            CheckKey(b"new", None),
            CheckKey(b"k", revision),
            CheckRange(MIDDLE, revision, 1),
        )
        assert await value_of(engine, b"k") == b"2"
        # And the writes of a batch cannot make its checks true.
        await _refused(engine, Put(b"later", b""), CheckKey(b"later", 1))

    @promise()
    async def test_a_range_check_passes_when_nothing_in_the_range_changed(
        self, subject: Subject
    ) -> None:
        engine = await _with_rows(subject)
        head = await engine.head()
        await commit(engine, CheckRange(MIDDLE, head, 3), Put(b"ok1", b""))
        # Changes at the borders, outside the range.
        await put(engine, (b"l\xff", b""), (b"n", b""))
        await commit(engine, Delete(b"a"), Delete(b"z"))
        await commit(engine, CheckRange(MIDDLE, head, 3), Put(b"ok2", b""))
        await commit(engine, CheckRange(Range(b"x", b"y"), head, 0), Put(b"ok3", b""))
        assert await value_of(engine, b"ok3") == b""

    @promise("trap 29")
    async def test_a_range_check_sees_an_insert(self, subject: Subject) -> None:
        for key in (b"m", b"m15", b"m9\xff"):
            await self._range_change(subject, Put(key, b""))

    @promise("trap 29")
    async def test_a_range_check_sees_an_insert_into_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b""))
        head = await engine.head()
        await put(engine, (b"m1", b""))
        await _refused(engine, CheckRange(MIDDLE, head, 0))

    @promise("trap 29")
    async def test_a_range_check_sees_an_update(self, subject: Subject) -> None:
        for key in (b"m1", b"m2", b"m3"):
            await self._range_change(subject, Put(key, b"1"))

    @promise("trap 29")
    async def test_a_range_check_sees_a_delete(self, subject: Subject) -> None:
        for key in (b"m1", b"m2", b"m3"):
            await self._range_change(subject, Delete(key))

    @promise("trap 29")
    async def test_a_range_check_sees_a_deleted_range(self, subject: Subject) -> None:
        await self._range_change(subject, DeleteRange(Range(b"m2", b"m3")))
        await self._range_change(subject, DeleteRange(Range()))

    @promise("trap 29")
    async def test_a_range_check_sees_a_delete_beside_an_insert(self, subject: Subject) -> None:
        await self._range_change(subject, Delete(b"m1"), Put(b"m0", b""))
        await self._range_change(subject, Delete(b"m3"), Put(b"m4", b""))

    @promise("trap 29")
    async def test_a_range_check_sees_an_append(self, subject: Subject) -> None:
        await self._range_change(subject, Append(b"m", b""))

    @promise("trap 29")
    async def test_a_range_check_sees_a_row_deleted_and_made_again(self, subject: Subject) -> None:
        engine = await _with_rows(subject)
        head = await engine.head()
        await commit(engine, Delete(b"m2"))
        await put(engine, (b"m2", b"1"))
        await _refused(engine, CheckRange(MIDDLE, head, 3))

    @promise()
    async def test_a_range_check_looks_at_every_page(self, subject: Subject) -> None:
        engine = await subject.open()
        many = 2 * engine.capabilities.page_rows_max + 5
        keys = [b"m%06d" % number for number in range(many)]
        for start in range(0, many, 1000):
            await put(engine, *((key, b"") for key in keys[start : start + 1000]))
        head = await engine.head()
        await put(engine, (b"elsewhere", b""))
        await commit(engine, CheckRange(MIDDLE, head, many), Put(b"ok", b""))
        await put(engine, (keys[-1], b"changed"))
        await _refused(engine, CheckRange(MIDDLE, head, many))
        await commit(engine, Delete(keys[-1]))
        await _refused(engine, CheckRange(MIDDLE, head, many))

    @promise()
    async def test_a_batch_of_checks_decides_and_writes_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"k", b""))
        receipt = await commit(engine, CheckKey(b"k", revision), CheckRange(MIDDLE, revision, 0))
        assert receipt.revision == revision == await engine.head()
        with pytest.raises(Conflict):
            await commit(engine, CheckKey(b"k", None))

    async def _range_change(self, subject: Subject, *change: Operation) -> None:
        """Refused after `change`, though not before; the range is made anew each time."""
        engine = await _with_rows(subject)
        head = await engine.head()
        await put(engine, (b"elsewhere", b""))
        await commit(engine, CheckRange(MIDDLE, head, 3), Put(b"elsewhere", b"again"))
        await commit(engine, *change)
        await _refused(engine, CheckRange(MIDDLE, head, 3))
        await commit(engine, DeleteRange(Range()))
        await subject.close(engine)


async def _with_rows(subject: Subject) -> Engine:
    """An engine with three rows in the middle range and one on each side."""
    engine = await subject.open()
    for key in (b"a", b"m1", b"m3", b"m2", b"z"):
        await put(engine, (key, b""))
    return engine


async def _refused(engine: Engine, *checks: Operation) -> None:
    before, head = await contents(engine), await engine.head()
    with pytest.raises(Conflict):
        await commit(engine, *checks, Put(b"must not be", b""))
    assert await contents(engine) == before
    assert await engine.head() == head
