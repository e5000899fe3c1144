"""Exact search finds what a look at every vector in plain Python finds; bad vectors are refused."""

import math
import struct
import sys
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.contract.errors import DriverMissing, InvalidInput, InvalidQuery, InvalidValue
from holdfast.documents.query.values import MISSING
from holdfast.documents.vector.exact import ROWS_AT_ONCE, VectorTable, search_rows
from holdfast.documents.vector.vectors import DIMENSIONS_MAX, Metric, VectorSpace

METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")
COMPONENTS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, 3e38, 1e-45]) | st.floats(
    -10, 10, width=32
)
VECTORS = st.lists(COMPONENTS, min_size=3, max_size=3)


def measure(metric: Metric, one: list[float], other: list[float]) -> float:
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    if metric == "dot":
        return -product
    if metric == "l2":
        return math.dist(one, other)
    return 1 - max(-1.0, min(1.0, product / (math.hypot(*one) * math.hypot(*other))))


def rounding(metric: Metric, one: list[float], other: list[float]) -> float:
    """How much float64 may lose: where large products cancel, what is left is rounding."""
    return 1e-13 * (math.hypot(*one) * math.hypot(*other) if metric == "dot" else 1.0)


def as_stored(vector: list[float]) -> list[float]:
    return list(struct.unpack(f"{len(vector)}f", struct.pack(f"{len(vector)}f", *vector)))


@pytest.mark.parametrize("metric", METRICS)
@given(
    vectors=st.lists(VECTORS, max_size=12),
    query=VECTORS,
    limit=st.integers(0, 6),
    odd=st.booleans(),
)
@example(vectors=[[1.0, 0, 0]] * 5, query=[1.0, 0, 0], limit=3, odd=True)
@example(vectors=[[3e38, 3e38, 0], [1.0, 1.0, 1.0]], query=[3e38, -3e38, 1.0], limit=1, odd=False)
def test_the_nearest_are_those_of_a_look_at_all(
    metric: Metric, vectors: list[list[float]], query: list[float], limit: int, odd: bool
) -> None:
    space = VectorSpace(3, metric)
    if metric == "cosine":
        vectors = [vector for vector in vectors if any(as_stored(vector))]
        query = query if any(as_stored(query)) else [1.0, 0.0, 0.0]
    rows = [(b"%02d" % place, space.pack(vector)) for place, vector in enumerate(vectors)]
    chosen = (lambda identifier: int(identifier) % 2 == 1) if odd else None
    table = VectorTable(space, rows)
    found = table.search(query, limit, chosen)
    assert search_rows(space, iter(rows), query, limit, chosen) == found
    wanted = {
        identifier: measure(metric, as_stored(query), as_stored(vectors[int(identifier)]))
        for identifier, _ in rows
        if not odd or int(identifier) % 2
    }
    assert len(found) == min(limit, len(wanted))
    assert found == sorted(found, key=lambda near: (near.distance, near.identifier))
    for near in found:
        slack = rounding(metric, query, vectors[int(near.identifier)])
        assert near.distance == pytest.approx(wanted[near.identifier], rel=1e-12, abs=slack)
    if found:
        left_out = wanted.keys() - {near.identifier for near in found}
        slack = abs(found[-1].distance) * 1e-12 + max(
            rounding(metric, query, vector) for vector in vectors
        )
        assert all(wanted[one] >= found[-1].distance - slack for one in left_out)
    everyone = [identifier for identifier, _ in rows if not odd or int(identifier) % 2]
    assert table.search_among(query, limit, [*everyone, b"unknown"]) == found


def test_many_vectors_are_measured_in_steps() -> None:
    space = VectorSpace(8, "l2")
    random = np.random.default_rng(7)
    matrix = random.standard_normal((2 * ROWS_AT_ONCE + 5, 8)).astype("f4")
    rows = [(b"%05d" % place, space.pack(vector)) for place, vector in enumerate(matrix)]
    query = random.standard_normal(8).astype("f4")
    distances = np.sqrt(((matrix.astype("f8") - query.astype("f8")) ** 2).sum(axis=1))
    wanted = [b"%05d" % place for place in np.argsort(distances, kind="stable")[:20]]
    found = search_rows(space, rows, query, 20)
    assert [near.identifier for near in found] == wanted
    assert VectorTable(space, rows).search(query, 20) == found


