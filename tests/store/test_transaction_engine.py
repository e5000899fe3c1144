"""A transaction as an engine: its own rows over those of a snapshot, and its limits."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.contract.batch import Append, Batch, CheckKey, CheckRange, Delete, DeleteRange, Put
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import Conflict, Unsupported, ValueTooLarge
from holdfast.contract.record import Range
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.runtime.system import system_components
from holdfast.store.isolation import IsolationLevel
from holdfast.store.transaction import TransactionEngine
from tests.store.scene import Scene, engine_of


class Narrow(Layer):
    """An engine with small limits."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            self.inner.capabilities, batch_operations_max=10, batch_bytes_max=1000, page_rows_max=2
        )


async def begin(engine: Engine, level: str = "serializable") -> TransactionEngine:
    isolation = IsolationLevel.parse(level)
    return await TransactionEngine.begin(engine, isolation, read_only=False)


async def rows(engine: Engine, range: Range) -> list[tuple[bytes, bytes]]:
    found = []
    rest: Range | None = range
    while rest is not None:
        page = await engine.scan(rest)
        found += [(key, record.value) for key, record in page.rows]
        rest = page.resume
    return found


@pytest.mark.parametrize("over", ["rows", "bytes", "appends"])
async def test_a_transaction_over_the_limits_is_refused_and_writes_nothing(
    scene: Scene, over: str
) -> None:
    async with scene.open_unchecked() as db:
        engine = Narrow(engine_of(db))
        before = await db.head()
        tx = await begin(engine)

        async def write() -> None:
            for n in range(20):
                if over == "rows":
                    await tx.commit(Batch([Put(b"k%d" % n, b"")]))
                elif over == "bytes":
                    await tx.commit(Batch([Put(b"k%d" % (n % 7), b"x" * 200)]))
                else:
                    await tx.commit(Batch([Append(b"A", b"")]))

        with pytest.raises(ValueTooLarge, match="Split it"):
            await write()
        tx.release()
        assert await db.head() == before


async def test_overwriting_one_row_again_and_again_counts_it_once(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        tx = await begin(Narrow(engine_of(db)))
        for n in range(100):
            await tx.commit(Batch([Put(b"k", b"%0200d" % n)]))
        await tx.finish(lambda _revision: None)
        assert await rows(engine_of(db), Range.prefix(b"k")) == [(b"k", b"%0200d" % 99)]


async def test_checks_are_decided_on_what_the_transaction_sees(scene: Scene) -> None:
    async with scene.open_unchecked() as db:
        engine = engine_of(db)
        revision = (await engine.commit(Batch([Put(b"a", b"1")]))).revision
        tx = await begin(engine)
        await tx.commit(Batch([CheckKey(b"a", revision), CheckKey(b"b", None), Put(b"a", b"2")]))
        with pytest.raises(Conflict):
            await tx.commit(Batch([CheckKey(b"a", revision), Put(b"c", b"lost")]))
        everything = Range(b"a", b"d")
        with pytest.raises(Conflict):
            await tx.commit(Batch([CheckRange(everything, revision, 1), Put(b"c", b"lost")]))
        await tx.commit(Batch([CheckRange(Range(b"b", b"d"), revision, 0)]))
        for verb in (tx.wait(0), tx.snapshot(), tx.compact(), tx.check()):
            with pytest.raises(Unsupported):
                await verb
        receipt = await tx.commit(Batch([Delete(b"a")], previous=True))
        assert receipt.previous is not None
        assert receipt.previous[b"a"] is not None
        assert receipt.previous[b"a"].value == b"2"
        await tx.finish(lambda _revision: None)
        assert await rows(engine, Range(b"a", b"d")) == []


KEYS = st.sampled_from([b"a", b"b", b"ba", b"bb", b"c", b"d"])
OPERATIONS = st.lists(
    st.one_of(
        st.builds(Put, KEYS, st.sampled_from([b"", b"1", b"2"])),
        st.builds(Delete, KEYS),
        st.builds(DeleteRange, st.builds(Range, st.none() | KEYS, st.none() | KEYS)),
    ),
    max_size=12,
)
RANGES = st.builds(
    Range, st.none() | KEYS, st.none() | KEYS, st.booleans(), st.none() | st.integers(1, 3)
)


@pytest.mark.row("E-030")
@settings(max_examples=60)
@given(OPERATIONS, OPERATIONS, RANGES)
def test_rows_of_a_transaction_are_those_of_a_dict(
    before: list[Any], inside: list[Any], range: Range
) -> None:
    def apply(model: dict[bytes, bytes], operation: Any) -> None:
        if isinstance(operation, Put):
            model[operation.key] = operation.value
        elif isinstance(operation, Delete):
            model.pop(operation.key, None)
        else:
            for key in [key for key in model if key in operation.range]:
                del model[key]

    async def work() -> None:
        engine = MemoryEngine(MemoryConfig(), system_components())
        await engine.open()
        narrow = Narrow(engine)
        model: dict[bytes, bytes] = {}
        for operation in before:
            await engine.commit(Batch([operation]))
            apply(model, operation)
        tx = await begin(narrow)
        for operation in inside:
            await tx.commit(Batch([operation]))
            apply(model, operation)
            wanted = sorted(
                (pair for pair in model.items() if pair[0] in range), reverse=range.reverse
            )
            assert await rows(tx, range) == wanted
        await tx.finish(lambda _revision: None)
        assert dict(await rows(engine, Range())) == model
        await engine.close()

    asyncio.run(work())
