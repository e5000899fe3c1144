"""Plain values: what a format can hold so that it comes back equal, and where a value fails to be.

Encoders written in C quietly turn a set into a list and a UUID into a string. `PlainRules` says
which types a format really gives back, by a walk over types alone that suits the hot path. Only
when something is wrong does a slower walk look for the exact place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from types import NoneType
from typing import Any, NoReturn

from holdfast.contract.errors import SerializationFailed

NESTING_MAX = 200
"""How deep lists and mappings may stand inside each other."""

_KEY_CHARACTERS_SHOWN_MAX = 40
_PATH_CHARACTERS_SHOWN_MAX = 400

_EXTENDED = ", or open with serializer='extended', which keeps it"

# What to store in place of a type that is often tried. Anything else gets the general advice.
_INSTEAD = {
    "tuple": "a list" + _EXTENDED,
    "OrderedDict": "dict(value), and open with serializer='ordered' to keep the order" + _EXTENDED,
    "defaultdict": "dict(value)",
    "Counter": "dict(value)",
    "deque": "list(value)",
    "Path": "str(value)",
    "PosixPath": "str(value)",
    "complex": "[value.real, value.imag]",
    "set": "a sorted list" + _EXTENDED,
    "frozenset": "a sorted list" + _EXTENDED,
    "Decimal": "str(value), or an int of the smallest unit" + _EXTENDED,
    "UUID": "str(value)" + _EXTENDED,
    "date": "value.isoformat(), or an aware datetime" + _EXTENDED,
    "time": "value.isoformat()" + _EXTENDED,
    "timedelta": "value.total_seconds()" + _EXTENDED,
    "bytearray": "bytes(value)",
    "memoryview": "bytes(value)",
    "bytes": "the msgpack serializer, which holds bytes",
    "datetime": "an aware datetime with the msgpack serializer, or value.isoformat()",
}


@dataclass(frozen=True, slots=True)
class PlainRules:
    """The values that one format gives back equal.

    Attributes:
        format: the name of the format, for messages.
        scalars: the exact types that stand for themselves; subclasses are not accepted.
        integer_min: the smallest int the format holds.
        integer_max: the largest int the format holds.
        aware_datetimes: whether datetimes with a time zone are held (as instants, back in UTC).
        key_subclasses: whether mapping keys may be of a subclass of str (they come back as str).
    """

    format: str
    scalars: frozenset[type]
    integer_min: int
    integer_max: int
    aware_datetimes: bool = False
    key_subclasses: bool = False

    def accept(self, value: object, depth: int = NESTING_MAX) -> bool:
        """Whether every type inside `value` is held, at most `depth` containers deep.

        Looks at types only: the encoder itself refuses keys that are not str, ints out of range
        and lone surrogates, and `is_finite` looks at floats where the encoded bytes ask for it.
        """
        scalars = self.scalars
        kind = type(value)
        children: Any = value
        if kind is dict:
            children = children.values()
        elif kind is not list:
            if kind is datetime:
                return self.aware_datetimes and _is_aware(value)
            return kind in scalars
        for child in children:
            if type(child) not in scalars and not (depth > 1 and self.accept(child, depth - 1)):
                return False
        return True

    def refuse(self, value: object, cause: BaseException | None = None) -> NoReturn:
        """Raise `SerializationFailed` that names the first offending place in `value`."""
        try:
            found = self._find(value, "value", 0)
        except RecursionError:
            found = None
        path, offender, fault = found or ("value", value, _TOO_DEEP_HERE)
        raise SerializationFailed(
            f"{self.format} wanted a value that comes back equal; {fault} (at {path})",
            path=path,
            type=type(offender).__name__,
            format=self.format,
        ) from cause

    def _find(self, value: object, path: str, depth: int) -> tuple[str, object, str] | None:
        """The first place, in document order, that this format does not hold."""
        if type(value) is not dict and type(value) is not list:
            found = self.fault(value)
            return None if found is None else (path, value, found)
        if depth == NESTING_MAX:
            found = f"found more than {NESTING_MAX} levels of nesting; store a flatter value"
            return path[:_PATH_CHARACTERS_SHOWN_MAX] + "...", value, found
        children: Iterable[tuple[Any, object]]
        if isinstance(value, list):
            children = enumerate(value)
        else:
            children = value.items()
            for key in value:
                if type(key) is not str and not (self.key_subclasses and isinstance(key, str)):
                    name = type(key).__name__
                    return path, key, f"found a mapping key of type {name}; use str keys"
                if not _is_unicode(key):
                    return path, key, f"found a mapping key with {_SURROGATE}"
        for step, child in children:
            deeper = self._find(child, path + _step_shown(step), depth + 1)
            if deeper is not None:
                return deeper
        return None

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value that is neither list nor dict, or None."""
        kind = type(value)
        if kind is datetime and self.aware_datetimes:
            if _is_aware(value):
                return None if _has_instant(value) else _NO_INSTANT
            return "found a datetime without a time zone; attach one, such as datetime.UTC"
        if kind not in self.scalars:
            name = kind.__name__
            advice = _INSTEAD.get(name) or _advice(value)
            return f"found {name}; store {advice}"
        if kind is float and not isfinite(value):
            return "found a float that is NaN or infinite; store None or a str in its place"
        if kind is int and not self.integer_min <= value <= self.integer_max:
            return (
                f"found an int outside {self.integer_min} to {self.integer_max}; store it as a str"
            )
        if kind is str and not _is_unicode(value):
            return f"found a str with {_SURROGATE}"
        return None


