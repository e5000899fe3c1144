"""Opening, closing, opening again, and opening for reading only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast.contract.batch import Append, Batch, DeleteRange, Put, Receipt
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, ReadOnly, StoreClosed, StoreError, StoreNotFound
from holdfast.contract.record import Range, Record
from holdfast.testing.promise import Section, promise
from holdfast.testing.subject import Subject, always, commit, contents, never, put, value_of, walk

VERBS: dict[str, Callable[[Engine], Awaitable[object]]] = {
    "head": lambda engine: engine.head(),
    "read": lambda engine: engine.read([b"k"]),
    "scan": lambda engine: engine.scan(Range()),
    "commit": lambda engine: engine.commit(Batch([Put(b"k", b"late")])),
    "transact": lambda engine: engine.transact([b"k"], never),
}
OPTIONAL_VERBS: dict[str, tuple[str, Callable[[Engine], Awaitable[object]]]] = {
    "snapshot": ("snapshots", lambda engine: engine.snapshot()),
    "wait": ("waits", lambda engine: engine.wait(10**9)),
    "compact": ("compacts", lambda engine: engine.compact()),
    "check": ("checks", lambda engine: engine.check()),
    "load": ("loads", lambda engine: engine.load([(b"k", Record(b"late", 1))])),
}


class Lifecycle(Section):
    @promise("E-017")
    async def test_a_closed_engine_refuses_every_verb(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b"1"))
        claims = engine.capabilities
        await subject.close(engine)
        verbs = dict(VERBS)
        verbs |= {
            name: verb for name, (flag, verb) in OPTIONAL_VERBS.items() if getattr(claims, flag)
        }
        for name, verb in verbs.items():
            with pytest.raises(StoreClosed):
                pytest.fail(f"{name} worked on a closed engine: {await verb(engine)!r}")
        if claims.persistent:
            engine = await subject.open()
            assert await contents(engine) == {b"k": b"1"}

    @promise("E-017")
    async def test_an_engine_that_was_never_opened_refuses(self, subject: Subject) -> None:
        engine = subject.make()
        for verb in VERBS.values():
            with pytest.raises(StoreClosed):
                await verb(engine)
        await engine.close()

    @promise("E-017")
    async def test_closing_twice_does_nothing(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"k", b"1"))
        await subject.close(engine)
        await engine.close()
        await engine.close()

    @promise("E-017", tasks=True)
    async def test_commits_that_meet_a_close_are_done_or_refused(self, subject: Subject) -> None:
        engine = await subject.open()
        persistent = engine.capabilities.persistent

        async def write(number: int) -> Receipt:
            return await engine.commit(Batch([Put(b"%d" % number, b"")]))

        writes = [asyncio.create_task(write(number)) for number in range(64)]
        await asyncio.sleep(0)
        late = [asyncio.create_task(write(number)) for number in range(64, 96)]
        await subject.close(engine)
        outcomes = await asyncio.gather(*writes, *late, return_exceptions=True)
        done = set()
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome, Receipt):
                done.add(b"%d" % number)
            else:
                assert isinstance(outcome, StoreClosed), repr(outcome)
        if persistent:
            engine = await subject.open()
            assert set(await contents(engine)) == done

    @promise("trap 50", needs="persistent")
    async def test_reopening_finds_everything_as_it_was(self, subject: Subject) -> None:
        engine = await subject.open()
        await put(engine, (b"a", b"1"), (b"b", b""), (b"\0\xff", bytes(range(256))))
        await commit(engine, Append(b"log", b"entry"), Append(b"log", b"entry"))
        await commit(engine, DeleteRange(Range(b"a", b"b")))
        rows, head, lineage = await walk(engine), await engine.head(), engine.lineage
        assert {b"\0\xff", b"b"} < {key for key, _ in rows}
        for _ in range(2):
            engine = await subject.reopen(engine)
            assert await walk(engine) == rows
            assert (await engine.head(), engine.lineage) == (head, lineage)

    @promise()
    async def test_a_closed_engine_opens_again_wholly_or_not_at_all(self, subject: Subject) -> None:
        engine = await subject.open()
        await subject.close(engine)
        try:
            await engine.open()
        except StoreClosed:
            return
        try:
            await put(engine, (b"k", b"1"))
            assert await value_of(engine, b"k") == b"1"
        finally:
            await engine.close()

    @promise("trap 50", needs="persistent")
    async def test_a_read_only_engine_reads_and_refuses_to_write(self, subject: Subject) -> None:
        engine = await subject.open()
        assert engine.capabilities.writable
        revision = await put(engine, (b"k", b"1"))
        engine = await subject.reopen(engine, read_only=True)
        assert not engine.capabilities.writable
        for operation in (Put(b"k", b"2"), DeleteRange(Range()), Append(b"log", b"")):
            with pytest.raises(ReadOnly):
                await commit(engine, operation)
        with pytest.raises(ReadOnly):
            await engine.transact([b"k"], always(Put(b"k", b"2")))
        assert await walk(engine) == [(b"k", Record(b"1", revision))]
        assert await engine.head() == revision
        if engine.capabilities.snapshots:
            with await engine.snapshot() as snapshot:
                assert await contents(engine, at=snapshot) == {b"k": b"1"}
        engine = await subject.reopen(engine)
        assert await contents(engine) == {b"k": b"1"}

    @promise(needs="persistent")
    async def test_what_is_missing_is_not_made_when_told_not_to(self, subject: Subject) -> None:
        for settings in ({"create": False}, {"read_only": True}):
            for _ in range(2):
                with pytest.raises(StoreNotFound):
                    await subject.open(**settings)
        engine = await subject.open()
        await put(engine, (b"k", b"1"))
        engine = await subject.reopen(engine, create=False)
        assert await value_of(engine, b"k") == b"1"

    @promise()
    async def test_read_only_is_never_ignored(self, subject: Subject) -> None:
        try:
            engine = await subject.open(read_only=True)
        except (StoreNotFound, ConfigInvalid):
            return
        with pytest.raises(ReadOnly):
            await put(engine, (b"k", b""))

    @promise()
    async def test_a_failed_open_leaves_a_closed_engine(self, subject: Subject) -> None:
        config = self.make_config(subject.folder / "no" / "such" / "folder")
        engine = self.make_engine(config, self.make_components())
        try:
            await engine.open()
        except StoreError:
            with pytest.raises(StoreClosed):
                await engine.read([b"k"])
        await engine.close()
