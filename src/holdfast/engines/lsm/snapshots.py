"""Fixed views that callers hold, and when they end."""

from __future__ import annotations

from collections.abc import Callable
from weakref import ref

from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import InvalidInput, StoreClosed
from holdfast.engines.lsm.driver import View


class LsmSnapshot(Snapshot):
    """A view of one revision; one that nobody has any more ends by itself."""

    def __init__(self, snapshots: Snapshots, view: View, revision: int, taken_at: float) -> None:
        self.snapshots = snapshots
        self.view: View | None = view
        self.revision = revision
        self.taken_at = taken_at
        self.closed = ""

    def close(self) -> None:
        self.end("is closed")

    def end(self, why: str) -> None:
        """Close the view; `why` tells those that still read from it. Can be repeated."""
        self.closed = self.closed or why
        self.view = None
        self.snapshots.forget(self)

    def __del__(self) -> None:
        if hasattr(self, "closed"):
            self.snapshots.forget(self)


class Snapshots:
    """The open snapshots of one engine.

    Args:
        age_max_s: how old one may become.
        monotonic: the clock for durations.
    """

    def __init__(self, age_max_s: float, monotonic: Callable[[], float]) -> None:
        self._age_max_s = age_max_s
        self._monotonic = monotonic
        # By number, because a dict is listed in one step, whatever other threads do.
        self._open: dict[int, ref[LsmSnapshot]] = {}

    def take(self, view: View, revision: int) -> LsmSnapshot:
        """A snapshot on the view."""
        snapshot = LsmSnapshot(self, view, revision, self._monotonic())
        self._open[id(snapshot)] = ref(snapshot)
        return snapshot

    def view_of(self, at: Snapshot) -> tuple[View, int]:
        """(what the snapshot reads from, its revision), if it is one of this engine and open."""
        if not isinstance(at, LsmSnapshot) or at.snapshots is not self:
            raise InvalidInput("a snapshot is read through the engine that made it")
        if not at.closed and self._monotonic() - at.taken_at > self._age_max_s:
            self.end_old()
        view = at.view
        if view is None:
            raise StoreClosed(f"the snapshot {at.closed}; take a new one")
        return view, at.revision

    def forget(self, snapshot: LsmSnapshot) -> None:
        """The snapshot is closed."""
        self._open.pop(id(snapshot), None)

    def end_old(self) -> None:
        """Close what is too old: it keeps overwritten rows alive."""
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
        """In a forked child: the views are the parent's."""
        for snapshot in self._listed():
            snapshot.closed = snapshot.closed or "was taken before a fork, and is the parent's"
            if snapshot.view is not None:
                snapshot.view.disown()

    def _listed(self) -> list[LsmSnapshot]:
        return [one for known in list(self._open.values()) if (one := known()) is not None]

    def __bool__(self) -> bool:
        return bool(self._open)
