"""Names that belong to Holdfast: `__schema` and whatever else begins with two underscores."""

from __future__ import annotations

from holdfast.codecs.keys import pack_text
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidKey

#: How a reserved namespace, or a reserved name in the root, begins.
RESERVED = "__"


def refuse_reserved(text: str) -> None:
    """Raise InvalidKey when the key with this canonical text is not the user's to write."""
    if text.startswith(RESERVED):
        raise InvalidKey(
            f"names that begin with {RESERVED!r} belong to Holdfast; found {text!r}. "
            "Choose another namespace; schemas are registered through `db.schemas`",
            key=text,
        )


#: How a packed key with a reserved first segment begins.
RESERVED_PACKED = pack_text(RESERVED)[:-1]


def shows_all(pattern: Pattern) -> bool:
    """Whether the pattern matches every key that begins with its prefix, without a look at it."""
    return pattern.open_end and pattern.levels == pattern.prefix


def shows(pattern: Pattern, key: StoreKey) -> bool:
    """Whether the key matches and the pattern may show it.

    A pattern that begins with a wildcard does not show reserved names, so that `#` is the user's
    own data; `__schema/#` shows them.
    """
    if not pattern.matches(key):
        return False
    return bool(pattern.prefix) or not key.segments[0].startswith(RESERVED)
