"""Functions that make the stages of a pipeline: `match(F.age >= 18)`, `group_by(F.country)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.aggregate.accumulators import Accumulator
from holdfast.documents.aggregate.stage_json import pipeline_of
from holdfast.documents.aggregate.stages import (
    AddFields,
    Count,
    Facet,
    Group,
    Limit,
    Lookup,
    Match,
    Named,
    Project,
    Skip,
    Sort,
    Unwind,
    group,
)
from holdfast.documents.query.computed import Expression, FieldValue, expression_of
from holdfast.documents.query.fields import Field, equalities, wanted_text
from holdfast.documents.query.json_where import where_from_json
from holdfast.documents.query.nodes import Node, all_of
from holdfast.documents.query.paths import Path, path_of
from holdfast.documents.query.query import checked_count, order_of, selected


def match(*conditions: Node | Mapping[str, Any], **equal: Any) -> Match:
    """Keep the documents that meet all the conditions."""
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
    return Facet(tuple((name, pipeline_of(one, name)) for name, one in pipelines.items()))


def _path(spelling: Any, where: str) -> Path:
    return spelling.path_of_field() if isinstance(spelling, Field) else path_of(spelling, where)


def _named(computed: Mapping[str, Any]) -> Named:
    return tuple((name, expression_of(value, name)) for name, value in computed.items())
