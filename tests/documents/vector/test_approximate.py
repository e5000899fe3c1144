"""The graph finds nearly all of the nearest, follows changes, and keeps to filters."""

import sys

import numpy as np
import pytest

from holdfast.contract.errors import DriverMissing, InvalidInput, InvalidQuery
from holdfast.documents.vector.approximate import VectorGraph
from holdfast.documents.vector.exact import VectorTable
from holdfast.documents.vector.vectors import Metric, VectorSpace

COUNT = 3_000
DIMENSIONS = 24


def rows_of(space: VectorSpace, seed: int) -> list[tuple[bytes, bytes]]:
    random = np.random.default_rng(seed)
    # Clusters, as texts about the same thing are.
    centers = random.standard_normal((30, DIMENSIONS))
    matrix = (
        centers[random.integers(0, 30, COUNT)] + random.standard_normal((COUNT, DIMENSIONS)) / 3
    )
    return [(b"%05d" % place, space.pack(vector)) for place, vector in enumerate(matrix)]


@pytest.mark.parametrize(("metric", "share"), [("cosine", 0.95), ("dot", 0.85), ("l2", 0.95)])
def test_nearly_all_of_the_nearest_are_found_and_in_their_order(
    metric: Metric, share: float
) -> None:
    space = VectorSpace(DIMENSIONS, metric)
    rows = rows_of(space, 3)
    graph, table = VectorGraph(space, rows), VectorTable(space, rows)
    random = np.random.default_rng(4)
    shared = 0
    for _ in range(40):
        query = random.standard_normal(DIMENSIONS)
        found, wanted = graph.search(query, 10), table.search(query, 10)
        assert len(found) == 10
        assert found == sorted(found, key=lambda near: (near.distance, near.identifier))
        shared += len(set(found) & set(wanted))
    assert shared >= share * 400


def test_a_filter_holds_whether_it_lets_many_or_few_pass() -> None:
    space = VectorSpace(DIMENSIONS, "l2")
    rows = rows_of(space, 5)
    graph, table = VectorGraph(space, rows), VectorTable(space, rows)
    query = np.random.default_rng(6).standard_normal(DIMENSIONS)
    for step in (2, 10, 500, COUNT):
        found = graph.search(query, 5, lambda identifier, step=step: int(identifier) % step == 0)  # type: ignore[misc]
        wanted = table.search(query, 5, lambda identifier, step=step: int(identifier) % step == 0)  # type: ignore[misc]
        assert all(int(near.identifier) % step == 0 for near in found)
        assert len(found) == len(wanted)
        assert len(set(found) & set(wanted)) >= len(wanted) - 1
    assert graph.search(query, 5, lambda _: False) == []


def test_a_graph_follows_the_changes_of_its_rows() -> None:
    space = VectorSpace(DIMENSIONS, "l2")
    rows = rows_of(space, 8)
    graph = VectorGraph(space, rows)
    query = np.random.default_rng(9).standard_normal(DIMENSIONS)
    first = graph.search(query, 3)
    graph.take([(near.identifier, None) for near in first])
    assert len(graph) == COUNT - 3
    assert not {near.identifier for near in first} & {
        near.identifier for near in graph.search(query, 20)
    }
    # One comes back, exactly where is looked; another moves there.
    graph.take([(first[0].identifier, space.pack(query)), (b"00007", space.pack(query))])
    two = graph.search(query, 2)
    assert [near.distance for near in two] == [0.0, 0.0]
    assert {near.identifier for near in two} == {first[0].identifier, b"00007"}
    graph.take([(identifier, None) for identifier, _ in rows])
    assert len(graph) == 0
    assert graph.search(query, 2) == []


def test_errors_are_those_of_exact_search(monkeypatch: pytest.MonkeyPatch) -> None:
    space = VectorSpace(2)
    graph = VectorGraph(space, [(b"1", space.pack([1, 2]))])
    assert graph.search([1, 2], 0) == []
    with pytest.raises(InvalidInput, match="found -1"):
        graph.search([1, 2], -1)
    with pytest.raises(InvalidQuery, match="2 dimensions"):
        graph.search([1], 1)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(DriverMissing, match=r"holdfast-db\[vector\], or search exactly"):
        VectorGraph(space)
