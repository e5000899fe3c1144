"""What must hold for any condition, document and query."""

from functools import cmp_to_key
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.documents.query import (
    Query,
    canonical,
    compile_where,
    cursor_of,
    evaluate,
    expression_text,
    parse_expression,
    query_from_json,
    query_to_json,
    run,
    run_reference,
    where_from_json,
    where_to_json,
)
from holdfast.documents.query.nodes import Node, Not
from holdfast.documents.query.ordering import (
    Arrangement,
    OrderBy,
    Row,
    arrange,
    directions,
    keyed,
    precedes,
    sort_key,
)
from holdfast.documents.query.paths import values_at
from holdfast.documents.query.values import MISSING, Constant, order_key
from tests.documents.strategies import (
    CONDITIONS,
    DOCUMENTS,
    NAMES,
    ORDERS,
    PATHS,
    QUERIES,
    ROWS,
    VALUES,
)

Order = tuple[OrderBy, ...]
Rows = list[Row]


@pytest.mark.row("I-032")
@settings(max_examples=600)
@given(CONDITIONS, st.lists(DOCUMENTS | VALUES, max_size=6))
def test_compiled_conditions_agree_with_the_reference(node: Node, documents: list[Any]) -> None:
    test = compile_where(node)
    for document in documents:
        answer = test(document)
        assert answer is evaluate(node, document)
        assert evaluate(Not(node), document) is not answer


@pytest.mark.row("I-032")
@given(CONDITIONS)
def test_conditions_are_hashable_and_come_back_from_json(node: Node) -> None:
    assert where_from_json(where_to_json(node)) == node
    assert hash(where_from_json(where_to_json(node))) == hash(node)


@given(CONDITIONS, st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_a_condition_printed_as_text_means_the_same(node: Node, documents: list[Any]) -> None:
    read = parse_expression(expression_text(node))
    assert parse_expression(expression_text(read)) == read
    assert [evaluate(read, one) for one in documents] == [evaluate(node, one) for one in documents]


@given(QUERIES)
def test_queries_come_back_from_json(query: Query) -> None:
    assert query_from_json(query_to_json(query)) == query
    text = canonical(query)
    assert query_from_json(text) == query
    assert canonical(query_from_json(text)) == text
    assert query.shape() == query_from_json(text).shape()


@settings(max_examples=300)
@given(QUERIES, ROWS)
def test_a_query_gives_what_the_reference_gives(query: Query, rows: Rows) -> None:
    assert list(run(query, rows)) == run_reference(query, rows)


@pytest.mark.row("I-036")
@settings(max_examples=200)
@given(CONDITIONS, ORDERS, ROWS, st.integers(1, 5))
def test_pages_joined_are_the_whole_result(node: Node, order: Order, rows: Rows, size: int) -> None:
    whole = run_reference(Query(node, order), rows)
    by_offset = [
        row
        for start in range(0, len(rows) + size, size)
        for row in run(Query(node, order, size, start), rows)
    ]
    assert by_offset == whole
    paged: Rows = []
    after = None
    while page := list(run(Query(node, order, size, after=after), rows)):
        paged += page
        after = cursor_of(Query(node, order), *page[-1])
    assert paged == whole


@pytest.mark.row("I-035")
@pytest.mark.row("trap 37")
@given(ORDERS, ROWS)
def test_orders_are_total(order: Order, rows: Rows) -> None:
    found = list(keyed(rows, order))
    before = precedes(directions(order))
    for one in found:
        for other in found:
            assert before(one[0], other[0]) + before(other[0], one[0]) == (one is not other)
    ordered = [key for key, _ in run_reference(Query(order_by=order), rows)]
    assert sorted(ordered) == [key for key, _ in rows]


@given(ORDERS, ROWS)
def test_an_order_turned_round_turns_the_result_round(order: Order, rows: Rows) -> None:
    # An array has two ends: where there is none, each row sorts by one key in both directions.
    single = [
        row
        for row in rows
        if all(sort_key(row[1], clause) == sort_key(row[1], -clause) for clause in order)
    ]
    turned = tuple(-clause for clause in order)
    if order:
        there = run_reference(Query(order_by=order), single)
        assert run_reference(Query(order_by=turned), single) == there[::-1]


@given(st.lists(VALUES, min_size=2, max_size=6))
def test_values_have_one_total_order_that_agrees_with_equality(values: list[Any]) -> None:
    ordered = sorted(values, key=order_key)
    for one, other in pairwise(ordered):
        assert order_key(one) <= order_key(other)
        assert (Constant(one) == Constant(other)) == (order_key(one) == order_key(other))
    assert sorted(values, key=cmp_to_key(_obvious)) == ordered


def _obvious(one: Any, other: Any) -> int:
    """The order of `values`, spelled by recursion."""
    kinds = [_kind(one), _kind(other)]
    if kinds[0] != kinds[1]:
        return kinds[0] - kinds[1]
    if isinstance(one, dict):
        return _obvious_list(
            [part for name in sorted(one) for part in (name, one[name])],
            [part for name in sorted(other) for part in (name, other[name])],
        )
    if isinstance(one, list):
        return _obvious_list(one, other)
    if one is None:
        return 0
    return int(one > other) - int(one < other)


def _obvious_list(one: list[Any], other: list[Any]) -> int:
    for mine, theirs in zip(one, other, strict=False):
        if difference := _obvious(mine, theirs):
            return difference
    return len(one) - len(other)


def _kind(value: Any) -> int:
    if value is None or value is MISSING:
        return 0
    if isinstance(value, bool):
        return 6
    kinds = [((int, float), 1), (str, 2), (dict, 3), (list, 4), (bytes, 5)]
    return next((kind for types, kind in kinds if isinstance(value, types)), 7)  # type: ignore[arg-type]


@given(NAMES, VALUES)
def test_a_constant_is_a_copy(name: str, value: Any) -> None:
    given_value = {name: value}
    constant = Constant(given_value)
    key = constant.key
    constant.value["further"] = 1
    given_value["further"] = 2
    assert constant.key == key == Constant({name: value}).key
    assert constant == Constant({name: value})


@given(DOCUMENTS, PATHS, st.booleans())
def test_a_document_sorts_by_the_least_or_greatest_of_its_candidates(
    document: Any, path: tuple[str, ...], descending: bool
) -> None:
    found = [
        one
        for value in values_at(document, path)
        for one in (value if isinstance(value, list) else [value])
    ]
    ordered = sorted(found, key=order_key)
    expected = ordered[-1 if descending else 0] if ordered else None
    assert sort_key(document, OrderBy(path, descending)) == order_key(expected)


@given(ORDERS, ROWS, st.none() | st.integers(0, 6), st.integers(1, 4))
def test_rows_may_be_arranged_page_by_page(
    order: Order, rows: Rows, wanted: int | None, size: int
) -> None:
    arrangement = Arrangement(order, wanted)
    for start in range(0, len(rows), size):
        arrangement.add(keyed(rows[start : start + size], order))
    assert arrangement.rows() == arrange(keyed(rows, order), order)[:wanted]


@settings(max_examples=20)
@given(st.integers(0, 300), st.booleans(), st.randoms(use_true_random=False))
def test_the_first_rows_of_many_are_those_of_a_whole_sort(
    wanted: int, descending: bool, chance: Any
) -> None:
    rows: Rows = [(f"k{at:04}", {"a": chance.randrange(40)}) for at in range(1500)]
    order = (OrderBy(("a",), descending),)
    whole = arrange(keyed(rows, order), order)
    assert arrange(keyed(rows, order), order, wanted) == whole[:wanted]
    assert whole == sorted(whole, reverse=descending)
