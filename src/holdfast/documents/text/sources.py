"""Where matches come from: the postings of terms, and what joins them.

A source answers for one block at a time: which documents match, by the low part of their numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from holdfast.contract.errors import InvalidQuery
from holdfast.documents.text.forward import Forward, code_of, unpack_parts
from holdfast.documents.text.rows import (
    BLOCK_DOCUMENTS,
    Read,
    Scan,
    forward_key,
    pack_postings,
    postings,
    postings_count,
    split_postings_key,
    term_prefix,
    terms_prefix,
)

PREFIX_TERMS_MAX = 10_000
"""How many different terms the beginning of a word may stand for."""

#: Looking documents up one by one beats unpacking all postings, if these are so many times more.
_FEW = 4


class Source(ABC):
    """Some documents."""

    @abstractmethod
    def blocks(self) -> set[int]:
        """The blocks where there may be matches."""

    @abstractmethod
    def match(self, block: int) -> set[int]:
        """The low numbers of the documents of this block that match."""

    def among(self, block: int, matched: set[int]) -> set[int]:
        """Those of some documents of this block that match."""
        return matched & self.match(block)

    @abstractmethod
    def scoring(self) -> Iterator[Scoring]:
        """The parts that add to a document's score."""

    def alternatives(self) -> list[Term] | None:
        """The different terms of which one suffices; None: it is not as simple as that."""
        return None

    def required(self) -> list[Term] | None:
        """The terms that a document needs, and nothing else; None: it is not as simple as that."""
        return None


class Scoring(ABC):
    """A term or phrase that scores."""

    @abstractmethod
    def frequencies(self) -> list[int]:
        """How many documents of the index have it; of a phrase, each of its terms."""

    @abstractmethod
    def occurrences(
        self, block: int, lows: Sequence[int], weights: tuple[float, ...]
    ) -> Iterable[tuple[int, float]]:
        """(place in `lows`, weighted number of occurrences), where there are any."""


class Nothing(Source):
    """Nothing was asked for: stop words alone, or no words at all."""

    def blocks(self) -> set[int]:
        return set()

    def match(self, block: int) -> set[int]:
        return set()

    def scoring(self) -> Iterator[Scoring]:
        return iter(())


class Term(Source, Scoring):
    """The documents that have a term, or one of several.

    Attributes:
        terms: the terms, as they are stored.
        single: whether it is one term that the documents must have themselves.
    """

    def __init__(
        self,
        terms: frozenset[str],
        rows: dict[int, bytes],
        field: int | None,
        fields: int,
        *,
        single: bool,
    ) -> None:
        self.terms = terms
        self.single = single
        self._rows = rows
        self._field = field
        self._fields = fields
        self._unpacked: tuple[int, array[int], bytes] | None = None

    def blocks(self) -> set[int]:
        return set(self._rows)

    def match(self, block: int) -> set[int]:
        if block not in self._rows:
            return set()
        lows, counts = self._postings(block)
        if self._field is None or self._fields == 1:
            return set(lows)
        of_field = counts[self._field :: self._fields]
        return {low for low, count in zip(lows, of_field, strict=True) if count}

    def among(self, block: int, matched: set[int]) -> set[int]:
        if block not in self._rows:
            return set()
        if self._field is None or self._fields == 1:
            # Without a set of all that have the term: mostly these are many more.
            return matched.intersection(self._postings(block)[0])
        return matched & self.match(block)

    def scoring(self) -> Iterator[Scoring]:
        yield self

    def frequencies(self) -> list[int]:
        return [sum([postings_count(row, self._fields) for row in self._rows.values()])]

    def occurrences(
        self, block: int, lows: Sequence[int], weights: tuple[float, ...]
    ) -> Iterable[tuple[int, float]]:
        if block not in self._rows:
            return ()
        there, counts = self._postings(block)
        if len(lows) * _FEW < len(there):
            found = _looked_up(there, lows)
        else:
            places = dict(zip(there, range(len(there)), strict=True))
            found = [(place, places[low]) for place, low in enumerate(lows) if low in places]
        if self._fields == 1:
            weight = weights[0]
            return [(place, weight * counts[at]) for place, at in found]
        weighed = [(place, self._often(counts, at, weights)) for place, at in found]
        return [(place, often) for place, often in weighed if often]

    def required(self) -> list[Term] | None:
        return [self] if self._fields == 1 else None

    def joined(self, blocks: Sequence[int]) -> tuple[list[int], bytes, bytes]:
        """Of an index over one field: how many postings blocks have, and all lows and counts."""
        rows = [self._rows[block] for block in blocks]
        sizes = [postings_count(row, 1) for row in rows]
        lows = [row[: 2 * size] for row, size in zip(rows, sizes, strict=True)]
        counts = [row[2 * size :] for row, size in zip(rows, sizes, strict=True)]
        return sizes, b"".join(lows), b"".join(counts)

    def _postings(self, block: int) -> tuple[array[int], bytes]:
        """The postings of a block that has some: they are matched first, and scored then."""
        if self._unpacked is None or self._unpacked[0] != block:
            self._unpacked = block, *postings(self._rows[block], self._fields)
        return self._unpacked[1:]

    def _often(self, counts: bytes, at: int, weights: tuple[float, ...]) -> float:
        if self._field is not None:
            return weights[self._field] * counts[at * self._fields + self._field]
        start = at * self._fields
        row = counts[start : start + self._fields]
        return sum([weight * count for weight, count in zip(weights, row, strict=True)])


