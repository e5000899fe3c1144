"""The reference: what conditions mean, written to be read. It knows no plan and no index.

Whatever else evaluates conditions (`compile`, and every plan over every index) must agree with it.

| condition | holds when |
|---|---|
| `eq` | a candidate equals the value; null equals missing |
| `gt gte lt lte` | a candidate of the value's own bracket compares so (`gte` null is `eq` null) |
| `ne nin not` | exactly when `eq`, `in`, the condition does not: so where nothing is, too |
| `in` | a candidate equals one of the values |
| `exists` | the path finds something, null among it |
| `regex` | a candidate is a text with a match of the RE2 expression anywhere |
| `matches` | a candidate is a text that the full-text search finds |
| `near within` | a candidate is a point so near, or in the box |
| `elem_match` | an array that is found has one element that meets the condition |
| `nested` | an object that is found, or is an element of an array that is, meets the condition |
| `and or` | all hold, one holds; of none: `and` holds, `or` does not |

The candidates are all that the path finds (`paths`), and the elements of arrays among it: so a
range of two conditions may be met by two elements, `elem_match` asks it of one. The empty path
finds the value itself alone, whole. Brackets, order and equality: `values`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.documents.query.nodes import (
    And,
    Comparison,
    ElementMatch,
    Exists,
    Matches,
    Membership,
    Near,
    Nested,
    Node,
    Not,
    Or,
    Regex,
    Within,
)
from holdfast.documents.query.paths import Path, values_at
from holdfast.documents.query.places import Distance, haversine, read_point
from holdfast.documents.query.regex import regex_search
from holdfast.documents.query.texts import TextMatcher, all_words
from holdfast.documents.query.values import MISSING, order_key


def evaluate(  # noqa: C901 - one case for each kind of node
    node: Node, document: Any, *, text: TextMatcher = all_words, distance: Distance = haversine
) -> bool:
    """Whether a document, in plain values, meets a condition.

    Raises:
        PatternInvalid: a regular expression cannot be compiled.
        DriverMissing: there is one, and the package for them is not installed.
    """

    def holds(node: Node, document: Any) -> bool:  # noqa: C901 - one case for each kind of node
        match node:
            case And(conditions):
                return all(holds(one, document) for one in conditions)
            case Or(conditions):
                return any(holds(one, document) for one in conditions)
            case Not(condition):
                return not holds(condition, document)
            case Comparison():
                return _compares(node, document)
            case Membership(path, values, negated):
                keys = {value.key for value in values}
                return negated != any(order_key(one) in keys for one in candidates(document, path))
            case Exists(path, present):
                found = any(value is not MISSING for value in values_at(document, path))
                return found == present
            case Regex(path, pattern):
                search = regex_search(pattern)
                return any(search(one) is not None for one in _texts(document, path))
            case Matches(path, wanted):
                test = text(wanted)
                return any(test(one) for one in _texts(document, path))
            case Near(path, point, meters):
                places = filter(None, map(read_point, candidates(document, path)))
                return any(meters is None or distance(point, one) <= meters for one in places)
            case Within(path, box):
                places = filter(None, map(read_point, candidates(document, path)))
                return any(box.holds(one) for one in places)
            case ElementMatch(path, condition):
                return any(
                    holds(condition, element)
                    for found in values_at(document, path)
                    if isinstance(found, list)
                    for element in found
                )
            case Nested(path, condition):
                return any(
                    holds(condition, one)
                    for found in values_at(document, path)
                    for one in (found if isinstance(found, list) else (found,))
                    if isinstance(one, dict)
                )
        raise AssertionError(f"no meaning for {type(node).__name__}")

    return holds(node, document)


def candidates(document: Any, path: Path) -> Iterator[Any]:
    """What an operator of a field looks at: all that the path finds, and elements of arrays."""
    for value in values_at(document, path):
        yield value
        if path and isinstance(value, list):
            yield from value


def _texts(document: Any, path: Path) -> Iterator[str]:
    return (one for one in candidates(document, path) if isinstance(one, str))


def _compares(node: Comparison, document: Any) -> bool:
    wanted = node.value.key
    if node.operator in ("eq", "ne"):
        equal = any(order_key(one) == wanted for one in candidates(document, node.path))
        return equal == (node.operator == "eq")
    for one in candidates(document, node.path):
        key = order_key(one)
        if key[0] != wanted[0]:
            continue
        match node.operator:
            case "gt":
                holds = key > wanted
            case "gte":
                holds = key >= wanted
            case "lt":
                holds = key < wanted
            case _:
                holds = key <= wanted
        if holds:
            return True
    return False