def _advice(value: Any) -> str:
    """What to store in place of an instance of a class of somebody's own."""
    if isinstance(value, Enum):
        return "value.value, or open with serializer=ExtendedSerializer(enums=[...])"
    if isinstance(value, tuple):
        return "list(value), or value._asdict() of a named one"
    if is_dataclass(value):
        return "dataclasses.asdict(value), or have db.entries.typed(...) convert it"
    if hasattr(value, "model_dump"):
        return "value.model_dump(), or have db.entries.typed(...) convert it"
    if hasattr(value, "__struct_fields__"):
        return "msgspec.to_builtins(value), or have db.entries.typed(...) convert it"
    for kind, convert in ((str, "str"), (int, "int"), (float, "float"), (dict, "dict")):
        if isinstance(value, kind):
            return f"{convert}(value)"
    return "plain data made from it, or open with a serializer for it"


_TOO_DEEP_HERE = (
    "found nesting deeper than this call stack allows; "
    "call from fewer frames, or store a flatter value"
)
_NO_INSTANT = "found a datetime that in UTC lies outside of the years 1 to 9999; store it as a str"
_SURROGATE = "a lone surrogate, which is not Unicode text; decode its source with the right codec"


def path_shown(steps: Iterable[Any]) -> str:
    """Where in a value something stands, such as `value['a'][0]`; the beginning of a long path."""
    path = "value"
    for step in steps:
        path += _step_shown(step)
        if len(path) > _PATH_CHARACTERS_SHOWN_MAX:
            return path[:_PATH_CHARACTERS_SHOWN_MAX] + "..."
    return path


def _step_shown(step: Any) -> str:
    place = step if type(step) is int else str(step)[:_KEY_CHARACTERS_SHOWN_MAX]
    return f"[{place!r}]"


def is_finite(value: object) -> bool:
    """Whether no float inside `value`, whose types are accepted already, is NaN or infinite."""
    children: Any = value
    if type(value) is dict:
        children = children.values()
    elif type(value) is not list:
        return type(value) is not float or isfinite(value)
    for child in children:
        kind = type(child)
        if kind is float:
            if not isfinite(child):
                return False
        elif (kind is dict or kind is list) and not is_finite(child):
            return False
    return True


def _is_aware(value: Any) -> bool:
    return value.tzinfo is not None and value.utcoffset() is not None


def _has_instant(value: datetime) -> bool:
    """Whether it is an instant of the years 1 to 9999 in UTC, too, as formats write it."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_TEXT_SCALARS = frozenset({NoneType, bool, int, float, str})

MESSAGE_PACK_RULES = PlainRules(
    format="MessagePack",
    scalars=_TEXT_SCALARS | {bytes},
    integer_min=-(2**63),
    integer_max=2**64 - 1,
    aware_datetimes=True,
    key_subclasses=True,
)
JSON_RULES = PlainRules(
    format="JSON", scalars=_TEXT_SCALARS, integer_min=-(2**63), integer_max=2**64 - 1
)
# RFC 8785 numbers are IEEE 754 doubles: a larger int would come back as another one.
CANONICAL_JSON_RULES = PlainRules(
    format="Canonical JSON",
    scalars=_TEXT_SCALARS,
    integer_min=-(2**53) + 1,
    integer_max=2**53 - 1,
)
