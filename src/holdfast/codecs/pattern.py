r"""Patterns over keys: `mqtt` by segments, `glob` and `regex` over the canonical text.

| pattern                 | matches                                                       |
|-------------------------|---------------------------------------------------------------|
| `users/active:123`      | that key and no other; so does `users/active/123`             |
| `users/+/settings`      | `users/7:settings`, not `users/7/8:settings`                  |
| `users:+`               | every name directly in `users`                                |
| `users/#`, `users:#`    | the root name `users`, and everything below the namespace     |
| `#`                     | every key                                                     |
| glob `users/*:12?`      | `users/a/b:123`: `*` crosses everything, `/` and `:` too      |
| regex `users/\w+:\d+`     | the keys whose whole text it matches (the module `re`)        |

`+` and `#` are wildcards only where they are a whole segment; inside one they are data. As a
whole segment that is data they are written `%2B` and `%23`. In the name after a colon, where
keys have no escapes, only those two are read so; a name that is `%2B` itself is written `%252B`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NoReturn, final

from holdfast.codecs.text import StoreKey, check_unicode, escape, format_path, unescape
from holdfast.contract.errors import InvalidKey, PatternInvalid

PATTERN_CHARACTERS_MAX = 16_384
"""The longest pattern, in characters: the longest key fits, every character of it escaped."""

PatternKind = Literal["mqtt", "glob", "regex"]

_ONE = "+"
_MANY = "#"
_WILDCARD_ESCAPES = {"%2B": _ONE, "%23": _MANY}
_ESCAPED_WILDCARD = re.compile(r"%(?:25)*(?:2B|23)")

_GLOB_TOKEN = re.compile(
    r"\\(?P<escaped>.)"
    r"|(?P<many>\*+)"
    r"|(?P<one>\?)"
    r"|\[(?P<negated>!?)(?P<set>\]?(?:\\.|[^\]\\])*)\]"
    r"|(?P<literal>[^\\\[])",
    re.DOTALL,
)
_GLOB_SET_MEMBER = re.compile(r"\\(.)|(.)", re.DOTALL)


@final
class Pattern:
    """A compiled pattern. Immutable and hashable; equal when kind and text are.

    Attributes:
        kind: `mqtt`, `glob` or `regex`.
        text: the pattern as it was written.
        levels: of an mqtt pattern, its segments without a final `#`, None where `+` stands;
            None for the other kinds.
        open_end: whether an mqtt pattern ends with `#`.
        prefix: segments that every matching key begins with, so that a scan reads one key range.
        exact: the only key that can match, or None when there may be others.
    """

    __slots__ = ("_full_match", "_places", "exact", "kind", "levels", "open_end", "prefix", "text")

    kind: PatternKind
    text: str
    levels: tuple[str | None, ...] | None
    open_end: bool
    prefix: tuple[str, ...]
    exact: StoreKey | None
    _places: tuple[tuple[int, str], ...]  # The literal levels after the prefix.
    _full_match: Callable[[str], object]

    def __init__(self, text: str, kind: PatternKind = "mqtt") -> None:
        """Compile `text`. Raises `PatternInvalid`, also over `PATTERN_CHARACTERS_MAX`."""
        if not isinstance(text, str):
            raise PatternInvalid(
                f"wanted a pattern as text; found {type(text).__name__}; pass a str"
            )
        text = str(text)
        if not 0 < len(text) <= PATTERN_CHARACTERS_MAX:
            raise PatternInvalid(
                f"wanted a pattern of 1 to {PATTERN_CHARACTERS_MAX} characters; found "
                f"{len(text)}; shorten it, or use '#' to match every key",
                length=len(text),
            )
        if kind not in ("mqtt", "glob", "regex"):
            raise PatternInvalid(f"wanted a kind of pattern; found {kind!r}; use mqtt or glob")
        _write(self, "kind", kind)
        _write(self, "text", text)
        _write(self, "levels", None)
        _write(self, "open_end", False)
        _write(self, "prefix", ())
        _write(self, "exact", None)
        _write(self, "_places", ())
        try:
            check_unicode(text)
            if kind == "mqtt":
                self._compile_mqtt()
            else:
                self._compile_text()
        except InvalidKey as error:
            raise PatternInvalid(f"{error} (in the pattern {text!r})", text=text) from error

    @classmethod
    def mqtt(cls, text: str) -> Pattern:
        """Match by segments: `+` is exactly one, a final `#` zero or more."""
        return cls(text, "mqtt")

    @classmethod
    def glob(cls, text: str) -> Pattern:
        """Match the whole text: `*` any characters, `?` one, `[a-z]` and `[!a-z]` one of a set.

        A backslash takes the next character literally.
        """
        return cls(text, "glob")

    @classmethod
    def regex(cls, text: str) -> Pattern:
        """Match the whole text with Python's `re`, without flags.

        A pattern that backtracks for ever is its author's doing: do not take one from a stranger.
        """
        return cls(text, "regex")

    @classmethod
    def exactly(cls, key: StoreKey) -> Pattern:
        """Match `key` and nothing else, whatever characters it holds."""
        escapes = {wildcard: escaped for escaped, wildcard in _WILDCARD_ESCAPES.items()}
        name = escapes.get(key.name, key.name)
        if _ESCAPED_WILDCARD.fullmatch(key.name):
            name = f"%25{key.name[1:]}"
        if not key.namespace:
            return cls(f":{name}" if ":" in name or "/" in name else name)
        spaces = (escapes.get(space) or escape(space) for space in key.namespace)
        return cls(f"{'/'.join(spaces)}:{name}")

    @classmethod
    def of(cls, pattern: str | Pattern) -> Pattern:
        """A `Pattern` as it is, a `StoreKey` as exactly that key, any other str as mqtt."""
        if isinstance(pattern, Pattern):
            return pattern
        if isinstance(pattern, StoreKey):
            return cls.exactly(pattern)
        return cls(pattern, "mqtt")

    def matches(self, key: StoreKey) -> bool:
        """Whether `key` matches."""
        if self.levels is None:
            return self._full_match(key.text) is not None
        return self.matches_segments(key.segments)

    def matches_text(self, text: str) -> bool:
        """Whether the key with this canonical text matches."""
        if self.levels is None:
            return self._full_match(text) is not None
        return self.matches_segments(StoreKey.parse(text).segments)

    def matches_segments(self, segments: tuple[str, ...]) -> bool:
        """Whether the key with these segments matches."""
        if self.levels is None:
            return self._full_match(format_path(segments)) is not None
        surplus = len(segments) - len(self.levels)
        if surplus and (surplus < 0 or not self.open_end):
            return False
        prefix = self.prefix
        if segments[: len(prefix)] != prefix:
            return False
        return all(segments[place] == level for place, level in self._places)

    def _compile_mqtt(self) -> None:
        head, colon, name = self.text.partition(":")
        written: list[tuple[str, Callable[[str], str]]]
        if colon:
            written = [(space, unescape) for space in head.split("/")] if head else []
            written.append((name, _unescape_name))
        elif "/" in head:
            written = [(segment, unescape) for segment in head.split("/")]
        else:
            written = [(head, _unescape_name)]
        levels: list[str | None] = []
        for segment, read in written:
            if self.open_end:
                self._refuse("'#' as the last segment", "one before the end")
            if not segment:
                self._refuse("segments with something in them", "an empty one")
            if segment == _MANY:
                _write(self, "open_end", True)
            else:
                levels.append(None if segment == _ONE else read(segment))
        _write(self, "levels", tuple(levels))
        literals = [(place, level) for place, level in enumerate(levels) if level is not None]
        leading = next((place for place, level in enumerate(levels) if level is None), len(levels))
        prefix = tuple(level for _, level in literals[:leading])
        _write(self, "prefix", prefix)
        _write(self, "_places", tuple(literals[leading:]))
        if leading == len(levels) and not self.open_end:
            _write(self, "exact", StoreKey.of_segments(prefix))

    def _compile_text(self) -> None:
        source = self.text
        if self.kind == "glob":
            source, literal = _translate_glob(self.text)
            _write(self, "prefix", _namespace_of(literal))
        try:
            compiled = re.compile(source, re.DOTALL if self.kind == "glob" else 0)
        except (re.error, OverflowError, RecursionError) as error:
            raise PatternInvalid(
                f"wanted a regular expression of the module re; found {self.text!r}, which does "
                f"not compile ({error}); correct it",
                text=self.text,
            ) from error
        _write(self, "_full_match", compiled.fullmatch)

    def _refuse(self, wanted: str, found: str) -> NoReturn:
        raise PatternInvalid(
            f"a pattern wanted {wanted}; found {found} in {self.text!r}; correct it, and write "
            "%2B or %23 for a segment that is + or # as data",
            text=self.text,
        )

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"a Pattern is immutable; make a new one instead of {attribute!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pattern):
            return NotImplemented
        return self.text == other.text and self.kind == other.kind

    def __hash__(self) -> int:
        return hash((self.kind, self.text))

    def __repr__(self) -> str:
        return f"Pattern.{self.kind}({self.text!r})"

    def __reduce__(self) -> tuple[type[Pattern], tuple[str, PatternKind]]:
        return Pattern, (self.text, self.kind)


# Attributes are written while compiling only, past the refusal of `__setattr__`.
_write = object.__setattr__


def _unescape_name(name: str) -> str:
    """A name in a pattern: literal, but for a whole name that is an escaped wildcard."""
    if not _ESCAPED_WILDCARD.fullmatch(name):
        return name
    return _WILDCARD_ESCAPES.get(name) or f"%{name[3:]}"


def _translate_glob(text: str) -> tuple[str, str]:
    """A regular expression for a glob, and the characters before its first wildcard.

    Each `*` takes the nearest place where what follows it fits and never tries another (an
    atomic group), which is enough for a glob and keeps matching from exploding.
    """
    runs = [""]  # What stands between the stars.
    literal = ""
    only_literal = True
    position = 0
    while position < len(text):
        token = _GLOB_TOKEN.match(text, position)
        if token is None or token["set"] == "":
            raise PatternInvalid(
                f"a glob wanted every '[' closed after a character and no backslash at the end; "
                f"found otherwise at character {position} of {text!r}; write '\\[' for a "
                "bracket and '\\\\' for a backslash that are data",
                text=text,
            )
        position = token.end()
        character = token["escaped"] or token["literal"]
        if character is not None:
            runs[-1] += re.escape(character)
            literal += character if only_literal else ""
            continue
        only_literal = False
        if token["many"]:
            runs.append("")
        elif token["one"]:
            runs[-1] += "."
        else:
            runs[-1] += _glob_set(token["set"], token["negated"], text)
    first, *rest = runs
    if not rest:
        return first, literal
    between = "".join(f"(?>.*?{run})" for run in rest[:-1])
    return f"{first}{between}.*{rest[-1]}", literal


def _glob_set(members: str, negated: str, text: str) -> str:
    # A dash between two members makes a range; escaped, first or last it is data.
    tokens = list(_GLOB_SET_MEMBER.finditer(members))
    characters = [token[1] or token[2] for token in tokens]
    parts: list[str] = []
    place = 0
    while place < len(tokens):
        low = high = characters[place]
        if place + 2 < len(tokens) and tokens[place + 1][2] == "-":
            high = characters[place + 2]
            place += 2
        if high < low:
            raise PatternInvalid(
                f"a glob wanted ranges from low to high; found {low}-{high} in {text!r}; "
                "swap the two",
                text=text,
            )
        parts.append(f"{re.escape(low)}-{re.escape(high)}")
        place += 1
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _namespace_of(literal: str) -> tuple[str, ...]:
    """The whole namespace segments at the beginning of a canonical text."""
    head, colon, _ = literal.partition(":")
    if not colon:
        head = head.rpartition("/")[0]
    try:
        segments = tuple(map(unescape, head.split("/")))
    except InvalidKey:
        return ()
    return () if "" in segments else segments
