"""What a transaction is going to write, and how much of it a savepoint takes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sortedcontainers import SortedDict

from holdfast.contract.batch import Append, Delete, Operation, Put
from holdfast.contract.capability import Capabilities
from holdfast.contract.errors import InvalidInput, ValueTooLarge
from holdfast.contract.record import MISSING, THIS_COMMIT, Missing, Range, Record

#: How many savepoints a transaction may have at once.
SAVEPOINTS_MAX: Final = 1000


class _Mark(NamedTuple):
    """A savepoint: how much had been written when it was set."""

    name: str
    undone: int
    appends: int
    size: int


class WriteSet:
    """The rows a transaction writes, in key order, over those of the database.

    Args:
        limits: of the engine.

    Attributes:
        rows: the new value of each key; None deletes it.
        appends: rows whose keys the commit makes.
    """

    def __init__(self, limits: Capabilities) -> None:
        self.rows: SortedDict[bytes, bytes | None] = SortedDict()
        self.appends: list[Append] = []
        self._limits = limits
        self._size = 0
        self._marks: list[_Mark] = []
        # What stood in the set before each write behind the first savepoint, in order.
        self._undo: list[tuple[bytes, bytes | Missing | None]] = []

    def __bool__(self) -> bool:
        return bool(self.rows or self.appends)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a row, or (None) delete it. Raises ValueTooLarge when there is no more room."""
        before = self.rows.get(key, MISSING)
        if self._marks:
            self._undo.append((key, before))
        if isinstance(before, Missing):
            self._size += len(key)
        else:
            self._size -= len(before or b"")
        self.rows[key] = value
        self._size += len(value or b"")
        self._require_room()

    def append(self, prefix: bytes, value: bytes) -> None:
        """Write a row whose key the commit makes."""
        self.appends.append(Append(prefix, value))
        self._size += len(prefix) + len(value)
        self._require_room()

    def operations(self) -> list[Operation]:
        """Everything, for the commit."""
        rows = [
            Delete(key) if value is None else Put(key, value) for key, value in self.rows.items()
        ]
        return [*rows, *self.appends]

    # --- Over the database ------------------------------------------------------------------

    def over(self, keys: Sequence[bytes], below: Sequence[Record | None]) -> list[Record | None]:
        """The rows under the keys, as written here where they were, else as they lie below."""
        written = self.rows
        if not written:
            return list(below)
        seen = []
        for key, record in zip(keys, below, strict=True):
            if key in written:
                value = written[key]
                seen.append(None if value is None else Record(value, THIS_COMMIT))
            else:
                seen.append(record)
        return seen

    def over_range(
        self, range: Range, below: list[tuple[bytes, Record]], *, reverse: bool
    ) -> list[tuple[bytes, Record]]:
        """All rows of a range, in the order asked for: those written here over those below."""
        written = self.rows
        if not written:
            return below
        rows = [row for row in below if row[0] not in written]
        rows += [
            (key, Record(value, THIS_COMMIT))
            for key in written.irange(range.start, range.end, (True, False))
            if (value := written[key]) is not None
        ]
        rows.sort(key=lambda row: row[0], reverse=reverse)
        return rows

    # --- Savepoints -------------------------------------------------------------------------

    def savepoint(self, name: str) -> None:
        """Remember this moment under a name; a name that is there already is hidden by it."""
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"a savepoint has a name of at least one character; found {name!r}")
        if len(self._marks) >= SAVEPOINTS_MAX:
            raise InvalidInput(
                f"a transaction has at most {SAVEPOINTS_MAX} savepoints at once; release some"
            )
        self._marks.append(_Mark(name, len(self._undo), len(self.appends), self._size))

    def rollback_to(self, name: str) -> None:
        """Take back everything written since the savepoint, which stays."""
        place = self._place(name)
        mark = self._marks[place]
        while len(self._undo) > mark.undone:
            key, before = self._undo.pop()
            if isinstance(before, Missing):
                del self.rows[key]
            else:
                self.rows[key] = before
        del self.appends[mark.appends :]
        del self._marks[place + 1 :]
        self._size = mark.size

    def release(self, name: str) -> None:
        """Forget the savepoint, and those set after it; what was written stays."""
        del self._marks[self._place(name) :]
        if not self._marks:
            self._undo.clear()

    def _place(self, name: str) -> int:
        for place in range(len(self._marks) - 1, -1, -1):
            if self._marks[place].name == name:
                return place
        known = ", ".join(repr(mark.name) for mark in self._marks) or "none"
        raise InvalidInput(
            f"a savepoint {name!r} was wanted; this transaction has {known}. "
            "Set it with tx.savepoint(name) first"
        )

    def _require_room(self) -> None:
        limits = self._limits
        if (
            len(self.rows) + len(self.appends) > limits.batch_operations_max
            or self._size > limits.batch_bytes_max
        ):
            raise ValueTooLarge(
                f"a transaction writes at most {limits.batch_operations_max} rows and "
                f"{limits.batch_bytes_max} bytes; found more. Split it"
            )
