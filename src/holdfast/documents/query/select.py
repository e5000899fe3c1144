"""Projection: what of a document a query gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from holdfast.documents.query.paths import Path, index_of

# What is kept below a name: everything (None), or only the names inside.
_Tree = dict[str, "_Tree | None"]


def compile_select(paths: Iterable[Path]) -> Callable[[Any], dict[str, Any]]:
    """A function that keeps these paths of a document, in the document's own order.

    Along a path through an array, each element that is an object keeps the rest of the path, and
    other elements are left out; a number keeps that one element. What is missing stays missing.
    A document that is no object keeps nothing. Objects on the way are new, what is kept whole is
    the document's own.
    """
    tree: _Tree = {}
    for path in paths:
        _plant(tree, path)
    if all(below is None for below in tree.values()):
        names = frozenset(tree)

        def flat(document: Any) -> dict[str, Any]:
            if not isinstance(document, dict):
                return {}
            return {name: value for name, value in document.items() if name in names}

        return flat
    return lambda document: _object(document, tree) if isinstance(document, dict) else {}


def _plant(tree: _Tree, path: Path) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        if below is None:  # what stands above is kept whole already
            return
        tree = below
    tree[path[-1]] = None


def _object(document: dict[str, Any], tree: _Tree) -> dict[str, Any]:
    kept = {}
    for name, value in document.items():
        if name in tree:
            below = tree[name]
            if below is None:
                kept[name] = value
            elif isinstance(value, dict):
                kept[name] = _object(value, below)
            elif isinstance(value, list):
                kept[name] = _array(value, below)
    return kept


def _array(array: list[Any], tree: _Tree) -> list[Any]:
    kept: list[Any] = []
    indexes = {
        index: below for name, below in tree.items() if (index := index_of(name)) is not None
    }
    for at, element in enumerate(array):
        below = indexes.get(at, tree)
        if below is None:
            kept.append(element)
        elif isinstance(element, dict):
            kept.append(_object(element, below))
        elif isinstance(element, list) and at in indexes:
            kept.append(_array(element, below))
    return kept
