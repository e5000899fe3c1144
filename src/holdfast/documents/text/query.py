"""Full-text queries: their parts, and their text form.

    red car             both words, anywhere
    "red car"           the words next to each other, in this order
    car*                words that begin so; "red ca*" is a phrase with an open end
    red OR blue         at least one of them
    red NOT car, -car   without it
    title:car           in one field
    (red OR blue) car   parentheses group

AND may be written out. The operators are in capitals; in small letters they are words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from holdfast.contract.errors import InvalidQuery

QUERY_CHARACTERS_MAX = 10_000
"""The longest query text."""

NESTING_MAX = 32
"""How deep the parts of a query may stand inside each other."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words next to each other in this order; one word, or a phrase.

    Attributes:
        text: the words as somebody writes them.
        field: the number of the field to look in; None for all.
        open_end: whether the last word is the beginning of one.
    """

    text: str
    field: int | None = None
    open_end: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All of these parts; a `Not` among them excludes."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of these parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """What must not match. It stands inside an `And`, beside something that must."""

    part: Node


Node = Words | And | Or | Not

_TOKEN = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<minus>-(?=\S))"
    r"|(?P<field>[^\W\d]\w*):(?=\S)"
    r'|"(?P<phrase>[^"]*)(?P<ended>"?)(?P<phrase_star>\*?)'
    r'|(?P<word>[^\s()"*]+)(?P<star>\*?)|(?P<stray>\*))'
)


def parse(text: str, fields: Sequence[str] = ()) -> Node:
    """The query that a text spells. `fields` are the names of the fields, in order.

    Raises:
        InvalidQuery: the text is no query; the message names the place.
    """
    if len(text) > QUERY_CHARACTERS_MAX:
        raise InvalidQuery(
            f"a full-text query has at most {QUERY_CHARACTERS_MAX} characters; found {len(text)}"
        )
    return _Parser(text, tuple(fields)).parse()


def check(query: Node) -> None:
    """Refuse a query that only says what must not match, in whole or in a part.

    Raises:
        InvalidQuery: a `Not` stands elsewhere than beside something that must match.
    """
    if isinstance(query, Not) or (isinstance(query, And) and not _wanted(query)):
        raise InvalidQuery(
            "a full-text query needs something that must match; this part only says what must not. "
            "Write it beside another: 'car NOT red'"
        )
    if isinstance(query, And):
        for part in query.parts:
            check(part.part if isinstance(part, Not) else part)
    elif isinstance(query, Or):
        for part in query.parts:
            check(part)


def _wanted(query: And) -> bool:
    return any(not isinstance(part, Not) for part in query.parts)


class _Parser:
    def __init__(self, text: str, fields: tuple[str, ...]) -> None:
        self.fields = fields
        self.tokens = list(_tokens(text))
        self.place = 0
        self.end = len(text)

    def parse(self) -> Node:
        node = self.either(0)
        if self.next is not None:
            self.refuse("this ) closes nothing")
        return node

    @property
    def next(self) -> re.Match[str] | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def word(self, *wanted: str) -> bool:
        """Whether the next token is one of these operators; it is passed then."""
        if self.next is None or self.next["word"] not in wanted or self.next["star"]:
            return False
        self.place += 1
        return True

    def either(self, depth: int) -> Node:
        if depth > NESTING_MAX:
            self.refuse(f"the parts of a query nest at most {NESTING_MAX} deep")
        parts = [self.both(depth)]
        while self.word("OR"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self, depth: int) -> Node:
        parts = [self.one(depth)]
        while self.next is not None and not self.next["close"] and self.next["word"] != "OR":
            self.word("AND")
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self, depth: int) -> Node:
        token = self.next
        if token is None:
            self.refuse("something to search for is wanted here")
        if self.word("NOT"):
            return Not(self.one(depth + 1) if depth < NESTING_MAX else self.either(depth + 1))
        if token["word"] in ("AND", "OR") or token["close"]:
            self.refuse("something to search for is wanted here")
        self.place += 1
        if token["minus"]:
            return Not(self.one(depth + 1) if depth < NESTING_MAX else self.either(depth + 1))
        if token["open"]:
            node = self.either(depth + 1)
            if self.next is None:
                self.refuse("a ) is missing")
            self.place += 1
            return node
        return self.words(token)

    def words(self, token: re.Match[str]) -> Node:
        field = None
        if token["field"]:
            if token["field"] not in self.fields:
                known = ", ".join(self.fields) or "none has a name"
                self.refuse(f"there is no field {token['field']!r} in this index ({known})", back=1)
            field = self.fields.index(token["field"])
            following = self.next
            if following is None or not (following["word"] or following["phrase"]):
                self.refuse("a word or phrase is wanted behind a field")
            token = following
            self.place += 1
        if token["stray"]:
            self.refuse("a * stands directly behind the beginning of a word", back=1)
        if token["word"]:
            return Words(token["word"], field, open_end=bool(token["star"]))
        if not token["ended"]:
            self.refuse('a " is missing', back=1)
        return Words(token["phrase"], field, open_end=bool(token["phrase_star"]))

    def refuse(self, reason: str, *, back: int = 0) -> NoReturn:
        place = self.place - back
        at = self.tokens[place].start() if place < len(self.tokens) else self.end
        raise InvalidQuery(f"character {at} of the full-text query: {reason}")


def _tokens(text: str) -> Iterator[re.Match[str]]:
    place = 0
    while (match := _TOKEN.match(text, place)) is not None:
        yield match
        place = match.end()
