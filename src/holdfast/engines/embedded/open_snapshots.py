"""The snapshots of one engine that callers hold: which are open, and when they end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar
from weakref import ref

from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import InvalidInput, StoreClosed


class HeldSnapshot(Snapshot):
    """A view of one revision; one that nobody has any more ends by itself.

    Attributes:
        taken_at: by the clock for durations, in seconds.
        closed: why it can no longer be read from; empty while it can.
    """

    taken_at: float
    closed = ""

    def close(self) -> None:
        self.end("is closed")

    @abstractmethod
    def end(self, why: str) -> None:
        """Close the view; `why` tells those that still read from it. Can be repeated."""


S = TypeVar("S", bound=HeldSnapshot)


class OpenSnapshots(Generic[S]):
    """The open snapshots of one engine, the oldest first.

    Args:
        age_max_s: how old one may become.
        monotonic: the clock for durations.
    """

    def __init__(self, age_max_s: float, monotonic: Callable[[], float]) -> None:
        self._age_max_s = age_max_s
        self._monotonic = monotonic
        # By number, because a dict is listed in one step, whatever other threads do.
        self._open: dict[int, ref[S]] = {}

    def add(self, snapshot: S) -> S:
        """Remember a snapshot that was taken now."""
        self._open[id(snapshot)] = ref(snapshot)
        return snapshot

    def forget(self, snapshot: S) -> None:
        """The snapshot is closed, or collected."""
        self._open.pop(id(snapshot), None)

    def require_open(self, at: S) -> None:
        """Raise StoreClosed for a snapshot that is closed, or too old by now."""
        if not at.closed and self._monotonic() - at.taken_at > self._age_max_s:
            self.end_old()
        if at.closed:
            raise StoreClosed(f"the snapshot {at.closed}; take a new one")

    def end_old(self) -> None:
        """Close what is too old: it keeps from being reused what was overwritten since."""
        oldest = self._monotonic() - self._age_max_s
        for snapshot in self._each():
            if snapshot.taken_at >= oldest:
                return  # So are those behind it: every commit asks, however many are open.
            snapshot.end(f"was older than {self._age_max_s} s (snapshot_age_max) and was closed")

    def end_all(self, why: str) -> None:
        """Close every snapshot."""
        for snapshot in self._each():
            snapshot.end(why)

    def disown(self) -> None:
        """In a forked child: the views are the parent's."""
        for snapshot in self._each():
            snapshot.closed = snapshot.closed or "was taken before a fork, and is the parent's"

    def _each(self) -> Iterator[S]:
        for known in list(self._open.values()):
            snapshot = known()
            if snapshot is not None:
                yield snapshot

    def __bool__(self) -> bool:
        return bool(self._open)


def foreign() -> InvalidInput:
    """The error for a snapshot that another engine made."""
    return InvalidInput("a snapshot is read through the engine that made it")
