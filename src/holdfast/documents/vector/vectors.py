"""Vectors as rows of an ordered store, and what counts as one.

A document has one vector in an index: its row's key, without the index's prefix, is the identifier
of the document; its value the components as little-endian float32.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from typing import Any, Literal, NamedTuple, get_args

from holdfast.contract.errors import DriverMissing, InvalidInput, InvalidQuery, InvalidValue
from holdfast.documents.query.values import MISSING

Metric = Literal["cosine", "dot", "l2"]

DIMENSIONS_MAX = 65_536
"""The most components a vector may have."""

#: A row to put, or to delete (None).
Change = tuple[bytes, bytes | None]

_BIG_ENDIAN = sys.byteorder == "big"


class Neighbour(NamedTuple):
    """A document near to a vector.

    Attributes:
        identifier: the packed key of the document.
        distance: how far it is; less is nearer. By `cosine` 1 - cos, from 0 to 2; by `dot` the
            negated product; by `l2` the length of the difference.
    """

    identifier: bytes
    distance: float


@dataclass(frozen=True)
class VectorSpace:
    """What the vectors of one index have in common.

    Attributes:
        dimensions: how many components each has.
        metric: what near means: `cosine`, `dot` or `l2`.
    """

    dimensions: int
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        if not 1 <= self.dimensions <= DIMENSIONS_MAX:
            raise InvalidInput(
                f"vectors have 1 to {DIMENSIONS_MAX} dimensions; found {self.dimensions}"
            )
        if self.metric not in get_args(Metric):
            raise InvalidInput(
                f"a metric is one of {', '.join(get_args(Metric))}; found {self.metric!r}"
            )

    def pack(self, value: Any) -> bytes:
        """The bytes of a vector: a list of numbers, or an array with the buffer of float32.

        Raises:
            InvalidValue: it is no vector of this many finite float32 numbers; or, by `cosine`,
                is zero or too short to have a direction.
        """
        return self._pack(value, InvalidValue)

    def pack_query(self, value: Any) -> bytes:
        """The same for a vector that is searched for. Raises `InvalidQuery`."""
        return self._pack(value, InvalidQuery)

    def entry(self, values: Sequence[Any]) -> bytes | None:
        """The row's value of a document with these values of the field; None if it has no vector.

        Raises:
            InvalidValue: a value is no vector, or there is more than one.
        """
        vectors = [value for value in values if value is not None and value is not MISSING]
        if not vectors:
            return None
        if len(vectors) > 1:
            raise InvalidValue(
                f"a document has one vector in an index; the field leads to {len(vectors)}. "
                "Store the others as documents of their own"
            )
        return self.pack(vectors[0])

    def changes(
        self, before: Sequence[Any] | None, after: Sequence[Any] | None, identifier: bytes
    ) -> Iterator[Change]:
        """The row to put, or to delete (None), when a document changes; None: it is not there."""
        old = None if before is None else self.entry(before)
        new = None if after is None else self.entry(after)
        if new != old:
            yield identifier, new

    def _pack(self, value: Any, refusal: type[InvalidValue | InvalidQuery]) -> bytes:
        try:
            numbers = _numbers(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise refusal(
                f"a vector is a list of {self.dimensions} numbers; found a {type(value).__name__} "
                "that is none"
            ) from error
        if len(numbers) != self.dimensions:
            raise refusal(
                f"the vectors of this index have {self.dimensions} dimensions; found one of "
                f"{len(numbers)}. Use the model that the others were made with",
            )
        for place, number in enumerate(numbers):
            if not isfinite(number):
                raise refusal(
                    f"component {place} of the vector is {number} as a float32: it is not finite"
                )
        if self.metric == "cosine" and not any(numbers):
            raise refusal(
                "a vector of zeros has no direction, and cosine compares directions. Leave the "
                "field out, or use the metric 'l2'"
            )
        return _bytes(numbers)


def numpy() -> Any:
    """The module numpy. Raises `DriverMissing` when it is not installed."""
    try:
        return import_module("numpy")
    except ImportError as error:
        raise DriverMissing(
            "searching vectors needs numpy. Install holdfast-db[vector]", driver="numpy"
        ) from error


def _numbers(value: Any) -> array[float]:
    if isinstance(value, list | tuple):
        if any(isinstance(part, bool) for part in value):
            raise TypeError
        return array("f", value)
    if isinstance(value, str | bytes | bytearray):
        raise TypeError
    # numpy arrays, array.array and the like: their elements, whatever their type.
    view = memoryview(value)
    if view.ndim != 1 or view.format not in ("f", "d", "e"):
        raise TypeError
    return array("f", view.tolist())


def _bytes(numbers: array[float]) -> bytes:
    if _BIG_ENDIAN:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
