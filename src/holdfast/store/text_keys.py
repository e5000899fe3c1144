"""Keys of entries as they stand in rows, and the names that belong to Holdfast.

`__schema` and whatever else begins with two underscores is not the user's to write.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.codecs.keys import pack_text, unpack
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import IntegrityFailed, InvalidKey

#: What a packed str begins with, what ends it and begins the next, and how a NUL in it is written.
_FIRST = b"\x20"
_BETWEEN = b"\0\x20"
_END = b"\0"
_ESCAPE = b"\0\xff"


def unpack_key(packed: bytes) -> StoreKey:
    """The key with these packed segments.

    Raises:
        IntegrityFailed: they are not the segments of an entry's key.
    """
    # Segments are all str and seldom hold NUL: then they are what stands between the marks.
    if packed[:1] == _FIRST and packed[-1:] == _END and _ESCAPE not in packed:
        try:
            return StoreKey.of_stored(tuple(map(bytes.decode, packed[1:-1].split(_BETWEEN))))
        except UnicodeDecodeError as error:
            raise _no_key() from error
    segments = unpack(packed)
    if not segments or not all(isinstance(segment, str) for segment in segments):
        raise _no_key()
    return StoreKey.of_stored(tuple(map(str, segments)))


def _no_key() -> IntegrityFailed:
    return IntegrityFailed(
        "a row of a keyspace of entries has a key that is no entry key; run `holdfast check`"
    )


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


def matching_packed(pattern: Pattern) -> Callable[[bytes], bool]:
    """Whether a key as it stands in its row, which begins with the pattern's prefix, matches.

    Counting the segments of a key costs a tenth of unpacking it.
    """
    levels = pattern.levels
    if levels is None:
        return lambda packed: pattern.matches(unpack_key(packed))
    between, open_end = len(levels) - 1, pattern.open_end
    literal = any(level is not None for level in levels[len(pattern.prefix) :])

    def matches(packed: bytes) -> bool:
        # A NUL inside a segment is never followed by what a segment begins with.
        found = packed.count(_BETWEEN)
        if found != between and (found < between or not open_end):
            return False
        return not literal or pattern.matches(unpack_key(packed))

    return matches
