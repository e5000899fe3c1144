"""The graph of a vector index as a process keeps it: as of one revision, brought to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from holdfast.documents.vector.approximate import VectorGraph
from holdfast.documents.vector.vectors import Change, Neighbour


class Graph(NamedTuple):
    """A graph, and the revision whose rows it was made of."""

    graph: VectorGraph
    revision: int


class KeptGraph:
    """A graph for all who search; threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Graph | None = None

    @property
    def revision(self) -> int | None:
        """What it is of; None: there is no graph yet."""
        kept = self._kept
        return None if kept is None else kept.revision

    def replace(self, graph: VectorGraph, revision: int) -> None:
        """Keep another graph, unless what is kept is newer."""
        with self._lock:
            if self._kept is None or self._kept.revision < revision:
                self._kept = Graph(graph, revision)

    def drop(self) -> None:
        """Keep none."""
        with self._lock:
            self._kept = None

    def follow(self, changes: list[Change], since: int, revision: int) -> bool:
        """Bring it from one revision to the next; False: it is not of the first any more."""
        with self._lock:
            if self._kept is None or self._kept.revision != since:
                return False
            self._kept.graph.take(changes)
            self._kept = Graph(self._kept.graph, revision)
            return True

    def search(
        self, revision: int, search: Callable[[VectorGraph], list[Neighbour]]
    ) -> list[Neighbour] | None:
        """Search it as of a revision; None: it is of another one."""
        with self._lock:
            if self._kept is None or self._kept.revision != revision:
                return None
            return search(self._kept.graph)
