"""Reads of an engine that has acknowledged writes in memory over what its file holds.

Rows that the file lacks lie in layers (`overlay.py`). A read of one key asks them first and the
file then; whatever reads more holds the lock under which layers change, so that layers and file
are of one moment.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import lmdb

from holdfast.contract.record import Counted, Page, Range, Record
from holdfast.engines.embedded.locking import holding
from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.long_keys import Tree
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Layers, Overlay
from holdfast.engines.lmdb.walks import page_of

_make = tuple.__new__
#: What a row held for a snapshot counts beside its key and value: places in dicts, objects.
HELD_ROW_BYTES = 200


class View(NamedTuple):
    """File and layers of one moment.

    Attributes:
        transaction: on the file; belongs to the owner of the view.
        layers: over it; they never change.
        revision: the newest in it.
    """

    transaction: lmdb.Transaction[bytes]
    layers: Layers
    revision: int


class LayeredTree:
    """The rows of a view: a tree of the file with layers over it."""

    __slots__ = ("_layers", "_revision", "_tree")

    def __init__(self, tree: Tree, layers: Layers, revision: int) -> None:
        self._tree = tree
        self._layers = layers
        self._revision = revision

    def records(self, keys: Sequence[bytes]) -> list[Record | None]:
        """The records of the keys, in their order."""
        return records_over(self._layers, keys, self._tree.records)

    def page(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        """The first rows of the range that is not empty, with the range that continues it."""
        rows = self._layers.over(range, self._tree.walk_range(range))
        return page_of(rows, range, rows_max, bytes_max, self._revision)


class Layered(ABC):
    """What lies over the file of one engine.

    Args:
        medium: the environment, open.

    Attributes:
        layers: as they are now; they change under the lock.
    """

    def __init__(self, medium: Medium) -> None:
        self.layers = Layers(Overlay())
        self._medium = medium
        self._lock = threading.RLock()
        #: What the last snapshot got, and of which layers and revision it was a copy.
        self._held: tuple[Layers, int, Layers] | None = None

    @abstractmethod
    def head(self) -> int | None:
        """The newest revision; None while the file alone knows it."""

    @abstractmethod
    def flush(self) -> None:
        """Have the file hold everything that is acknowledged. Raises what that met."""

    @abstractmethod
    def close(self) -> None:
        """Flush and let go; can be called again."""

    def read(self, keys: Sequence[bytes]) -> list[Record | None]:
        """The records of the keys, of one moment."""
        return holding(self._lock, lambda: self._read(keys))

    def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        """A page of the range, of one moment."""
        return holding(self._lock, lambda: self._scan(range, rows_max, bytes_max))

    def count(self, range: Range) -> Counted:
        """How many rows the range that is not empty has, up to its limit."""
        return holding(self._lock, lambda: self._count(range))

    def view(self) -> View:
        """File and layers of this moment, for a snapshot."""
        return holding(self._lock, self._view)

    # --- Inside -----------------------------------------------------------------------------

    def _read(self, keys: Sequence[bytes]) -> list[Record | None]:
        medium = self._medium

        def stored(below: Sequence[bytes]) -> list[Record | None]:
            return medium.reading(lambda transaction: medium.tree(transaction).records(below))

        return records_over(self.layers, keys, stored)

    def _scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        layers, tree_of = self.layers, self._medium.tree

        def page(transaction: lmdb.Transaction[bytes]) -> Page:
            tree = tree_of(transaction)
            if not layers.head:
                return tree.page(range, rows_max, bytes_max)
            revision = max(layers.head, facts.read_head(transaction).revision)
            if layers.hides_nothing:
                return tree.page(range, rows_max, bytes_max)._replace(revision=revision)
            rows = layers.over(range, tree.walk_range(range))
            return page_of(rows, range, rows_max, bytes_max, revision)

        return self._medium.reading(page)

    def _count(self, range: Range) -> Counted:
        layers, tree_of, limit = self.layers, self._medium.tree, range.limit

        def count(transaction: lmdb.Transaction[bytes]) -> Counted:
            tree = tree_of(transaction)
            over = {} if layers.hides_nothing else layers.within(range)
            # Those written since may take away as many rows as they are.
            rows = tree.count_of(range, None if limit is None else limit + len(over))
            for key, there in over.items():
                rows += there - (tree.get(key) is not None)
            revision = max(layers.head, facts.read_head(transaction).revision)
            return Counted(rows if limit is None else min(rows, limit), revision)

        return self._medium.reading(count)

    def _view(self) -> View:
        # While the lock is held nothing leaves the layers, so the file has all that they lack.
        layers = self._frozen()
        transaction = self._medium.begin_read()
        try:
            head = max(layers.head, facts.read_head(transaction).revision)
        except BaseException:
            transaction.abort()
            raise
        return View(transaction, layers, head)

    def _frozen(self) -> Layers:
        """The layers as they never change again. Snapshots of one revision share them."""
        layers = self.layers
        held = self._held
        if held is None or held[0] is not layers or held[1] != layers.head:
            held = self._held = (layers, layers.head, layers.frozen())
        return held[2]


def held_bytes(layers: Layers) -> int:
    """About how much memory the layers take."""
    sizes = [one.bytes + HELD_ROW_BYTES * len(one.rows) for one in layers if one is not None]
    return sum(sizes)


def records_over(
    layers: Layers,
    keys: Sequence[bytes],
    stored: Callable[[Sequence[bytes]], list[Record | None]],
) -> list[Record | None]:
    """The records of the keys: those of the layers, and what is stored of the others."""
    find = layers.find
    pending = [find(key) for key in keys]
    below = [key for key, found in zip(keys, pending, strict=True) if found is None]
    rest = iter(stored(below) if below else ())
    return [next(rest) if found is None else record_of(*found) for found in pending]


def record_of(value: bytes | None, revision: int) -> Record | None:
    """The record that a write leaves."""
    return None if value is None else _make(Record, (value, revision))
