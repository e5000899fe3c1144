"""Fixed views that callers hold, and when they end."""

from __future__ import annotations

from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import StoreClosed
from holdfast.engines.embedded.open_snapshots import HeldSnapshot, OpenSnapshots, foreign
from holdfast.engines.lsm.driver import View


class LsmSnapshot(HeldSnapshot):
    """A view of one revision, which the driver keeps."""

    def __init__(self, snapshots: Snapshots, view: View, revision: int, taken_at: float) -> None:
        self.snapshots = snapshots
        self.view: View | None = view
        self.revision = revision
        self.taken_at = taken_at

    def end(self, why: str) -> None:
        self.closed = self.closed or why
        self.view = None
        self.snapshots.forget(self)

    def __del__(self) -> None:
        if hasattr(self, "taken_at"):
            self.snapshots.forget(self)


class Snapshots(OpenSnapshots[LsmSnapshot]):
    """The open snapshots of one engine."""

    def take(self, view: View, revision: int) -> LsmSnapshot:
        """A snapshot on the view."""
        return self.add(LsmSnapshot(self, view, revision, self._monotonic()))

    def view_of(self, at: Snapshot) -> tuple[View, int]:
        """(what the snapshot reads from, its revision), if it is one of this engine and open."""
        if not isinstance(at, LsmSnapshot) or at.snapshots is not self:
            raise foreign()
        self.require_open(at)
        view = at.view
        if view is None:  # Another thread is closing it just now.
            raise StoreClosed("the snapshot is closed; take a new one")
        return view, at.revision

    def disown(self) -> None:
        super().disown()
        for snapshot in self._each():
            if snapshot.view is not None:
                snapshot.view.disown()