def _looked_up(there: Sequence[int], lows: Sequence[int]) -> list[tuple[int, int]]:
    """(place in `lows`, place in `there`) of those that are in both."""
    size = len(there)
    found = [(place, bisect_left(there, low)) for place, low in enumerate(lows)]
    return [(place, at) for place, at in found if at < size and there[at] == lows[place]]


class Phrase(Source, Scoring):
    """The documents that have terms next to each other."""

    def __init__(self, terms: list[tuple[int, Term]], field: int | None, read: Read) -> None:
        start = terms[0][0]
        self._terms = [(offset - start, term) for offset, term in terms]
        self._field = field
        self._read = read
        self._sought = self._bytes()
        self._found: tuple[int, dict[int, list[int]]] = (-1, {})

    def _bytes(self) -> dict[int, bytes]:
        """The codes to look for, by their width, if terms alone and all in a row are wanted.

        A beginning may stand for terms that a document lacks, whose codes say nothing then.
        """
        if any(at != place for place, (at, _) in enumerate(self._terms)):
            return {}
        terms = [next(iter(term.terms)) for _, term in self._terms if term.single]
        if len(terms) < len(self._terms):
            return {}
        return {
            width: b"".join(
                [code_of(term, (1 << 8 * width) - 1).to_bytes(width, "little") for term in terms]
            )
            for width in (2, 4)
        }

    def blocks(self) -> set[int]:
        return set.intersection(*[term.blocks() for _, term in self._terms])

    def match(self, block: int) -> set[int]:
        return set(self._counted(block))

    def scoring(self) -> Iterator[Scoring]:
        yield self

    def frequencies(self) -> list[int]:
        return [count for _, term in self._terms for count in term.frequencies()]

    def occurrences(
        self, block: int, lows: Sequence[int], weights: tuple[float, ...]
    ) -> Iterable[tuple[int, float]]:
        counted = self._counted(block)
        for place, low in enumerate(lows):
            counts = counted.get(low)
            if counts is not None:
                often = sum([one * weight for one, weight in zip(counts, weights, strict=True)])
                if often:
                    yield place, often

    def _counted(self, block: int) -> dict[int, list[int]]:
        """The documents of the block that match, and how often in each field."""
        if self._found[0] == block:
            return self._found[1]
        candidates = set.intersection(*[term.match(block) for _, term in self._terms])
        counted = {}
        first = block * BLOCK_DOCUMENTS
        for low in candidates:
            row = self._read(forward_key(first + low))
            if row is not None:
                counts = self._count(row)
                if any(counts):
                    counted[low] = counts
        self._found = (block, counted)
        return counted

    def _count(self, row: bytes) -> list[int]:
        """How often the phrase stands in each field."""
        width, moved, places, packed_terms = unpack_parts(row)
        if self._sought and not moved:
            sought = self._sought[width]
            if self._field is None:
                return [count_bytes(one, sought, width) for one in places]
            counts = [0] * len(places)
            counts[self._field] = count_bytes(places[self._field], sought, width)
            return counts
        forward = Forward(width, moved, places, packed_terms)
        known = forward.codes
        wanted = [
            (at, {known[one] for one in term.terms if one in known}) for at, term in self._terms
        ]
        return [
            count_phrase(forward.field(field), wanted, forward.border)
            if self._field in (None, field)
            else 0
            for field in range(len(forward.places))
        ]


