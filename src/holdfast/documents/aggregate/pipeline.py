"""Running a pipeline: each stage a stream over the stream before it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.aggregate.budget import (
    MEMORY_BYTES_MAX,
    Budget,
    Deadline,
    checked,
    size_of,
)
from holdfast.documents.aggregate.expressions import Compute, compile_expression
from holdfast.documents.aggregate.grouping import run_group
from holdfast.documents.aggregate.reshaping import run_drop, run_unwind
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
    Stage,
    Unwind,
)
from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.computed import Expression
from holdfast.documents.query.evaluate import candidates
from holdfast.documents.query.ordering import arrange, keyed
from holdfast.documents.query.places import Distance, haversine
from holdfast.documents.query.select import compile_select
from holdfast.documents.query.texts import TextMatcher, all_words
from holdfast.documents.query.values import MISSING, order_key

#: The documents of another collection, by its name.
Collections = Callable[[str], Iterable[Any]]

# A sort of which no more are wanted is not charged: it holds no more than a page.
_UNCHARGED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Run:
    """What all stages of one run share."""

    budget: Budget
    deadline: Deadline | None
    collections: Collections | None
    text: TextMatcher
    distance: Distance

    def compute(self, expression: Expression) -> Compute:
        return compile_expression(expression, text=self.text, distance=self.distance)


def aggregate(
    pipeline: Iterable[Any] | str | bytes,
    documents: Iterable[Any],
    *,
    collections: Collections | None = None,
    deadline: Deadline | None = None,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
    text: TextMatcher = all_words,
    distance: Distance = haversine,
) -> Iterator[Any]:
    """The documents that a pipeline makes, one by one.

    Stages stream where they can; `group`, `sort`, `lookup` and `facet` hold what they need, at
    most `memory_bytes_max` together as estimated. `deadline` is called every thousand documents;
    what it raises ends the run. The documents are never changed, results may share parts of them.

    Raises:
        InvalidQuery: at once, a stage is malformed, or one looks up without `collections`.
        PatternInvalid: at once, a regular expression cannot be compiled.
        QuotaExceeded: while running, the stages hold more than `memory_bytes_max`.
    """
    stages = pipeline_of(pipeline)
    run = _Run(Budget(memory_bytes_max), deadline, collections, text, distance)
    source = iter(documents)
    return _closing(source, _stream(run, stages, checked(source, deadline)))


def _closing(source: Iterator[Any], stream: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from stream
    finally:
        for one in (stream, source):
            close = getattr(one, "close", None)
            if close is not None:
                close()


def _stream(run: _Run, stages: Sequence[Stage], documents: Iterator[Any]) -> Iterator[Any]:
    for at, stage in enumerate(stages):
        documents = _step(run, stage, documents, stages[at + 1 :])
    return documents


def _step(  # noqa: C901, PLR0912 - one case for each stage
    run: _Run, stage: Stage, documents: Iterator[Any], rest: Sequence[Stage]
) -> Iterator[Any]:
    match stage:
        case Match(where):
            return filter(compile_where(where, text=run.text, distance=run.distance), documents)
        case Project(_, _, drop) if drop:
            return run_drop(drop, documents)
        case Project(keep, computed):
            select = compile_select(keep) if keep else dict[str, Any]
            return _computed(
                run, computed, ((one, select(one) if keep else {}) for one in documents)
            )
        case AddFields(computed):
            copies = ((one, dict(one) if isinstance(one, dict) else {}) for one in documents)
            return _computed(run, computed, copies)
        case Group():
            return checked(run_group(stage, documents, run.compute, run.budget), run.deadline)
        case Sort():
            return checked(_sort(run, stage, documents, _wanted(rest)), run.deadline)
        case Limit(count):
            return islice(documents, count)
        case Skip(count):
            return islice(documents, count, None)
        case Unwind():
            return checked(run_unwind(stage, documents), run.deadline)
        case Count(name):
            return _count(name, documents)
        case Lookup():
            if run.collections is None:
                raise InvalidQuery(
                    "lookup wanted other collections; found none at hand. Aggregate on a "
                    "collection of a database, or pass `collections`",
                    stage="lookup",
                )
            return _lookup(run, stage, run.collections, documents)
        case Facet():
            return _facet(run, stage, documents)
    raise AssertionError(f"no meaning for {type(stage).__name__}")


def _computed(
    run: _Run, computed: Named, pairs: Iterable[tuple[Any, dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    computes = [(name, run.compute(expression)) for name, expression in computed]

    def stream() -> Iterator[dict[str, Any]]:
        for document, row in pairs:
            for name, compute in computes:
                value = compute(document)
                if value is not MISSING:
                    row[name] = value
            yield row

    return stream()


def _wanted(rest: Sequence[Stage]) -> int | None:
    """How many documents of a sort the stages behind it take, or None for all."""
    skipped = 0
    for stage in rest:
        match stage:
            case Skip(count):
                skipped += count
            case Limit(count):
                return skipped + count
            case _:
                return None
    return None


def _sort(run: _Run, stage: Sort, documents: Iterator[Any], wanted: int | None) -> Iterator[Any]:
    # Ties stay as they came; the place is the last part of the sort key, and turns with the first.
    turn = -1 if stage.order and stage.order[0].descending else 1
    few = wanted is not None and wanted <= _UNCHARGED_MAX
    held = documents if few else run.budget.held(documents, "sort")
    rows = (
        ((*keys[:-1], turn * at), row)
        for at, (keys, row) in enumerate(
            keyed((("", one) for one in held), stage.order, run.distance)
        )
    )
    for _, (_, document) in arrange(rows, stage.order, wanted, rows_max=sys.maxsize):
        yield document


def _count(name: str, documents: Iterator[Any]) -> Iterator[dict[str, Any]]:
    yield {name: sum(1 for _ in documents)}


def _lookup(
    run: _Run, stage: Lookup, collections: Collections, documents: Iterator[Any]
) -> Iterator[dict[str, Any]]:
    by_key: dict[Any, list[int]] = {}
    foreign: list[Any] = []
    others = checked(collections(stage.collection), run.deadline)
    for other in run.budget.held(others, "lookup"):
        for key in {order_key(one) for one in candidates(other, stage.foreign)}:
            run.budget.charge(100 + size_of(key), "lookup")
            by_key.setdefault(key, []).append(len(foreign))
        foreign.append(other)
    for document in documents:
        places: set[int] = set()
        for one in candidates(document, stage.local):
            places.update(by_key.get(order_key(one), ()))
        row = dict(document) if isinstance(document, dict) else {}
        row[stage.name] = [foreign[place] for place in sorted(places)]
        yield row


def _facet(run: _Run, stage: Facet, documents: Iterator[Any]) -> Iterator[dict[str, Any]]:
    for _, stages in stage.pipelines:
        _stream(run, stages, iter(()))  # So that what is wrong with them is seen now.
    return _faceted(run, stage, documents)


def _faceted(run: _Run, stage: Facet, documents: Iterator[Any]) -> Iterator[dict[str, Any]]:
    kept = list(run.budget.held(documents, "facet"))
    row: dict[str, Any] = {}
    for name, stages in stage.pipelines:
        results = _stream(run, stages, checked(iter(kept), run.deadline))
        row[name] = list(run.budget.held(results, "facet"))
    yield row
