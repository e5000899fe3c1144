"""The stages that take documents apart: `unwind`, and `project` that leaves fields out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from holdfast.documents.aggregate.stages import Unwind
from holdfast.documents.query.paths import Path
from holdfast.documents.query.values import MISSING


def run_unwind(stage: Unwind, documents: Iterable[Any]) -> Iterator[Any]:
    """One document for each element of the array at a path of names; see `Unwind`."""
    for document in documents:
        value = document
        for name in stage.path:
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
        if isinstance(value, list) and value:
            for at, element in enumerate(value):
                yield _indexed(_with(document, stage.path, element), stage.index, at)
        elif value is None or value is MISSING or value == []:
            if stage.keep_empty:
                kept = document if value is None else _with(document, stage.path, MISSING)
                yield _indexed(kept, stage.index, None)
        else:
            yield _indexed(document, stage.index, None)


def _indexed(document: Any, index: str | None, at: int | None) -> Any:
    if index is None or not isinstance(document, dict):
        return document
    return {**document, index: at}


def _with(document: Any, path: Path, value: Any) -> Any:
    """A copy with another value at a path of names, or (MISSING) without one."""
    if not isinstance(document, dict):
        return document
    copy = dict(document)
    name, *rest = path
    if rest:
        if name in copy:
            copy[name] = _with(copy[name], tuple(rest), value)
    elif value is MISSING:
        copy.pop(name, None)
    else:
        copy[name] = value
    return copy


def run_drop(paths: Iterable[Path], documents: Iterable[Any]) -> Iterator[Any]:
    """The documents without some paths, through arrays too."""
    several = tuple(paths)
    for document in documents:
        kept = document
        for path in several:
            kept = _without(kept, path)
        yield kept


def _without(value: Any, path: Path) -> Any:
    if isinstance(value, list):
        return [_without(one, path) if isinstance(one, dict) else one for one in value]
    if not isinstance(value, dict) or path[0] not in value:
        return value
    if len(path) == 1:
        return {name: one for name, one in value.items() if name != path[0]}
    return {**value, path[0]: _without(value[path[0]], path[1:])}
