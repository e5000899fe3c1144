"""Approximate search: a graph of neighbours (HNSW), by the library usearch.

The graph is made from the rows of an index and follows their changes. It is derived: it may be
dropped at any time and made again. What it returns is measured again exactly, so distances and
their order are right; now and then a near vector is not among them. By `dot`
that is more often (a graph of products is no graph of distances): normalise, and take `cosine`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from holdfast.contract.errors import DriverMissing
from holdfast.documents.vector.exact import Filter, VectorTable
from holdfast.documents.vector.vectors import Neighbour, VectorSpace, numpy

_METRICS = {"cosine": "cos", "dot": "ip", "l2": "l2sq"}
#: How many more are asked for than wanted: deleted ones and near ties take places.
_SPARE = 8
#: With a filter, how many times more are asked for in each further round.
_WIDER = 4


class VectorGraph:
    """A graph over the vectors of an index. It is for one thread at a time."""

    def __init__(
        self,
        space: VectorSpace,
        rows: Iterable[tuple[bytes, bytes]] = (),
        *,
        connectivity: int = 16,
        expansion_add: int = 128,
        expansion_search: int = 64,
    ) -> None:
        """Begin with the rows of an index.

        Args:
            space: the space of the index.
            rows: its rows.
            connectivity: neighbours of each vector; more find better and take more memory.
            expansion_add: how many are looked at to place a vector.
            expansion_search: how many are looked at to find the nearest.

        Raises:
            DriverMissing: usearch or numpy is not installed.
        """
        try:
            module = import_module("usearch.index")
        except ImportError as error:
            raise DriverMissing(
                "approximate search needs usearch. Install holdfast-db[vector], or search exactly",
                driver="usearch",
            ) from error
        self._table = VectorTable(space, rows)
        self._graph: Any = module.Index(
            ndim=space.dimensions,
            metric=_METRICS[space.metric],
            dtype="f32",
            connectivity=connectivity,
            expansion_add=expansion_add,
            expansion_search=expansion_search,
        )
        self._identifiers = dict(enumerate(self._table.identifiers()))
        self._labels = {identifier: label for label, identifier in self._identifiers.items()}
        self._next = len(self._identifiers)
        if self._next:
            # All at once, the library takes every core.
            vectors = self._table.vectors()
            self._graph.add(numpy().arange(self._next, dtype="u8"), vectors)

    def __len__(self) -> int:
        return len(self._table)

    def take(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Follow changes of the index's rows."""
        for identifier, packed in changes:
            label = self._labels.pop(identifier, None)
            if label is not None:
                del self._identifiers[label]
                self._graph.remove(label)
            self._table.take([(identifier, packed)])
            if packed is not None:
                # A label is used once: a vector that was replaced may linger in the graph.
                self._labels[identifier] = self._next
                self._identifiers[self._next] = identifier
                self._graph.add(self._next, self._table.vector(identifier))
                self._next += 1

    def search(self, query: Any, limit: int, allowed: Filter | None = None) -> list[Neighbour]:
        """Vectors about the nearest, nearest first.

        With a filter, wider and wider rounds are searched until enough are allowed; if a filter
        lets so few pass that the graph is of no use, all of them are measured.

        Raises:
            InvalidQuery: the query is no vector of the index's space.
            InvalidInput: `limit` is negative.
        """
        wanted = limit + _SPARE
        while wanted < len(self._table) // 2 and limit > 0:
            found = self._found(query, wanted)
            kept = found if allowed is None else {one for one in found if allowed(one)}
            if len(kept) >= limit:
                return self._table.search_among(query, limit, kept)
            wanted *= _WIDER
        return self._table.search(query, limit, allowed)

    def _found(self, query: Any, wanted: int) -> set[bytes]:
        vector = self._table.query(query)
        labels = self._graph.search(vector, wanted).keys.tolist()
        return {self._identifiers[label] for label in labels if label in self._identifiers}
