"""Scores over several blocks and fields are BM25 as the formula has it, computed from the texts."""

import math
from random import Random

import pytest

from holdfast.documents.text.index import TextIndex
from holdfast.documents.text.query import Or, Words
from holdfast.documents.text.rows import BLOCK_DOCUMENTS
from holdfast.documents.text.search import search
from tests.documents.text.store import Rows

COUNT = BLOCK_DOCUMENTS + 300
WEIGHTS = (3.0, 1.0)


def documents() -> list[tuple[list[str], list[str]]]:
    random = Random(11)
    words = ["common", "half", "rare", *(f"filler{place}" for place in range(40))]
    chances = [30, 8, 0.2, *(1.0 for _ in range(40))]
    return [
        (
            random.choices(words, chances, k=random.randint(0, 4)),
            random.choices(words, chances, k=random.randint(1, 25)),
        )
        for _ in range(COUNT)
    ]


@pytest.mark.row("I-038")
@pytest.mark.parametrize("field", [None, 0, 1])
@pytest.mark.parametrize("words", [("common",), ("rare",), ("half", "rare"), ("common", "half")])
def test_scores_are_those_of_the_formula(words: tuple[str, ...], field: int | None) -> None:
    texts = documents()
    index, rows = TextIndex(WEIGHTS), Rows()
    rows.take(
        index.changes_of_many(
            [
                (b"%05d" % place, [[" ".join(part)] for part in parts])
                for place, parts in enumerate(texts)
            ],
            rows.read,
        )
    )
    average = sum(len(part) for parts in texts for part in parts) / COUNT
    wanted: dict[bytes, float] = {}
    for word in words:
        having = sum(any(word in part for part in parts) for parts in texts)
        idf = math.log(1 + (COUNT - having + 0.5) / (having + 0.5))
        for place, parts in enumerate(texts):
            often = sum(
                weight * part.count(word)
                for at, (weight, part) in enumerate(zip(WEIGHTS, parts, strict=True))
                if field in (None, at)
            )
            if often:
                length = 0.25 + 0.75 * sum(map(len, parts)) / average
                score = idf * often * 2.2 / (often + 1.2 * length)
                wanted[b"%05d" % place] = wanted.get(b"%05d" % place, 0.0) + score
    hits = search(index, Or(tuple(Words(word, field) for word in words)), rows.read, rows.scan)
    assert {hit.identifier: hit.score for hit in hits} == pytest.approx(wanted)
    best = sorted(wanted, key=lambda one: (-wanted[one], one))
    assert [hit.score for hit in hits] == pytest.approx([wanted[one] for one in best])
    assert (
        search(index, Or(tuple(Words(w, field) for w in words)), rows.read, rows.scan, limit=7)
        == (hits[:7])
    )


def test_a_phrase_counts_its_occurrences_in_each_field() -> None:
    index, rows = TextIndex((2.0, 1.0)), Rows()
    rows.take(index.changes(b"1", [["a b"], ["a b x a b"]], rows.read))
    rows.take(index.changes(b"2", [["c"], ["a b c"]], rows.read))
    rows.take(index.changes(b"3", [["b"], ["a"]], rows.read))
    for query, found in (
        (Words("a b"), [b"1", b"2"]),
        (Words("a b", 0), [b"1"]),
        (Words("a b", 1), [b"1", b"2"]),
        (Words("a b", 1, open_end=True), [b"1", b"2"]),
    ):
        hits = search(index, query, rows.read, rows.scan)
        assert [hit.identifier for hit in hits] == found
    # A phrase is as rare as its words together; it stands once with weight 2 and twice with 1.
    (first, _) = search(index, Words("a b"), rows.read, rows.scan)
    idf = 2 * math.log(1 + 0.5 / 3.5)
    average = 13 / 3
    assert first.score == pytest.approx(idf * 4 * 2.2 / (4 + 1.2 * (0.25 + 0.75 * 7 / average)))
