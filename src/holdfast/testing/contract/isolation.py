"""Isolation is proven, not declared: what transactions built on an engine can promise.

Each promise plays an anomaly with the engine's own means: what was read is checked by the commit.
An engine that claims less than serializable must refuse the checks that it cannot keep, so that
nobody believes to be protected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast.contract.batch import CheckKey, CheckRange, Delete, Operation, Put
from holdfast.contract.capability import Isolation
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, Unsupported
from holdfast.contract.record import Range, Record
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, commit, contents, keys_in, put, value_of

ON_CALL = Range.prefix(b"on call ")
ADA, BOB = b"on call ada", b"on call bob"
#: Tasks that play one anomaly at once, and how often.
TASKS = 8
ROUNDS = 12


class IsolationLevels(Section):
    @promise("trap 50", "trap 29")
    async def test_an_update_is_not_lost(self, subject: Subject) -> None:
        """Two read a row and write it on the strength of that: the second is refused."""
        engine = await subject.open()
        await put(engine, (b"n", b"1"))
        if _claims_less(engine, Isolation.SNAPSHOT):
            await _refused(engine, Put(b"n", b"2"), CheckKey(b"n", 1))
            return
        (seen,) = await engine.read([b"n"])
        check = CheckKey(b"n", _revision(seen))
        await commit(engine, Put(b"n", b"first"), check)
        with pytest.raises(Conflict):
            await commit(engine, Put(b"n", b"second"), check)
        assert await value_of(engine, b"n") == b"first"

    @promise("trap 50")
    async def test_write_skew_between_keys_is_refused(self, subject: Subject) -> None:
        """Each reads both rows and writes the other one than its neighbour."""
        engine = await subject.open()
        await put(engine, (ADA, b"yes"), (BOB, b"yes"))
        checks = [
            CheckKey(key, _revision(record))
            for key, record in zip((ADA, BOB), await engine.read([ADA, BOB]), strict=True)
        ]
        if _claims_less(engine, Isolation.SERIALIZABLE):
            await self._refuses_what_it_cannot_check(engine)
            return
        await commit(engine, Put(ADA, b"no"), *checks)
        with pytest.raises(Conflict):
            await commit(engine, Put(BOB, b"no"), *checks)
        assert await contents(engine) == {ADA: b"no", BOB: b"yes"}

    @promise("trap 50")
    async def test_write_skew_over_a_range_is_refused(self, subject: Subject) -> None:
        """Each counts the range and takes another row out of it."""
        engine = await subject.open()
        await put(engine, (ADA, b""), (BOB, b""), (b"elsewhere", b""))
        if _claims_less(engine, Isolation.SERIALIZABLE):
            await self._refuses_what_it_cannot_check(engine)
            return
        page = await engine.scan(ON_CALL)
        check = CheckRange(ON_CALL, page.revision, len(page.rows))
        await put(engine, (b"elsewhere", b"does not matter"))
        await commit(engine, Delete(ADA), check)
        with pytest.raises(Conflict):
            await commit(engine, Delete(BOB), check)
        assert await keys_in(engine, ON_CALL) == [BOB]

    @promise("trap 50")
    async def test_a_phantom_is_refused(self, subject: Subject) -> None:
        """Each finds no row in the range and writes one of its own."""
        engine = await subject.open()
        await put(engine, (b"elsewhere", b""))
        if _claims_less(engine, Isolation.SERIALIZABLE):
            await self._refuses_what_it_cannot_check(engine)
            return
        page = await engine.scan(ON_CALL)
        check = CheckRange(ON_CALL, page.revision, 0)
        await commit(engine, Put(ADA, b""), check)
        with pytest.raises(Conflict):
            await commit(engine, Put(BOB, b""), check)
        assert await keys_in(engine, ON_CALL) == [ADA]

    @promise("trap 50")
    async def test_what_is_only_read_can_be_checked_too(self, subject: Subject) -> None:
        """A report of two rows that never stood beside each other is refused."""
        engine = await subject.open()
        await put(engine, (ADA, b"1"), (BOB, b"1"))
        if _claims_less(engine, Isolation.SERIALIZABLE):
            await self._refuses_what_it_cannot_check(engine)
            return
        (ada,) = await engine.read([ADA])
        await put(engine, (ADA, b"2"), (BOB, b"2"))
        (bob,) = await engine.read([BOB])
        with pytest.raises(Conflict):
            await commit(engine, CheckKey(ADA, _revision(ada)), CheckKey(BOB, _revision(bob)))

    @promise("trap 50", "trap 29", tasks=True)
    async def test_among_many_somebody_stays_on_call(self, subject: Subject) -> None:
        engine = await subject.open()
        if _claims_less(engine, Isolation.SERIALIZABLE):
            await self._refuses_what_it_cannot_check(engine)
            return
        keys = [b"on call %d" % number for number in range(TASKS)]

        async def leave(key: bytes) -> None:
            while True:
                page = await engine.scan(ON_CALL)
                if len(page.rows) == 1 or key not in [row[0] for row in page.rows]:
                    return
                check = CheckRange(ON_CALL, page.revision, len(page.rows))
                await asyncio.sleep(0)
                if await _lands(lambda check=check: commit(engine, Delete(key), check)):  # type: ignore[misc]
                    return

        for _ in range(ROUNDS):
            await put(engine, *((key, b"") for key in keys))
            await asyncio.gather(*(leave(key) for key in keys))
            assert len(await keys_in(engine, ON_CALL)) == 1

    async def _refuses_what_it_cannot_check(self, engine: Engine) -> None:
        """Below serializable a range cannot be checked, and a check of one is refused."""
        await _refused(engine, Put(b"new", b""), CheckRange(Range(), await engine.head(), 0))
        if _claims_less(engine, Isolation.SNAPSHOT):
            await _refused(engine, Put(b"new", b""), CheckKey(b"none", None))


def _claims_less(engine: Engine, wanted: Isolation) -> bool:
    order = list(Isolation)
    return order.index(engine.capabilities.isolation) < order.index(wanted)


async def _refused(engine: Engine, *operations: Operation) -> None:
    before = await contents(engine)
    with pytest.raises(Unsupported) as refusal:
        await commit(engine, *operations)
    assert engine.capabilities.engine in str(refusal.value), "the refusal names the engine"
    assert await contents(engine) == before


async def _lands(work: Callable[[], Awaitable[object]]) -> bool:
    try:
        await work()
    except Conflict:
        return False
    return True


def _revision(record: Record | None) -> int | None:
    return None if record is None else record.revision
