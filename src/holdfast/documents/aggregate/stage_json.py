"""Pipelines as JSON: a list of stages, each an object with the stage's name.

    [{"match": {"field": "active", "operator": "eq", "value": true}},
     {"unwind": {"field": "tags", "keepEmpty": false, "index": "at"}},
     {"addFields": {"total": {"multiply": [{"field": "price"}, {"field": "count"}]}}},
     {"group": {"by": {"tag": {"field": "tags"}},
                "fields": {"n": {"count": null}, "total": {"sum": {"field": "total"}}}}},
     {"sort": ["-total", {"field": "tag", "direction": "asc"}]},
     {"skip": 1}, {"limit": 10},
     {"lookup": {"from": "labels", "local": "tag", "foreign": "name", "as": "labels"}},
     {"project": {"tag": true, "share": {"divide": [{"field": "total"}, 100]}}},
     {"facet": {"top": [{"limit": 3}], "size": [{"count": "n"}]}}]

An expression is {"field": path}, {"literal": value}, {function: [arguments]} or {"cond": {"if":
where, "then": .., "else": ..}}; a number, text, bool or null stands for itself. `by` may be a list
of paths. `project` with `false` leaves fields out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.aggregate.accumulators import ACCUMULATORS, Accumulator
from holdfast.documents.aggregate.stages import (
    STAGES_MAX,
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
    group,
)
from holdfast.documents.query import literals
from holdfast.documents.query.computed import (
    EXPRESSION_DEEP_MAX,
    FUNCTIONS,
    Call,
    Conditional,
    Expression,
    FieldValue,
    LiteralValue,
)
from holdfast.documents.query.fields import wanted_text
from holdfast.documents.query.json_form import order_from_json, order_to_json
from holdfast.documents.query.json_print import where_to_json
from holdfast.documents.query.json_where import where_from_json
from holdfast.documents.query.paths import Path, path_form, path_of
from holdfast.documents.query.query import checked_count
from holdfast.documents.query.values import Constant


def pipeline_of(stages: Iterable[Any] | str | bytes, path: str = "pipeline") -> tuple[Stage, ...]:
    """The stages of a pipeline, from stages, from their JSON objects, or from JSON text.

    Raises:
        InvalidQuery: a stage is unknown or malformed; `path` is the place.
    """
    return _pipeline(stages, path, _Counter())


class _Counter:
    """Counts the stages of a pipeline with those of its facets."""

    stages = 0


def _pipeline(stages: Any, path: str, counter: _Counter) -> tuple[Stage, ...]:
    stages = literals.parsed(stages, path)
    if isinstance(stages, (Stage, Mapping)) or not isinstance(stages, Iterable):
        _refuse(path, "a list of stages", stages, "Put the stages into a list")
    found = []
    for at, one in enumerate(stages):
        counter.stages += 1
        if counter.stages > STAGES_MAX:
            raise InvalidQuery(
                f"{path} wanted at most {STAGES_MAX} stages; found more. Split the pipeline",
                path=path,
                limit=STAGES_MAX,
            )
        found.append(_stage(one, f"{path}[{at}]", counter))
    return tuple(found)


def _stage(form: Any, path: str, counter: _Counter) -> Stage:
    if isinstance(form, Facet):
        for _, inner in form.pipelines:
            _pipeline(inner, path, counter)
    if isinstance(form, Stage):
        return form
    name, value = _single(form, path, "a stage, an object with one name")
    if name == "facet":
        pipelines = _mapping(value, f"{path}.facet")
        return Facet(
            tuple(
                (key, _pipeline(inner, f"{path}.facet.{key}", counter))
                for key, inner in pipelines.items()
            )
        )
    reader = _STAGES.get(name)
    if reader is None:
        _unknown(name, (*_STAGES, "facet"), path, "a stage")
    return reader(value, f"{path}.{name}")


def _project(value: Any, path: str) -> Stage:
    fields = _mapping(value, path)
    keep, drop, computed = [], [], []
    for name, one in fields.items():
        if one is True:
            keep.append(path_of(name, f"{path}.{name}"))
        elif one is False:
            drop.append(path_of(name, f"{path}.{name}"))
        else:
            computed.append((name, expression_from_json(one, f"{path}.{name}")))
    if not fields or (drop and (keep or computed)):
        raise InvalidQuery(
            f"{path} wanted fields to keep and compute, or fields to leave out (false); found "
            f"{'both' if fields else 'none'}. Use two stages",
            path=path,
        )
    return Project(tuple(keep), tuple(computed), tuple(drop))


def _group(value: Any, path: str) -> Stage:
    form = _mapping(value, path)
    _only(form, ("by", "fields"), path)
    by = form.get("by")
    keys: Named
    if isinstance(by, Mapping):
        keys = _computed(by, f"{path}.by")
    elif by is None or isinstance(by, (str, list, tuple)):
        several = (by,) if isinstance(by, str) else by or ()
        paths = [path_of(one, f"{path}.by[{at}]") for at, one in enumerate(several)]
        keys = tuple((one[-1] if one else "", FieldValue(one)) for one in paths)
    else:
        _refuse(f"{path}.by", "a list of paths, or names with expressions", by, "Name fields")
    fields = _mapping(form.get("fields") or {}, f"{path}.fields")
    accumulators = tuple(
        (name, _accumulator(one, f"{path}.fields.{name}")) for name, one in fields.items()
    )
    return group(keys, accumulators, path)


def _accumulator(form: Any, path: str) -> Accumulator:
    name, value = _single(form, path, "an accumulator such as {'sum': {'field': 'price'}}")
    if name not in ACCUMULATORS:
        _unknown(name, (*ACCUMULATORS,), path, "an accumulator")
    if name == "count" and (value is None or value == {}):
        return Accumulator(name)
    return Accumulator(name, expression_from_json(value, f"{path}.{name}"))


def _unwind(value: Any, path: str) -> Stage:
    form = value if isinstance(value, Mapping) else {"field": value}
    _only(form, ("field", "keepEmpty", "index"), path)
    keep, index = form.get("keepEmpty", False), form.get("index")
    if not isinstance(keep, bool):
        _refuse(f"{path}.keepEmpty", "true or false", keep, "Leave it out for false")
    found = path_of(form.get("field"), f"{path}.field")
    return Unwind(found, keep, None if index is None else wanted_text(index, f"{path}.index"))


def _lookup(value: Any, path: str) -> Stage:
    form = _mapping(value, path)
    _only(form, ("from", "local", "foreign", "as"), path)
    return Lookup(
        wanted_text(form.get("from"), f"{path}.from"),
        path_of(form.get("local"), f"{path}.local"),
        path_of(form.get("foreign"), f"{path}.foreign"),
        wanted_text(form.get("as"), f"{path}.as"),
    )


_STAGES: dict[str, Callable[[Any, str], Stage]] = {
    "match": lambda value, path: Match(where_from_json(value, path)),
    "project": _project,
    "addFields": lambda value, path: AddFields(_computed(_mapping(value, path), path)),
    "group": _group,
    "sort": lambda value, path: Sort(order_from_json(value, path)),
    "limit": lambda value, path: Limit(checked_count(value, path)),
    "skip": lambda value, path: Skip(checked_count(value, path)),
    "unwind": _unwind,
    "count": lambda value, path: Count(wanted_text(value, path)),
    "lookup": _lookup,
}


def _computed(form: Mapping[str, Any], path: str) -> Named:
    return tuple((name, expression_from_json(one, f"{path}.{name}")) for name, one in form.items())


def expression_from_json(form: Any, path: str, deep: int = 0) -> Expression:
    """The expression that JSON spells. Raises InvalidQuery with its `path`."""
    if isinstance(form, Expression):
        return form
    if not isinstance(form, (Mapping, list)):
        return LiteralValue(Constant(form, path))
    if deep == EXPRESSION_DEEP_MAX:
        raise InvalidQuery(
            f"{path[:200]}... wanted expressions at most {EXPRESSION_DEEP_MAX} deep inside each "
            "other; found more. Compute in two stages",
            path=path[:200],
            limit=EXPRESSION_DEEP_MAX,
        )
    wanted = "an expression; an array or object as it is: {'literal': ...}"
    name, value = _single(form, path, wanted)
    place = f"{path}.{name}"
    if name == "field":
        return FieldValue(path_of(value, place))
    if name == "literal":
        return LiteralValue(Constant(literals.from_json(value, place), place))
    if name == "cond":
        parts = _mapping(value, place)
        _only(parts, ("if", "then", "else"), place)
        return Conditional(
            where_from_json(parts.get("if"), f"{place}.if"),
            expression_from_json(parts.get("then"), f"{place}.then", deep + 1),
            expression_from_json(parts.get("else"), f"{place}.else", deep + 1),
        )
    if name not in FUNCTIONS:
        _unknown(name, ("field", "literal", "cond", *FUNCTIONS), path, wanted)
    arguments = value if isinstance(value, list) else [value]
    return Call(
        name,
        tuple(
            [
                expression_from_json(one, f"{place}[{at}]", deep + 1)
                for at, one in enumerate(arguments)
            ]
        ),
    )


def pipeline_to_json(stages: Iterable[Stage]) -> list[dict[str, Any]]:
    """The pipeline in plain JSON types: what `pipeline_of` reads back equal."""
    return [_stage_to_json(stage) for stage in stages]


def _stage_to_json(stage: Stage) -> dict[str, Any]:  # noqa: C901 - one case for each stage
    match stage:
        case Match(where):
            return {"match": where_to_json(where)}
        case Project(keep, computed, drop):
            kept: dict[str, Any] = {_name(path): True for path in keep}
            dropped = {_name(path): False for path in drop}
            return {"project": kept | dropped | _computed_to_json(computed)}
        case AddFields(computed):
            return {"addFields": _computed_to_json(computed)}
        case Group(by, fields):
            results = {
                name: {one.function: one.argument and expression_to_json(one.argument)}
                for name, one in fields
            }
            return {"group": {"by": _computed_to_json(by), "fields": results}}
        case Sort(order):
            return {"sort": order_to_json(order)}
        case Limit(count):
            return {"limit": count}
        case Skip(count):
            return {"skip": count}
        case Unwind(path, keep_empty, index):
            return {"unwind": {"field": path_form(path), "keepEmpty": keep_empty, "index": index}}
        case Count(name):
            return {"count": name}
        case Lookup(collection, local, foreign, name):
            paths = {"local": path_form(local), "foreign": path_form(foreign)}
            return {"lookup": {"from": collection, **paths, "as": name}}
        case Facet(pipelines):
            return {"facet": {name: pipeline_to_json(inner) for name, inner in pipelines}}
    raise AssertionError(f"no JSON form for {type(stage).__name__}")


def _computed_to_json(computed: Named) -> dict[str, Any]:
    return {name: expression_to_json(one) for name, one in computed}


def expression_to_json(expression: Expression) -> Any:
    """The expression in plain JSON types."""
    match expression:
        case FieldValue(path):
            return {"field": path_form(path)}
        case LiteralValue(constant):
            return {"literal": literals.to_json(constant.value)}
        case Call(function, arguments):
            return {function: [expression_to_json(one) for one in arguments]}
        case Conditional(condition, then, otherwise):
            parts = {"then": expression_to_json(then), "else": expression_to_json(otherwise)}
            return {"cond": {"if": where_to_json(condition), **parts}}
    raise AssertionError(f"no JSON form for {type(expression).__name__}")


def _name(path: Path) -> str:
    form = path_form(path)
    if isinstance(form, str):
        return form
    raise InvalidQuery("a projection with an empty name has no JSON form; keep what is above it")


def _single(form: Any, path: str, wanted: str) -> tuple[str, Any]:
    if not isinstance(form, Mapping):
        _refuse(path, wanted, form, "Write {name: value}")
    if len(form) != 1:
        raise InvalidQuery(
            f"{path} wanted {wanted}; found an object with {len(form)} names. Give it one",
            path=path,
        )
    [(name, value)] = form.items()
    if not isinstance(name, str):
        _refuse(path, wanted, name, "Use a text for a name")
    return name, value


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        _refuse(path, "an object with names", value, "Write {name: value}")
    return value


def _only(form: Mapping[str, Any], names: tuple[str, ...], path: str) -> None:
    for name in form:
        if name not in names:
            _unknown(str(name), names, path, f"only {', '.join(names)}")


def _unknown(found: str, known: tuple[str, ...], path: str, wanted: str) -> NoReturn:
    close = get_close_matches(found.lstrip("$").lower(), known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"
    raise InvalidQuery(f"{path} wanted {wanted}; found {found[:80]!r}; {hint}", path=path)


def _refuse(path: str, wanted: str, found: Any, advice: str) -> NoReturn:
    shown = "nothing" if found is None else f"a {type(found).__name__}"
    raise InvalidQuery(f"{path} wanted {wanted}; found {shown}. {advice}", path=path)
