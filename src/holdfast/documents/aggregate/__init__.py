"""Aggregation: pipelines of stages over documents, streaming, with bounded memory."""

from __future__ import annotations

from holdfast.documents.aggregate.accumulators import (
    Accumulator,
    add_to_set,
    avg,
    count_,
    first,
    last,
    max_,
    min_,
    push,
    sum_,
)
from holdfast.documents.aggregate.budget import MEMORY_BYTES_MAX, Deadline
from holdfast.documents.aggregate.making import (
    add_fields,
    count,
    drop,
    facet,
    group_by,
    limit,
    lookup,
    match,
    project,
    skip,
    sort,
    unwind,
)
from holdfast.documents.aggregate.pipeline import Collections, aggregate, aggregate_chunks
from holdfast.documents.aggregate.stage_json import pipeline_of, pipeline_to_json
from holdfast.documents.aggregate.stages import Stage

__all__ = [
    "MEMORY_BYTES_MAX",
    "Accumulator",
    "Collections",
    "Deadline",
    "Stage",
    "add_fields",
    "add_to_set",
    "aggregate",
    "aggregate_chunks",
    "avg",
    "count",
    "count_",
    "drop",
    "facet",
    "first",
    "group_by",
    "last",
    "limit",
    "lookup",
    "match",
    "max_",
    "min_",
    "pipeline_of",
    "pipeline_to_json",
    "project",
    "push",
    "skip",
    "sort",
    "sum_",
    "unwind",
]
