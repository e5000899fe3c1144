"""What a condition asks of single fields, as far as the bounds of an index can say it.

What is found here is implied by the condition, so the documents within bounds made of it are all
that can match, and perhaps more: the evaluator decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from holdfast.documents.query.nodes import (
    And,
    Comparison,
    Matches,
    Membership,
    Near,
    Nested,
    Node,
    Regex,
    Within,
)
from holdfast.documents.query.paths import Path
from holdfast.documents.query.values import NULL, Constant

#: What a regular expression begins with that is anchored, and which texts begin with.
_ANCHORED = re.compile(r"\^([^\\.^$*+?{}\[\]|()]+)")
_REPEATS = ("*", "?", "{")


class Predicate(NamedTuple):
    """One condition on what a path finds.

    Attributes:
        path: where.
        place: of the conjunct it comes from.
        whole: whether it is all that the conjunct says.
        values: it equals one of these; None: it does not say.
        low, high: it is at least, or at most, that; `low_open`, `high_open`: but not that itself.
        start: it is a text that begins so.
        node: for the indexes of other kinds: `Matches`, `Near`, `Within`.
    """

    path: Path
    place: int
    whole: bool
    values: tuple[Constant, ...] | None = None
    low: Constant | None = None
    high: Constant | None = None
    low_open: bool = False
    high_open: bool = False
    start: str | None = None
    node: Matches | Near | Within | None = None

    @property
    def null(self) -> bool:
        """Whether a document that has nothing there may meet it."""
        return self.values is not None and any(one.key[0] == NULL for one in self.values)


#: What is asked of each field.
ByPath = dict[Path, list[Predicate]]


def conjuncts(node: Node) -> tuple[Node, ...]:
    """The conditions that all have to hold."""
    if isinstance(node, And):
        return tuple(one for part in node.conditions for one in conjuncts(part))
    return (node,)


def predicates(parts: tuple[Node, ...]) -> list[Predicate]:
    """What the conjuncts ask of single fields."""
    return [
        found
        for place, node in enumerate(parts)
        for found in _of(node, place, (), whole=True)
        if found.path
    ]


def _of(node: Node, place: int, above: Path, *, whole: bool) -> Iterator[Predicate]:
    match node:
        case Comparison(path, operator, constant):
            found = _compared((*above, *path), place, whole, operator, constant)
            if found is not None and (path or not above):
                yield found
        case Membership(path, values, False) if path:
            yield Predicate((*above, *path), place, whole, values=values)
        case Regex(path, pattern) if path:
            start = _start_of(pattern)
            if start:
                yield Predicate((*above, *path), place, False, start=start)
        case Matches(path, _) if path and not above:
            yield Predicate(path, place, False, node=node)
        case Near(path, _, _) | Within(path, _) if path and not above:
            yield Predicate(path, place, whole, node=node)
        case Nested(path, condition) if path:
            for one in conjuncts(condition):
                yield from _of(one, place, (*above, *path), whole=False)


def _compared(
    path: Path, place: int, whole: bool, operator: str, constant: Constant
) -> Predicate | None:
    null = constant.key[0] == NULL
    if operator == "eq" or (null and operator in ("gte", "lte")):
        return Predicate(path, place, whole, values=(constant,))
    if operator == "ne" or null:
        return None
    if operator in ("gt", "gte"):
        return Predicate(path, place, whole, low=constant, low_open=operator == "gt")
    return Predicate(path, place, whole, high=constant, high_open=operator == "lt")


def _start_of(pattern: str) -> str:
    """What every text begins with that the expression finds; empty: that cannot be said."""
    anchored = _ANCHORED.match(pattern)
    if anchored is None or "|" in pattern:
        return ""
    start, rest = anchored[1], pattern[anchored.end() :]
    return start[:-1] if rest.startswith(_REPEATS) else start


def shown(value: Any) -> str:
    """A bound as `explain` shows it: to whoever asked with that value."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line on a terminal
