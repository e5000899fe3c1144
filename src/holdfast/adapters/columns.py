"""The Arrow types of documents: what every value seen at one place fits without loss.

    None                        null
    bool, str, bytes            bool, string, binary
    int                         int64, or uint64 where that is too small
    float, or both              double, if every int among them is exact there
    datetime                    timestamp[us, UTC]
    list, dict                  list, struct

Anything else in one column, such as numbers beside texts, is refused by name. Arrow has one null,
so a column says in its metadata when all of its nulls stand for fields that are missing; a column
that holds null in some documents and is missing in others is refused too, unless asked otherwise.
"""

from __future__ import annotations

from datetime import datetime
from types import ModuleType
from typing import Any, Final, Literal

from holdfast.contract.errors import InvalidInput, InvalidValue

#: What becomes of the difference between a missing field and a null.
Missing = Literal["keep", "null"]

#: The metadata of a column whose nulls are missing fields.
NULL_METADATA: Final = b"holdfast.null"
MISSING: Final = b"missing"
#: How many fields of different names one place may have. Beyond that names are data.
FIELDS_MAX: Final = 10_000

_INTEGER_EXACT: Final = 2**53
_NAMES: Final = {
    bool: "bool", int: "int", float: "float", str: "str", bytes: "bytes", datetime: "datetime",
    list: "list", dict: "dict",
}  # fmt: skip
_NUMBERS: Final = frozenset((int, float))


class Place:
    """What was seen at one place of the documents: a column, a field of one, or its elements."""

    __slots__ = ("count", "element", "fields", "floats", "high", "kind", "low", "nulls")

    def __init__(self) -> None:
        self.kind: type | None = None
        #: How many values, and how many of them are null.
        self.count = self.nulls = 0
        self.low = self.high = 0
        self.floats = False
        self.fields: dict[str, Place] = {}
        self.element: Place | None = None

    def see(self, value: Any, path: str) -> None:
        """One more value. Raises InvalidValue when it fits no column with the ones before."""
        self.count += 1
        if value is None:
            self.nulls += 1
            return
        kind = type(value)
        if kind is not self.kind:
            self._meet(kind, path)
        if kind is int:
            self.low, self.high = min(self.low, value), max(self.high, value)
        elif kind is float:
            self.floats = True
        elif kind is dict:
            self._see_fields(value, path)
        elif kind is list:
            if self.element is None:
                self.element = Place()
            for one in value:
                self.element.see(one, f"{path}[]")

    def _meet(self, kind: type, path: str) -> None:
        if self.kind is None:
            self.kind = kind
        elif kind not in _NUMBERS or self.kind not in _NUMBERS:
            raise InvalidValue(
                f"a column holds values of one type; found {_NAMES[self.kind]} and {_NAMES[kind]} "
                f"in {path}. Leave the field out with select, or documents by a condition",
                type=_NAMES[kind],
            )

    def _see_fields(self, value: dict[str, Any], path: str) -> None:
        fields = self.fields
        for name, one in value.items():
            place = fields.get(name)
            if place is None:
                self.check_room(len(fields), path)
                place = fields[name] = Place()
            place.see(one, f"{path}.{name}" if path else name)

    @staticmethod
    def check_room(known: int, path: str) -> None:
        """Refuse one more field where there are so many. Raises InvalidValue."""
        if known >= FIELDS_MAX:
            raise InvalidValue(
                f"a table has at most {FIELDS_MAX} fields in one place; found more in "
                f"{path or 'the documents'}: their names are data. Name those wanted with select",
                limit=FIELDS_MAX,
            )

    @staticmethod
    def both(path: str, form: str) -> InvalidValue:
        """The error for a field that is null here and missing there."""
        return InvalidValue(
            f"{form} has one null; found {path} both missing and null. Give missing='null' to make "
            "it null in both cases"
        )

    # --- As types of Arrow ------------------------------------------------------------------

    def type(self, arrow: ModuleType, path: str, missing: Missing) -> Any:
        """The type of Arrow. Raises InvalidValue when a value has no place in any."""
        kind = self.kind
        if kind in _NUMBERS:
            return self._number(arrow, path)
        if kind is dict:
            return arrow.struct(self.struct(arrow, path, missing))
        if kind is list:
            assert self.element is not None, "a list was seen"
            return arrow.list_(self.element.type(arrow, f"{path}[]", missing))
        simple: dict[type | None, Any] = {
            None: arrow.null(), bool: arrow.bool_(), str: arrow.string(), bytes: arrow.binary(),
            datetime: arrow.timestamp("us", "UTC"),
        }  # fmt: skip
        return simple[kind]

    def struct(self, arrow: ModuleType, path: str, missing: Missing) -> list[Any]:
        """The fields of Arrow, in the order they were first seen."""
        whole = self.count - self.nulls
        return [
            place._field(arrow, name, f"{path}.{name}" if path else name, whole, missing)  # noqa: SLF001
            for name, place in self.fields.items()
        ]

    def _field(self, arrow: ModuleType, name: str, path: str, whole: int, missing: Missing) -> Any:
        lacking = self.count < whole
        if lacking and self.nulls and missing == "keep":
            raise self.both(path, "Arrow")
        metadata = {NULL_METADATA: MISSING} if lacking and missing == "keep" else None
        return arrow.field(name, self.type(arrow, path, missing), metadata=metadata)

    def _number(self, arrow: ModuleType, path: str) -> Any:
        if self.floats:
            if self.low >= -_INTEGER_EXACT and self.high <= _INTEGER_EXACT:
                return arrow.float64()
            raise InvalidValue(
                f"a column of floats holds ints up to 2**53; found a bigger one in {path} beside "
                "floats. Leave the field out with select, or documents by a condition",
                type="int",
            )
        if self.low >= -(2**63) and self.high < 2**63:
            return arrow.int64()
        if self.low >= 0:
            return arrow.uint64()
        raise InvalidValue(
            f"a column holds ints of 64 bits; found some in {path} that fit neither signed nor "
            "unsigned ones together. Leave the field out with select, or documents by a condition",
            type="int",
        )


def checked_missing(missing: Any) -> Missing:
    """What becomes of missing fields. Raises InvalidInput."""
    if missing in ("keep", "null"):
        return missing  # type: ignore[no-any-return]
    raise InvalidInput(f"missing is 'keep' or 'null'; found {missing!r}")
