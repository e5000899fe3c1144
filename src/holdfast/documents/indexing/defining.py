"""An index as its users spell it, and as they see it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast, get_args

from holdfast.contract.errors import InvalidInput, InvalidName
from holdfast.documents.indexes.definition import IndexDefinition, IndexField, Kind
from holdfast.documents.indexes.writers import analyzer_of
from holdfast.documents.indexing.build import facts_of
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import path_text
from holdfast.documents.query.query import order_of
from holdfast.documents.results import IndexFacts
from holdfast.documents.storage import DocumentStorage
from holdfast.documents.vector.vectors import Metric, VectorSpace

#: The longest name of an index, in characters.
NAME_CHARACTERS_MAX = 120
KINDS: tuple[str, ...] = get_args(Kind)


def defined(
    name: Any,
    fields: Any,
    kind: Any,
    unique: bool,
    sparse: bool,
    weights: Iterable[float] | None,
    language: str | None,
    dimensions: int | None,
    metric: str | None,
) -> IndexDefinition:
    """The definition that the arguments spell. Raises InvalidName, InvalidInput, InvalidQuery."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise InvalidName(
            f"the name of an index is a str of 1 to {NAME_CHARACTERS_MAX} characters; found "
            + (f"one of {len(name)}" if isinstance(name, str) else f"a {type(name).__name__}")
        )
    check_text("the name of an index", name)
    if kind not in KINDS:
        raise InvalidInput(f"kind is one of {', '.join(KINDS)}; found {kind!r}")
    clauses = order_of(fields, "fields")
    _check_clauses(clauses, kind)
    for option, given in (("unique", unique), ("sparse", sparse)):
        if not isinstance(given, bool):
            raise InvalidInput(f"{option} is True or False; found a {type(given).__name__}")
    if unique and kind != "btree":
        raise InvalidInput(f"a unique index is of kind btree; found {kind}. Make two indexes")
    if sparse and kind != "btree":
        raise InvalidInput(
            f"sparse is for indexes of kind btree; found {kind}, which holds only documents that "
            "have the field"
            if kind != "hash"
            else "sparse is for indexes of kind btree; found hash. Make it a btree"
        )
    if (weights is not None or language is not None) and kind != "text":
        raise InvalidInput(f"weights and language are for indexes of kind text; found {kind}")
    if language is not None:
        if not isinstance(language, str):
            raise InvalidInput(
                f"language is the name of a stemmer; found a {type(language).__name__}"
            )
        analyzer_of(language)
    _check_vectors(kind, dimensions, metric)
    space = (
        None
        if dimensions is None
        else VectorSpace(dimensions, cast("Metric", "cosine" if metric is None else metric))
    )
    return IndexDefinition(
        str.__str__(name),  # What is of a class of its own is kept as the text that it holds.
        0,
        cast("Kind", kind),
        tuple(
            IndexField(clause.path, clause.descending, weight)
            for clause, weight in zip(clauses, _weights(weights, len(clauses)), strict=True)
        ),
        bool(unique),
        bool(sparse),
        language or "",
        dimensions=0 if space is None else space.dimensions,
        metric="" if space is None else space.metric,
    )


def _check_vectors(kind: str, dimensions: Any, metric: Any) -> None:
    if kind != "vector":
        if dimensions is not None or metric is not None:
            raise InvalidInput(f"dimensions and metric are for kind vector; found {kind}")
    elif not isinstance(dimensions, int) or isinstance(dimensions, bool):
        raise InvalidInput(
            "a vector index wants dimensions, how many numbers each vector has; found "
            + ("none" if dimensions is None else f"a {type(dimensions).__name__}")
        )


def _check_clauses(clauses: tuple[OrderBy, ...], kind: str) -> None:
    if not clauses or any(not clause.path for clause in clauses):
        raise InvalidInput("an index is over at least one field; found none, or an empty path")
    paths = [clause.path for clause in clauses]
    if len(set(paths)) < len(paths):
        raise InvalidInput("an index has each field once; found one twice. Leave out the second")
    if kind in ("geo", "vector") and len(clauses) > 1:
        raise InvalidInput(f"a {kind} index is over one field; found {len(clauses)}")
    if kind != "btree" and any(clause.descending for clause in clauses):
        raise InvalidInput(f"only a btree index has an order; found a descending field of {kind}")
    if any(clause.near is not None for clause in clauses):
        raise InvalidInput("fields of an index are named; found an order by distance")


def _weights(weights: Iterable[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    try:
        several = [float(one) for one in weights if not isinstance(one, str | bytes | bool)]
    except (TypeError, ValueError, OverflowError):
        several = []
    if len(several) != count or not all(math.isfinite(one) and one >= 0 for one in several):
        raise InvalidInput(f"weights are {count} numbers from 0 up, one for each field")
    return several


def check_text(what: str, given: str) -> None:
    """Refuse text that cannot be stored. Raises InvalidName."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InvalidName(f"{what} is Unicode text; found a lone surrogate") from error


async def index_facts(storage: DocumentStorage, index: IndexDefinition) -> IndexFacts:
    """How an index fares."""
    entries, size = await facts_of(storage, index)
    used = storage.usage.get(index.name, (0, 0))
    return IndexFacts(
        index.name,
        index.kind,
        [f"{'-' * one.descending}{path_text(one.path)}" for one in index.fields],
        index.unique,
        index.sparse,
        index.state,
        entries,
        size,
        used[0],
        used[1],
        index.failure,
    )
