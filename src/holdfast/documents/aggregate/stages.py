"""The stages of a pipeline: immutable values, made by functions or read from JSON."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.aggregate.accumulators import Accumulator
from holdfast.documents.query.computed import Expression
from holdfast.documents.query.nodes import Node
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import Path

STAGES_MAX = 100
"""How many stages a pipeline has at most, those of its facets among them."""

Named = tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a pipeline: documents in, documents out."""


@dataclass(frozen=True, slots=True)
class Match(Stage):
    """Keep the documents that meet a condition."""

    where: Node


@dataclass(frozen=True, slots=True)
class Project(Stage):
    """Keep these paths and add computed fields, or leave these paths out."""

    keep: tuple[Path, ...] = ()
    computed: Named = ()
    drop: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class AddFields(Stage):
    """Add computed fields, in place of those of the same name."""

    computed: Named


@dataclass(frozen=True, slots=True)
class Group(Stage):
    """One document for each different combination of `by`; without any, one for all."""

    by: Named
    fields: tuple[tuple[str, Accumulator], ...] = ()


@dataclass(frozen=True, slots=True)
class Sort(Stage):
    """Put the documents in order; those that tie stay as they came."""

    order: tuple[OrderBy, ...]


@dataclass(frozen=True, slots=True)
class Limit(Stage):
    """The first documents only."""

    count: int


@dataclass(frozen=True, slots=True)
class Skip(Stage):
    """All but the first documents."""

    count: int


@dataclass(frozen=True, slots=True)
class Unwind(Stage):
    """One document for each element of an array, the element in the array's place.

    What is no array stays as it is; an empty array, null and missing give no document, or with
    `keep_empty` the document without the field. `index` names a field for the element's index.
    """

    path: Path
    keep_empty: bool = False
    index: str | None = None


@dataclass(frozen=True, slots=True)
class Count(Stage):
    """One document: how many came."""

    name: str = "count"


@dataclass(frozen=True, slots=True)
class Lookup(Stage):
    """Add an array of the documents of another collection where `foreign` equals `local`."""

    collection: str
    local: Path
    foreign: Path
    name: str


@dataclass(frozen=True, slots=True)
class Facet(Stage):
    """One document: under each name what a pipeline of its own makes of all that came."""

    pipelines: tuple[tuple[str, tuple[Stage, ...]], ...]


def group(by: Named, fields: tuple[tuple[str, Accumulator], ...], where: str = "group_by") -> Group:
    """A group whose names are all different."""
    names = [name for name, _ in (*by, *fields)]
    for name in names:
        if names.count(name) > 1:
            raise InvalidQuery(
                f"{where} wanted a name of its own for each result; found {name[:80]!r} twice. "
                "Name one of them: town=F.address.city",
                path=f"{where}.{name[:80]}",
            )
    return Group(by, fields)
