"""The one way to write: a batch of operations that happen together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from holdfast.contract.record import Range, Record


class Put(NamedTuple):
    """Write `value` under `key`."""

    key: bytes
    value: bytes


class Delete(NamedTuple):
    """Remove `key`; removing an absent key is no error."""

    key: bytes


class Rewrite(NamedTuple):
    """Put other bytes in the place of a row's value, and leave the row's revision as it is.

    For layers that change how a value is stored, not what it is. The key has to be there: check it
    in the same commit. By capability `rewrites`.
    """

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class DeleteRange:
    """Remove every key of the range; its direction and limit do not matter."""

    range: Range


class Append(NamedTuple):
    """Write `value` under a key made at commit: prefix, revision (8 bytes), index (4 bytes).

    Both numbers are big endian. The index counts the appends of the batch from 0. So a log can be
    written in commit order without knowing the revision first.
    """

    prefix: bytes
    value: bytes


class CheckKey(NamedTuple):
    """Refuse the batch unless `key` was last written by `revision` (`None`: is absent)."""

    key: bytes
    revision: int | None


@dataclass(frozen=True, slots=True)
class CheckRange:
    """Refuse the batch unless the range looks as it did at `at_revision`.

    Direction and limit of the range do not matter. At commit it is walked again: it must hold
    `count` keys, none written after `at_revision`. A key deleted since shows in the count, so no
    tombstones are needed; a key deleted and another inserted shows in the newer revision.
    """

    range: Range
    at_revision: int
    count: int


Operation = Put | Delete | DeleteRange | Append | CheckKey | CheckRange | Rewrite


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations in order. All checks are decided on the state before the batch.

    Attributes:
        operations: what to do; later operations on a key win over earlier ones.
        id: remembered for some minutes; a batch whose id is known is not applied again, its first
            receipt (without `previous`) is returned. Makes a retry after OutcomeUnknown safe. A
            batch of checks alone is not remembered.
        previous: ask for the record that each Put and Delete replaced.
    """

    operations: Sequence[Operation]
    id: bytes | None = None
    previous: bool = False


class Receipt(NamedTuple):
    """What a commit answers.

    Attributes:
        revision: the revision of the commit. A batch without writes takes no revision; its
            receipt carries the one it was decided at.
        previous: for each key put or deleted the record that stood there before the batch, when
            the batch asked for it.
    """

    revision: int
    previous: dict[bytes, Record | None] | None = None


class Draft:
    """A batch in the form that costs least to make and to take in: what `transact` decides on.

    Ranges are deleted first, then rows are written, then logs are appended to. A draft is made for
    one attempt, by one caller, and is not changed once it is handed over.

    Attributes:
        rows: the new value of each key written; None deletes it.
        appends: (prefix, value) of each row whose key the commit makes, see `Append`.
        ranges: every key in them is removed; replaced, not added to.
        checks: what must hold on the state before the commit; likewise.
        id: see `Batch.id`.
    """

    __slots__ = ("appends", "checks", "id", "ranges", "rows")

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.appends: list[tuple[bytes, bytes]] = []
        # Most drafts have none of these, and every write makes a draft.
        self.ranges: Sequence[Range] = ()
        self.checks: Sequence[CheckKey | CheckRange] = ()
        self.id: bytes | None = None

    @property
    def writes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.rows or self.appends or self.ranges)

    def batch(self) -> Batch:
        """The same as operations, for engines and layers that look at each."""
        return Batch(
            [
                *self.checks,
                *(DeleteRange(range) for range in self.ranges),
                *(
                    Delete(key) if value is None else Put(key, value)
                    for key, value in self.rows.items()
                ),
                *(Append(prefix, value) for prefix, value in self.appends),
            ],
            self.id,
        )


class Need(NamedTuple):
    """The answer of a function that has to see more keys before it can decide.

    It is called again with the records of the first keys, then those of all further ones in the
    order they were asked for. So the rare case pays for a read that the common one does not need.
    """

    keys: Sequence[bytes]


#: How often a function may ask for further keys in one attempt.
NEEDS_MAX = 8

#: What a function of `transact` answers; None writes nothing.
Answer = Draft | Batch | Need | None

#: What `transact` runs: (records in the order of the keys, revision the commit will get) -> what to
#: write. It must be pure apart from remembering its last answer: some engines run it more than
#: once.
Decide = Callable[[list[Record | None], int], Answer]


#: What an append adds to its prefix: 8 bytes of revision, 4 of index.
APPEND_BYTES = 12


_APPENDED = Struct(">QI")
#: What an append puts behind its prefix, from revision and index.
append_place = _APPENDED.pack


def append_key(prefix: bytes, revision: int, index: int) -> bytes:
    """The key that an `Append` with `prefix` gets."""
    return prefix + append_place(revision, index)


def append_position(key: bytes) -> tuple[int, int]:
    """(revision, index) of a key that an `Append` made."""
    return int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big")
