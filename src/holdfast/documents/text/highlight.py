"""Where a text matches a full-text query, and a short extract that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast.contract.errors import InvalidInput
from holdfast.documents.text.analysis import Analyzer
from holdfast.documents.text.matching import places_of
from holdfast.documents.text.query import Node, Not, Words

_ELLIPSIS = "…"


class Span(NamedTuple):
    """Characters `start` up to `end` of a text."""

    start: int
    end: int


def highlight(text: str, query: Node, analyzer: Analyzer) -> list[Span]:
    """The words of the text that the query asks for, in order; of a phrase, all of it.

    Parts that must not match show nothing; fields are not looked at, the text is of one.
    """
    tokens = list(analyzer.tokens(text))
    terms = [token.term for token in tokens]
    marked: set[int] = set()
    for words in _asked(query):
        sought = analyzer.sought(words.text, open_end=words.open_end)
        if sought:
            start = sought[0].offset
            for at in places_of(terms, sought):
                marked.update(at + one.offset - start for one in sought)
    spans: list[Span] = []
    for place in sorted(marked):
        start, end = tokens[place].start, tokens[place].end
        # Neighbours are one span, and so are pairs of characters that overlap.
        joined = place - 1 in marked and spans and not _has_word(text[spans[-1].end : start])
        if joined:
            spans[-1] = Span(spans[-1].start, max(end, spans[-1].end))
        else:
            spans.append(Span(start, end))
    return spans


def mark(text: str, spans: Sequence[Span], before: str = "<b>", after: str = "</b>") -> str:
    """The text with something around each span. The text is not escaped."""
    parts = []
    place = 0
    for span in spans:
        parts += [text[place : span.start], before, text[span.start : span.end], after]
        place = span.end
    return "".join([*parts, text[place:]])


def snippet(
    text: str,
    spans: Sequence[Span],
    *,
    characters: int = 160,
    before: str = "<b>",
    after: str = "</b>",
) -> str:
    """The stretch of the text with the most in spans, marked; it ends where words end.

    Raises:
        InvalidInput: `characters` is less than 1.
    """
    if characters < 1:
        raise InvalidInput(f"a snippet has at least 1 character; found characters={characters}")
    if len(text) <= characters:
        return mark(text, spans, before, after)
    start = _best_start(spans, characters)
    end = min(len(text), start + characters)
    start = max(0, end - characters)
    if start and (space := text.find(" ", start, min(end, start + characters // 4))) >= 0:
        held = [
            span for span in spans if span.start < space < span.end or start <= span.start < space
        ]
        start = start if held else space + 1
    if end < len(text) and (space := text.rfind(" ", max(start, end - characters // 4), end)) >= 0:
        held = [span for span in spans if span.end > space and span.start < end]
        end = end if held else space
    inside = [
        Span(span.start - start, min(span.end, end) - start)
        for span in spans
        if start <= span.start < end
    ]
    shown = mark(text[start:end], inside, before, after)
    return (_ELLIPSIS if start else "") + shown + (_ELLIPSIS if end < len(text) else "")


def _best_start(spans: Sequence[Span], characters: int) -> int:
    best, most = 0, 0
    last = held = 0
    for first, span in enumerate(spans):
        while last < len(spans) and spans[last].end <= span.start + characters:
            held += spans[last].end - spans[last].start
            last += 1
        if held > most:
            best, most = span.start, held
        if last > first:
            held -= span.end - span.start
        else:
            # The span itself is longer than the stretch.
            last = first + 1
    if not most:
        return spans[0].start if spans else 0
    # A little of what comes before, so that the match is not the first word.
    return max(0, best - characters // 4)


def _asked(query: Node) -> list[Words]:
    if isinstance(query, Words):
        return [query]
    if isinstance(query, Not):
        return []
    return [words for part in query.parts for words in _asked(part)]


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
