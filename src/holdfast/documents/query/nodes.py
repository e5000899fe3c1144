"""The conditions of a query: one tree, whatever it was spelled in.

Every node is immutable, hashable, and equal to nodes of the same kind and values. `a & b`, `a | b`
and `~a` combine them; so trees of any size are made, but none deeper than `NODES_DEEP_MAX` nor of
more than `NODES_MAX` nodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, NoReturn, get_args

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query.paths import Path, path_text
from holdfast.documents.query.places import Box, Point
from holdfast.documents.query.values import BRACKETS, Constant

NODES_DEEP_MAX = 100
"""How deep conditions may stand inside each other."""

NODES_MAX = 10_000
"""How many conditions a query has at most."""

MEMBERS_MAX = 1_000_000
"""How many values an `in` lists at most."""

REGEX_CHARACTERS_MAX = 4096
"""The longest regular expression, in characters."""

ComparisonOperator = Literal["eq", "ne", "gt", "gte", "lt", "lte"]
COMPARISONS: tuple[ComparisonOperator, ...] = get_args(ComparisonOperator)


@dataclass(frozen=True, slots=True)
class Node(ABC):
    """A condition on one document."""

    #: How many nodes stand above each other here, and how many there are.
    deep: int = field(init=False, repr=False, compare=False, default=1)
    count: int = field(init=False, repr=False, compare=False, default=1)

    def __and__(self, other: Node) -> Node:
        return _joined(And, self, other)

    def __or__(self, other: Node) -> Node:
        return _joined(Or, self, other)

    def __invert__(self) -> Node:
        return self.condition if isinstance(self, Not) else Not(self)

    def __bool__(self) -> NoReturn:
        raise InvalidQuery(
            "a condition has no truth of its own; found one where Python wanted a bool. Join "
            "conditions with &, | and ~ in parentheses, not with and, or, not or a < b < c"
        )

    @abstractmethod
    def shape(self) -> str:
        """The condition with brackets in place of values: equal for queries that plan alike."""

    def _holds(self, *children: Node) -> None:
        deep = 1 + max((child.deep for child in children), default=0)
        count = 1 + sum(child.count for child in children)
        if deep > NODES_DEEP_MAX:
            raise InvalidQuery(
                f"conditions stand at most {NODES_DEEP_MAX} deep inside each other; found more. "
                "Join conditions of one kind in one list",
                limit=NODES_DEEP_MAX,
            )
        if count > NODES_MAX:
            raise InvalidQuery(
                f"a query has at most {NODES_MAX} conditions; found more. Use `in` for many values "
                "of one field, or several queries",
                limit=NODES_MAX,
            )
        object.__setattr__(self, "deep", deep)
        object.__setattr__(self, "count", count)


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """What the path finds compares with a value."""

    path: Path
    operator: ComparisonOperator
    value: Constant

    def shape(self) -> str:
        return f"{self.operator}({path_text(self.path)!r},{self.value.bracket})"


@dataclass(frozen=True, slots=True)
class Membership(Node):
    """What the path finds is one of the values (`negated`: is none of them)."""

    path: Path
    values: tuple[Constant, ...]
    negated: bool = False
    # For the shape, which is asked for more often than a list of many values is made.
    brackets: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        found = {value.key[0] for value in self.values}
        object.__setattr__(self, "brackets", ",".join(BRACKETS[one] for one in sorted(found)))
        if len(self.values) > MEMBERS_MAX:
            raise InvalidQuery(
                f"`in` lists at most {MEMBERS_MAX} values; found {len(self.values)}. "
                "Split the query",
                limit=MEMBERS_MAX,
            )

    def shape(self) -> str:
        return f"{'nin' if self.negated else 'in'}({path_text(self.path)!r},{self.brackets})"


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """The path finds something, null among it (`present` False: it finds nothing)."""

    path: Path
    present: bool = True

    def shape(self) -> str:
        return f"exists({path_text(self.path)!r},{self.present})"


@dataclass(frozen=True, slots=True)
class Regex(Node):
    """A text that the path finds holds a match of the RE2 expression."""

    path: Path
    pattern: str

    def __post_init__(self) -> None:
        if len(self.pattern) > REGEX_CHARACTERS_MAX:
            raise InvalidQuery(
                f"a regular expression has at most {REGEX_CHARACTERS_MAX} characters; found "
                f"{len(self.pattern)}. Shorten it, or use `in` for many words",
                limit=REGEX_CHARACTERS_MAX,
            )

    def shape(self) -> str:
        # Where it is anchored decides whether a range of an index can serve.
        return f"regex({path_text(self.path)!r},{self.pattern.startswith('^')})"


@dataclass(frozen=True, slots=True)
class Matches(Node):
    """A text that the path finds matches a full-text search."""

    path: Path
    text: str

    def shape(self) -> str:
        return f"matches({path_text(self.path)!r})"


@dataclass(frozen=True, slots=True)
class Near(Node):
    """A point that the path finds is at most so many meters away (None: it is any point)."""

    path: Path
    point: Point
    meters: float | None = None

    def shape(self) -> str:
        return f"near({path_text(self.path)!r},{self.meters is not None})"


@dataclass(frozen=True, slots=True)
class Within(Node):
    """A point that the path finds lies in a box."""

    path: Path
    box: Box

    def shape(self) -> str:
        return f"within({path_text(self.path)!r})"


@dataclass(frozen=True, slots=True)
class ElementMatch(Node):
    """An array that the path finds has one element for which `condition` holds."""

    path: Path
    condition: Node

    def __post_init__(self) -> None:
        self._holds(self.condition)

    def shape(self) -> str:
        return f"elem_match({path_text(self.path)!r},{self.condition.shape()})"


@dataclass(frozen=True, slots=True)
class Nested(Node):
    """An object that the path finds, itself or as an element of an array, meets `condition`."""

    path: Path
    condition: Node

    def __post_init__(self) -> None:
        self._holds(self.condition)

    def shape(self) -> str:
        return f"nested({path_text(self.path)!r},{self.condition.shape()})"


@dataclass(frozen=True, slots=True)
class And(Node):
    """All conditions hold; without any, every document meets it."""

    conditions: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        self._holds(*self.conditions)

    def shape(self) -> str:
        return f"and({','.join(one.shape() for one in self.conditions)})"


@dataclass(frozen=True, slots=True)
class Or(Node):
    """One condition holds; without any, no document meets it."""

    conditions: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        self._holds(*self.conditions)

    def shape(self) -> str:
        return f"or({','.join(one.shape() for one in self.conditions)})"


@dataclass(frozen=True, slots=True)
class Not(Node):
    """The condition does not hold."""

    condition: Node

    def __post_init__(self) -> None:
        self._holds(self.condition)

    def shape(self) -> str:
        return f"not({self.condition.shape()})"


#: Every document.
EVERYTHING = And(())


def _joined(kind: type[And | Or], one: Node, other: Node) -> Node:
    if not isinstance(other, Node):
        return NotImplemented
    left = one.conditions if isinstance(one, kind) else (one,)
    right = other.conditions if isinstance(other, kind) else (other,)
    return kind((*left, *right))


def all_of(conditions: tuple[Node, ...]) -> Node:
    """The conditions joined by `and`; one stands for itself."""
    return conditions[0] if len(conditions) == 1 else And(conditions)
