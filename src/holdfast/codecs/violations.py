"""What is wrong with a value, place by place, as msgspec and pydantic tell it.

What was found there is the user's: only where it stands and what was wanted is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

#: (path, message): where in the value, such as `$.tags[1]`, and what is wrong there.
Violation = tuple[str, str]

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")
#: Messages of msgspec that show what they found, up to that.
_SHOWN = re.compile(r"^(Invalid (?:enum )?value)\b.*", re.DOTALL)
_PATH = re.compile(r" - at (?:`key` in )?`(\$.*)`$", re.DOTALL)
#: Kinds of errors whose message in pydantic shows what was found, and what is said instead.
_TELLING = {
    "union_tag_invalid": "Input should be of one of the expected kinds",
    "uuid_parsing": "Input should be a valid UUID",
    "url_parsing": "Input should be a valid URL",
}


def path_of(steps: Iterable[str | int]) -> str:
    """A place in a value: `$` is the value itself, `$.tags[1]` the second of its tags."""
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            path += f".{step}"
        else:
            path += f"[{step!r}]"
    return path


def is_pydantic(kind: type) -> bool:
    """Whether a class is pydantic's; asks without importing it."""
    return hasattr(kind, "__pydantic_validator__")


def pydantic_violations(error: Any) -> list[Violation]:
    """What pydantic found wrong, without what it found."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [(path_of(one["loc"]), _TELLING.get(one["type"], one["msg"])) for one in found]


def msgspec_violations(error: msgspec.ValidationError) -> list[Violation]:
    """What msgspec found wrong, without what it found."""
    message = str(error)
    path = "$"
    place = _PATH.search(message)
    if place:
        message = message[: place.start()]
        path = place[1]
    # An enum's or tag's error shows what was found there, which is the user's.
    return [(path, _SHOWN.sub(r"\1", message))]
