"""Reading keys: what was put comes back, in the order asked for, and nothing else happens."""

from __future__ import annotations

import pytest

from holdfast.contract.batch import Delete, Put
from holdfast.contract.engine import NOT_NOW, Engine
from holdfast.contract.errors import InvalidValue, StoreClosed
from holdfast.contract.record import Range, Record
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, keys_in, put, revision_of, value_of


class Reads(Section):
    @promise("K-021")
    async def test_an_absent_key_reads_as_none(self, subject: Subject) -> None:
        engine = await subject.open()
        assert await engine.read([b"key"]) == [None]
        await put(engine, (b"key", b"value"))
        await commit(engine, Delete(b"key"))
        assert await engine.read([b"key"]) == [None]

    @promise("K-021")
    async def test_what_was_put_comes_back_with_its_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"key", b"value"))
        assert await engine.read([b"key"]) == [Record(b"value", first)]
        second = await put(engine, (b"key", b"other"))
        assert await engine.read([b"key"]) == [Record(b"other", second)]

    @promise("K-021")
    async def test_reading_makes_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        await engine.read([b"absent"])
        assert await contents(engine) == {}
        assert await engine.head() == 0

    @promise()
    async def test_records_come_in_the_order_of_the_keys(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, *((b"%d" % number, b"v%d" % number) for number in range(20)))
        asked = [b"7", b"3", b"none", b"19", b"3", b"0"]
        records = await engine.read(asked)
        found = [record and record.value for record in records]
        assert found == [b"v7", b"v3", None, b"v19", b"v3", b"v0"]

    @promise()
    async def test_no_keys_read_as_no_records(self, subject: Subject) -> None:
        engine = await subject.open()
        assert await engine.read([]) == []

    @promise()
    async def test_peeking_sees_what_reading_sees(self, subject: Subject) -> None:
        engine = await subject.open()
        longest = b"k" * engine.capabilities.key_bytes_max
        for value in (b"value", b"", b"other"):
            await put(engine, (b"key", value), (longest, value))
            await _peek_as_read(engine, b"key", longest, b"absent")
        await commit(engine, Delete(b"key"), Delete(longest))
        await _peek_as_read(engine, b"key", longest)
        await subject.close(engine)
        if engine.peek is not None:
            with pytest.raises(StoreClosed):
                await _peek_or_read(engine, b"key")

    @promise("E-009")
    async def test_an_empty_value_is_not_absence(self, subject: Subject) -> None:
        engine = await subject.open()
        revision = await put(engine, (b"key", b""))
        assert await engine.read([b"key"]) == [Record(b"", revision)]
        page = await engine.scan(Range())
        assert page.rows == [(b"key", Record(b"", revision))]

    @promise()
    async def test_any_bytes_can_be_key_and_value(self, subject: Subject) -> None:
        engine = await subject.open()
        odd = [bytes((byte,)) for byte in range(256)]
        odd += [b"\0\0", b"\0\xff", b"\xff\0", b"a", b"a\0", b"a\0b", b"\xc3\x28", b" ", b"a/b:c%"]
        await put(engine, *((key, key[::-1] + b"\0") for key in odd))
        assert await contents(engine) == {key: key[::-1] + b"\0" for key in odd}
        records = await engine.read(odd)
        assert [record and record.value for record in records] == [key[::-1] + b"\0" for key in odd]

    @promise("E-010")
    async def test_changing_a_buffer_after_the_put_changes_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        buffer = bytearray(b"as it was")
        try:
            await commit(engine, Put(b"key", buffer))  # type: ignore[arg-type]
        except InvalidValue:
            # Refusing what can change is the other way to keep the promise.
            assert await value_of(engine, b"key") is None
            return
        buffer[:] = b"changed!!"
        assert await value_of(engine, b"key") == b"as it was"

    @promise("E-016")
    async def test_what_is_handed_out_cannot_be_changed(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"key", b"value"))
        (record,) = await engine.read([b"key"])
        page = await engine.scan(Range())
        assert record is not None
        assert type(record.value) is bytes
        assert [(type(key), type(row.value)) for key, row in page.rows] == [(bytes, bytes)]
        page.rows.clear()
        assert await keys_in(engine) == [b"key"]

    @promise("K-024")
    async def test_exactly_the_living_keys_are_listed(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
        await commit(engine, Delete(b"b"))
        assert await keys_in(engine) == [b"a", b"c"]

    @promise()
    async def test_other_keys_keep_their_revisions(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"1"))
        await put(engine, (b"b", b"2"))
        await commit(engine, Delete(b"b"))
        assert await revision_of(engine, b"a") == first


async def _peek_or_read(engine: Engine, key: bytes) -> None:
    assert engine.peek is not None
    if engine.peek(key) is NOT_NOW:
        await engine.read([key])


async def _peek_as_read(engine: Engine, *keys: bytes) -> None:
    """Peeking may be refused for now; what it answers is what reading answers."""
    if engine.peek is None:
        return
    for key in keys:
        found = engine.peek(key)
        if found is not NOT_NOW:
            [record] = await engine.read([key])
            assert found == record, f"peek answers {found!r}, read {record!r}"
