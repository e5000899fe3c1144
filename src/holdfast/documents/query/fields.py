"""The builder: `F.age >= 18`, `F.address.city == "Kyoto"`, `F["a.b"]`, `F.tags.any("new")`.

`F.name` goes into a field; so does `F["name"]`, which takes the name as it is, dots and all, for
names that are no Python names or belong to a method (`F["matches"]`). A number is the index of an
array: `F.tags[0]`. `F` alone is the value itself: the element, inside `elem_match`.

Comparisons make conditions, `& | ~` join them; `-F.x` orders descending; `F.price * F.count` is an
expression for aggregations.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NoReturn, final

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.query.computed import Arithmetic
from holdfast.documents.query.nodes import (
    Comparison,
    ComparisonOperator,
    ElementMatch,
    Exists,
    Matches,
    Membership,
    Near,
    Nested,
    Node,
    Regex,
    Within,
    all_of,
)
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.paths import Path, checked, path_text
from holdfast.documents.query.places import checked_box, checked_meters, checked_point
from holdfast.documents.query.values import Constant

#: Types of most values; none of them is a field or a condition.
_SCALARS: Final = frozenset((int, str, float, bool))


@final
class Field(Arithmetic):
    """A place in documents, from which conditions, orders and expressions are made. Immutable."""

    __slots__ = ("_path",)

    _path: Path

    def __init__(self, path: Path = ()) -> None:
        object.__setattr__(self, "_path", checked(path))

    def path_of_field(self) -> Path:
        """The parts of the path."""
        return self._path

    def __getattr__(self, name: str) -> Field:
        # Names of Python's own protocols are never fields: copy and pickle ask for them.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Field((*self._path, name))

    def __getitem__(self, name: str | int) -> Field:
        if isinstance(name, str):
            return Field((*self._path, name))
        if isinstance(name, int) and not isinstance(name, bool) and name >= 0:
            return Field((*self._path, str(name)))
        raise InvalidQuery(
            f"{self!r}[...] wanted a name, or an index from 0 up; found "
            f"{'a negative index' if isinstance(name, int) else f'a {type(name).__name__}'}. "
            "Correct it",
            path=path_text(self._path),
        )

    def __eq__(self, value: object) -> Node:  # type: ignore[override]
        return self._compare("eq", value)

    def __ne__(self, value: object) -> Node:  # type: ignore[override]
        return self._compare("ne", value)

    def __gt__(self, value: object) -> Node:
        return self._compare("gt", value)

    def __ge__(self, value: object) -> Node:
        return self._compare("gte", value)

    def __lt__(self, value: object) -> Node:
        return self._compare("lt", value)

    def __le__(self, value: object) -> Node:
        return self._compare("lte", value)

    def __hash__(self) -> int:
        return hash(("Field", self._path))

    def __neg__(self) -> OrderBy:
        return OrderBy(self._path, descending=True)

    def __pos__(self) -> OrderBy:
        return OrderBy(self._path)

    def in_(self, values: Iterable[Any]) -> Node:
        """It is one of the values (an array: it is, or has an element that is)."""
        return Membership(self._path, members(values, self._name))

    def nin(self, values: Iterable[Any]) -> Node:
        """It is none of the values; so where it is missing, unless null is listed."""
        return Membership(self._path, members(values, self._name), negated=True)

    def exists(self, present: bool = True) -> Node:
        """There is something, even null (`False`: there is nothing)."""
        if not isinstance(present, bool):
            raise InvalidQuery(f"exists wanted True or False; found a {type(present).__name__}")
        return Exists(self._path, present)

    def regex(self, pattern: str) -> Node:
        """It is a text that holds a match of the RE2 expression; flags as in `(?i)tokyo`."""
        return Regex(self._path, wanted_text(pattern, "regex"))

    def matches(self, text: str) -> Node:
        """It is a text that a full-text search finds."""
        return Matches(self._path, wanted_text(text, "matches"))

    def near(self, latitude: float, longitude: float, meters: float | None = None) -> Node:
        """It is a point, at most that many meters away."""
        point = checked_point(latitude, longitude, "near")
        return Near(
            self._path, point, None if meters is None else checked_meters(meters, "near.meters")
        )

    def within(self, *, west: float, south: float, east: float, north: float) -> Node:
        """It is a point of the box, which crosses the date line when west is greater than east."""
        return Within(self._path, checked_box(west, south, east, north, where="within"))

    def elem_match(self, *conditions: Node) -> Node:
        """It is an array with one element that meets all the conditions; `F` is the element."""
        return ElementMatch(self._path, all_of(_conditions(conditions, "elem_match")))

    def any(self, *wanted: Any) -> Node:
        """It is an array with an element that is one of the values, or meets the conditions."""
        if any(isinstance(one, Node) for one in wanted):
            return self.elem_match(*wanted)
        return ElementMatch(self._path, Membership((), members(wanted, "any")))

    def nested(self, *conditions: Node, **equal: Any) -> Node:
        """It is an object, or an array with one, that meets the conditions on its own fields."""
        return Nested(self._path, all_of((*_conditions(conditions, "nested"), *equalities(equal))))

    def distance(self, latitude: float, longitude: float) -> OrderBy:
        """Order by the distance from a point, the nearest first."""
        return OrderBy(self._path, near=checked_point(latitude, longitude, "distance"))

    @property
    def _name(self) -> str:
        return path_text(self._path) or "value"

    def _compare(self, operator: ComparisonOperator, value: object) -> Node:
        if type(value) not in _SCALARS and isinstance(value, (Field, Node)):
            raise InvalidQuery(
                f"{self!r} wanted a value to compare with; found another field or condition. "
                "Compare two fields of a document in your own code",
                path=self._name,
            )
        return Comparison(self._path, operator, Constant(value, self._name))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a field is no place to store {name!r}; compare with ==")

    def __bool__(self) -> NoReturn:
        raise InvalidQuery(
            f"{self!r} has no truth of its own; found it where Python wanted a bool. "
            "Write F.x == True, or F.x.exists()"
        )

    def __contains__(self, value: object) -> NoReturn:
        raise InvalidQuery(f"Python makes a bool of `in`. Write {self!r}.any(value)")

    # Without this Python would iterate by index for ever.
    def __iter__(self) -> NoReturn:
        raise InvalidQuery(f"{self!r} holds no values itself. Ask a collection for them")

    def __call__(self, *arguments: Any, **named: Any) -> NoReturn:
        from difflib import get_close_matches

        name = self._path[-1] if self._path else ""
        known = [one for one in dir(Field) if not one.startswith("_")]
        close = get_close_matches(name, known, 1)
        if name in ("asc", "desc"):
            advice = "In order_by a field stands for its order, and -F.name for the descending one"
        elif close:
            advice = f"Did you mean {close[0]!r}?"
        else:
            advice = f"A field has {', '.join(known)}"
        raise InvalidQuery(f"{self!r} is a field and cannot be called. {advice}", path=self._name)

    def __repr__(self) -> str:
        return "F" + "".join(
            f".{part}" if part.isidentifier() else f"[{part!r}]" for part in self._path
        )

    def __reduce__(self) -> tuple[type[Field], tuple[Path]]:
        return Field, (self._path,)


def members(values: Any, where: str) -> tuple[Constant, ...]:
    """The values of an `in`. Raises InvalidQuery unless they are a list, tuple or set."""
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise InvalidQuery(
            f"{where} wanted a list of values for `in`; found a {type(values).__name__}. "
            "Put the values into a list",
            path=where,
        )
    return tuple([Constant(value, where) for value in values])


def equalities(equal: dict[str, Any]) -> tuple[Node, ...]:
    """Conditions from keywords: each name equals its value."""
    return tuple(
        Comparison(_named(name), "eq", Constant(value, name)) for name, value in equal.items()
    )


@lru_cache(maxsize=1024)
def _named(name: str) -> Path:
    """The path of one name: programs ask for few."""
    return checked((name,))


def wanted_text(value: Any, where: str) -> str:
    """A text, or InvalidQuery."""
    if isinstance(value, str):
        return str(Constant(value, where).value)
    raise InvalidQuery(
        f"{where} wanted a text; found a {type(value).__name__}. Pass a str", path=where
    )


def _conditions(conditions: tuple[Any, ...], where: str) -> tuple[Node, ...]:
    for condition in conditions:
        if not isinstance(condition, Node):
            raise InvalidQuery(
                f"{where} wanted conditions such as F.price > 5; found a "
                f"{type(condition).__name__}. Compare a field with it",
                path=where,
            )
    return conditions


#: The root of all fields; inside `elem_match` the element.
F = Field()
