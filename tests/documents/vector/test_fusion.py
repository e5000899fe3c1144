"""Words and vectors in one ranking."""

from typing import Any

import pytest

from holdfast.contract.errors import InvalidInput
from holdfast.documents.text.index import TextIndex
from holdfast.documents.text.query import parse
from holdfast.documents.text.search import search
from holdfast.documents.vector.exact import VectorTable
from holdfast.documents.vector.fusion import Fused, fuse
from holdfast.documents.vector.vectors import VectorSpace
from tests.documents.text.store import Rows


def test_scores_are_the_sums_of_reciprocal_ranks() -> None:
    fused = fuse([[b"a", b"b", b"c"], [b"c", b"d"]])
    assert [one.identifier for one in fused] == [b"c", b"a", b"b", b"d"]
    scores = [one.score for one in fused]
    assert scores == pytest.approx([1 / 63 + 1 / 61, 1 / 61, 1 / 62, 1 / 62])
    assert fuse([[b"a"], [b"b"]], weights=[1, 2], limit=1)[0].identifier == b"b"
    assert fuse([[b"a", b"a", b"b"]], constant=0) == [Fused(b"a", 1.0), Fused(b"b", 0.5)]
    assert fuse([]) == fuse([[], []]) == []


def test_bad_weights_and_limits_are_refused() -> None:
    refused: list[dict[str, Any]] = [
        {"weights": [1.0, 2.0]},
        {"weights": [-1.0]},
        {"weights": [float("nan")]},
        {"constant": -1.0},
        {"limit": -1},
    ]
    for options in refused:
        with pytest.raises(InvalidInput):
            fuse([[b"a"]], **options)


def test_what_words_and_vectors_agree_on_comes_first() -> None:
    index, rows, space = TextIndex(), Rows(), VectorSpace(2)
    documents = {
        b"1": ("red car", [1.0, 0.0]),
        b"2": ("red bus", [0.9, 0.1]),
        b"3": ("blue car", [0.0, 1.0]),
        b"4": ("grey", [1.0, 0.01]),
    }
    table = VectorTable(space)
    for key, (text, vector) in documents.items():
        rows.take(index.changes(key, [[text]], rows.read))
        table.put(key, space.pack(vector))
    words = [hit.identifier for hit in search(index, parse("bus OR red"), rows.read, rows.scan)]
    near = [one.identifier for one in table.search([1, 0], 4)]
    assert words == [b"2", b"1"]
    assert near == [b"1", b"4", b"2", b"3"]
    assert [one.identifier for one in fuse([words, near])] == [b"1", b"2", b"4", b"3"]
