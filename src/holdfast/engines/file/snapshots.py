"""Fixed views: revisions whose places are kept as long as somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from weakref import ref

from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import InvalidInput, StoreClosed
from holdfast.engines.file.index import Index


class FileSnapshot(Snapshot):
    """A view of the revision at which it was made; one that nobody has any more ends by itself."""

    def __init__(self, snapshots: Snapshots, index: Index, taken_at: float) -> None:
        self.snapshots = snapshots
        self.taken_at = taken_at
        self.closed = ""
        self._index = index
        self._token = object()
        with index.lock:
            self.revision = index.head
            index.snapshots.add(self._token)

    def close(self) -> None:
        self.end("is closed")

    def end(self, why: str) -> None:
        """Close the view; `why` tells those that still read from it. Can be repeated."""
        self.closed = self.closed or why
        self._index.release(self._token)
        self.snapshots.forget(self)

    def __del__(self) -> None:
        # Collected in any thread, which must not wait for a lock: the next write forgets the past.
        if hasattr(self, "_token"):
            self._index.snapshots.discard(self._token)
            self.snapshots.forget(self)


class Snapshots:
    """The open snapshots of one engine.

    Args:
        index: of the database.
        age_max_s: how old one may become.
        monotonic: the clock for durations.
    """

    def __init__(self, index: Index, age_max_s: float, monotonic: Callable[[], float]) -> None:
        self._index = index
        self._age_max_s = age_max_s
        self._monotonic = monotonic
        # By number, because a dict is listed in one step, whatever other threads do.
        self._open: dict[int, ref[FileSnapshot]] = {}

    def take(self) -> FileSnapshot:
        """A view of this moment."""
        snapshot = FileSnapshot(self, self._index, self._monotonic())
        self._open[id(snapshot)] = ref(snapshot)
        return snapshot

    def own(self, at: Snapshot) -> FileSnapshot:
        """The snapshot, if it is one of this engine and open."""
        if not isinstance(at, FileSnapshot) or at.snapshots is not self:
            raise InvalidInput("a snapshot is read through the engine that made it")
        if not at.closed and self._monotonic() - at.taken_at > self._age_max_s:
            self.end_old()
        if at.closed:
            raise StoreClosed(f"the snapshot {at.closed}; take a new one")
        return at

    def forget(self, snapshot: FileSnapshot) -> None:
        """The snapshot is closed."""
        self._open.pop(id(snapshot), None)

    def end_old(self) -> None:
        """Close what is too old: it keeps files from being removed."""
        oldest = self._monotonic() - self._age_max_s
        for snapshot in self._listed():
            if snapshot.taken_at < oldest:
                snapshot.end(
                    f"was older than {self._age_max_s} s (snapshot_age_max) and was closed"
                )

    def end_all(self, why: str) -> None:
        """Close every snapshot."""
        for snapshot in self._listed():
            snapshot.end(why)

    def disown(self) -> None:
        """In a forked child: another thread may have had the lock at the fork."""
        for snapshot in self._listed():
            snapshot.closed = snapshot.closed or "was taken before a fork, and is the parent's"

    def _listed(self) -> list[FileSnapshot]:
        return [one for known in list(self._open.values()) if (one := known()) is not None]

    def __bool__(self) -> bool:
        return bool(self._index.snapshots)
