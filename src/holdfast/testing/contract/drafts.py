"""A `Draft` decided in `transact` does the same as its operations in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from holdfast.contract.batch import (
    APPEND_BYTES,
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    DeleteRange,
    Put,
    append_key,
)
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, InvalidKey, InvalidValue, StoreError, ValueTooLarge
from holdfast.contract.record import Range, Record
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import (
    Subject,
    answering,
    commit,
    contents,
    draft,
    keys_in,
    put,
    value_of,
    walk,
)

LETTERS = [b"a", b"b", b"c", b"d", b"e"]


class Drafts(Section):
    @promise()
    async def test_a_draft_writes_what_its_operations_would(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, *((letter, b"before") for letter in LETTERS))
        decided = draft(
            (b"a", b"1"), (b"b", None), (b"none", None), (b"new", b""), (b"cc", b"in the range"),
            appends=[(b"log", b"x"), (b"other", b"y"), (b"log", b"z")],
            ranges=[Range(b"c", b"d"), Range(b"e")],
        )  # fmt: skip
        receipt = await engine.transact([b"a"], answering(decided))
        rows = await walk(engine)
        assert {key: record.value for key, record in rows} == {
            b"a": b"1", b"d": b"before", b"new": b"", b"cc": b"in the range",
            append_key(b"log", receipt.revision, 0): b"x",
            append_key(b"other", receipt.revision, 1): b"y",
            append_key(b"log", receipt.revision, 2): b"z",
        }  # fmt: skip
        written = {record.revision for key, record in rows if key != b"d"}
        assert written == {receipt.revision} == {await engine.head()}
        await commit(engine, DeleteRange(Range()))
        await put(engine, *((letter, b"before") for letter in LETTERS))
        again = await commit(engine, *decided.batch().operations)
        assert [
            (key[: -APPEND_BYTES if key.startswith((b"log", b"other")) else None], record.value)
            for key, record in await walk(engine)
        ] == [
            (key[: -APPEND_BYTES if key.startswith((b"log", b"other")) else None], record.value)
            for key, record in rows
        ]
        assert again.revision > receipt.revision

    @promise()
    async def test_the_ranges_of_a_draft_are_deleted_before_its_rows_are_written(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b"before"), (b"b", b"before"))
        receipt = await engine.transact(
            [], answering(draft((b"a", b"after"), appends=[(b"a", b"log")], ranges=[Range()]))
        )
        log = append_key(b"a", receipt.revision, 0)
        assert await contents(engine) == {b"a": b"after", log: b"log"}

    @promise()
    async def test_the_checks_of_a_draft_are_decided_on_what_stood_before(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"1"), (b"b", b"1"))
        hold = draft(
            (b"a", b"2"), (b"c", b"2"), ranges=[Range(b"b", b"c")],
            checks=[CheckKey(b"a", first), CheckKey(b"c", None), CheckRange(Range(), first, 2)],
        )  # fmt: skip
        receipt = await engine.transact([], answering(hold))
        assert await contents(engine) == {b"a": b"2", b"c": b"2"}
        failing: list[CheckKey | CheckRange] = [
            CheckKey(b"a", first), CheckKey(b"c", None), CheckKey(b"none", 1),
            CheckRange(Range(), first, 2), CheckRange(Range(b"b"), first, 1),
        ]  # fmt: skip
        for check in failing:
            with pytest.raises(Conflict) as refusal:
                await engine.transact(
                    [b"other"], answering(draft((b"new", b""), ranges=[Range()], checks=[check]))
                )
            assert refusal.value.details.keys() & {"key", "range"}, "it says which check failed"
        assert await contents(engine) == {b"a": b"2", b"c": b"2"}
        assert await engine.head() == receipt.revision

    @promise()
    async def test_a_draft_without_writes_takes_no_revision(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        for idle in (draft(), draft(checks=[CheckKey(b"a", head)]), draft(id=b"idle")):
            receipt = await engine.transact([b"a"], answering(idle))
            assert receipt.revision == head == await engine.head()
        assert await contents(engine) == {b"a": b"1"}

    @promise()
    async def test_the_id_of_a_draft_is_remembered(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await engine.transact([], answering(draft(appends=[(b"log", b"1")], id=b"once")))
        await put(engine, (b"z", b""))
        again = await engine.transact(
            [], answering(draft((b"z", b"twice"), checks=[CheckKey(b"z", None)], id=b"once"))
        )
        assert again.revision == first.revision
        batched = await engine.commit(Batch([Put(b"z", b"twice")], id=b"once"))
        assert batched.revision == first.revision
        assert await value_of(engine, b"z") == b""
        assert len(await keys_in(engine, Range.prefix(b"log"))) == 1

    @promise()
    async def test_the_id_of_a_refused_draft_is_free(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        with pytest.raises(Conflict):
            await engine.transact(
                [], answering(draft((b"a", b"2"), checks=[CheckKey(b"a", None)], id=b"id"))
            )
        receipt = await engine.transact(
            [], answering(draft((b"a", b"3"), checks=[CheckKey(b"a", head)], id=b"id"))
        )
        assert receipt.revision > head
        assert await value_of(engine, b"a") == b"3"

    @promise()
    async def test_a_draft_tells_what_it_replaced_when_asked(self, subject: Subject) -> None:
        engine = await subject.open()
        first = await put(engine, (b"a", b"1"), (b"b", b"1"))
        decided = draft((b"a", b"2"), (b"b", None), (b"c", b"2"), appends=[(b"log", b"")])
        receipt = await engine.transact([b"a"], answering(decided), previous=True)
        assert receipt.previous == {
            b"a": Record(b"1", first),
            b"b": Record(b"1", first),
            b"c": None,
        }
        receipt = await engine.transact([b"a"], answering(draft((b"a", b"3"))))
        assert receipt.previous is None

    @promise()
    async def test_a_draft_over_a_limit_is_refused_like_a_batch(self, subject: Subject) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        limits = engine.capabilities
        long_key = b"k" * (limits.key_bytes_max + 1)
        long_prefix = b"p" * (limits.key_bytes_max - APPEND_BYTES + 1)
        many = limits.batch_operations_max + 1
        bad: list[tuple[type[StoreError], object]] = [
            (InvalidKey, draft((b"", b"value"))),
            (InvalidKey, draft((long_key, b"value"))),
            (InvalidKey, draft((long_key, None))),
            (InvalidKey, draft(appends=[(long_prefix, b"value")])),
            (InvalidKey, draft(appends=[(b"", b"value")])),
            (InvalidKey, draft(checks=[CheckKey(b"", None)])),
            (ValueTooLarge, draft(*((b"%d" % number, None) for number in range(many)))),
        ]
        if limits.value_bytes_max < self.written_bytes_max:
            large = bytes(limits.value_bytes_max + 1)
            bad += [(ValueTooLarge, draft((b"b", large)))]
            bad += [(ValueTooLarge, draft(appends=[(b"b", large)]))]
        await _refuse_each(engine, bad)
        assert await engine.head() == head
        assert await contents(engine) == {b"a": b"1"}

    @promise("E-042")
    async def test_a_draft_of_something_else_is_refused_and_spoils_nothing(
        self, subject: Subject
    ) -> None:
        engine = await subject.open()
        head = await put(engine, (b"a", b"1"))
        await _refuse_each(
            engine,
            [
                (InvalidKey, draft(("text", b"value"))),  # type: ignore[arg-type]
                (InvalidKey, draft((7, None))),  # type: ignore[arg-type]
                (InvalidValue, draft((b"b", "text"))),  # type: ignore[arg-type]
                (InvalidValue, draft((b"b", 7))),  # type: ignore[arg-type]
                (InvalidKey, draft(appends=[("text", b"")])),  # type: ignore[list-item]
                (InvalidValue, draft(appends=[(b"log", None)])),  # type: ignore[list-item]
                (InvalidValue, draft(checks=[Put(b"a", b"")])),  # type: ignore[list-item]
            ],
        )
        assert await engine.head() == head
        assert await contents(engine) == {b"a": b"1"}

    @promise()
    async def test_a_draft_made_of_a_batch_is_that_batch(self, subject: Subject) -> None:
        """What a layer gets to see of a draft are operations in the order they take effect."""
        del subject
        decided = draft(
            (b"a", b"1"), (b"b", None), appends=[(b"log", b"x")], ranges=[Range(b"c")],
            checks=[CheckKey(b"a", None)], id=b"id",
        )  # fmt: skip
        batch = decided.batch()
        assert batch.operations == [
            CheckKey(b"a", None), DeleteRange(Range(b"c")), Put(b"a", b"1"), Delete(b"b"),
            Append(b"log", b"x"),
        ]  # fmt: skip
        assert batch.id == b"id"


async def _refuse_each(engine: Engine, bad: Sequence[tuple[type[StoreError], object]]) -> None:
    for kind, decided in bad:
        with pytest.raises(kind):
            await engine.transact([b"a"], answering(decided))  # type: ignore[arg-type]
