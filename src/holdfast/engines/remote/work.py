"""A write on its way to the server, and what its function decides on what the group has read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from holdfast.contract.batch import (
    NEEDS_MAX,
    Append,
    Batch,
    CheckKey,
    Decide,
    Delete,
    DeleteRange,
    Draft,
    Need,
    Operation,
    Put,
    Receipt,
    Rewrite,
    append_key,
)
from holdfast.contract.engine import TRANSACT_ATTEMPTS_MAX, decided_batch
from holdfast.contract.errors import Conflict
from holdfast.contract.record import Record

State = dict[bytes, Record | None]


class Work:
    """A batch, or the keys and function that make one, and who waits for it.

    Attributes:
        answer: what its caller waits for.
        batch: what is committed; None while it is to be decided.
        wanted: the keys that the group reads for it: those it names, and those its function asked
            for when it was tried before.
        seen: the checks of what its function decided on.
        guessed: it was decided on what earlier writes of the group are expected to leave.
        failure: what its function raised; it counts once the checks of what it saw have passed.
        attempts: how often it was refused because what it saw had changed.
    """

    __slots__ = (
        "answer", "attempts", "batch", "decide", "failure", "guessed", "keys", "previous", "seen",
        "wanted",
    )  # fmt: skip

    def __init__(
        self,
        answer: asyncio.Future[Receipt | BaseException],
        batch: Batch | None = None,
        keys: Sequence[bytes] = (),
        decide: Decide | None = None,
        *,
        previous: bool = False,
    ) -> None:
        self.answer = answer
        self.batch = batch
        self.keys = keys
        self.wanted: Sequence[bytes] = keys
        self.decide = decide
        self.previous = previous
        self.seen: dict[bytes, Record | None] = {}
        self.guessed = False
        self.failure: BaseException | None = None
        self.attempts = 0

    def settle(self, outcome: Receipt | BaseException) -> None:
        """Tell the caller, unless it was cancelled: then the write stands all the same."""
        if self.answer.done():
            return
        if self.failure is not None and not isinstance(outcome, BaseException):
            outcome = self.failure
        # As a result and not as an exception: a loop takes some of what user code can raise
        # (StopIteration, GeneratorExit) for something else.
        self.answer.set_result(outcome)

    async def outcome(self) -> Receipt:
        """The receipt, once it is there; raises what it failed with."""
        outcome = await self.answer
        if isinstance(outcome, BaseException):
            raise outcome
        return self._with_previous(outcome)

    def ask(
        self,
        state: State,
        touched: set[bytes],
        revision: int,
        check: Callable[[Batch | Draft], None],
    ) -> Batch | Need | None:
        """What its function decides; Need when that takes keys which were not read.

        Whatever it raises, and what `check` has against what it decided, is kept as its failure;
        what it decided is then nothing.
        """
        assert self.decide is not None
        keys = list(self.keys)
        self.failure, batch = None, None
        try:
            answer = self.decide([state[key] for key in keys], revision)
            for _ in range(NEEDS_MAX):
                if type(answer) is not Need:
                    break
                keys += answer.keys
                if any(key not in state for key in answer.keys):
                    self._want(keys)
                    return answer
                answer = self.decide([state[key] for key in keys], revision)
            if type(answer) is Draft:
                check(answer)
            if answer is not None:
                decided = decided_batch(answer)
                check(decided)
                batch = decided
        except BaseException as error:  # noqa: BLE001 - user code can raise anything
            self.failure = error
        self.seen = {key: state[key] for key in keys if key in state}
        self.guessed = not touched.isdisjoint(self.seen)
        return batch

    def _want(self, keys: Sequence[bytes]) -> None:
        """Have these keys read for the next attempt. Raises Conflict when there were too many."""
        self.attempts += 1
        if self.attempts >= TRANSACT_ATTEMPTS_MAX:
            raise Conflict(
                f"a function of transact asked for other keys in each of {TRANSACT_ATTEMPTS_MAX} "
                "attempts; ask for the same keys when the same records are shown",
                attempts=TRANSACT_ATTEMPTS_MAX,
            )
        self.wanted = list(dict.fromkeys(keys))

    def checks(self, key_bytes_max: int) -> list[Operation]:
        """That what its function saw still stands. A key that cannot be one is always absent."""
        return [
            CheckKey(key, None if record is None else record.revision)
            for key, record in self.seen.items()
            if 0 < len(key) <= key_bytes_max
        ]

    def _with_previous(self, receipt: Receipt) -> Receipt:
        """A write sent twice is told without its previous records; what was seen is known."""
        batch = self.batch
        if receipt.previous is not None or batch is None or not batch.previous or not self.seen:
            return receipt
        keys = [one.key for one in batch.operations if type(one) is Put or type(one) is Delete]
        if any(key not in self.seen for key in keys):
            return receipt
        return receipt._replace(previous={key: self.seen[key] for key in keys})


def apply(batch: Batch, revision: int, state: State, touched: set[bytes]) -> None:
    """What the batch is expected to do to the keys that the group has read."""
    appends = 0
    record: Record | None
    for operation in batch.operations:
        kind = type(operation)
        if kind is DeleteRange:
            deleted = [key for key in state if key in operation.range]  # type: ignore[union-attr]
            state.update(dict.fromkeys(deleted))
            touched.update(deleted)
            continue
        if kind is Put:
            key, record = operation.key, Record(operation.value, revision)  # type: ignore[union-attr]
        elif kind is Rewrite:
            key, standing = operation.key, state.get(operation.key)  # type: ignore[union-attr]
            record = standing and Record(operation.value, standing.revision)  # type: ignore[union-attr]
        elif kind is Append:
            key = append_key(operation.prefix, revision, appends)  # type: ignore[union-attr]
            record = Record(operation.value, revision)  # type: ignore[union-attr]
            appends += 1
        elif kind is Delete:
            key, record = operation.key, None  # type: ignore[union-attr]
        else:
            continue
        if key in state:
            state[key] = record
            touched.add(key)


def weight(batch: Batch | Draft) -> int:
    """How many bytes of values the batch sends."""
    if isinstance(batch, Draft):
        batch = batch.batch()
    return sum(
        len(one.value) for one in batch.operations if isinstance(one, Put | Append | Rewrite)
    )
