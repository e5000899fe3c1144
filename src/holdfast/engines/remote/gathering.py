"""One round trip for many writers: what a remote engine does where an embedded one groups.

While a group is on its way, whoever comes next gathers. A group reads the keys of all its
transactions at once, decides them in turn, each on what the earlier ones leave, and sends all
batches together. Every decision carries checks of what it saw. One that was made on what earlier
ones are expected to leave has to meet exactly that: when another process wrote in between, all
revisions of the group are others than expected, and a check could find the revision it wants on a
row that somebody else wrote. So the server refuses it, and it is decided anew.

Every batch that writes has an id. When the connection breaks before the answer, the same batches
are sent again, and those that were applied are not applied twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from holdfast.contract.batch import (
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    Draft,
    Need,
    Receipt,
)
from holdfast.contract.engine import TRANSACT_ATTEMPTS_MAX
from holdfast.contract.errors import Conflict, Overloaded, StoreClosed
from holdfast.contract.runtime import Ids
from holdfast.engines.remote.line import Line
from holdfast.engines.remote.transport import Moved
from holdfast.engines.remote.work import State, Work, apply, weight

#: How many batches travel together at most, and how many bytes of values once there are two.
GROUP_BATCHES_MAX = 128
GROUP_BYTES_MAX = 16 * 1024 * 1024

#: Who sends which batch, and the head that it has to meet.
_Sent = list[tuple[Work, Batch, int | None]]


class Gathering:
    """Gathers the commits and transactions of one loop into groups, one on its way at a time.

    Args:
        line: to the server.
        ids: for batches that come without one.
        check: refuses a batch that breaks a limit.
        key_bytes_max: of the engine.
        waiting_max: how many callers may wait.
        publish: told the newest revision that a group made.
    """

    def __init__(
        self,
        line: Line,
        ids: Ids,
        check: Callable[[Batch | Draft], None],
        key_bytes_max: int,
        waiting_max: int,
        publish: Callable[[int], None],
    ) -> None:
        self._line = line
        self._ids = ids
        self._check = check
        self._key_bytes_max = key_bytes_max
        self._waiting_max = waiting_max
        self._publish = publish
        self._waiting: deque[Work] = deque()
        self._leader: asyncio.Task[None] | None = None
        self._closed = False

    async def commit(self, batch: Batch) -> Receipt:
        """Commit a batch that was checked. Cancelling the caller does not withdraw it."""
        return await self._submit(Work(asyncio.get_running_loop().create_future(), batch))

    async def transact(self, keys: Sequence[bytes], decide: Decide, *, previous: bool) -> Receipt:
        """Read, decide and commit as one step."""
        answer = asyncio.get_running_loop().create_future()
        return await self._submit(Work(answer, None, keys, decide, previous=previous))

    async def close(self) -> None:
        """Refuse what comes, and wait until everything gathered is answered."""
        self._closed = True
        while self._leader is not None and not self._leader.done():
            await asyncio.wait([self._leader])
        self._refuse_waiting()

    # --- Inside -----------------------------------------------------------------------------

    async def _submit(self, work: Work) -> Receipt:
        if self._closed:
            raise _closed()
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded(
                f"{self._waiting_max} writes of this event loop wait for the server already "
                "(waiting_max); wait, or write more in each batch",
                limit=self._waiting_max,
            )
        self._waiting.append(work)
        # One that was cancelled before its first step, as by a loop that ends, says nothing.
        if self._leader is None or self._leader.done():
            self._leader = asyncio.get_running_loop().create_task(self._lead())
        return await work.outcome()

    async def _lead(self) -> None:
        works: list[Work] = []
        try:
            while self._waiting:
                works = self._next_group()
                try:
                    await self._carry(works)
                except Exception as error:  # noqa: BLE001 - a fault of a driver too is told to each
                    # It concerns the whole group, the way to the server, but not what was put off.
                    later = set(self._waiting)
                    for work in works:
                        if work not in later:
                            work.settle(error)
        finally:
            self._leader = None
            # The loop ends, or there is a fault here: nobody waits for ever.
            for work in works:
                work.settle(_closed())
            self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        for work in self._waiting:
            work.settle(_closed())
        self._waiting.clear()

    def _next_group(self) -> list[Work]:
        """Who travels together: bounded in number and in bytes."""
        works: list[Work] = []
        size = 0
        while self._waiting and len(works) < GROUP_BATCHES_MAX:
            batch = self._waiting[0].batch
            size += weight(batch) if batch is not None else 0
            if works and size > GROUP_BYTES_MAX:
                break
            works.append(self._waiting.popleft())
        return works

    async def _carry(self, works: Sequence[Work]) -> None:
        sent: _Sent = []
        head = 0
        deciding = [work for work in works if work.decide is not None]
        if deciding:
            keys = list({key: None for work in deciding for key in work.wanted})
            records, head = await self._line.repeated(
                lambda transport: transport.read(keys), writes=False
            )
            sent = self._decide(deciding, dict(zip(keys, records, strict=True)), head)
        for work in works:
            if work.decide is None:
                assert work.batch is not None
                sent.append((work, work.batch, None))
        if not sent:
            return
        batches = [self._identified(batch) for _, batch, _ in sent]
        heads = [head for _, _, head in sent]
        outcomes = await self._line.repeated(
            lambda transport: transport.commit_many(batches, heads, head), writes=True
        )
        again: list[Work] = []
        newest = 0
        for (work, _, _), outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, Moved):
                # Not counted: whoever is decided first in a group needs no guess.
                again.append(work)
                continue
            if isinstance(outcome, Conflict) and self._again(work, outcome):
                again.append(work)
                continue
            if isinstance(outcome, Receipt):
                newest = max(newest, outcome.revision)
            work.settle(outcome)
        self._waiting.extendleft(reversed(again))
        if newest:
            self._publish(newest)

    def _decide(self, works: Sequence[Work], state: State, head: int) -> _Sent:
        """What the works decide, in turn; who needs more keys comes first in the next group."""
        sent: _Sent = []
        touched: set[bytes] = set()
        later: list[Work] = []
        size = 0
        for number, work in enumerate(works):
            decided = work.ask(state, touched, head + 1, self._check)
            self._line.require_process()  # The function may have forked, and this is the child.
            if type(decided) is Need:
                later.append(work)
                continue
            assert decided is None or isinstance(decided, Batch)
            if decided is None or not decided.operations:
                if work.guessed:
                    sent.append((work, Batch(work.checks(self._key_bytes_max)), head))
                else:
                    work.settle(Receipt(head))
                continue
            batch = work.batch = Batch(
                [*work.checks(self._key_bytes_max), *decided.operations],
                decided.id,
                work.previous or decided.previous,
            )
            sent.append((work, batch, head if work.guessed else None))
            size += weight(batch)
            if decided.id is not None or _has_checks(decided) or size > GROUP_BYTES_MAX:
                # It may not take its revision, so the next ones cannot be told theirs.
                later += works[number + 1 :]
                break
            head += 1
            apply(decided, head, state, touched)
        self._waiting.extendleft(reversed(later))
        return sent

    def _identified(self, batch: Batch) -> Batch:
        """The batch with an id, so that it can be sent twice; checks alone can anyway."""
        if batch.id is not None or not _writes(batch):
            return batch
        return replace(batch, id=self._ids.new())

    def _again(self, work: Work, conflict: Conflict) -> bool:
        """Whether what was refused is a check of ours, of what changed since it was read."""
        if work.decide is None:
            return False
        key, expected = conflict.details.get("key"), conflict.details.get("expected")
        if key not in work.seen:
            return False
        record = work.seen[key]
        if expected != (None if record is None else record.revision):
            return False
        work.attempts += 1
        if work.attempts < TRANSACT_ATTEMPTS_MAX:
            return True
        work.settle(
            Conflict(
                f"{len(work.seen)} keys changed between each of {TRANSACT_ATTEMPTS_MAX} reads and "
                "commits; try again when the writers of these keys are fewer",
                attempts=TRANSACT_ATTEMPTS_MAX,
            )
        )
        return False


def _writes(batch: Batch) -> bool:
    return any(
        type(one) is not CheckKey and type(one) is not CheckRange for one in batch.operations
    )


def _has_checks(batch: Batch) -> bool:
    return any(type(one) is CheckKey or type(one) is CheckRange for one in batch.operations)


def _closed() -> StoreClosed:
    return StoreClosed("the database is closed; open it again to write")
