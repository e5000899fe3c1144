r"""Values as JSON that reads back exactly: what JSON lacks has a spelling of its own.

    {"$bytes": "aGVsbG8="}                        bytes, in base64
    {"$datetime": "2025-01-31T12:00:00+00:00"}    an aware instant, ISO 8601

The types that the extended serializer keeps:

    {"$decimal": "1.10"}  {"$uuid": "…"}  {"$date": "2025-01-31"}  {"$time": "12:00:00"}
    {"$timedelta": [days, seconds, microseconds]}
    {"$tuple": […]}  {"$set": […]}  {"$frozenset": […]}  {"$ordered": [[name, value], …]}
    {"$enum": ["Colour", "RED"]}                  the names of class and member

A mapping of your own with such a single key gets one more `$` in front of it, and loses it again
when it is read: {"$bytes": 1} is written {"$$bytes": 1}. Everything else is plain JSON; integers
keep all their digits.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import orjson

from holdfast.codecs.extended import ENUMS, EnumMember, member
from holdfast.contract.errors import InvalidInput

BYTES = "$bytes"
DATETIME = "$datetime"

_NAMES = (
    "bytes", "datetime", "decimal", "uuid", "date", "time", "timedelta", "tuple", "set",
    "frozenset", "ordered", "enum",
)  # fmt: skip
_SPELLING = re.compile(rf"\$+(?:{'|'.join(_NAMES)})")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_SCALARS = frozenset((type(None), bool, int, float, str))


def to_json(value: Any) -> Any:
    """The value in plain JSON types. For what `from_json` reads."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list:
        return [to_json(part) for part in value]
    if kind is dict:
        written = {name: to_json(part) for name, part in value.items()}
        if len(written) == 1:
            [(name, part)] = written.items()
            if _SPELLING.fullmatch(name):
                return {f"${name}": part}
        return written
    if kind is bytes:
        return {BYTES: b64encode(value).decode()}
    if kind is datetime:
        return {DATETIME: value.isoformat()}
    return _extended_to_json(value, kind)


def _extended_to_json(value: Any, kind: type) -> Any:
    """What the extended serializer keeps."""
    if kind in (tuple, set, frozenset):
        parts = [to_json(part) for part in value]
        # One order for one set, whatever process writes it.
        return {f"${kind.__name__}": parts if kind is tuple else sorted(parts, key=orjson.dumps)}
    if kind is OrderedDict:
        return {"$ordered": [[name, to_json(part)] for name, part in value.items()]}
    if kind in (Decimal, UUID):
        return {f"${kind.__name__.lower()}": str(value)}
    if kind in (date, time):
        return {f"${kind.__name__}": value.isoformat()}
    if kind is timedelta:
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if kind is EnumMember:
        return {"$enum": [value.kind, value.name]}
    assert isinstance(value, Enum), "no other type is stored"
    return {"$enum": [ENUMS.names.get(kind, kind.__qualname__), value.name]}


def from_json(written: Any) -> Any:
    """The value that `to_json` wrote. Raises InvalidInput for a spelling that cannot be read."""
    if type(written) is list:
        return [from_json(part) for part in written]
    if type(written) is not dict:
        return written
    if len(written) == 1:
        [(name, part)] = written.items()
        if _SPELLING.fullmatch(name):
            if name == BYTES:
                return _bytes(part)
            if name == DATETIME:
                return _instant(part)
            if not name.startswith("$$"):
                return _extended(name, part)
            return {name[1:]: from_json(part)}
    return {name: from_json(part) for name, part in written.items()}


def dumps(value: Any) -> str:
    """The value as JSON in one line."""
    return text_of(to_json(value))


def text_of(content: Any) -> str:
    """Plain JSON types as text in one line, which no terminal takes for commands."""
    # JSON itself escapes only what is below space; inside strings, where alone these can stand,
    # their escapes mean the same.
    try:
        text = orjson.dumps(content).decode()
    except TypeError:
        # Names of files may hold bytes that are no Unicode, which only JSON's escapes can spell.
        text = json.dumps(content, separators=(",", ":"))
    return _UNPRINTABLE.sub(_escaped, text)


def loads(text: str | bytes) -> Any:
    """The value that JSON text spells. Raises InvalidInput when it is not JSON."""
    return from_json(parse(text))


def parse(text: str | bytes) -> Any:
    """JSON text as plain JSON types. Raises InvalidInput when it is none."""
    try:
        # msgspec, because it keeps integers beyond 64 bits, which then are refused and not rounded.
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"wanted JSON; found text that is none ({error})") from error


def _extended(name: str, part: Any) -> Any:
    try:
        return _READERS[name](part)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InvalidInput(
            f'{{"{name}": ...}} wanted what an export writes there; found something else '
            f'({type(error).__name__}). Write "${name}" for a mapping of your own with that key'
        ) from error


def _parts(part: Any) -> list[Any]:
    if type(part) is not list:
        raise TypeError
    return [from_json(one) for one in part]


def _text(part: Any) -> str:
    if type(part) is not str:
        raise TypeError
    return part


_READERS: dict[str, Callable[[Any], Any]] = {
    "$decimal": lambda part: Decimal(_text(part)),
    "$uuid": lambda part: UUID(_text(part)),
    "$date": lambda part: date.fromisoformat(_text(part)),
    "$time": lambda part: time.fromisoformat(_text(part)),
    "$timedelta": lambda part: timedelta(*_parts(part)),
    "$tuple": lambda part: tuple(_parts(part)),
    "$set": lambda part: set(_parts(part)),
    "$frozenset": lambda part: frozenset(_parts(part)),
    "$ordered": lambda part: OrderedDict(_parts(part)),
    "$enum": lambda part: member(*map(_text, _parts(part))),
}


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _bytes(part: Any) -> bytes:
    try:
        if isinstance(part, str):
            return b64decode(part, validate=True)
    except ValueError:
        pass
    raise InvalidInput(
        f'{{"{BYTES}": ...}} wanted base64 text; found something else. Write "${BYTES}" for a '
        "mapping of your own with that key"
    )


def _instant(part: Any) -> datetime:
    try:
        if isinstance(part, str) and (moment := datetime.fromisoformat(part)).tzinfo is not None:
            return moment
    except ValueError:
        pass
    raise InvalidInput(
        f'{{"{DATETIME}": ...}} wanted an instant such as 2025-01-31T12:00:00+00:00; found '
        f'something else. Write "${DATETIME}" for a mapping of your own with that key'
    )
