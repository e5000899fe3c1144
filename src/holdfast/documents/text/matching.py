"""Whether one text matches a query, without an index: what an index is checked against."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.documents.text.analysis import Analyzer, Sought
from holdfast.documents.text.query import Node, Not, Or, Words, check, parse

#: Tests one text.
Test = Callable[[str], bool]


def matcher(analyzer: Analyzer) -> Callable[[str], Test]:
    """What prepares a search: from the text of a query to a test of texts.

    The test agrees with an index that has one field and this analyzer. Preparing raises
    `InvalidQuery` as `parse` does.
    """

    def prepare(search: str) -> Test:
        return text_test(parse(search), analyzer)

    return prepare


def text_test(query: Node, analyzer: Analyzer) -> Test:
    """A test of single texts for a query. Fields are not looked at: the text is of one.

    Raises `InvalidQuery` as a search with an index does.
    """
    check(query)
    judge = _judge(query, analyzer)

    def test(text: str) -> bool:
        return judge is not None and judge(analyzer.terms(text))

    return test


def _judge(query: Node, analyzer: Analyzer) -> Callable[[list[str]], bool] | None:
    """A test of terms in their places; None where nothing was asked for but stop words."""
    if isinstance(query, Words):
        sought = analyzer.sought(query.text, open_end=query.open_end)
        return (lambda terms: places_of(terms, sought) != []) if sought else None
    if isinstance(query, Not):
        # `check` lets it stand inside an `And` alone.
        inner = _judge(query.part, analyzer)
        return lambda terms: inner is None or not inner(terms)
    judges = [_judge(part, analyzer) for part in query.parts]
    if isinstance(query, Or):
        told = [one for one in judges if one is not None]
        return (lambda terms: any(one(terms) for one in told)) if told else None
    telling = [
        judge
        for part, judge in zip(query.parts, judges, strict=True)
        if judge is not None and not isinstance(part, Not)
    ]
    if not telling:
        return None
    every = [judge for judge in judges if judge is not None]
    return lambda terms: all(one(terms) for one in every)


def places_of(terms: list[str], sought: list[Sought]) -> list[int]:
    """Where in a text all that is sought stands at its distances, from the first of it."""
    start = sought[0].offset
    wanted = [(one.offset - start, one) for one in sought]
    return [
        at
        for at in range(len(terms) - wanted[-1][0])
        if all(fits(terms[at + offset], one) for offset, one in wanted)
    ]


def fits(term: str, sought: Sought) -> bool:
    """Whether a term will do for a place of a query."""
    return term.startswith(sought.terms) if sought.prefix else term in sought.terms