def count_bytes(places: bytes, sought: bytes, width: int) -> int:
    """How often the codes in `sought` stand next to each other in `places`."""
    count = 0
    at = places.find(sought)
    while at >= 0:
        if at % width == 0:
            count += 1
        at = places.find(sought, at + 1)
    return count


def count_phrase(places: Sequence[int], wanted: list[tuple[int, set[int]]], border: int) -> int:
    """How often codes stand at these distances from each other. The first distance is 0."""
    firsts = wanted[0][1]
    rest = wanted[1:]
    span = wanted[-1][0]
    return sum(
        1
        for at in range(len(places) - span)
        if places[at] in firsts
        and all(places[at + offset] in held for offset, held in rest)
        # Where the query has a stop word, anything may stand, but not the end of a text.
        and border not in places[at : at + span]
    )


class All(Source):
    """What every source has, and none of those without."""

    def __init__(self, sources: list[Source], without: list[Source]) -> None:
        # The rarest first, and what looks into documents only behind what does not.
        self._sources = sorted(
            sources, key=lambda one: one.frequencies()[0] if isinstance(one, Term) else math.inf
        )
        self._without = without

    def blocks(self) -> set[int]:
        return set.intersection(*[source.blocks() for source in self._sources])

    def match(self, block: int) -> set[int]:
        matched = self._sources[0].match(block)
        for source in self._sources[1:]:
            if not matched:
                break
            matched = source.among(block, matched)
        for source in self._without:
            if not matched:
                break
            matched -= source.match(block)
        return matched

    def scoring(self) -> Iterator[Scoring]:
        for source in self._sources:
            yield from source.scoring()

    def required(self) -> list[Term] | None:
        terms = [] if self._without else [source.required() for source in self._sources]
        if not terms or None in terms:
            return None
        return [term for several in terms for term in several or ()]


class Any(Source):
    """What at least one source has."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources

    def blocks(self) -> set[int]:
        return set().union(*[source.blocks() for source in self._sources])

    def match(self, block: int) -> set[int]:
        return set().union(*[source.match(block) for source in self._sources])

    def scoring(self) -> Iterator[Scoring]:
        for source in self._sources:
            yield from source.scoring()

    def alternatives(self) -> list[Term] | None:
        terms = [one for one in self._sources if isinstance(one, Term)]
        return terms if len(terms) == len(self._sources) else None


# --- Loading --------------------------------------------------------------------------------


def load_term(terms: tuple[str, ...], field: int | None, fields: int, scan: Scan) -> Term:
    """The postings of one term."""
    (term,) = terms
    rows = {split_postings_key(key)[1]: value for key, value in scan(term_prefix(term))}
    return Term(frozenset(terms), rows, field, fields, single=True)


def load_prefix(beginnings: tuple[str, ...], field: int | None, fields: int, scan: Scan) -> Term:
    """The postings of all terms that begin so, as if they were one term.

    Raises:
        InvalidQuery: there are more than `PREFIX_TERMS_MAX` of them.
    """
    found: dict[int, dict[int, list[int]]] = {}
    terms: set[bytes] = set()
    # One beginning may be the beginning of another: then it finds the other's terms, too.
    widest = [one for one in beginnings if not one.startswith(tuple({*beginnings} - {one}))]
    for beginning in widest:
        for key, value in scan(terms_prefix(beginning)):
            term, block = split_postings_key(key)
            terms.add(term)
            if len(terms) > PREFIX_TERMS_MAX:
                raise InvalidQuery(
                    f"{beginning!r} is the beginning of more than {PREFIX_TERMS_MAX} terms. "
                    "Write more of the word",
                )
            lows, counts = postings(value, fields)
            held = found.setdefault(block, {})
            for place, low in enumerate(lows):
                row = held.setdefault(low, [0] * fields)
                for at in range(fields):
                    row[at] += counts[place * fields + at]
    rows = {block: pack_postings(held) for block, held in found.items()}
    return Term(frozenset(term.decode() for term in terms), rows, field, fields, single=False)
