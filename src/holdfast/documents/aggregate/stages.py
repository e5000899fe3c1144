"""The stages of a pipeline: immutable values, made by the functions below or read from JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.aggregate.accumulators import Accumulator
from holdfast.documents.query.computed import Expression, FieldValue, expression_of
from holdfast.documents.query.fields import Field, equalities, wanted_text
from holdfast.documents.query.nodes import Node, all_of
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import Path, path_of
from holdfast.documents.query.query import checked_count, order_of, selected

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


def match(*conditions: Node | Mapping[str, Any], **equal: Any) -> Match:
    """Keep the documents that meet all the conditions."""
    from holdfast.documents.query.json_form import where_from_json

    nodes = tuple(where_from_json(one) for one in conditions)
    return Match(all_of((*nodes, *equalities(equal))))


def project(*keep: Any, **computed: Any) -> Project:
    """Keep fields (`F.name`, `"address.city"`), add computed ones (`total=F.price * F.count`)."""
    if not keep and not computed:
        raise InvalidQuery("project wanted fields; found none. Name those to keep")
    return Project(selected(keep, "project") if keep else (), _named(computed))


def drop(*paths: Any) -> Project:
    """Leave these fields out."""
    return Project(drop=selected(paths, "drop"))


def add_fields(**computed: Any) -> AddFields:
    """Add computed fields."""
    return AddFields(_named(computed))


def group_by(*by: Any, **fields: Any) -> Group:
    """Group by fields, and by expressions given by name; accumulators by name say what of each.

    `group_by(F.country, year=year(F.founded), population=sum_(F.population), n=count_())`
    """
    keys: list[tuple[str, Expression]] = []
    for one in by:
        path = _path(one, "group_by")
        if not path:
            raise InvalidQuery("group_by wanted the name of a field; found F alone. Name a field")
        keys.append((path[-1], FieldValue(path)))
    accumulators: list[tuple[str, Accumulator]] = []
    for name, value in fields.items():
        if isinstance(value, Accumulator):
            accumulators.append((name, value))
        else:
            keys.append((name, expression_of(value, name)))
    return group(tuple(keys), tuple(accumulators))


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


def sort(*clauses: Any) -> Sort:
    """Put the documents in order: `sort(-F.population, "name")`."""
    if not clauses:
        raise InvalidQuery("sort wanted a field; found none. Name what to sort by")
    return Sort(order_of(clauses, "sort"))


def limit(count: int) -> Limit:
    """The first `count` documents; 0 gives none."""
    return Limit(checked_count(count, "limit"))


def skip(count: int) -> Skip:
    """All but the first `count` documents."""
    return Skip(checked_count(count, "skip"))


def unwind(path: Any, *, keep_empty: bool = False, index: str | None = None) -> Unwind:
    """One document for each element of an array."""
    found = _path(path, "unwind")
    if not found:
        raise InvalidQuery("unwind wanted the name of an array; found F alone. Name a field")
    return Unwind(found, keep_empty, None if index is None else wanted_text(index, "unwind.index"))


def count(name: str = "count") -> Count:
    """One document with the number of documents."""
    return Count(wanted_text(name, "count"))


def lookup(collection: str, *, local: Any, foreign: Any, name: str) -> Lookup:
    """Add, as an array under `name`, what another collection has for a value."""
    return Lookup(
        wanted_text(collection, "lookup.from"),
        _path(local, "lookup.local"),
        _path(foreign, "lookup.foreign"),
        wanted_text(name, "lookup.as"),
    )


def facet(**pipelines: Iterable[Any]) -> Facet:
    """Several pipelines over the same documents."""
    from holdfast.documents.aggregate.stage_json import pipeline_of

    return Facet(tuple((name, pipeline_of(one, name)) for name, one in pipelines.items()))


def _path(spelling: Any, where: str) -> Path:
    return spelling.path_of_field() if isinstance(spelling, Field) else path_of(spelling, where)


def _named(computed: Mapping[str, Any]) -> Named:
    return tuple((name, expression_of(value, name)) for name, value in computed.items())
