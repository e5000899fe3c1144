"""Exact search: every vector is looked at.

float32 arithmetic sorts out who may be among the nearest; these few are measured again in float64,
so the order does not depend on how a library adds up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any

from holdfast.contract.errors import InvalidInput
from holdfast.documents.vector.vectors import Neighbour, VectorSpace, numpy

#: Decides by its identifier whether a document may be found.
Filter = Callable[[bytes], bool]

ROWS_AT_ONCE = 4096
"""How many vectors are measured in one step."""

#: The relative error of one float32 operation, with room.
_EPSILON = 2.0**-22
_FIRST_ROWS = 1024


class VectorTable:
    """The vectors of an index in memory, as one matrix. It is for one thread at a time."""

    def __init__(self, space: VectorSpace, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Begin with the rows of an index.

        Raises:
            DriverMissing: numpy is not installed.
        """
        self.space = space
        self._numpy = numpy()
        self._matrix = self._numpy.empty((0, space.dimensions), "<f4")
        self._lengths = self._numpy.empty(0, "f8")
        self._identifiers: list[bytes] = []
        self._places: dict[bytes, int] = {}
        for identifier, packed in rows:
            self.put(identifier, packed)

    def __len__(self) -> int:
        return len(self._identifiers)

    def take(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Follow changes of the index's rows."""
        for identifier, packed in changes:
            if packed is None:
                self.delete(identifier)
            else:
                self.put(identifier, packed)

    def put(self, identifier: bytes, packed: bytes) -> None:
        """Add or replace one vector."""
        place = self._places.get(identifier)
        if place is None:
            place = len(self._identifiers)
            if place == len(self._matrix):
                size = max(2 * place, _FIRST_ROWS)
                grown = self._numpy.zeros((size, self.space.dimensions), "<f4")
                grown[:place] = self._matrix
                self._matrix = grown
                self._lengths = self._numpy.resize(self._lengths, size)
            self._identifiers.append(identifier)
            self._places[identifier] = place
        self._matrix[place] = self._numpy.frombuffer(packed, "<f4")
        self._lengths[place] = _lengths(self._numpy, self._matrix[place : place + 1])[0]

    def delete(self, identifier: bytes) -> None:
        """Forget one vector; nothing happens if there is none."""
        place = self._places.pop(identifier, None)
        if place is None:
            return
        last = self._identifiers.pop()
        if last != identifier:
            # The last one moves into the gap.
            self._identifiers[place] = last
            self._places[last] = place
            self._matrix[place] = self._matrix[len(self._identifiers)]
            self._lengths[place] = self._lengths[len(self._identifiers)]

    def search(self, query: Any, limit: int, allowed: Filter | None = None) -> list[Neighbour]:
        """The nearest vectors, nearest first; of equals, the lower identifier.

        Args:
            query: a vector.
            limit: how many at most.
            allowed: who may be found; None for all.

        Raises:
            InvalidQuery: the query is no vector of the index's space.
            InvalidInput: `limit` is negative.
        """
        packed = self.space.pack_query(query)
        _check_limit(limit)
        measured: list[Neighbour] = []
        if limit:
            count = len(self._identifiers)
            for start in range(0, count, ROWS_AT_ONCE):
                end = min(start + ROWS_AT_ONCE, count)
                part = _nearest(
                    self.space,
                    self._matrix[start:end],
                    self._lengths[start:end],
                    self._identifiers[start:end],
                    packed,
                    limit,
                    allowed,
                )
                measured = merged(measured, part, limit)
        return measured

    def search_among(
        self, query: Any, limit: int, identifiers: Collection[bytes]
    ) -> list[Neighbour]:
        """The nearest of some documents; as `search` otherwise."""
        packed = self.space.pack_query(query)
        _check_limit(limit)
        known = [one for one in identifiers if one in self._places]
        if not known or not limit:
            return []
        places = [self._places[one] for one in known]
        matrix, lengths = self._matrix[places], self._lengths[places]
        return _nearest(self.space, matrix, lengths, known, packed, limit, None)

    def identifiers(self) -> list[bytes]:
        """The documents, in the order of `vectors`."""
        return list(self._identifiers)

    def vectors(self) -> Any:
        """All vectors as one matrix: a view that holds until the next change."""
        return self._matrix[: len(self._identifiers)]

    def vector(self, identifier: bytes) -> Any:
        """The vector of a document, as a view that holds until the next change."""
        return self._matrix[self._places[identifier]]

    def query(self, value: Any) -> Any:
        """A vector to search for, as numpy has it. Raises `InvalidQuery`."""
        return self._numpy.frombuffer(self.space.pack_query(value), "<f4")


def search_rows(
    space: VectorSpace,
    rows: Iterable[tuple[bytes, bytes]],
    query: Any,
    limit: int,
    allowed: Filter | None = None,
) -> list[Neighbour]:
    """The nearest of an index's rows, without keeping them: memory holds `ROWS_AT_ONCE`.

    Raises:
        InvalidQuery: the query is no vector of the index's space.
        InvalidInput: `limit` is negative.
        DriverMissing: numpy is not installed.
    """
    packed = space.pack_query(query)
    _check_limit(limit)
    module = numpy()
    measured: list[Neighbour] = []
    for chunk in _chunks(rows if limit else ()):
        identifiers = [identifier for identifier, _ in chunk]
        matrix = module.frombuffer(b"".join([row for _, row in chunk]), "<f4")
        matrix = matrix.reshape(len(chunk), -1)
        lengths = _lengths(module, matrix)
        part = _nearest(space, matrix, lengths, identifiers, packed, limit, allowed)
        measured = merged(measured, part, limit)
    return measured


def _nearest(
    space: VectorSpace,
    matrix: Any,
    lengths: Any,
    identifiers: list[bytes],
    packed: bytes,
    limit: int,
    allowed: Filter | None,
) -> list[Neighbour]:
    """The nearest of some vectors, measured exactly."""
    module = numpy()
    if allowed is not None:
        kept = [place for place, one in enumerate(identifiers) if allowed(one)]
        if not kept:
            return []
        matrix, lengths = matrix[kept], lengths[kept]
        identifiers = [identifiers[place] for place in kept]
    query = module.frombuffer(packed, "<f4")
    if len(identifiers) > limit:
        with module.errstate(all="ignore"):
            rough, error = _rough(space, module, matrix, lengths, query)
        # Components so large that their products leave float32 say nothing here.
        known = module.isfinite(rough)
        rough, error = module.where(known, rough, 0.0), module.where(known, error, math.inf)
        threshold = module.partition(rough + error, limit - 1)[limit - 1]
        places = module.nonzero(rough - error <= threshold)[0]
        matrix = matrix[places]
        identifiers = [identifiers[place] for place in places]
    distances = _exact(space, module, matrix, query)
    nearest = sorted(zip(distances.tolist(), identifiers, strict=True))[:limit]
    return [Neighbour(identifier, distance) for distance, identifier in nearest]


def _rough(
    space: VectorSpace, module: Any, matrix: Any, lengths: Any, query: Any
) -> tuple[Any, Any]:
    """Distances in float32, or what grows as they do; and how wrong each may be."""
    size = _EPSILON * (space.dimensions + 8)
    if space.metric == "l2":
        difference = matrix - query
        squares = module.einsum("ij,ij->i", difference, difference)
        return squares, size * squares + 1e-37
    product = matrix @ query
    length = _lengths(module, query.reshape(1, -1))[0]
    if space.metric == "dot":
        return -product, size * lengths * length + 1e-37
    return 1 - product / (lengths * length), size + 1e-37 / (lengths * length)


def _lengths(module: Any, matrix: Any) -> Any:
    """The length of each vector, in float64."""
    return module.sqrt(module.einsum("ij,ij->i", matrix, matrix, dtype="f8"))


def _exact(space: VectorSpace, module: Any, matrix: Any, query: Any) -> Any:
    matrix, query = matrix.astype("f8"), query.astype("f8")
    if space.metric == "l2":
        difference = matrix - query
        return module.sqrt(module.einsum("ij,ij->i", difference, difference))
    product = module.einsum("ij,j->i", matrix, query)
    if space.metric == "dot":
        return -product
    squares = module.einsum("ij,ij->i", matrix, matrix)
    cosine = product / module.sqrt(squares * module.einsum("j,j->", query, query))
    return 1 - module.clip(cosine, -1, 1)


def merged(one: list[Neighbour], other: list[Neighbour], limit: int) -> list[Neighbour]:
    """The nearest of both, nearest first."""
    both = sorted((*one, *other), key=lambda near: (near.distance, near.identifier))
    return both[:limit]


def _chunks(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, ROWS_AT_ONCE)):
        yield chunk


def _check_limit(limit: int) -> None:
    if limit < 0:
        raise InvalidInput(f"limit is 0 or more; found {limit}", limit=limit)
