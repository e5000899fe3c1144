"""Searching a full-text index: which documents match, and how well (BM25).

A query is answered block by block, so memory holds one block of postings of each term at a time
beside what the terms' rows take. A score is the sum over terms (a phrase is one) of

    idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * words of the document / words on average))

where tf is how often it stands in the document, each field with its weight.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from holdfast.contract.errors import InvalidInput, InvalidQuery
from holdfast.documents.text.forward import identifier_of
from holdfast.documents.text.index import TextIndex
from holdfast.documents.text.query import Node, Not, Or, Words, check
from holdfast.documents.text.rows import (
    BLOCK_DOCUMENTS,
    Read,
    Scan,
    Statistics,
    forward_key,
    lengths,
    lengths_key,
    lengths_of,
)
from holdfast.documents.text.sources import (
    All,
    Any,
    Nothing,
    Phrase,
    Source,
    Term,
    load_prefix,
    load_term,
)
from holdfast.documents.text.together import scored_together

_SATURATION = 1.2
_LENGTH_SHARE = 0.75
#: Of this share of all blocks and more, the lengths are read in a walk over them.
_MANY = 0.25


class Hit(NamedTuple):
    """A document that matches.

    Attributes:
        identifier: the packed key of the document.
        score: how well it matches; higher is better.
    """

    identifier: bytes
    score: float


def search(
    index: TextIndex,
    query: Node,
    read: Read,
    scan: Scan,
    *,
    limit: int | None = None,
    weights: Sequence[float] | None = None,
) -> list[Hit]:
    """The documents that match, best first; of equals, the one that was indexed first.

    Args:
        index: what wrote the rows.
        query: what to search for; `query.parse` makes it of text.
        read: reads a row of the index.
        scan: reads the rows of the index that begin with a prefix.
        limit: return the best `limit` only.
        weights: other weights of the fields than the index's.

    Raises:
        InvalidQuery: it only says what must not match, or a beginning has too many terms.
        InvalidInput: `limit` is negative, or there are not as many weights as fields.
    """
    if limit is not None and limit < 0:
        raise InvalidInput(f"limit is 0 or more; found {limit}", limit=limit)
    if weights is not None and len(weights) != len(index.weights):
        raise InvalidInput(
            f"the index has {len(index.weights)} fields; found {len(weights)} weights"
        )
    source = compile_query(index, query, read, scan)
    best = _best(source, read, scan, tuple(weights or index.weights), limit)
    return [Hit(identifier_of(read(forward_key(number)) or b""), -minus) for minus, number in best]


def matching(index: TextIndex, query: Node, read: Read, scan: Scan) -> Iterator[bytes]:
    """The documents that match, in the order in which they were indexed, without scores.

    Raises:
        InvalidQuery: as `search` does.
    """
    source = compile_query(index, query, read, scan)
    for block in sorted(source.blocks()):
        first = block * BLOCK_DOCUMENTS
        for low in sorted(source.match(block)):
            yield identifier_of(read(forward_key(first + low)) or b"")


class _Scores:
    """Scores documents, block by block.

    Args:
        weights: of the fields.
    """

    def __init__(
        self,
        source: Source,
        read: Read,
        scan: Scan,
        weights: tuple[float, ...],
        blocks: Sequence[int],
    ) -> None:
        statistics = Statistics.read(read)
        average = statistics.words / statistics.documents if statistics.documents else 1.0
        self._share = _SATURATION * _LENGTH_SHARE / (average or 1.0)
        self._weights = weights
        # All are asked for before one is looked at: so they are waited for once.
        self._lengths: dict[int, bytes | None]
        if len(blocks) * BLOCK_DOCUMENTS > _MANY * statistics.next:
            self._lengths = dict(lengths_of(scan))
        else:
            self._lengths = {block: read(lengths_key(block)) for block in blocks}
        self._scoring = [
            (one, (_SATURATION + 1) * sum(_idf(statistics.documents, n) for n in one.frequencies()))
            for one in source.scoring()
        ]

    def most(self, term: Term) -> float:
        """What a term adds to a score at most: the share that occurrences grow to is below 1."""
        return sum(boost for one, boost in self._scoring if one is term)

    def all_of(
        self, terms: list[Term] | None, blocks: Sequence[int]
    ) -> list[tuple[float, int]] | None:
        """The same of all documents that have these terms; None: one block is asked at a time."""
        if terms is None or len(terms) != len(self._scoring):
            return None
        boosts = {id(one): boost for one, boost in self._scoring}
        told = [(term, boosts[id(term)], self._weights[0]) for term in terms]
        return scored_together(
            told, blocks, self._lengths, _SATURATION * (1 - _LENGTH_SHARE), self._share
        )

    def of(self, block: int, matched: set[int]) -> Iterator[tuple[float, int]]:
        """(minus the score, number) of each of these documents of a block."""
        lows = sorted(matched)
        if not lows:
            return
        row = lengths(self._lengths.get(block))
        if len(row) <= lows[-1]:
            row.extend([0] * (lows[-1] + 1 - len(row)))  # It has not come yet: see `replay`.
        base = _SATURATION * (1 - _LENGTH_SHARE)
        norms = [base + self._share * row[low] for low in lows]
        scores = [0.0] * len(lows)
        for one, boost in self._scoring:
            for place, often in one.occurrences(block, lows, self._weights):
                scores[place] += boost * often / (often + norms[place])
        first = block * BLOCK_DOCUMENTS
        yield from ((-score, first + low) for score, low in zip(scores, lows, strict=True))


def _best(
    source: Source, read: Read, scan: Scan, weights: tuple[float, ...], limit: int | None
) -> list[tuple[float, int]]:
    """(minus the score, number) of the documents that match, best first."""
    blocks = sorted(source.blocks())
    scores = _Scores(source, read, scan, weights, blocks)
    together = scores.all_of(source.required(), blocks)
    if together is not None:
        return sorted(together) if limit is None else heapq.nsmallest(limit, together)
    if limit is None:
        return sorted(one for block in blocks for one in scores.of(block, source.match(block)))
    alternatives = source.alternatives()
    if alternatives is None:
        return heapq.nsmallest(
            limit, (one for block in blocks for one in scores.of(block, source.match(block)))
        )
    # The rarest word first. Once enough documents score higher than all further words together
    # can, those that have only further words need not be looked at.
    best: list[tuple[float, int]] = []
    passed: list[Term] = []
    rest = sorted(alternatives, key=scores.most, reverse=True)
    while rest:
        full = len(best) == limit
        if full and (not limit or sum(map(scores.most, rest)) < -best[-1][0]):
            break
        term = rest.pop(0)
        found = (
            one
            for block in sorted(term.blocks())
            for one in scores.of(
                block, term.match(block).difference(*[known.match(block) for known in passed])
            )
        )
        best = heapq.nsmallest(limit, chain(best, found))
        passed.append(term)
    return best


def _idf(documents: int, having: int) -> float:
    return math.log(1 + (documents - having + 0.5) / (having + 0.5))


def compile_query(index: TextIndex, query: Node, read: Read, scan: Scan) -> Source:
    """The source of matches that a query stands for."""
    check(query)
    return _compile(index, query, read, scan)


def _compile(index: TextIndex, query: Node, read: Read, scan: Scan) -> Source:
    if isinstance(query, Words):
        return _words(index, query, read, scan)
    if isinstance(query, Not):
        # `check` lets it stand inside an `And` alone, which takes it apart.
        return _compile(index, query.part, read, scan)
    if isinstance(query, Or):
        return Any([_compile(index, part, read, scan) for part in query.parts])
    sources = [
        _compile(index, part, read, scan) for part in query.parts if not isinstance(part, Not)
    ]
    # A stop word says nothing: beside other words it is no condition.
    telling = [source for source in sources if not isinstance(source, Nothing)] or sources
    without = [_compile(index, part, read, scan) for part in query.parts if isinstance(part, Not)]
    return All(telling, without)


def _words(index: TextIndex, query: Words, read: Read, scan: Scan) -> Source:
    fields = len(index.weights)
    if query.field is not None and not 0 <= query.field < fields:
        raise InvalidQuery(f"the index has {fields} fields; there is no field {query.field}")
    sought = index.analyzer.sought(query.text, open_end=query.open_end)
    terms: list[tuple[int, Term]] = []
    for one in sought:
        load = load_prefix if one.prefix else load_term
        terms.append((one.offset, load(one.terms, query.field, fields, scan)))
    if not terms:
        return Nothing()
    if len(terms) == 1:
        return terms[0][1]
    return Phrase(terms, query.field, read)