@given(st.lists(st.tuples(st.sampled_from([b"1", b"2", b"3"]), st.none() | VECTORS), max_size=12))
def test_a_table_follows_the_changes_of_its_rows(
    steps: list[tuple[bytes, list[float] | None]],
) -> None:
    space = VectorSpace(3, "l2")
    table, rows = VectorTable(space), dict[bytes, bytes]()
    documents: dict[bytes, list[Any] | None] = {}
    for identifier, vector in steps:
        after = None if vector is None else [vector]
        changed = list(space.changes(documents.get(identifier), after, identifier))
        documents[identifier] = after
        table.take(changed)
        for key, value in changed:
            if value is None:
                del rows[key]
            else:
                rows[key] = value
    assert len(table) == len(rows)
    assert rows == {
        key: space.pack(value[0]) for key, value in documents.items() if value is not None
    }
    found = table.search([1.0, 2.0, 3.0], 10)
    assert found == search_rows(space, rows.items(), [1.0, 2.0, 3.0], 10)
    table.delete(b"unknown")


@pytest.mark.parametrize(
    "value",
    [[1, 2.5], (1, 2.5), array("f", [1, 2.5]), array("d", [1, 2.5]), np.array([1, 2.5], "f4")],
)
def test_ways_to_write_a_vector(value: Any) -> None:
    assert VectorSpace(2).pack(value) == struct.pack("<2f", 1, 2.5)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0], "have 2 dimensions; found one of 1"),
        ([1.0, 2.0, 3.0], "found one of 3"),
        ([], "found one of 0"),
        ([1.0, float("nan")], "component 1 of the vector is nan"),
        ([float("inf"), 1.0], "component 0"),
        ([1e300, 1.0], "component 0"),
        ([10**400, 1.0], "that is none"),
        ([0.0, -0.0], "zeros has no direction"),
        ([1e-60, 0], "zeros has no direction"),
        (["1", "2"], "that is none"),
        ([True, False], "that is none"),
        ([None, 1.0], "that is none"),
        ("12", "found a str"),
        (b"12345678", "found a bytes"),
        (7, "found a int"),
        ({"a": 1}, "found a dict"),
        (np.array([[1.0, 2.0]]), "found a ndarray"),
        (np.array([1, 2]), "found a ndarray"),
    ],
)
def test_what_is_no_vector_is_refused(value: Any, words: str) -> None:
    space = VectorSpace(2)
    with pytest.raises(InvalidValue, match=words):
        space.pack(value)
    with pytest.raises(InvalidQuery, match=words):
        VectorTable(space).search(value, 1)
    with pytest.raises(InvalidQuery, match=words):
        search_rows(space, [], value, 1)


def test_zero_is_a_vector_where_directions_do_not_matter() -> None:
    space = VectorSpace(2, "l2")
    assert VectorTable(space, [(b"1", space.pack([0, 0]))]).search([3, 4], 1)[0].distance == 5.0


def test_a_document_has_one_vector_or_none() -> None:
    space = VectorSpace(2)
    assert space.entry([]) is space.entry([None]) is space.entry([MISSING]) is None
    assert list(space.changes([None], [[1, 2]], b"1")) == [(b"1", space.pack([1, 2]))]
    assert list(space.changes([[1, 2]], [[1.0, 2.0]], b"1")) == []
    assert list(space.changes([[1, 2]], None, b"1")) == [(b"1", None)]
    with pytest.raises(InvalidValue, match="one vector in an index; the field leads to 2"):
        space.entry([[1, 2], [3, 4]])


def test_spaces_and_limits_have_their_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    for dimensions in (0, DIMENSIONS_MAX + 1):
        with pytest.raises(InvalidInput, match="dimensions"):
            VectorSpace(dimensions)
    with pytest.raises(InvalidInput, match="cosine, dot, l2"):
        VectorSpace(2, "manhattan")  # type: ignore[arg-type]
    space = VectorSpace(2)
    with pytest.raises(InvalidInput, match="found -1"):
        VectorTable(space).search([1, 2], -1)
    with pytest.raises(InvalidInput, match="found -1"):
        search_rows(space, [], [1, 2], -1)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(DriverMissing, match=r"holdfast-db\[vector\]"):
        VectorTable(space)
    # Writing needs no library.
    assert len(space.pack([1, 2])) == 8
