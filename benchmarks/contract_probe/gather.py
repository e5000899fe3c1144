"""One round trip for many callers: what a remote engine can do where an embedded one groups.

While a group is on its way, whoever comes next gathers. A group reads the keys of all its
`transact` calls at once, decides them in turn, each on what the earlier ones leave, and sends all
batches together. Every decision carries checks of what it saw, so a guess that turns out wrong
(another process wrote in between) is refused by the server and decided anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from holdfast.contract.batch import (
    Append,
    Batch,
    CheckKey,
    CheckRange,
    Decide,
    Delete,
    DeleteRange,
    Operation,
    Put,
    Receipt,
    append_key,
)
from holdfast.contract.engine import TRANSACT_ATTEMPTS_MAX, decided_batch
from holdfast.contract.errors import Conflict, StoreError
from holdfast.contract.record import Record

#: How many batches travel together at most.
GROUP_BATCHES_MAX = 128

_NOTHING = Batch(())

State = dict[bytes, Record | None]
Read = Callable[[Sequence[bytes]], Awaitable[tuple[list[Record | None], int]]]
CommitMany = Callable[[Sequence[Batch]], Awaitable[list[Receipt | StoreError]]]


@dataclass(eq=False)
class _Work:
    """A batch, or the keys and function that make one, and who waits for it."""

    answer: asyncio.Future[Receipt]
    batch: Batch = _NOTHING
    keys: Sequence[bytes] = ()
    decide: Decide | None = None
    previous: bool = False
    attempts: int = 0
    failure: Exception | None = None

    def settle(self, outcome: Receipt | Exception) -> None:
        if self.answer.done():  # The caller was cancelled; the write stands.
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        elif self.failure is not None:
            self.answer.set_exception(self.failure)
        else:
            self.answer.set_result(outcome)


class Gather:
    """Gathers the commits and transactions of one engine into groups, one on its way at a time."""

    def __init__(self, read: Read, commit_many: CommitMany) -> None:
        self._read = read
        self._commit_many = commit_many
        self._waiting: deque[_Work] = deque()
        self._leader: asyncio.Task[None] | None = None

    async def commit(self, batch: Batch) -> Receipt:
        return await self._submit(_Work(asyncio.get_running_loop().create_future(), batch))

    async def transact(self, keys: Sequence[bytes], decide: Decide, *, previous: bool) -> Receipt:
        answer = asyncio.get_running_loop().create_future()
        return await self._submit(_Work(answer, keys=keys, decide=decide, previous=previous))

    async def drain(self) -> None:
        """Wait until everything gathered is answered."""
        if self._leader is not None:
            await self._leader

    async def _submit(self, work: _Work) -> Receipt:
        self._waiting.append(work)
        if self._leader is None:
            self._leader = asyncio.create_task(self._lead())
        return await work.answer

    async def _lead(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), GROUP_BATCHES_MAX)
                works = [self._waiting.popleft() for _ in range(size)]
                try:
                    await self._carry(works)
                except Exception as error:  # Concerns the whole group: the way to the server.
                    for work in works:
                        work.settle(error)
        finally:
            self._leader = None

    async def _carry(self, works: Sequence[_Work]) -> None:
        deciding = [work for work in works if work.decide is not None]
        ready = [work for work in works if work.decide is None]
        sent: list[tuple[_Work, Batch]] = []
        if deciding:
            keys = list({key: None for work in deciding for key in work.keys})
            records, head = await self._read(keys)
            decided = self._decide_in_turn(deciding, dict(zip(keys, records, strict=True)), head)
            self._waiting.extendleft(reversed(deciding[len(decided) :]))
            sent += zip(deciding, decided, strict=False)
        sent += [(work, work.batch) for work in ready]
        outcomes = await self._commit_many([batch for _, batch in sent])
        for (work, _), outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, Conflict) and self._again(work, outcome):
                self._waiting.append(work)
            else:
                work.settle(outcome)

    def _decide_in_turn(self, works: Sequence[_Work], state: State, head: int) -> list[Batch]:
        """The batches of the first works; a batch that may not take its revision is the last."""
        decided: list[Batch] = []
        for work in works:
            assert work.decide is not None
            records = [state[key] for key in work.keys]
            checks = [
                CheckKey(key, None if record is None else record.revision)
                for key, record in zip(work.keys, records, strict=True)
            ]
            work.failure = None
            batch: Batch | None = None
            try:
                answer = work.decide(records, head + 1)
                batch = None if answer is None else decided_batch(answer)
            except Exception as error:
                # May rest on a guess: it counts once the checks of what was seen have passed.
                work.failure = error
            if batch is None:
                decided.append(Batch(checks))
                continue
            decided.append(
                Batch([*checks, *batch.operations], batch.id, work.previous or batch.previous)
            )
            if batch.id is not None or _has_checks(batch):
                break
            if batch.operations:
                head += 1
                _apply(batch, head, state)
        return decided

    def _again(self, work: _Work, conflict: Conflict) -> bool:
        work.attempts += 1
        return (
            work.decide is not None
            and conflict.details.get("key") in work.keys
            and work.attempts < TRANSACT_ATTEMPTS_MAX
        )


def _has_checks(batch: Batch) -> bool:
    return any(isinstance(operation, CheckKey | CheckRange) for operation in batch.operations)


def _deletes(operation: Operation, key: bytes) -> bool:
    if isinstance(operation, Delete):
        return key == operation.key
    return isinstance(operation, DeleteRange) and key in operation.range


def _apply(batch: Batch, revision: int, state: State) -> None:
    """What the batch does to the keys that the group has read."""
    appends = 0
    for operation in batch.operations:
        if isinstance(operation, Put):
            written, record = operation.key, Record(operation.value, revision)
        elif isinstance(operation, Append):
            written = append_key(operation.prefix, revision, appends)
            record = Record(operation.value, revision)
            appends += 1
        else:
            for key in state:
                if _deletes(operation, key):
                    state[key] = None
            continue
        if written in state:
            state[written] = record
