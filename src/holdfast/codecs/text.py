"""Keys as people write them: `StoreKey` and the text forms of its segments.

    users/active:123    the name 123 in the namespace users/active
    settings            the name settings in the root
    :a/b                the name a/b in the root (a leading colon: no namespace)

The first `:` ends the namespace; the rest is the name, literally. `/` splits the namespace into
segments, and only there are `%`, `/` and `:` written `%25`, `%2F` and `%3A`. Text is compared by
code points and never normalised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Self, TypeVar

from holdfast.contract.errors import InvalidInput, InvalidKey

K = TypeVar("K")

_ESCAPES = re.compile(r"%([0-7][0-9A-F])?")


class StoreKey(str):
    """The key of an entry: a name in a namespace. Immutable, hashable, ordered by its segments.

    It is a str, its canonical text: both are the same key of a dict. `StoreKey("a")`,
    `StoreKey("a", ())` and `StoreKey("a", None)` are equal.

    Attributes:
        name: the last segment.
        namespace: the segments before it; () is the root.
        segments: namespace and name in one tuple; no two keys share it.
        text: the canonical text as a plain str; `str(key)` is the same.
    """

    __slots__ = ("name", "namespace", "segments", "text")

    name: str
    namespace: tuple[str, ...]
    segments: tuple[str, ...]
    text: str

    def __new__(cls, name: str, namespace: Iterable[str] | None = ()) -> Self:
        """Raises `InvalidKey` for an empty segment and for one that is not Unicode text."""
        if isinstance(namespace, str):
            raise InvalidKey(
                "StoreKey wanted the namespace as segments; found one str; "
                "pass a tuple of str, or StoreKey.parse(text)"
            )
        spaces = tuple(namespace or ())
        _check_segments((*spaces, name))
        return cls._make(format_path((*spaces, name)), name, spaces)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` spells. Raises `InvalidKey` when it spells none."""
        if not isinstance(text, str):
            raise InvalidKey(f"wanted a key as text; found {type(text).__name__}; pass a str")
        if not text.isascii():
            check_unicode(text)
        head, colon, name = text.partition(":")
        if not colon:
            if "/" in text:
                raise _ambiguous(text)
            if not text:
                raise InvalidKey("wanted a key; found empty text; give it a name")
            return cls._make(text, text, ())
        if not name:
            raise InvalidKey("wanted a name after the colon; found none; add one", text=text)
        if not head:
            # A leading colon is only needed before a name that holds `:` or `/`.
            return cls._make(format_path((name,)), name, ())
        namespace = tuple(head.split("/"))
        if "%" in head:
            namespace = tuple(map(unescape, namespace))
            text = format_path((*namespace, name))
        if "" in namespace:
            raise InvalidKey(
                "wanted a namespace of segments with a slash between them; found an empty "
                "segment; remove the extra slash",
                text=text,
            )
        return cls._make(text, name, namespace)

    @classmethod
    def of(cls, key: str) -> Self:
        """`key` itself when it is a `StoreKey`, else the key that its text spells."""
        return key if isinstance(key, cls) else cls.parse(key)

    @classmethod
    def of_segments(cls, segments: Iterable[str]) -> Self:
        """The key with these segments, the last of which is its name."""
        *namespace, name = segments
        return cls(name, namespace)

    @classmethod
    def of_stored(cls, segments: tuple[str, ...]) -> Self:
        """The key with segments that were checked when they were written, without a new check."""
        return cls._make(format_path(segments), segments[-1], segments[:-1])

    @classmethod
    def _make(cls, text: str, name: str, namespace: tuple[str, ...]) -> Self:
        self = str.__new__(cls, text)
        _set_text(self, text)
        _set_name(self, name)
        _set_namespace(self, namespace)
        _set_segments(self, (*namespace, name))
        return self

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"a StoreKey is immutable; make a new one instead of {attribute!r}")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"a StoreKey is immutable; {attribute!r} stays")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"StoreKey.parse({self.text!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str, tuple[str, ...]]]:
        return type(self), (self.name, self.namespace)

    # Segments decide the order, as they do in a database; plain text sorts as the key it spells.

    def __lt__(self, other: str) -> bool:
        return self.segments < StoreKey.of(other).segments

    def __le__(self, other: str) -> bool:
        return self.segments <= StoreKey.of(other).segments

    def __gt__(self, other: str) -> bool:
        return self.segments > StoreKey.of(other).segments

    def __ge__(self, other: str) -> bool:
        return self.segments >= StoreKey.of(other).segments


# The slots are written once, past the refusal of `__setattr__`.
_set_text = StoreKey.__dict__["text"].__set__
_set_name = StoreKey.__dict__["name"].__set__
_set_namespace = StoreKey.__dict__["namespace"].__set__
_set_segments = StoreKey.__dict__["segments"].__set__


