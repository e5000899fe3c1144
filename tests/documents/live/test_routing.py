"""Which live queries a document leads to: all that it meets, and few others."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from holdfast.documents.live.routing import Routes
from holdfast.documents.live.spans import FRESH_MAX, Span, Spans
from holdfast.documents.query import F, Query
from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.nodes import Node
from tests.documents.strategies import CONDITIONS, DOCUMENTS


@given(st.lists(CONDITIONS, min_size=1, max_size=20), st.lists(DOCUMENTS, max_size=10), st.data())
def test_a_document_leads_to_every_query_that_it_meets(
    conditions: list[Node], found: list[Any], data: st.DataObject
) -> None:
    routes: Routes[int] = Routes()
    for number, condition in enumerate(conditions):
        routes.add(number, condition)
    gone = data.draw(st.sets(st.sampled_from(range(len(conditions)))))
    for number in gone:
        routes.remove(number)
    assert len(routes) == len(conditions) - len(gone)
    for document in found:
        meets = {
            number
            for number, condition in enumerate(conditions)
            if number not in gone and compile_where(condition)(document)
        }
        assert meets <= routes.concerned(document).keys()


def where(condition: Any) -> Node:
    return Query.of(condition).where


def test_queries_that_a_document_cannot_meet_are_not_asked() -> None:
    routes: Routes[str] = Routes()
    for number in range(1000):
        routes.add(f"equal {number}", where((F.kind == "city") & (F.code == number)))
        routes.add(f"among {number}", where(F.code.in_([number, -number - 1])))
        routes.add(
            f"between {number}", where((F.size >= 10 * number) & (F.size < 10 * number + 10))
        )
        routes.add(f"either {number}", where((F.code == number) | (F.other == number)))
        routes.add(f"begins {number}", where(F.name.regex(f"^{number:04}-")))
        routes.add(
            f"inside {number}",
            where({"field": "owner", "nested": {"field": "id", "operator": "eq", "value": number}}),
        )
    document = {"kind": "city", "code": 7, "size": 5005, "name": "0009-x", "owner": {"id": 3}}
    # The first of them could not know which of its conditions others share.
    assert set(routes.concerned(document)) - {"equal 0"} == {
        "equal 7", "among 7", "between 500", "either 7", "begins 9", "inside 3",
    }  # fmt: skip


def test_what_elements_of_an_array_meet_together_is_found() -> None:
    routes: Routes[str] = Routes()
    routes.add("both", where((F.tags > 3) & (F.tags < 10)))
    assert set(routes.concerned({"tags": [1, 20]})) == {"both"}
    assert set(routes.concerned({"tags": 20})) == set()


def test_a_query_without_a_condition_to_go_by_is_asked_about_every_document() -> None:
    routes: Routes[str] = Routes()
    routes.add("denied", where(~(F.code == 1)))
    routes.add("absent", where(F.code == None))  # noqa: E711
    routes.add("all", Query.of().where)
    assert set(routes.concerned({})) == {"denied", "absent", "all"}


def test_nothing_is_left_of_a_query_that_was_taken_out() -> None:
    routes: Routes[int] = Routes()
    for number in range(200):
        routes.add(number, where((F.code == number) if number % 2 else (F.size > number)))
    for number in range(200):
        routes.remove(number)
    assert len(routes) == 0
    assert not routes.concerned({"code": 7, "size": 1000})
    assert not routes._equal
    assert not routes._spans


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=4 * FRESH_MAX),
    st.sets(st.integers(0, 4 * FRESH_MAX)),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=5),
)
def test_spans_that_meet_are_those_that_a_scan_would_find(
    spans: list[tuple[int, int]], gone: set[int], asked: list[tuple[int, int]]
) -> None:
    many: Spans[int] = Spans()
    for number, (low, high) in enumerate(spans):
        many.add(number, Span((low,), (high,)))
        if number % 50 == 0:
            many.meeting((0,), (0,))
    for number in gone & set(range(len(spans))):
        many.remove(number)
    for low, high in asked:
        if low > high:
            low, high = high, low  # noqa: PLW2901
        wanted = [
            number
            for number, span in enumerate(spans)
            if number not in gone and span[0] <= high and span[1] >= low
        ]
        assert sorted(many.meeting((low,), (high,))) == wanted
