"""A way to documents: spans of an index, and what they say of the documents within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.contract.record import Range, Record, after_prefix
from holdfast.documents.entries import IndexOrder
from holdfast.documents.geo.cells import CODE_BYTES
from holdfast.documents.hashed import HASH_BYTES
from holdfast.documents.indexes.definition import IndexDefinition
from holdfast.documents.indexes.writers import identifier_in
from holdfast.documents.query.nodes import EVERYTHING, Matches, Node, all_of

_from_bytes = int.from_bytes


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many rows of an index a way walks.

    Attributes:
        rows: so many.
        exact: they were counted.
        met: which documents of the sample lie within, a bit for each; 0 where rows were counted.
    """

    rows: int
    exact: bool
    met: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which conjuncts made the one span of a btree index, by their places.

    Attributes:
        equal: those that the leading fields equal, in the order of the index.
        low, high: the bounds of the field behind them.
    """

    equal: tuple[int, ...]
    low: int | None = None
    high: int | None = None
    low_open: bool = False
    high_open: bool = False


@dataclass(eq=False)
class Access:
    """Some spans of an index that hold every document that can match.

    Attributes:
        index: which.
        spans: whole keys, in the order of the index.
        places: the conjuncts that the spans say, so that what lies in them meets them.
        fixed: how many of the leading fields have one value in all spans.
        values: of those fields.
        bounded: how many of the leading fields have bounds.
        bounds: for each bounded field, what tells them to people.
        order: of a btree index.
        text: of a full-text index, what is searched for.
        recipe: how the span was made, if other values make one in the same way.
        holds: tells by its value whether a row within the spans is one of those wanted.
        estimate: how many rows it was thought to have, where ways were weighed.
        asked: the conjuncts that the spans were made of; most of what lies in them meets them.
        parts: the conjuncts that these are places of.
        number: tells it from the others of its plan, where somebody counts what each walks.
    """

    index: IndexDefinition
    prefix: bytes
    spans: list[Range]
    places: set[int] = field(default_factory=set)
    fixed: int = 0
    values: tuple[Any, ...] = ()
    bounded: int = 0
    bounds: dict[str, Callable[[], list[str]]] = field(default_factory=dict)
    order: IndexOrder | None = None
    text: Matches | None = None
    recipe: Recipe | None = None
    holds: Callable[[bytes], bool] | None = None
    estimate: Estimate | None = None
    asked: set[int] = field(default_factory=set)
    parts: tuple[Node, ...] = ()
    number: int = 0

    @property
    def said(self) -> Node:
        """What the spans say of documents within them, as nearly as an estimate wants it."""
        said = tuple([self.parts[place] for place in sorted(self.asked)])
        return all_of(said) if said else EVERYTHING

    @property
    def arrays(self) -> bool:
        """Whether a document may stand in the index more than once."""
        return any(self.index.arrays)

    def identifier(self, key: bytes, value: bytes) -> bytes:
        """The document of a row of the index."""
        relative = key[len(self.prefix) :]
        if self.order is not None:
            return identifier_in(self.index, self.order, relative, value)
        return relative[HASH_BYTES if self.index.kind == "hash" else CODE_BYTES :]

    def identifiers(self, rows: Sequence[tuple[bytes, Record]]) -> list[bytes]:
        """The documents of several rows."""
        order = self.order
        if order is not None and not order.descending[0] and not self.index.unique:
            # The commonest rows, without a call for each: see `IndexOrder.identifier`.
            return [key[-2 - _from_bytes(key[-2:], "big") : -2] for key, _ in rows]
        if order is not None:
            return [self.identifier(key, value) for key, (value, _) in rows]
        skipped = len(self.prefix) + (HASH_BYTES if self.index.kind == "hash" else CODE_BYTES)
        return [key[skipped:] for key, _ in rows]


def below(prefix: bytes, span: Range) -> Range:
    """A span of an index as whole keys."""
    end = after_prefix(prefix) if span.end is None else prefix + span.end
    return Range(prefix + (span.start or b""), end)
