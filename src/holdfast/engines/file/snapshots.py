"""Fixed views: revisions whose places are kept as long as somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.contract.engine import Snapshot
from holdfast.engines.embedded.open_snapshots import HeldSnapshot, OpenSnapshots, foreign
from holdfast.engines.file.index import Index


class FileSnapshot(HeldSnapshot):
    """A view of the revision at which it was made, whose places the index keeps."""

    def __init__(self, snapshots: Snapshots, index: Index, taken_at: float) -> None:
        self.snapshots = snapshots
        self.taken_at = taken_at
        self._index = index
        self._token = object()
        with index.lock:
            self.revision = index.head
            index.past.take(self._token, index.head)

    def end(self, why: str) -> None:
        self.closed = self.closed or why
        self._index.release(self._token)
        self.snapshots.forget(self)

    def __del__(self) -> None:
        # Collected in any thread, which must not wait for a lock: the next write forgets the past.
        if hasattr(self, "_token"):
            self._index.past.drop(self._token)
            self.snapshots.forget(self)


class Snapshots(OpenSnapshots[FileSnapshot]):
    """The open snapshots of one engine, which keep places in the index."""

    def __init__(self, index: Index, age_max_s: float, monotonic: Callable[[], float]) -> None:
        super().__init__(age_max_s, monotonic)
        self._index = index

    def take(self) -> FileSnapshot:
        """A view of this moment."""
        return self.add(FileSnapshot(self, self._index, self._monotonic()))

    def own(self, at: Snapshot) -> FileSnapshot:
        """The snapshot, if it is one of this engine and open."""
        if not isinstance(at, FileSnapshot) or at.snapshots is not self:
            raise foreign()
        self.require_open(at)
        return at

    def __bool__(self) -> bool:
        return bool(self._index.past.tokens)
