"""The database under test, the engines open on it, and short words for what promises do often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.contract.batch import (
    Answer,
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    Draft,
    Operation,
    Put,
    Receipt,
)
from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import NOT_NOW, Engine, Snapshot
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import ManualClock
from holdfast.testing.author import Author

ALL = Range()


class Subject:
    """One database in a folder of its own, and every engine that was opened on it.

    Attributes:
        author: what the engine's author stated.
        folder: where the database may put files.
    """

    def __init__(self, author: Author, folder: Path) -> None:
        self.author = author
        self.folder = folder
        self._open: list[Engine] = []
        self._clock: ManualClock | None = None
        self._exists = False

    async def open(self, **settings: Any) -> Engine:
        """A new engine on the database, open; `settings` change its configuration."""
        engine = self.make(**settings)
        await engine.open()
        self._open.append(engine)
        self._exists = True
        return engine

    def make(self, **settings: Any) -> Engine:
        """A new engine on the database, not open; who opens it closes it."""
        config = self.author.make_config(self.folder)
        components = self.author.make_components()
        if self._clock is not None:
            components = replace(components, clock=self._clock)
        config = replace(config, **settings) if settings else config
        return self.author.make_engine(config, components)

    def stop_the_clock(self) -> ManualClock:
        """The clock of every engine opened from now on; it moves when it is told to."""
        self._clock = ManualClock()
        return self._clock

    async def close(self, engine: Engine) -> None:
        """Close an engine that `open` gave."""
        self._open.remove(engine)
        await engine.close()

    async def reopen(self, engine: Engine, **settings: Any) -> Engine:
        """Close the engine and open another on the same database."""
        await self.close(engine)
        return await self.open(**settings)

    def claims(self, capability: str) -> bool:
        """Whether the engine says it has the capability. Opens and makes nothing."""
        return bool(getattr(self.make().capabilities, capability))

    async def finish(self) -> None:
        """Close everything, and ask the store itself whether all is well."""
        seen: Capabilities | None = None
        for engine in list(self._open):
            seen = engine.capabilities
            if seen.checks:
                assert await engine.check() == [], "the store was damaged when the test ended"
            await self.close(engine)
        if seen is None and self._exists:
            # Every engine was closed by the test: what lies there must be sound too.
            engine = await self.open()
            if engine.capabilities.checks:
                assert await engine.check() == [], "the store was damaged when the test ended"
            await self.close(engine)

    async def abandon(self) -> None:
        """Let go after a failure, whose error is the one to show."""
        for engine in list(self._open):
            try:
                await self.close(engine)
            except Exception as error:  # noqa: BLE001 - the failure before is the one to show
                print(f"closing after the failure failed too: {error!r}")  # noqa: T201


async def put(engine: Engine, *pairs: tuple[bytes, bytes]) -> int:
    """Write the pairs in one batch; the revision."""
    receipt = await engine.commit(Batch([Put(key, value) for key, value in pairs]))
    return receipt.revision


async def commit(engine: Engine, *operations: Operation, **settings: Any) -> Receipt:
    """Commit the operations as one batch."""
    return await engine.commit(Batch(operations, **settings))


async def value_of(engine: Engine, key: bytes, at: Snapshot | None = None) -> bytes | None:
    """The value of the key, or None."""
    (record,) = await engine.read([key], at=at)
    return None if record is None else record.value


async def revision_of(engine: Engine, key: bytes) -> int | None:
    """The revision that last wrote the key, or None."""
    (record,) = await engine.read([key])
    return None if record is None else record.revision


async def walk(
    engine: Engine, range: Range = ALL, *, at: Snapshot | None = None
) -> list[tuple[bytes, Record]]:
    """Every row of the range, page by page; asserts what holds for every page."""
    rows: list[tuple[bytes, Record]] = []
    rest: Range | None = range
    while rest is not None:
        page = await engine.scan(rest, at=at)
        assert page.rows or page.resume is None, "a page without rows says there is more"
        rows += page.rows
        _assert_in_order([key for key, _ in rows[-len(page.rows) - 1 :]], reverse=range.reverse)
        rest = page.resume
    return rows


async def keys_in(engine: Engine, range: Range = ALL, *, at: Snapshot | None = None) -> list[bytes]:
    """Every key of the range, page by page."""
    return [key for key, _ in await walk(engine, range, at=at)]


async def contents(engine: Engine, *, at: Snapshot | None = None) -> dict[bytes, bytes]:
    """Everything the database holds."""
    return {key: record.value for key, record in await walk(engine, at=at)}


def always(*operations: Operation, **settings: Any) -> Decide:
    """A decision for `transact`: these operations, whatever stands there."""

    def decide(records: list[Record | None], revision: int) -> Batch:
        del records, revision
        return Batch(operations, **settings)

    return decide


def draft(
    *rows: tuple[bytes, bytes | None],
    appends: Sequence[tuple[bytes, bytes]] = (),
    ranges: Sequence[Range] = (),
    checks: Sequence[CheckKey | CheckRange] = (),
    id: bytes | None = None,
) -> Draft:
    """A draft of those parts."""
    made = Draft()
    made.rows.update(rows)
    made.appends.extend(appends)
    made.ranges, made.checks = ranges, checks
    made.id = id
    return made


def answering(answer: Answer) -> Decide:
    """A decision for `transact`: that answer, whatever stands there."""

    def decide(records: list[Record | None], revision: int) -> Answer:
        del records, revision
        return answer

    return decide


def raising(error: BaseException) -> Decide:
    """A function for `transact` that raises."""

    def decide(records: list[Record | None], revision: int) -> Answer:
        del records, revision
        raise error

    return decide


def never(records: list[Record | None], revision: int) -> None:
    """A decision for `transact`: nothing."""
    del records, revision


def increment(key: bytes) -> Callable[[list[Record | None], int], Batch]:
    """A decision for `transact` that adds one to the number under `key`."""

    def decide(records: list[Record | None], revision: int) -> Batch:
        del revision
        record = records[0]
        return Batch([Put(key, str(1 + int(record.value if record else 0)).encode())])

    return decide


async def now_or_transact(engine: Engine, keys: Sequence[bytes], decide: Decide) -> Receipt:
    """Decide now; where that is refused nothing was decided, and `transact` does it."""
    if engine.transact_now is not None:
        watched, calls = _counted(decide)
        receipt = engine.transact_now(keys, watched)
        if receipt is not NOT_NOW:
            return receipt
        assert calls == [], "refused for now, and decided all the same"
    return await engine.transact(keys, decide)


def _counted(decide: Decide) -> tuple[Decide, list[int]]:
    calls: list[int] = []

    def counted(records: list[Record | None], revision: int) -> Answer:
        calls.append(revision)
        return decide(records, revision)

    return counted, calls


def _assert_in_order(keys: list[bytes], *, reverse: bool) -> None:
    ordered = sorted(set(keys), reverse=reverse)
    assert keys == ordered, "keys come in byte order, each once, across pages too"
