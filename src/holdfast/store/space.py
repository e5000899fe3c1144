"""A keyspace on an engine, a transaction or a snapshot: where a view reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import NamedTuple, Self

from holdfast.contract.batch import Draft, Need, Receipt
from holdfast.contract.capability import Io
from holdfast.contract.engine import NOT_NOW, Engine, Peeked
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Record
from holdfast.contract.runtime import Clock
from holdfast.runtime.gate import Gate
from holdfast.store.feed_row import NO_CONTEXT, WriteContext
from holdfast.store.keyspaces import Keyspace, fence_of
from holdfast.store.plan import Plan
from holdfast.store.transaction import TransactionEngine

#: Decides one view's part of a commit: from what stands under its keys into the plan. It may ask
#: for further keys, and is then called again with a new plan and with all it asked for, in the
#: order in which it asked, behind its keys. Like every decision it may run more than once.
WritePlan = Callable[[Plan, Sequence[Record | None]], Need | None]


class Writer(NamedTuple):
    """One view's part of a commit.

    Attributes:
        space: where it writes.
        keys: what it has to see.
        write: decides.
    """

    space: Space
    keys: Sequence[bytes]
    write: WritePlan


class Space:
    """What a view needs of the floor below it.

    Args:
        engine: the engine, or one transaction's or snapshot's view of it.
        keyspace: which.
        clock: decides what has expired.
        wrote: told the revision of each commit.
        gate: of the handle.
        fenced: whether the keyspace may be dropped or changed by others, so that each commit has
            to see its row in the directory.

    Attributes:
        read, peek: of the engine.
        transaction: id of the transaction it is seen through, if any.
    """

    def __init__(
        self,
        engine: Engine,
        keyspace: Keyspace,
        clock: Clock,
        wrote: Callable[[int], None],
        gate: Gate,
        *,
        fenced: bool = False,
    ) -> None:
        self.engine = engine
        self.keyspace = keyspace
        self.clock = clock
        self.wrote = wrote
        self.gate = gate
        self.fences: tuple[bytes, ...] = (keyspace.directory_key,) if fenced else ()
        self.read = engine.read
        self.scan = engine.scan
        self.peek: Callable[[bytes], Peeked] = engine.peek or _not_now
        capabilities = engine.capabilities
        self._transact_now = engine.transact_now
        self._inline = capabilities.io is Io.INLINE or capabilities.durability == "relaxed"
        self._may_hold = engine.components.host.may_hold
        #: The revision of the directory's row that was last found to be as believed.
        self._fence_seen = -1
        self.transaction: bytes | None = None
        if isinstance(engine, TransactionEngine):
            self.transaction = engine.id
            engine.fence(self.fences)

    def on(self, engine: Engine) -> Self:
        """The same keyspace seen through a transaction or a snapshot."""
        # What is written there has no revision yet; the commit tells.
        return type(self)(
            engine, self.keyspace, self.clock, _nothing, self.gate, fenced=bool(self.fences)
        )

    def check(self) -> None:
        """Raise unless the handle may be used here and now."""
        gate = self.gate
        if not gate.open_here() or get_ident() != gate.thread:
            gate.check()

    def context(self, context: WriteContext = NO_CONTEXT) -> WriteContext:
        """The context with the transaction that the space is seen through."""
        if self.transaction is None:
            return context
        return context._replace(transaction=self.transaction)

    async def commit(
        self, keys: Sequence[bytes], write: WritePlan, context: WriteContext = NO_CONTEXT
    ) -> Receipt:
        """Decide and write as one commit."""
        receipt = self.commit_now(keys, write, context)
        return receipt or await commit([Writer(self, keys, write)], context)

    def commit_now(
        self, keys: Sequence[bytes], write: WritePlan, context: WriteContext = NO_CONTEXT
    ) -> Receipt | None:
        """The same without a coroutine; None, and nothing decided, where it may have to wait."""
        transact = self._transact_now
        if transact is None or not (self._inline or self._may_hold()):
            return None
        self.check()
        fences = self.fences
        now_ms, skip = self.clock.now_ms, len(fences)
        plan: Plan | None = None

        def decide(records: list[Record | None], _revision: int) -> Draft | Need | None:
            nonlocal plan
            plan = Plan(now_ms(), context)
            if skip:
                self._require_fence(records[0])
                records = records[skip:]
            need = write(plan, records)
            if need is not None:
                return need
            draft = plan.draft
            return draft if draft.rows or draft.writes else None

        try:
            receipt = transact((*fences, *keys), decide)
        except Conflict as conflict:
            error = None if plan is None else plan.unique.get(conflict.details.get("key", b""))
            if error is None:
                raise
            raise error from conflict
        if receipt is NOT_NOW:
            return None
        self.wrote(receipt.revision)
        return receipt

    def _require_fence(self, record: Record | None) -> None:
        """Raise unless the keyspace still is what this space believes."""
        if record is None or record.revision != self._fence_seen:
            fence_of(self.keyspace, record)
            self._fence_seen = -1 if record is None else record.revision


async def commit(writers: Sequence[Writer], context: WriteContext = NO_CONTEXT) -> Receipt:
    """Decide and write what several views want, as one commit.

    The spaces belong to one database, and to one handle or transaction of it.

    Raises:
        Conflict: a check failed; nothing was written.
        StoreNotFound: a keyspace was dropped meanwhile.
    """
    space = writers[0].space
    space.check()
    spaces = [one.space for one in writers]
    fences = [key for one in spaces for key in one.fences]
    keys = [*fences, *(key for one in writers for key in one.keys)]
    context = space.context(context)
    now_ms = space.clock.now_ms
    plan = Plan(0)

    def decide(records: list[Record | None], _revision: int) -> Draft | Need | None:
        nonlocal plan
        plan = Plan(now_ms(), context)
        position = 0
        for one in spaces:
            for _ in one.fences:
                one._require_fence(records[position])  # noqa: SLF001 - ours
                position += 1
        if len(records) == len(keys):
            asked.clear()
        further: list[bytes] = []
        counts = []
        extras = _by_writer(records[len(keys) :], asked, len(writers))
        for writer, extra in zip(writers, extras, strict=True):
            end = position + len(writer.keys)
            need = writer.write(plan, records[position:end] + extra)
            position = end
            counts.append(0 if need is None else len(need.keys))
            if need is not None:
                further += need.keys
        if further:
            asked.append(counts)
            return Need(further)
        return plan.draft if plan.draft.writes else None

    #: How many further keys each writer asked for, round by round of an attempt.
    asked: list[list[int]] = []
    try:
        receipt = await space.engine.transact(keys, decide)
    except Conflict as conflict:
        error = plan.unique.get(conflict.details.get("key", b""))
        if error is None:
            raise
        raise error from conflict
    space.wrote(receipt.revision)
    return receipt


def _by_writer(
    further: Sequence[Record | None], asked: Sequence[Sequence[int]], writers: int
) -> list[list[Record | None]]:
    """What each writer asked for, from what all of them did, round by round."""
    extras: list[list[Record | None]] = [[] for _ in range(writers)]
    position = 0
    for counts in asked:
        for number, count in enumerate(counts):
            extras[number] += further[position : position + count]
            position += count
    return extras


def _not_now(_key: bytes) -> Peeked:
    return NOT_NOW


def _nothing(_revision: int) -> None:
    """Nobody is told."""
