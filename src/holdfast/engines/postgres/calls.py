"""A batch as the function of a commit takes it, and how its answer reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    Rewrite,
)
from holdfast.contract.errors import ConnectionLost
from holdfast.contract.record import Record
from holdfast.engines.remote.conflicts import key_conflict, range_conflict
from holdfast.engines.remote.transport import Moved, Outcome

#: How long the server remembers a batch id.
BATCH_ID_MEMORY_S = 15 * 60
_COLUMNS = 6


class Call(NamedTuple):
    """What the function of a commit is given.

    Attributes:
        arguments: those behind the lineage.
        checks: of the batch, in the order of their numbers.
        previous: whether previous records are answered.
        writes: whether it does more than to check.
    """

    arguments: list[Any]
    checks: Sequence[CheckKey | CheckRange]
    previous: bool
    writes: bool

    def outcome(self, answer: Sequence[Any]) -> Outcome:
        """What became of the batch."""
        outcome, revision, failed, seen, newer, *previous = answer
        if outcome == "lineage":
            return other_lineage()
        if outcome == "moved":
            return Moved(seen)
        if outcome == "conflict":
            check = self.checks[failed - 1]
            if isinstance(check, CheckKey):
                return key_conflict(check, seen)
            return range_conflict(check, seen, newer)
        if not self.previous or outcome == "known":
            return Receipt(revision)
        noted = zip(*(column or [] for column in previous), strict=True)
        return Receipt(
            revision, {key: None if at is None else Record(value, at) for key, value, at in noted}
        )


def call_of(batch: Batch, head: int | None, since: int) -> Call:
    """The batch as the function takes it: checks first, then writes, as parallel arrays.

    Args:
        batch: to apply.
        head: the revision that it has to meet, with nothing but its transaction since; None: any.
        since: the newest revision before.
    """
    checks = [one for one in batch.operations if isinstance(one, CheckKey | CheckRange)]
    writes = [one for one in batch.operations if not isinstance(one, CheckKey | CheckRange)]
    rows = [_columns(operation) for operation in (*checks, *writes)]
    arrays = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(_COLUMNS)]
    arguments = [
        head,
        since,
        batch.id,
        BATCH_ID_MEMORY_S,
        batch.previous,
        "".join(arrays[0]),
        *arrays[1:],
    ]
    return Call(arguments, checks, batch.previous, bool(writes))


def other_lineage() -> ConnectionLost:
    """The database has begun another lineage since this connection was made."""
    return ConnectionLost("the database on PostgreSQL has begun another lineage; connecting anew")


def _columns(operation: Operation) -> tuple[str, Any, Any, Any, Any, Any]:
    """(kind, key, end, value, revision, count) of an operation."""
    match operation:
        case Put(key, value):
            return "p", key, None, value, None, None
        case Append(prefix, value):
            return "a", prefix, None, value, None, None
        case Delete(key):
            return "d", key, None, None, None, None
        case CheckKey(key, revision):
            return "k", key, None, None, revision, None
        case CheckRange(bounds, at_revision, count):
            return "r", bounds.start, bounds.end, None, at_revision, count
        case DeleteRange(bounds):
            return "D", bounds.start, bounds.end, None, None, None
        case Rewrite(key, value):
            return "w", key, None, value, None, None