def parse_namespace(text: str) -> tuple[str, ...]:
    """The segments of a namespace written as in keys, such as `users/active`; "" is the root.

    Raises:
        InvalidKey: the text spells no namespace, or a key.
    """
    if not isinstance(text, str):
        raise InvalidKey(f"wanted a namespace as text; found {type(text).__name__}; pass a str")
    if ":" in text:
        raise InvalidKey(
            "wanted a namespace, such as users/active; found a key; leave out the colon and the "
            "name, or write %3A for a colon within a segment",
            text=text,
        )
    return StoreKey.parse(f"{text}:x").namespace if text else ()


def format_namespace(segments: Iterable[str]) -> str:
    """The text of a namespace as it stands in keys; no segments are the root, ""."""
    return "/".join(map(escape, segments))


class KeyFormat(Enum):
    """A way to write the segments of a key as one text, and to read them back.

    `path` is the canonical form of `StoreKey`; `colon` and `dotted` put one separator between
    all segments and percent-encode it, and `%`, inside them.
    """

    path = "/"
    """`users/active:123`"""
    colon = ":"
    """`users:active:123`"""
    dotted = "."
    """`users.active.123`"""

    def format(self, segments: Iterable[str]) -> str:
        """The text of `segments`. Raises `InvalidKey` when they are not the segments of a key."""
        parts = tuple(segments)
        if not parts:
            raise InvalidKey("wanted at least one segment; found none; a key needs a name")
        _check_segments(parts)
        if self is KeyFormat.path:
            return format_path(parts)
        separator: str = self.value
        escaped = f"%{ord(separator):02X}"
        return separator.join(
            part.replace("%", "%25").replace(separator, escaped) for part in parts
        )

    def parse(self, text: str) -> tuple[str, ...]:
        """The segments that `text` spells. Raises `InvalidKey` when it spells none."""
        if self is KeyFormat.path:
            return StoreKey.parse(text).segments
        if not isinstance(text, str):
            raise InvalidKey(f"wanted a key as text; found {type(text).__name__}; pass a str")
        segments = tuple(map(unescape, text.split(self.value)))
        _check_segments(segments)
        return segments


def escape(segment: str) -> str:
    """A namespace segment as it stands in the path form."""
    # The percent sign first: it begins what the other two become.
    return segment.replace("%", "%25").replace("/", "%2F").replace(":", "%3A")


def unescape(segment: str) -> str:
    """The namespace segment that the path form spells. Raises `InvalidKey` for other escapes."""
    return _ESCAPES.sub(_unescaped, segment) if "%" in segment else segment


def _unescaped(match: re.Match[str]) -> str:
    if match[1] is None:
        raise InvalidKey(
            "wanted two upper-case hexadecimal digits, 00 to 7F, after a percent sign in a "
            "namespace; found something else; write %25 for the percent sign itself",
            text=match.string,
        )
    return chr(int(match[1], 16))


def format_path(segments: tuple[str, ...]) -> str:
    """The canonical text of segments that are known to be those of a key."""
    *namespace, name = segments
    if namespace:
        return f"{'/'.join(map(escape, namespace))}:{name}"
    return ":" + name if ":" in name or "/" in name else name


def several(given: Iterable[K], what: str = "keys", example: str = 'users:1", "users:2') -> list[K]:
    """Keys, or other things, as given by a caller, in a list. Raises InvalidInput for a text."""
    if isinstance(given, str | bytes):
        raise InvalidInput(
            f'several {what} are wanted, such as ["{example}"]; found a single '
            f"{type(given).__name__}, whose characters are no {what}"
        )
    try:
        iterator = iter(given)
    except TypeError:
        raise InvalidInput(
            f"several {what} are wanted, in a list; found a {type(given).__name__}"
        ) from None
    return list(iterator)


def _check_segments(segments: tuple[object, ...]) -> None:
    for segment in segments:
        if not isinstance(segment, str):
            raise InvalidKey(
                f"wanted segments of a key as str; found {type(segment).__name__}; convert it first"
            )
        if not segment:
            raise InvalidKey("wanted segments of a key; found an empty one; leave it out")
        if not segment.isascii():
            check_unicode(segment)


def check_unicode(text: str) -> None:
    """Raise `InvalidKey` when `text` holds a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidKey(
            f"wanted Unicode text; found a lone surrogate at character {error.start}; "
            "decode its source with the right codec"
        ) from None


def _ambiguous(text: str) -> InvalidKey:
    namespace, _, name = text.rpartition("/")
    return InvalidKey(
        f"wanted a colon between namespace and name; found {text!r} with a slash and no colon; "
        f"write {f'{namespace}:{name}'!r} for a name in a namespace, or {':' + text!r} for a "
        "name in the root",
        text=text,
    )
