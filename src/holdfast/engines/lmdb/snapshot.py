"""Fixed views: read transactions that stay open, with an end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import lmdb

from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import StoreClosed
from holdfast.contract.memory import no_memory
from holdfast.engines.embedded.locking import holding
from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.layered import Layered, LayeredTree, held_bytes
from holdfast.engines.lmdb.long_keys import Tree
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Layers

T = TypeVar("T")


class LmdbSnapshot(Snapshot):
    """One read transaction; threads that share it read one after the other.

    Attributes:
        held: the layers that it keeps in memory; None: the file alone has its rows.
    """

    def __init__(
        self, snapshots: Snapshots, medium: Medium, taken_at: float, layered: Layered | None
    ) -> None:
        self.snapshots = snapshots
        self.taken_at = taken_at
        self.environment: lmdb.Environment | None = medium.env
        self.held: Layers | None = None
        self._lock = threading.RLock()
        self._closed = ""
        self._transaction: lmdb.Transaction[bytes] | None = None
        self._tree: Tree | LayeredTree | None = None
        if layered is None:
            self._transaction = transaction = medium.begin_read()
            self._tree = medium.tree(transaction)
            self.revision = facts.read_head(transaction).revision
            return
        self._transaction, layers, self.revision = layered.view()
        self._tree = medium.tree(self._transaction)
        if layers.head:
            self._tree = LayeredTree(self._tree, layers, self.revision)
            self.held = layers

    def reading(self, action: Callable[[Tree | LayeredTree], T]) -> T:
        """What `action` reads from the view."""
        return holding(self._lock, lambda: self._reading(action))

    def _reading(self, action: Callable[[Tree | LayeredTree], T]) -> T:
        tree = self._tree
        if self._closed or tree is None:
            raise StoreClosed(f"the snapshot {self._closed}; take a new one")
        try:
            return action(tree)
        except lmdb.Error as error:
            if type(error) is not lmdb.Error:
                raise
            raise StoreClosed(
                "the snapshot was closed because the database outgrew its memory map; "
                "take a new one"
            ) from error
        except MemoryError as error:
            raise no_memory("read", lighter="read less at once") from error

    def close(self) -> None:
        self.end("is closed")

    def disown(self) -> None:
        """In a forked child: forget the view without ending it, which belongs to the parent."""
        self._lock = threading.RLock()  # Another thread may have had it at the fork.
        self._closed = self._closed or "was taken before a fork, and belongs to the parent"
        self._transaction = self._tree = self.held = None
        self.environment = None

    def end(self, why: str) -> None:
        """Close the view; `why` tells those that still read from it. Can be repeated."""
        holding(self._lock, lambda: self._end(why))

    def _end(self, why: str) -> None:
        self._closed = self._closed or why
        if self._transaction is not None:
            self._transaction.abort()
            # The place among the readers is free once the driver's objects are gone.
            self._transaction = self._tree = self.held = None
        self.environment = None  # Else a closed view that is kept keeps a child from opening.
        self.snapshots.forget(self)


class Snapshots:
    """The open snapshots of one engine.

    Args:
        age_max_s: how old one may become.
        held_bytes_max: how much of what the file lacks all of them may keep in memory.
    """

    def __init__(self, age_max_s: float, held_bytes_max: int) -> None:
        self._held_bytes_max = held_bytes_max
        self._age_max_s = age_max_s
        # In the order they were taken. Weak: a view without an owner ends by itself.
        self._open: WeakKeyDictionary[LmdbSnapshot, None] = WeakKeyDictionary()
        self._retired: list[lmdb.Environment] = []
        self._lock = threading.RLock()

    def take(self, medium: Medium, now: float, layered: Layered | None = None) -> LmdbSnapshot:
        """A view of this moment: of the file, and of what lies over it."""
        return holding(self._lock, lambda: self._take(medium, now, layered))

    @property
    def held_bytes(self) -> int:
        """About how much memory the layers take that open snapshots keep. Many share some."""
        held = {id(one.held): one.held for one in list(self._open) if one.held is not None}
        return sum(held_bytes(layers) for layers in held.values())

    def may_hold(self, layers: Layers) -> bool:
        """Whether one more may keep these layers in memory."""
        return self.held_bytes + held_bytes(layers) <= self._held_bytes_max

    def _take(self, medium: Medium, now: float, layered: Layered | None) -> LmdbSnapshot:
        snapshot = LmdbSnapshot(self, medium, now, layered)
        self._open[snapshot] = None
        return snapshot

    def forget(self, snapshot: LmdbSnapshot) -> None:
        """The snapshot is closed."""
        self._open.pop(snapshot, None)
        if self._retired:
            holding(self._lock, self._close_unused)

    def retire(self, environment: lmdb.Environment) -> None:
        """Close the environment once no snapshot looks at it any more."""
        self._retired.append(environment)
        holding(self._lock, self._close_unused)

    def end_old(self, now: float) -> None:
        """Close what is too old: space that it holds cannot be used again."""
        for snapshot in list(self._open):
            if now - snapshot.taken_at <= self._age_max_s:
                return
            snapshot.end(f"was older than {self._age_max_s} s (snapshot_age_max) and was closed")

    def end_all(self, why: str) -> None:
        """Close every snapshot."""
        for snapshot in list(self._open):
            snapshot.end(why)
        holding(self._lock, self._close_unused)  # Also what the last one ended by itself.

    def disown(self) -> None:
        """In a forked child: the views are the parent's. Their objects go, the driver's do not."""
        for snapshot in list(self._open):
            snapshot.disown()
        self._open.clear()
        self._retired.clear()

    def __len__(self) -> int:
        return len(self._open)

    def __bool__(self) -> bool:
        return bool(self._open)

    def _close_unused(self) -> None:
        if self._retired:
            used = [snapshot.environment for snapshot in self._open]
            for environment in [one for one in self._retired if one not in used]:
                self._retired.remove(environment)
                environment.close()
