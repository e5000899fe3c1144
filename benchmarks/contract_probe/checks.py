"""Each operation of the contract, proved from both sides, on any engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Delete,
    DeleteRange,
    Operation,
    Put,
    Receipt,
    append_key,
)
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, InvalidKey, ValueTooLarge
from holdfast.contract.record import Range, Record

#: How many tasks race in the checks of `transact`, and what each adds.
TASKS = 64
INCREMENTS = 4

ROOM = Range.prefix(b"room/")


async def put_and_delete(engine: Engine) -> None:
    assert await engine.head() == 0
    first = await write(engine, Put(b"a", b"1"), Put(b"b\0\xff", b""))
    assert first.revision > 0
    assert first.previous is None
    assert await engine.head() == first.revision
    second = await write(engine, Delete(b"a"), Delete(b"never"))
    assert second.revision > first.revision
    assert await engine.read([b"b\0\xff", b"a", b"b\0\xff"]) == [
        Record(b"", first.revision),
        None,
        Record(b"", first.revision),
    ]
    assert await engine.read([]) == []


async def later_operations_win(engine: Engine) -> None:
    await write(engine, Put(b"room/1", b"old"))
    mark = await write(
        engine, Put(b"a", b"1"), Put(b"a", b"2"), Put(b"b", b""), Delete(b"b"),
        Put(b"room/2", b"gone"), DeleteRange(ROOM), Put(b"room/3", b"stays"),
    )  # fmt: skip
    rows = (await engine.scan(Range())).rows
    assert rows == [
        (b"a", Record(b"2", mark.revision)),
        (b"room/3", Record(b"stays", mark.revision)),
    ]


async def delete_range_keeps_its_bounds(engine: Engine) -> None:
    names = [b"", b"\0", b"a", b"b", b"b\0", b"c", b"\xff", b"\xff\xff"]
    for gone in (
        Range(b"b", b"c"), Range(b"b"), Range(None, b"b"), Range(), Range(b"c", b"b"),
        Range(b"b", b"b"), Range(b"a", b"c", reverse=True, limit=1), Range.prefix(b"\xff"),
    ):  # fmt: skip
        await write(engine, *(Put(b"k" + name, name) for name in names))
        moved = Range(b"k" + (gone.start or b""), b"l" if gone.end is None else b"k" + gone.end)
        await write(engine, DeleteRange(moved))
        left = [key[1:] for key, _ in (await engine.scan(Range())).rows]
        assert left == [name for name in names if name not in gone], gone
        found = await engine.read([b"k" + name for name in names])
        assert [record is None for record in found] == [name in gone for name in names], gone
    await write(engine, *(Put(b"x%05d" % number, b"") for number in range(2500)))
    await write(engine, DeleteRange(Range.prefix(b"x")), DeleteRange(Range()))
    assert (await engine.scan(Range())).rows == []


async def append_makes_its_key(engine: Engine) -> None:
    mark = await write(
        engine, Append(b"log/", b"first"), Put(b"a", b""), Append(b"log/", b"second"),
        Append(b"other/", b"third"),
    )  # fmt: skip
    stamp = mark.revision.to_bytes(8, "big")
    wanted = [
        b"log/" + stamp + b"\0\0\0\0", b"log/" + stamp + b"\0\0\0\1",
        b"other/" + stamp + b"\0\0\0\2",
    ]  # fmt: skip
    assert wanted == [
        append_key(prefix, mark.revision, index)
        for index, prefix in enumerate((b"log/", b"log/", b"other/"))
    ]
    found = await engine.read(wanted)
    assert [record and record.value for record in found] == [b"first", b"second", b"third"]
    for _ in range(300):
        await write(engine, Append(b"log/", b"more"))
    rows = (await engine.scan(Range.prefix(b"log/"))).rows
    assert len(rows) == 302
    assert [key for key, _ in rows] == sorted(key for key, _ in rows)
    assert [record.revision for _, record in rows] == sorted(record.revision for _, record in rows)


async def check_key(engine: Engine) -> None:
    first = await write(engine, CheckKey(b"a", None), Put(b"a", b"1"))
    second = await write(engine, CheckKey(b"a", first.revision), Put(b"a", b"2"))
    error = await refused(engine, CheckKey(b"a", first.revision), Put(b"a", b"3"))
    assert error.details["key"] == b"a"
    assert error.details["expected"] == first.revision
    assert error.details["found"] == second.revision
    error = await refused(engine, CheckKey(b"a", None), Put(b"a", b"3"))
    assert error.details["found"] == second.revision
    error = await refused(engine, CheckKey(b"b", second.revision), Put(b"a", b"3"))
    assert error.details["found"] is None
    await write(engine, Delete(b"a"))
    await refused(engine, CheckKey(b"a", second.revision), Put(b"a", b"3"))
    await write(engine, Put(b"a", b"4"), CheckKey(b"a", None))  # Decided on the state before.


async def check_range_sees_an_insert(engine: Engine) -> None:
    mark = await furnish(engine)
    await write(engine, Put(b"room/99", b"phantom"))
    await refused(engine, CheckRange(ROOM, mark, 3), Put(b"seen", b""))


async def check_range_sees_an_update(engine: Engine) -> None:
    mark = await furnish(engine)
    await write(engine, Put(b"room/2", b"changed"))
    await refused(engine, CheckRange(ROOM, mark, 3), Put(b"seen", b""))


async def check_range_sees_a_delete(engine: Engine) -> None:
    mark = await furnish(engine)
    await write(engine, Delete(b"room/2"))
    error = await refused(engine, CheckRange(ROOM, mark, 3), Put(b"seen", b""))
    assert error.details["range"] == ROOM
    await write(engine, CheckRange(ROOM, await engine.head(), 2), Put(b"seen", b""))


async def check_range_sees_a_range_delete(engine: Engine) -> None:
    mark = await furnish(engine)
    await write(engine, DeleteRange(ROOM))
    await refused(engine, CheckRange(ROOM, mark, 3), Put(b"seen", b""))
    await write(engine, CheckRange(ROOM, mark, 0), Put(b"seen", b""))


async def check_range_sees_a_delete_and_an_insert(engine: Engine) -> None:
    mark = await furnish(engine)
    await write(engine, Delete(b"room/2"), Put(b"room/7", b"in its place"))
    await refused(engine, CheckRange(ROOM, mark, 3), Put(b"seen", b""))


async def check_range_sees_an_append(engine: Engine) -> None:
    mark = await furnish(engine)
    await write(engine, Append(b"room/", b"row"))
    await refused(engine, CheckRange(ROOM, mark, 3), Put(b"seen", b""))


async def check_range_passes_what_it_should(engine: Engine) -> None:
    mark = await furnish(engine)
    await write(engine, Put(b"elsewhere", b""), Put(b"room", b""), Put(b"room0", b""))
    await write(engine, CheckRange(ROOM, mark, 3), Put(b"room/4", b"own write is not seen"))
    await write(engine, CheckRange(Range(b"z"), mark, 0), CheckRange(Range(None, b"a"), mark, 0))
    await refused(engine, CheckRange(Range(), mark, 3), Put(b"seen", b""))
    wide = [Put(b"wide/%04d" % number, b"v") for number in range(1200)]
    mark = (await write(engine, *wide)).revision
    await write(engine, Put(b"elsewhere", b"again"))
    await write(engine, CheckRange(Range.prefix(b"wide/"), mark, 1200), Put(b"seen", b""))
    await write(engine, Put(b"wide/1199", b"the very last"))
    await refused(engine, CheckRange(Range.prefix(b"wide/"), mark, 1200), Put(b"seen", b""))


async def a_refused_batch_leaves_nothing(engine: Engine) -> None:
    mark = await furnish(engine)
    before = (await engine.scan(Range())).rows
    await refused(
        engine, Put(b"a", b"torn"), Delete(b"room/1"), Append(b"log/", b"torn"),
        DeleteRange(ROOM), CheckKey(b"room/1", mark), CheckKey(b"room/1", mark + 1),
    )  # fmt: skip
    assert (await engine.scan(Range())).rows == before
    assert await engine.head() == mark


async def limits_are_refused_before_anything_is_written(engine: Engine) -> None:
    limits = engine.capabilities
    long_key = incompressible(limits.key_bytes_max)
    await write(engine, Put(long_key, b"fits"))
    assert (await engine.read([long_key]))[0] is not None
    head = await engine.head()
    too_many = [Delete(b"a")] * (limits.batch_operations_max + 1)
    for operations, error in (
        ([Put(b"a", b""), Put(long_key + b"!", b"")], InvalidKey),
        ([Put(b"a", b""), Put(b"b", bytes(limits.value_bytes_max + 1))], ValueTooLarge),
        (too_many, ValueTooLarge),
    ):
        try:
            await engine.commit(Batch(operations))
        except error:
            pass
        else:
            raise AssertionError(f"{error.__name__} expected")
    assert await engine.head() == head
    assert await engine.read([b"a"]) == [None]


async def checks_alone_take_no_revision(engine: Engine) -> None:
    mark = await furnish(engine)
    assert (await write(engine, CheckKey(b"room/1", mark))).revision == mark
    assert (await engine.commit(Batch([]))).revision == mark
    assert await engine.head() == mark
    await refused(engine, CheckKey(b"room/1", None))


async def a_known_batch_is_not_applied_again(engine: Engine) -> None:
    batch = Batch([CheckKey(b"n", None), Put(b"n", b"1"), Append(b"log/", b"")], b"id-1", True)
    first = await engine.commit(batch)
    assert first.previous == {b"n": None}
    await write(engine, Put(b"n", b"2"))
    again = await engine.commit(batch)  # Its check would fail now; it is not even looked at.
    assert again == Receipt(first.revision)
    [record] = await engine.read([b"n"])
    assert record is not None
    assert record.value == b"2"
    assert len((await engine.scan(Range.prefix(b"log/"))).rows) == 1
    twice = await asyncio.gather(
        *(engine.commit(Batch([Append(b"log/", b"")], b"id-2")) for _ in range(8))
    )
    assert len({receipt.revision for receipt in twice}) == 1
    assert len((await engine.scan(Range.prefix(b"log/"))).rows) == 2
    other = await engine.commit(Batch(batch.operations[1:], b"id-3"))
    assert other.revision > twice[0].revision
    # A refused batch is not remembered: nothing of it happened.
    refusable = Batch([CheckKey(b"gate", other.revision), Put(b"gate", b"")], b"id-4")
    await refused_batch(engine, refusable)
    await refused_batch(engine, refusable)


async def previous_records_are_those_before_the_batch(engine: Engine) -> None:
    mark = (await write(engine, Put(b"a", b"1"), Put(b"b", b""))).revision
    receipt = await engine.commit(
        Batch(
            [Put(b"a", b"2"), Delete(b"a"), Put(b"a", b"3"), Delete(b"b"), Put(b"new", b"")],
            previous=True,
        )
    )
    assert receipt.previous == {b"a": Record(b"1", mark), b"b": Record(b"", mark), b"new": None}


async def scan_pages_go_both_ways(engine: Engine) -> None:
    keys = sorted(b"s/" + incompressible(number % 7, number) for number in range(257))
    keys = sorted(set(keys))
    await write(engine, *(Put(key, key * 2) for key in keys), Put(b"r", b""), Put(b"s0", b""))
    for limit in (1, 7, 64, 1000, None):
        for reverse in (False, True):
            rows, pages = await walk(engine, Range.prefix(b"s/", reverse=reverse, limit=limit))
            assert [key for key, _ in rows] == (keys[::-1] if reverse else keys), (limit, reverse)
            assert all(record.value == key * 2 for key, record in rows)
            assert pages >= len(keys) // (limit or 1000)
    middle = Range(keys[10], keys[20], limit=4)
    assert [key for key, _ in (await walk(engine, middle))[0]] == keys[10:20]
    assert (await engine.scan(Range(b"x", b"y")))[:2] == ([], None)
    assert (await engine.scan(Range(b"s", b"a")))[:2] == ([], None)


async def scan_pages_end_at_their_limits(engine: Engine) -> None:
    limits = engine.capabilities
    half = limits.page_bytes_max * 2 // 3
    for number in range(3):
        await write(engine, Put(b"big/%d" % number, bytes(half)))
    await write(engine, Put(b"big/3", bytes(limits.page_bytes_max * 2)))
    await write(engine, *(Put(b"small/%05d" % n, b"") for n in range(limits.page_rows_max + 1)))
    page = await engine.scan(Range.prefix(b"big/"))
    assert [key for key, _ in page.rows] == [b"big/0"]
    for reverse in (False, True):
        rows, pages = await walk(engine, Range.prefix(b"big/", reverse=reverse))
        assert len(rows) == 4
        assert pages >= 4  # The last row alone is over the limit: a page holds at least one.
    page = await engine.scan(Range.prefix(b"small/"))
    assert len(page.rows) == limits.page_rows_max
    assert page.resume is not None
    assert len((await engine.scan(page.resume)).rows) == 1


async def transact_loses_nothing(engine: Engine) -> None:
    async def adds(task: int) -> None:
        done = 0
        while done < INCREMENTS:
            try:
                await engine.transact([b"n"], lambda records, _: Batch([increment(records)]))
            except Conflict as conflict:
                if "attempts" not in conflict.details:  # Out of attempts: nothing was written.
                    raise
                continue
            await write(engine, Append(b"done/", b"%d" % task))
            done += 1

    await asyncio.gather(*map(adds, range(TASKS)))
    [record] = await engine.read([b"n"])
    assert record is not None
    assert int(record.value) == TASKS * INCREMENTS
    assert len((await engine.scan(Range.prefix(b"done/"))).rows) == TASKS * INCREMENTS


async def transact_keeps_two_keys_together(engine: Engine) -> None:
    await write(engine, Put(b"left", b"1000"), Put(b"right", b"1000"))

    def moves(records: list[Record | None], _: int) -> Batch:
        amounts = [int(record.value) for record in records if record is not None]
        return Batch(
            [Put(b"left", b"%d" % (amounts[0] - 1)), Put(b"right", b"%d" % (amounts[1] + 1))]
        )

    def moves_back(records: list[Record | None], _: int) -> Batch:
        amounts = [int(record.value) for record in records if record is not None]
        return Batch(
            [Put(b"right", b"%d" % (amounts[0] - 3)), Put(b"left", b"%d" % (amounts[1] + 3))]
        )

    await asyncio.gather(
        *(engine.transact([b"left", b"right"], moves) for _ in range(8)),
        *(engine.transact([b"right", b"left"], moves_back) for _ in range(8)),
    )
    left, right = [int(record.value) for record in await engine.read([b"left", b"right"]) if record]
    assert (left, right) == (1000 - 8 + 24, 1000 + 8 - 24)


async def transact_tells_what_it_knows(engine: Engine) -> None:
    mark = await furnish(engine)
    seen: list[tuple[list[Record | None], int]] = []

    def decide(records: list[Record | None], revision: int) -> Batch:
        seen.append((records, revision))
        return Batch([Put(b"room/1", b"new"), Append(b"log/", b"")])

    receipt = await engine.transact([b"room/1", b"none"], decide, previous=True)
    assert seen == [([Record(b"1", mark), None], receipt.revision)]
    assert receipt.previous == {b"room/1": Record(b"1", mark)}
    head = await engine.head()
    assert await engine.transact([b"room/1"], lambda *_: None) == Receipt(head)
    assert await engine.head() == head

    def fails(*_: object) -> Batch:
        raise ZeroDivisionError

    try:
        await engine.transact([b"room/1"], fails)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("the failure of decide belongs to its caller")
    # A check that decide itself asks for, on another key, is the caller's conflict.
    asks = engine.transact([b"room/1"], lambda *_: Batch([CheckKey(b"room/2", None)]))
    assert (await conflict_of(asks)).details["key"] == b"room/2"
    await write(engine, Put(b"after", b"still works"))


async def one_revision_per_commit(engine: Engine) -> None:
    receipts = await asyncio.gather(
        *(
            write(engine, Put(b"k%d" % task, b""), Append(b"log/", b"%d" % task))
            for task in range(TASKS)
        )
    )
    revisions = [receipt.revision for receipt in receipts]
    assert len(set(revisions)) == TASKS
    rows = (await engine.scan(Range.prefix(b"log/"))).rows
    assert {record.revision: int(record.value) for _, record in rows} == dict(
        zip(revisions, range(TASKS), strict=True)
    )
    assert await engine.head() == max(revisions)


CHECKS: list[Callable[[Engine], Awaitable[None]]] = [
    put_and_delete, later_operations_win, delete_range_keeps_its_bounds, append_makes_its_key,
    check_key, check_range_sees_an_insert, check_range_sees_an_update, check_range_sees_a_delete,
    check_range_sees_a_range_delete, check_range_sees_a_delete_and_an_insert,
    check_range_sees_an_append, check_range_passes_what_it_should, a_refused_batch_leaves_nothing,
    limits_are_refused_before_anything_is_written, checks_alone_take_no_revision,
    a_known_batch_is_not_applied_again, previous_records_are_those_before_the_batch,
    scan_pages_go_both_ways, scan_pages_end_at_their_limits, transact_loses_nothing,
    transact_keeps_two_keys_together, transact_tells_what_it_knows, one_revision_per_commit,
]  # fmt: skip


# --- What the checks are made of ------------------------------------------------------------


async def write(engine: Engine, *operations: Operation) -> Receipt:
    return await engine.commit(Batch(operations))


async def furnish(engine: Engine) -> int:
    """Three rooms; the revision they were written at."""
    rooms = [Put(b"room/%d" % number, b"%d" % number) for number in (1, 2, 3)]
    return (await write(engine, *rooms)).revision


async def refused(engine: Engine, *operations: Operation) -> Conflict:
    return await refused_batch(engine, Batch(operations))


async def refused_batch(engine: Engine, batch: Batch) -> Conflict:
    return await conflict_of(engine.commit(batch))


async def conflict_of(call: Awaitable[Receipt]) -> Conflict:
    try:
        await call
    except Conflict as conflict:
        return conflict
    raise AssertionError("a conflict was expected")


async def walk(engine: Engine, range: Range) -> tuple[list[tuple[bytes, Record]], int]:
    """All rows of the range, page by page, and how many pages it took."""
    rows: list[tuple[bytes, Record]] = []
    pages = 0
    rest: Range | None = range
    while rest is not None:
        page = await engine.scan(rest)
        assert range.limit is None or len(page.rows) <= range.limit
        rows += page.rows
        pages += 1
        rest = page.resume
    return rows, pages


def increment(records: list[Record | None]) -> Put:
    [record] = records
    return Put(b"n", b"%d" % (1 if record is None else int(record.value) + 1))


def incompressible(length: int, seed: int = 1) -> bytes:
    """Bytes without pattern, the same in every run."""
    state, made = seed * 2654435761 + 12345, bytearray()
    while len(made) < length:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        made += (state >> 24).to_bytes(5, "big")
    return bytes(made[:length])
