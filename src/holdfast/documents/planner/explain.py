"""What a plan is and what it took, for people and for tests."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from holdfast.contract.engine import Engine
from holdfast.documents.planner.execute import Run
from holdfast.documents.planner.found import Examined
from holdfast.documents.planner.plan import QueryPlan
from holdfast.documents.planner.statistics import Statistics
from holdfast.documents.planner.way import Access
from holdfast.documents.query.json_form import query_to_json
from holdfast.documents.query.json_print import where_to_json
from holdfast.documents.query.nodes import EVERYTHING
from holdfast.documents.query.paths import path_text
from holdfast.documents.query.query import Query
from holdfast.documents.storage import DocumentStorage


async def explained(storage: DocumentStorage, moment: Engine, plan: QueryPlan) -> dict[str, Any]:
    """Run the plan, and tell how it went.

    `plan` is a tree of stages, the last step outermost. `examined` counts what was really looked
    at; of an index scan `estimate` is what it was thought to be. `warnings` says what an index
    would mend.
    """
    clock = storage.engine.components.clock
    statistics = Statistics(storage, moment)
    instead = [] if plan.alone is None else plan.alone.ways
    for number, way in enumerate((*plan.ways, *plan.narrowing, *instead)):
        way.number = number
        if way.estimate is None:
            way.estimate = statistics.rows(way)
    examined = Examined()
    began = clock.monotonic()
    returned = 0
    run = Run(storage, moment, plan, examined)
    async with aclosing(run.results()) as results:
        async for _ in results:
            returned += 1
    seconds = clock.monotonic() - began
    warnings = []
    if run.plan is not plan:
        warnings.append(
            "an intersection would have held too many keys of documents; one index by itself "
            "answered. An index on the fields of both would mend it"
        )
        plan = run.plan
    if not plan.ways and plan.nearest is None and plan.query.limit != 0:
        warnings.append(
            "the whole collection was looked at; an index on a field of the condition would mend it"
        )
    if plan.query.order_by and not plan.ordered:
        warnings.append(
            "results were sorted in memory; an index on the fields of the order would mend it"
        )
    return {
        "query": query_to_json(plan.query),
        "engine": storage.engine.capabilities.engine,
        "plan": stages(plan, examined),
        "rejected": [_scan(way) for way in plan.rejected],
        "returned": returned,
        "examined": {"keys": examined.keys, "documents": examined.documents},
        "seconds": seconds,
        "warnings": warnings,
    }


def nothing_explained(query: Query, engine: Engine) -> dict[str, Any]:
    """The same of a collection that nothing was written into."""
    return {
        "query": query_to_json(query),
        "engine": engine.capabilities.engine,
        "plan": {"stage": "empty_collection"},
        "rejected": [],
        "returned": 0,
        "examined": {"keys": 0, "documents": 0},
        "seconds": 0.0,
        "warnings": [],
    }


def stages(plan: QueryPlan, examined: Examined) -> dict[str, Any]:
    """The plan as a tree: each stage names the one it takes from as `input`."""
    query = plan.query
    tree = _source(plan, examined)
    if plan.rest != EVERYTHING:
        tree = {"stage": "filter", "condition": where_to_json(plan.rest), "input": tree}
    if query.order_by and not (plan.ordered and plan.ties):
        stage = "sort_ties" if plan.ordered else "top" if query.limit is not None else "sort"
        order = [f"{'-' * one.descending}{path_text(one.path)}" for one in query.order_by]
        tree = {"stage": stage, "order": order, "input": tree}
    elif not query.order_by and not plan.ordered:
        tree = {"stage": "sort", "order": ["key"], "input": tree}
    if query.offset or query.limit is not None:
        tree = {"stage": "page", "offset": query.offset, "limit": query.limit, "input": tree}
    if query.select is not None:
        tree = {"stage": "select", "fields": [*map(path_text, query.select)], "input": tree}
    return tree


def _source(plan: QueryPlan, examined: Examined) -> dict[str, Any]:
    """The stages that documents come from."""
    if plan.nearest is not None:
        return {"stage": "fetch", "input": {"stage": "nearest", "index": plan.nearest.name}}
    if not plan.ways:
        return {"stage": "collection_scan"}
    if plan.single is None:
        union = {"stage": "union", "inputs": [_walked(way, examined) for way in plan.ways]}
        return {"stage": "fetch", "input": union}
    tree = _walked(plan.single, examined)
    if plan.backwards:
        tree["backwards"] = True
    if plan.narrowing:
        narrowing = [_walked(way, examined) for way in plan.narrowing]
        tree = {"stage": "intersection", "inputs": [*narrowing, tree]}
    return {"stage": "fetch", "input": tree}


def _walked(way: Access, examined: Examined) -> dict[str, Any]:
    return _scan(way) | {"keys": examined.by(way)}


def _scan(way: Access) -> dict[str, Any]:
    told = _told(way)
    if way.estimate is not None:
        # What it was chosen by; `examined` tells what it was.
        told["estimate"] = {"keys": way.estimate.rows, "counted": way.estimate.exact}
    return told


def _told(way: Access) -> dict[str, Any]:
    return {
        "stage": "index_scan",
        "index": way.index.name,
        "kind": way.index.kind,
        "bounds": {path: told() for path, told in way.bounds.items()},
        "spans": len(way.spans),
        "exact": bool(way.places),
    }
