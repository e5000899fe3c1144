"""Keys of documents: text of at least one character, packed as one segment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from holdfast.codecs.keys import pack_text
from holdfast.codecs.text import several
from holdfast.contract.errors import InvalidKey


def require_key(key: Any) -> bytes:
    """The packed key of a document. Raises InvalidKey."""
    if not isinstance(key, str) or not key:
        raise InvalidKey(
            "the key of a document is a str of at least one character; found "
            + ("an empty one" if isinstance(key, str) else f"a {type(key).__name__}")
        )
    return pack_text(key)


def distinct_keys(keys: Iterable[str]) -> list[str]:
    """Keys that a caller gave, each once, in their order. Raises InvalidInput and InvalidKey."""
    given = several(keys)
    try:
        return list(dict.fromkeys(given))
    except TypeError:
        for key in given:  # What cannot be hashed is no str.
            require_key(key)
        raise
