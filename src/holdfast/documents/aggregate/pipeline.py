"""Running a pipeline: each stage a stream of chunks over the stream before it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.aggregate.budget import (
    MEMORY_BYTES_MAX,
    Budget,
    Chunk,
    Deadline,
    checked,
    chunked,
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
from holdfast.documents.query.ordering import Arrangement, keyed
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
    most `memory_bytes_max` together as estimated. `deadline` is called at least once for each 256
    documents; what it raises ends the run. The documents are never changed, results may share
    parts of them.

    Raises:
        InvalidQuery: at once, a stage is malformed, or one looks up without `collections`.
        PatternInvalid: at once, a regular expression cannot be compiled.
        QuotaExceeded: while running, the stages hold more than `memory_bytes_max`.
    """
    source = iter(documents)
    chunks = aggregate_chunks(
        pipeline,
        chunked(source),
        collections=collections,
        deadline=deadline,
        memory_bytes_max=memory_bytes_max,
        text=text,
        distance=distance,
    )
    return _one_by_one(source, chunks)


def aggregate_chunks(
    pipeline: Iterable[Any] | str | bytes,
    chunks: Iterable[Chunk],
    *,
    collections: Collections | None = None,
    deadline: Deadline | None = None,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
    text: TextMatcher = all_words,
    distance: Distance = haversine,
) -> Iterator[Chunk]:
    """The same, in lists of documents: for who reads pages and may have to wait for the next.

    For each list that is taken from `chunks` at least one is given, an empty one if need be. So a
    source that has nothing just now gives an empty list, gets the word back, and can wait.
    """
    run = _Run(Budget(memory_bytes_max), deadline, collections, text, distance)
    return _stream(run, pipeline_of(pipeline), checked(chunks, deadline))


def _one_by_one(source: Iterator[Any], chunks: Iterator[Chunk]) -> Iterator[Any]:
    try:
        for chunk in chunks:
            yield from chunk
    finally:
        for one in (chunks, source):
            close = getattr(one, "close", None)
            if close is not None:
                close()


def _stream(run: _Run, stages: Sequence[Stage], chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    for at, stage in enumerate(stages):
        chunks = _step(run, stage, chunks, stages[at + 1 :])
    return chunks


def _step(  # noqa: C901, PLR0912 - one case for each stage
    run: _Run, stage: Stage, chunks: Iterator[Chunk], rest: Sequence[Stage]
) -> Iterator[Chunk]:
    match stage:
        case Match(where):
            test = compile_where(where, text=run.text, distance=run.distance)
            return (list(filter(test, chunk)) for chunk in chunks)
        case Project(_, _, drop) if drop:
            return (list(run_drop(drop, chunk)) for chunk in chunks)
        case Project(keep, computed):
            return _computed(run, computed, compile_select(keep), chunks)
        case AddFields(computed):
            return _computed(run, computed, _copy, chunks)
        case Group():
            return checked(run_group(stage, chunks, run.compute, run.budget), run.deadline)
        case Sort():
            return checked(_sort(run, stage, chunks, _wanted(rest)), run.deadline)
        case Limit(count):
            return _limit(count, chunks)
        case Skip(count):
            return _skip(count, chunks)
        case Unwind():
            return checked(_unwind(stage, chunks), run.deadline)
        case Count(name):
            return _count(name, chunks)
        case Lookup():
            if run.collections is None:
                raise InvalidQuery(
                    "lookup wanted other collections; found none at hand. Aggregate on a "
                    "collection of a database, or pass `collections`",
                    stage="lookup",
                )
            return _lookup(run, stage, run.collections, chunks)
        case Facet():
            return _facet(run, stage, chunks)
    raise AssertionError(f"no meaning for {type(stage).__name__}")


def _copy(document: Any) -> dict[str, Any]:
    return dict(document) if isinstance(document, dict) else {}


def _computed(
    run: _Run,
    computed: Named,
    begin: Callable[[Any], dict[str, Any]],
    chunks: Iterator[Chunk],
) -> Iterator[Chunk]:
    computes = [(name, run.compute(expression)) for name, expression in computed]

    def row_of(document: Any) -> dict[str, Any]:
        row = begin(document)
        for name, compute in computes:
            value = compute(document)
            if value is not MISSING:
                row[name] = value
        return row

    return (list(map(row_of, chunk)) for chunk in chunks)


def _limit(count: int, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    if count:
        for chunk in chunks:
            yield chunk[:count]
            count -= len(chunk)
            if count <= 0:
                return


def _skip(count: int, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        yield chunk[count:]
        count = max(count - len(chunk), 0)


def _unwind(stage: Unwind, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        yield []
        yield from chunked(run_unwind(stage, chunk))


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


def _sort(run: _Run, stage: Sort, chunks: Iterator[Chunk], wanted: int | None) -> Iterator[Chunk]:
    arrangement = Arrangement(stage.order, wanted, rows_max=sys.maxsize)
    few = wanted is not None and wanted <= _UNCHARGED_MAX
    # Ties stay as they came; the place is the last part of the sort key, and turns with the first.
    turn = -1 if stage.order and stage.order[0].descending else 1
    places = itertools.count(0, turn)
    for chunk in chunks:
        held = chunk if few else run.budget.held(chunk, "sort")
        rows = keyed((("", one) for one in held), stage.order, run.distance)
        arrangement.add(((*keys[:-1], next(places)), row) for keys, row in rows)
        yield []
    yield from chunked(document for _, (_, document) in arrangement.rows())


def _count(name: str, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        yield []
    yield [{name: total}]


def _lookup(
    run: _Run, stage: Lookup, collections: Collections, chunks: Iterator[Chunk]
) -> Iterator[Chunk]:
    by_key: dict[Any, list[int]] = {}
    foreign: list[Any] = []
    for others in checked(chunked(collections(stage.collection)), run.deadline):
        for other in run.budget.held(others, "lookup"):
            for key in {order_key(one) for one in candidates(other, stage.foreign)}:
                run.budget.charge(100 + size_of(key), "lookup")
                by_key.setdefault(key, []).append(len(foreign))
            foreign.append(other)

    def joined(document: Any) -> dict[str, Any]:
        places: set[int] = set()
        for one in candidates(document, stage.local):
            places.update(by_key.get(order_key(one), ()))
        row = _copy(document)
        row[stage.name] = [foreign[place] for place in sorted(places)]
        return row

    for chunk in chunks:
        yield list(map(joined, chunk))


def _facet(run: _Run, stage: Facet, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    for _, stages in stage.pipelines:
        _stream(run, stages, iter(()))  # So that what is wrong with them is seen now.
    return _faceted(run, stage, chunks)


def _faceted(run: _Run, stage: Facet, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    kept: list[Any] = []
    for chunk in chunks:
        kept.extend(run.budget.held(chunk, "facet"))
        yield []
    row: dict[str, Any] = {}
    for name, stages in stage.pipelines:
        results = row[name] = []
        for chunk in _stream(run, stages, checked(chunked(kept), run.deadline)):
            results.extend(run.budget.held(chunk, "facet"))
    yield [row]
