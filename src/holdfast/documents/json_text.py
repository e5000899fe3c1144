"""Documents as JSON that people read, nothing lost: the spelling that the command line has, too.

{"$datetime": "2024-05-01T12:00:00.500000+00:00"}    an instant
{"$bytes": "YWJj"}                                   bytes, in base64
{"$$bytes": "x"}                                     an object that looks like one of these
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any, Final

from holdfast.contract.errors import DeserializationFailed

_BYTES: Final = "$bytes"
_INSTANT: Final = "$datetime"
_SPELLING = re.compile(r"\$+(?:bytes|datetime)")


def to_json(document: Any) -> Any:
    """What `json` writes of a plain document."""
    if isinstance(document, dict):
        found = {name: to_json(part) for name, part in document.items()}
        if len(found) == 1:
            [(name, part)] = found.items()
            if _SPELLING.fullmatch(name):
                return {f"${name}": part}
        return found
    if isinstance(document, list):
        return [to_json(part) for part in document]
    if isinstance(document, datetime):
        return {_INSTANT: document.astimezone(UTC).isoformat(timespec="microseconds")}
    if isinstance(document, bytes):
        return {_BYTES: b64encode(document).decode()}
    return document


def from_json(value: Any) -> Any:
    """The plain document of what `json` has read. Raises DeserializationFailed."""
    if isinstance(value, list):
        return [from_json(part) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, part)] = value.items()
        if name.startswith("$$") and _SPELLING.fullmatch(name):
            return {name[1:]: from_json(part)}
        if name in (_INSTANT, _BYTES):
            try:
                return _instant(part) if name == _INSTANT else b64decode(part, validate=True)
            except (TypeError, ValueError) as error:
                raise DeserializationFailed(
                    f"an object {{{name!r}: ...}} holds an instant such as 2024-05-01T12:00:00Z, "
                    "or bytes in base64; found something else. Correct it, or write $ twice"
                ) from error
    return {name: from_json(part) for name, part in value.items()}


def read_json(text: str, what: str) -> Any:
    """The value of a JSON text. Raises DeserializationFailed, naming `what` it is of."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DeserializationFailed(
            f"{what} is to hold JSON; found something else ({type(error).__name__}). Correct it, "
            "or move it away"
        ) from error


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant


def _refuse(name: str) -> Any:
    raise ValueError(name)
