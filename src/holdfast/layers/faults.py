"""Faults on purpose: calls that fail or take long, by a plan, for tests and benchmarks.

    plan = FaultPlan(faults=(Fault("commit", on=3, error=ConnectionLost("planned")),))
    engine = FaultsLayer(engine, plan)          # the third commit is refused, nothing is written

    Fault("commit", on=3, error=OutcomeUnknown("planned"), after=True)   # written, not told
    Fault("read", on=1, delay_s=0.5)                             # slow, and right
    FaultPlan(flush_s=0.002)                                     # a disk that flushes in 2 ms
    FaultPlan.seeded(random.Random(7).random, calls=1000, before=0.1, after=0.1)

A fault before the call leaves the database as it was. One after it is what a broken connection
does: the write happened and the caller does not know, so it may only repeat it with the same
`Batch.id`. Calls of each verb are counted from 1, in the order in which they begin.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from holdfast.contract.batch import Batch, Decide, Receipt
from holdfast.contract.engine import Engine, Layer, Snapshot
from holdfast.contract.errors import ConnectionLost, InvalidInput, OutcomeUnknown, StoreError
from holdfast.contract.layering import Verb
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call.

    Attributes:
        verb: of which verb.
        on: to its how manieth call, from 1.
        error: raised; None: the call only takes longer.
        after: raise once the call has done its work, instead of before it begins.
        delay_s: the call begins so much later.
    """

    verb: Verb
    on: int
    error: StoreError | None = None
    after: bool = False
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if self.on < 1:
            raise InvalidInput(f"calls are counted from 1; the fault is planned on {self.on}")
        if self.delay_s < 0:
            raise InvalidInput(f"a delay is 0 seconds or more; found {self.delay_s}")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which calls fail, and how long a flush takes.

    Attributes:
        faults: one for each call that fails or is slow; of two on one call the last counts.
        flush_s: every write waits for a flush of that many seconds. As with a disk, one flush
            runs at a time, and writes that end while one runs share the next.
    """

    faults: tuple[Fault, ...] = ()
    flush_s: float = 0.0

    @classmethod
    def seeded(
        cls,
        chance: Callable[[], float],
        *,
        calls: int,
        before: float = 0.0,
        after: float = 0.0,
        verbs: Iterable[Verb] = ("commit", "transact"),
        flush_s: float = 0.0,
    ) -> Self:
        """A plan by chance, the same for the same seed.

        Args:
            chance: a number from 0 to below 1, such as `random.Random(7).random`.
            calls: how many calls of each verb are planned; later ones do not fail.
            before: the share of calls refused with ConnectionLost before they begin.
            after: the share of calls that succeed and raise OutcomeUnknown.
            verbs: which fail.
            flush_s: see the attribute.
        """
        faults: list[Fault] = []
        for verb in verbs:
            for on in range(1, calls + 1):
                drawn = chance()
                if drawn < before:
                    error: StoreError = ConnectionLost(f"planned: {verb} {on} was not sent")
                    faults.append(Fault(verb, on, error))
                elif drawn < before + after:
                    unknown = OutcomeUnknown(
                        f"planned: {verb} {on} was sent and its answer lost; repeat it with the "
                        "same batch id"
                    )
                    faults.append(Fault(verb, on, unknown, after=True))
        return cls(tuple(faults), flush_s)


class FaultsLayer(Layer):
    """An engine that fails as planned and is right otherwise.

    Attributes:
        plan: what was planned.
        calls: how many calls of each verb began.
    """

    def __init__(self, inner: Engine, plan: FaultPlan) -> None:
        super().__init__(inner)
        self.plan = plan
        self.calls: Counter[Verb] = Counter()
        self._planned = {(fault.verb, fault.on): fault for fault in plan.faults}
        self._flushes = _Flushes(plan.flush_s, inner.components.clock)
        self._counting = threading.Lock()

    async def open(self) -> None:
        await self._call("open", self.inner.open)

    async def close(self) -> None:
        await self._call("close", self.inner.close)

    async def head(self) -> int:
        return await self._call("head", self.inner.head)

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        return await self._call("read", lambda: self.inner.read(keys, at=at))

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return await self._call("scan", lambda: self.inner.scan(range, at=at))

    async def commit(self, batch: Batch) -> Receipt:
        return await self._call("commit", lambda: self.inner.commit(batch), flushes=True)

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        return await self._call(
            "transact",
            lambda: self.inner.transact(keys, decide, previous=previous),
            flushes=True,
        )

    async def snapshot(self) -> Snapshot:
        return await self._call("snapshot", self.inner.snapshot)

    async def wait(self, after_revision: int) -> int:
        return await self._call("wait", lambda: self.inner.wait(after_revision))

    async def compact(self) -> int:
        return await self._call("compact", self.inner.compact)

    async def check(self) -> list[str]:
        return await self._call("check", self.inner.check)

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        await self._call(
            "load", lambda: self.inner.load(rows, next_revision=next_revision), flushes=True
        )

    async def _call(
        self, verb: Verb, work: Callable[[], Awaitable[T]], *, flushes: bool = False
    ) -> T:
        with self._counting:
            self.calls[verb] += 1
            fault = self._planned.get((verb, self.calls[verb]))
        if fault is not None and fault.delay_s:
            await self.components.host.runtime().sleep(fault.delay_s)
        if fault is not None and fault.error is not None and not fault.after:
            raise fault.error
        result = await work()
        if flushes and self.plan.flush_s:
            await self.components.host.runtime().sleep(self._flushes.wait_s())
        if fault is not None and fault.error is not None:
            raise fault.error
        return result


class _Flushes:
    """When the flushes of a disk end that takes its time over each.

    Args:
        flush_s: of one flush.
        clock: tells when a write asks for one.
    """

    def __init__(self, flush_s: float, clock: Clock) -> None:
        self._flush_s = flush_s
        self._clock = clock
        self._lock = threading.Lock()
        #: Of the last flush that anybody waits for.
        self._ends = float("-inf")

    def wait_s(self) -> float:
        """How long a write that ends now waits until a flush that began after it has ended."""
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._ends:
                self._ends = now + self._flush_s
            elif now >= self._ends - self._flush_s:
                self._ends += self._flush_s  # It runs already, and may have passed this write by.
            return self._ends - now
