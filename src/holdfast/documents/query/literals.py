"""Values of queries in JSON: instants and bytes have a spelling of their own.

    {"$bytes": "aGVsbG8="}                        bytes, in base64
    {"$datetime": "2025-01-31T12:00:00+00:00"}    an instant, ISO 8601

An object of your own with such a single name gets one more `$` in front of it. Integers keep all
their digits.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from holdfast.codecs.plain import NESTING_MAX
from holdfast.contract.errors import InvalidQuery

_SPELLING = re.compile(r"\$+(?:bytes|datetime)")


def parsed(form: Any, path: str) -> Any:
    """JSON text as plain types, anything else as it is. Raises InvalidQuery for other text."""
    if not isinstance(form, (str, bytes)):
        return form
    try:
        # msgspec, because it keeps integers beyond 64 bits.
        return msgspec.json.decode(str.__str__(form) if isinstance(form, str) else form)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidQuery(
            f"{path} wanted JSON; found text that is none ({error}). Correct it", path=path
        ) from error


def to_json(value: Any) -> Any:
    """A plain value in JSON types; `from_json` reads it back."""
    if isinstance(value, list):
        return [to_json(part) for part in value]
    if isinstance(value, dict):
        written = {name: to_json(part) for name, part in value.items()}
        if len(written) == 1:
            [(name, part)] = written.items()
            if _SPELLING.fullmatch(name):
                return {f"${name}": part}
        return written
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    return value


def from_json(written: Any, path: str, deep: int = 0) -> Any:
    """The value that JSON types spell. Raises InvalidQuery for a spelling that cannot be read."""
    if deep > NESTING_MAX:
        # Whoever checks the value knows the limit and its message.
        return written
    if isinstance(written, list):
        return [from_json(part, path, deep + 1) for part in written]
    if not isinstance(written, Mapping):
        return written
    if len(written) == 1:
        [(name, part)] = written.items()
        if isinstance(name, str) and _SPELLING.fullmatch(name):
            if name == "$bytes":
                return _bytes(part, path)
            if name == "$datetime":
                return _instant(part, path)
            return {name[1:]: from_json(part, path, deep + 1)}
    return {name: from_json(part, path, deep + 1) for name, part in written.items()}


def whole_numbers(form: Any) -> Any:
    """A copy in which floats that are whole are ints, for one text of equal values."""
    if isinstance(form, float) and form.is_integer():
        return int(form)
    if isinstance(form, list):
        return [whole_numbers(part) for part in form]
    if isinstance(form, dict):
        return {name: whole_numbers(part) for name, part in form.items()}
    return form


def _bytes(part: Any, path: str) -> bytes:
    try:
        if isinstance(part, str):
            return b64decode(part, validate=True)
    except ValueError:
        pass
    raise InvalidQuery(
        f'{path} wanted base64 text in {{"$bytes": ...}}; found something else. Write "$$bytes" '
        "for an object of your own with that name",
        path=path,
    )


def _instant(part: Any, path: str) -> datetime:
    try:
        if isinstance(part, str) and (instant := datetime.fromisoformat(part)).tzinfo is not None:
            return instant
    except ValueError:
        pass
    raise InvalidQuery(
        f'{path} wanted an instant such as 2025-01-31T12:00:00+00:00 in {{"$datetime": ...}}; '
        'found something else. Write "$$datetime" for an object of your own with that name',
        path=path,
    )
