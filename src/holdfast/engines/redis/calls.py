"""A batch as the script of a commit takes it, and how its reply reads."""

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
from holdfast.contract.errors import Conflict, StorageFull, ValueTooLarge
from holdfast.contract.record import Range, Record
from holdfast.engines.redis.connection import Word
from holdfast.engines.redis.failures import FULL
from holdfast.engines.remote.conflicts import key_conflict, range_conflict
from holdfast.engines.remote.transport import Moved, Outcome

#: How long the server remembers a batch id.
BATCH_ID_MEMORY_S = 15 * 60
#: How much a batch that deletes may add to a server at its limit: the rows that tell of it.
ROOM_BYTES_MAX = 4096
#: How many rows one CheckRange may walk; the same number stands in commit.lua.
CHECK_RANGE_ROWS_MAX = 10_000


class Call(NamedTuple):
    """What the script of a commit is given.

    Attributes:
        id: of the batch.
        arguments: those behind the lineage.
        checks: of the batch, in the order of their numbers.
        previous: whether previous records are answered.
        deletes: whether it deletes something.
    """

    id: bytes | None
    arguments: list[Word]
    checks: Sequence[CheckKey | CheckRange]
    previous: bool
    deletes: bool

    def in_run(self, run: str, since: int, head: int | None) -> Call:
        """The same as part of a run of commits.

        Args:
            run: its name, in hex; '' for none.
            since: the newest revision before it.
            head: the revision that it has to meet, with nothing but the run since; None: any.
        """
        arguments = list(self.arguments)
        arguments[4:7] = [b"" if head is None else head, since, run]
        return self._replace(arguments=arguments)

    def for_full_server(self) -> Call:
        """The same, for a server that refused it because it is full."""
        arguments = list(self.arguments)
        arguments[2] = ROOM_BYTES_MAX
        return self._replace(arguments=arguments)

    def outcome(self, reply: list[Any]) -> Outcome:
        """What became of the batch."""
        outcome, *rest = reply
        if outcome == b"moved":
            return Moved(rest[0])
        if outcome == b"conflict":
            number, found = rest
            return _conflict(self.checks[number - 1], found)
        if outcome == b"full":
            return StorageFull(FULL)
        if outcome == b"wide":
            return ValueTooLarge(
                f"a check of a range walks at most {CHECK_RANGE_ROWS_MAX} rows on Redis, which "
                f"serves nobody meanwhile; found {rest[1]}. Check smaller ranges, or single keys",
                limit=CHECK_RANGE_ROWS_MAX,
                found=rest[1],
            )
        if not self.previous or outcome == b"known":
            return Receipt(rest[0])
        flat = rest[1:]
        return Receipt(rest[0], dict(zip(flat[::2], map(record_or_none, flat[1::2]), strict=True)))


def call_of(batch: Batch) -> Call:
    """The batch as the script takes it: checks first, then writes, each with a letter before it."""
    checks = [one for one in batch.operations if isinstance(one, CheckKey | CheckRange)]
    writes = [one for one in batch.operations if not isinstance(one, CheckKey | CheckRange)]
    arguments: list[Word] = [
        BATCH_ID_MEMORY_S if batch.id is not None else 0,
        int(batch.previous),
        b"",
        len(checks),
        *(b"", b"", b""),
    ]
    for operation in (*checks, *writes):
        arguments += _words(operation)
    deletes = any(isinstance(one, Delete | DeleteRange) for one in writes)
    return Call(batch.id, arguments, checks, batch.previous, deletes)


def bounds(range: Range) -> tuple[bytes, bytes]:
    """The range as ZRANGEBYLEX has it; an empty one stays empty."""
    start = b"-" if range.start is None else b"[" + range.start
    return start, b"+" if range.end is None else b"(" + range.end


def record_of(stored: bytes) -> Record:
    """A record of the hash: 8 bytes of revision, then the value."""
    return Record(stored[8:], int.from_bytes(stored[:8], "big"))


def record_or_none(stored: bytes | None) -> Record | None:
    return None if stored is None else record_of(stored)


def _words(operation: Operation) -> list[Word]:
    match operation:
        case Put(key, value):
            return [b"p", key, value]
        case Append(prefix, value):
            return [b"a", prefix, value]
        case Delete(key):
            return [b"d", key]
        case CheckKey(key, revision):
            return [b"k", key, b"" if revision is None else revision]
        case CheckRange(range, at_revision, count):
            return [b"r", *bounds(range), at_revision, count]
        case DeleteRange(range):
            return [b"D", *bounds(range)]
        case Rewrite(key, value):
            return [b"w", key, value]


def _conflict(check: CheckKey | CheckRange, found: bytes) -> Conflict:
    if isinstance(check, CheckKey):
        return key_conflict(check, int(found) if found else None)
    if found[:1] == b"r":
        return range_conflict(check, None, int(found[1:]))
    return range_conflict(check, int(found), None)
