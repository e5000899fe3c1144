"""Cells of a CSV file: values as text, and the types of columns that hold only text.

column     every cell that is not null is
int        -0 to 9 without zeros in front: 007 is text
float      a number with a point or an exponent, or an int
bool       true or false
datetime   an instant in ISO 8601 with its offset
json       a JSON array or object, bytes among them as {"$bytes": ...}
str        anything
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, get_args, get_type_hints

from holdfast.codecs import typed_json
from holdfast.contract.errors import InvalidInput, InvalidValue, StoreError

TYPES: Final = ("int", "float", "bool", "datetime", "json", "str")

_INT: Final = re.compile(r"0|-?[1-9][0-9]{0,19}", re.ASCII)
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_DATETIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)", re.ASCII
)
_BOOLS: Final = {"true": True, "false": False, "True": True, "False": False}
_INTEGER_MAX: Final = 2**64
_INTEGER_EXACT: Final = 2**53


def written(value: Any, column: str, null: str) -> str:
    """The text of a cell. Raises InvalidValue where that would be read as another value."""
    if value is None:
        return null
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is str:
        text = value
        if text == null:
            raise InvalidValue(
                f"null is written as {null!r}; found a text that is the same in the column "
                f"{column!r}. Give another text for null="
            )
    elif isinstance(value, datetime):
        text = value.isoformat()
    elif isinstance(value, int | float):
        text = repr(value)
    else:
        text = typed_json.dumps(value)
    if len(text) > csv.field_size_limit():
        raise InvalidValue(
            f"a cell has at most {csv.field_size_limit()} characters, which readers of CSV take; "
            f"found more in the column {column!r}. Leave it out with select, or write JSON Lines",
            limit=csv.field_size_limit(),
            found=len(text),
        )
    return text


class Column:
    """What the cells of a column can be, seen one after the other."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = list(TYPES)

    def see(self, cell: str) -> None:
        """One more cell that is not null."""
        self._left = [type for type in self._left if _FITS[type](cell)]

    @property
    def type(self) -> str:
        """The narrowest type that all cells are of."""
        return self._left[0]


def reader_of(type: str) -> Callable[[str], Any]:
    """What makes a value of a cell. It raises InvalidValue where a cell is of another type."""
    if type not in TYPES:
        raise InvalidInput(f"the type of a column is one of {', '.join(TYPES)}; found {type!r}")
    fits, make = _FITS[type], _MAKERS[type]

    def read(cell: str) -> Any:
        if not fits(cell):
            raise InvalidValue(f"a cell of the type {type} was wanted; found another", type=type)
        return make(cell)

    return read


def declared(kind: Any) -> dict[str, str]:
    """The columns that a class of documents says are text, whatever their cells look like."""
    try:
        hints: Mapping[str, Any] = get_type_hints(kind)
    except (TypeError, NameError):
        return {}
    nothing = type(None)
    return {
        name: "str"
        for name, hint in hints.items()
        if hint is str or (str in get_args(hint) and set(get_args(hint)) <= {str, nothing})
    }


def _is_int(cell: str) -> bool:
    return _INT.fullmatch(cell) is not None and -(2**63) <= int(cell) < _INTEGER_MAX


def _is_float(cell: str) -> bool:
    # A long int would come out as another number.
    if _FLOAT.fullmatch(cell) is None:
        return False
    number = float(cell)
    whole = cell.lstrip("-").isdigit()
    return abs(number) != float("inf") and (not whole or abs(int(cell)) <= _INTEGER_EXACT)


def _is_datetime(cell: str) -> bool:
    if _DATETIME.fullmatch(cell) is None:
        return False
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return True


def _is_json(cell: str) -> bool:
    if not cell or cell[0] not in "[{":
        return False
    try:
        typed_json.loads(cell)
    except StoreError:
        return False
    return True


_FITS: Final[dict[str, Callable[[str], bool]]] = {
    "int": _is_int, "float": _is_float, "bool": _BOOLS.__contains__, "datetime": _is_datetime,
    "json": _is_json, "str": lambda _: True,
}  # fmt: skip
_MAKERS: Final[dict[str, Callable[[str], Any]]] = {
    "int": int, "float": float, "bool": _BOOLS.__getitem__, "datetime": datetime.fromisoformat,
    "json": typed_json.loads, "str": str,
}  # fmt: skip
