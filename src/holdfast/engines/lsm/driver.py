"""What is asked of a driver: an ordered space of bytes with atomic batches and snapshots.

Every call raises errors of the contract in place of the driver's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

#: A key with its new value; None deletes it.
Change = tuple[bytes, bytes | None]


class Found(NamedTuple):
    """Some rows of a range.

    Attributes:
        rows: (key, value) in the order of the walk.
        more: the range may hold more of them.
    """

    rows: list[tuple[bytes, bytes]]
    more: bool


class Walk(ABC):
    """The keys below some end, in the state in which the walk was made."""

    @abstractmethod
    def rows(self, start: bytes, *, reverse: bool, rows_max: int, bytes_max: int) -> Found:
        """The first rows from `start`, or the last ones, until there are so many, or bytes."""


class View(ABC):
    """What reads go to: the newest state, or one that stands still.

    Attributes:
        soon: it is only there until another comes, which a reader waits for.
    """

    soon = False

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """The value of the key."""

    @abstractmethod
    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order."""

    @abstractmethod
    def walk(self, end: bytes) -> Walk:
        """A walk through the keys below the end."""

    def rows(
        self, start: bytes, end: bytes, *, reverse: bool, rows_max: int, bytes_max: int
    ) -> Found:
        """The first rows of `start <= key < end`, until there are so many, or so many bytes."""
        return self.walk(end).rows(start, reverse=reverse, rows_max=rows_max, bytes_max=bytes_max)

    @abstractmethod
    def snapshot(self) -> View:
        """The same state, standing still. It ends with the last reference to it."""

    @abstractmethod
    def disown(self) -> None:
        """In a forked child: never touch it again, not even to let go of it."""


class Driver(View):
    """One open database, written by one thread at a time.

    Attributes:
        flushes_later: what was written can be flushed by `flush`.
    """

    flushes_later: bool

    @abstractmethod
    def write(self, changes: Sequence[Change], *, flush: bool) -> None:
        """Make the changes, all or none; with `flush` they are on the medium afterwards.

        Raises:
            StorageFull: there is no room.
            Overloaded: nothing was written, and later writes may be.
            StoreError: anything else. Whether the changes are made is told by opening anew.
        """

    @abstractmethod
    def flush(self) -> None:
        """Have the medium hold whatever was written. Raises StorageFull, StoreError."""

    @abstractmethod
    def compact(self) -> None:
        """Give space of overwritten rows back; returns when that is done."""

    def cancel(self) -> None:
        """End a compaction of another thread soon; a close follows."""

    @abstractmethod
    def close(self) -> None:
        """Let go, when no other call runs any more; twice does nothing."""
