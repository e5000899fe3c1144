"""Pipelines against a plain reference; each stage, accumulator and expression in tables."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.documents.aggregate import (
    Accumulator,
    add_fields,
    add_to_set,
    aggregate,
    aggregate_chunks,
    avg,
    count,
    count_,
    drop,
    facet,
    first,
    group_by,
    last,
    limit,
    lookup,
    match,
    max_,
    min_,
    pipeline_of,
    pipeline_to_json,
    project,
    push,
    skip,
    sort,
    sum_,
    unwind,
)
from holdfast.documents.query import (
    F,
    Query,
    concat,
    cond,
    day,
    evaluate,
    hour,
    if_null,
    minute,
    month,
    run_reference,
    second,
    size,
    weekday,
    year,
)
from holdfast.documents.query.values import order_key
from tests.documents.strategies import (
    CONDITIONS,
    DOCUMENTS,
    NAMES,
    NUMBERS,
    ORDERS,
    SCALARS,
    VALUES,
)

SALES: list[dict[str, Any]] = [
    {"shop": "a", "price": 2, "count": 3, "tags": ["x", "y"]},
    {"shop": "b", "price": 1.5, "count": 2, "tags": []},
    {"shop": "a", "price": None, "count": 1, "tags": ["x"]},
    {"shop": None, "price": 10, "count": 1, "tags": "z"},
    {"price": True, "count": 1},
]


def made(pipeline: Any, documents: Any = SALES, **further: Any) -> list[Any]:
    """What a pipeline makes; the same from its JSON, and the documents stay as they were."""
    before = json.dumps(documents, default=repr)
    stages = pipeline_of(pipeline)
    found = list(aggregate(stages, documents, **further))
    form = pipeline_to_json(stages)
    assert pipeline_of(form) == stages
    assert pipeline_of(json.dumps(form)) == stages
    assert list(aggregate(form, documents, **further)) == found
    assert json.dumps(documents, default=repr) == before
    return found


# --- Against a reference --------------------------------------------------------------------

# Few keys and many numbers, so that groups have several documents with something to add up.
GROUPED = st.lists(
    st.fixed_dictionaries(
        {}, optional={"a": st.sampled_from([1, 1.0, True, "x", None, [1]]), "b": NUMBERS | SCALARS}
    ),
    max_size=12,
)


def plain_group(documents: list[Any], name: str, value: str) -> list[dict[str, Any]]:
    """Group by one field, written as one would without a library."""
    groups: dict[Any, tuple[Any, list[Any]]] = {}
    for document in documents:
        by = document.get(name)
        groups.setdefault(order_key(by), (by, []))[1].append(document.get(value, ...))
    rows = []
    for by, values in groups.values():
        there = [one for one in values if one is not ...]
        numbers = [one for one in there if type(one) in (int, float)]
        ordered = sorted((one for one in there if one is not None), key=order_key)
        exact = sum(map(Fraction, numbers))
        whole = all(type(one) is int for one in numbers)
        distinct = {order_key(one): one for one in reversed(there)}
        rows.append(
            {
                name: by,
                "all": len(values),
                "some": len(ordered),
                "sum": int(exact) if whole else float(exact),
                "avg": float(exact / len(numbers)) if numbers else None,
                "min": ordered[0] if ordered else None,
                "max": ordered[-1] if ordered else None,
                "push": there,
                "set": sorted(distinct, key=repr),
                "first": None if values[0] is ... else values[0],
                "last": None if values[-1] is ... else values[-1],
            }
        )
    return rows


@pytest.mark.row("I-026")
@settings(max_examples=300)
@given(GROUPED | st.lists(DOCUMENTS, max_size=12), st.just("a"), st.sampled_from("ab"))
def test_groups_are_those_of_a_plain_reference(documents: list[Any], name: str, value: str) -> None:
    stage = {
        "group": {
            "by": {name: {"field": [name]}},
            "fields": {
                "all": {"count": {}},
                "some": {"count": {"field": [value]}},
                **{
                    f"{one}_": {one: {"field": [value]}}
                    for one in ("sum", "avg", "min", "max", "push", "add_to_set", "first", "last")
                },
            },
        }
    }
    found = list(aggregate([stage], documents))
    expected = plain_group(documents, name, value)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert order_key(one[name]) == order_key(other[name])
        assert (one["all"], one["some"]) == (other["all"], other["some"])
        assert type(one["sum_"]) is type(other["sum"])
        assert one["sum_"] == pytest.approx(other["sum"], rel=1e-15)
        assert (one["avg_"] is None) == (other["avg"] is None)
        assert (one["avg_"] or 0) == pytest.approx(other["avg"] or 0, rel=1e-15)
        for key in ("min", "max", "first", "last", "push"):
            assert order_key(one[f"{key}_"]) == order_key(other[key])
        assert sorted(map(order_key, one["add_to_set_"]), key=repr) == other["set"]


@pytest.mark.row("I-026")
@given(st.lists(DOCUMENTS, max_size=10), CONDITIONS, ORDERS, st.integers(0, 4), st.integers(0, 4))
def test_match_sort_skip_and_limit_are_those_of_a_plain_reference(
    documents: list[Any], node: Any, order: Any, skipped: int, wanted: int
) -> None:
    if not order:
        return
    pipeline = [match(node), sort(*order), skip(skipped), limit(wanted)]
    # Ties stay as they came; those of a query turn with its first clause.
    places = range(len(documents))
    turned = reversed(places) if order[0].descending else places
    rows = [(f"{place:03}", one) for place, one in zip(turned, documents, strict=True)]
    expected = run_reference(Query(node, order, wanted, skipped), rows)
    assert list(aggregate(pipeline, documents)) == [document for _, document in expected]
    counted = list(aggregate([match(node), count("n")], documents))
    assert counted == [{"n": sum(evaluate(node, one) for one in documents)}]


@given(st.lists(DOCUMENTS, max_size=8), NAMES.filter(bool))
def test_unwind_is_that_of_a_plain_reference(documents: list[Any], name: str) -> None:
    expected = []
    for document in documents:
        value = document.get(name)
        if isinstance(value, list):
            expected += [{**document, name: one} for one in value]
        elif value is not None:
            expected.append(document)
    assert list(aggregate([unwind(F[name])], documents)) == expected


@given(st.lists(st.floats(-1e300, 1e300) | st.integers(-(2**70), 2**70), max_size=30))
def test_sums_are_exact_for_ints_and_nearly_so_for_floats(numbers: list[Any]) -> None:
    [found] = aggregate([group_by(s=sum_(F), n=count_())], numbers)
    exact = sum(map(Fraction, numbers))
    if all(type(one) is int for one in numbers):
        assert found["s"] == exact
        assert type(found["s"]) is int
    else:
        scale = max((abs(one) for one in numbers), default=0)
        assert abs(Fraction(found["s"]) - exact) <= Fraction(scale) * Fraction(1, 2**50)


def test_sums_beyond_a_float_are_infinite_and_means_still_exact() -> None:
    def made_of(*numbers: Any) -> tuple[Any, Any]:
        [found] = aggregate([group_by(s=sum_(F), m=avg(F))], numbers)
        return found["s"], found["m"]

    assert made_of(10**400) == (10**400, math.inf)
    assert made_of(-(10**400), 0.5) == (-math.inf, -math.inf)
    assert made_of(1e308, 1e308) == (math.inf, math.inf)
    assert made_of(2**63 - 1, 1, 2) == (2**63 + 2, (2**63 + 2) / 3)
    tenths = (0.1, 0.2, 0.3, -0.6)
    assert made_of(*tenths) == (math.fsum(tenths), math.fsum(tenths) / 4)
    assert made_of(1e100, 1.0, -1e100) == (1.0, 1 / 3)


# --- Stage by stage -------------------------------------------------------------------------


@pytest.mark.row("I-026")
def test_the_pythonic_group() -> None:
    stage = group_by(
        F.shop,
        n=count_(),
        priced=count_(F.price),
        total=sum_(F.price * F.count),
        mean=avg(F.price),
        least=min_(F.price),
        most=max_(F.price),
        counts=push(F.count),
        tags=add_to_set(F.tags),
        one=first(F.count),
        other=last(F.price),
    )
    a, b, none = made([stage])
    assert a == {
        "shop": "a", "n": 2, "priced": 1, "total": 6, "mean": 2.0, "least": 2, "most": 2,
        "counts": [3, 1], "tags": [["x", "y"], ["x"]], "one": 3, "other": None,
    }  # fmt: skip
    assert (b["shop"], b["total"], b["mean"]) == ("b", 3.0, 1.5)
    # Null and missing are one group; a bool is no number but has its place in the order.
    assert (none["shop"], none["n"], none["total"], none["most"]) == (None, 2, 10, True)


def test_groups_by_several_and_by_computed_values() -> None:
    documents = [{"a": 1, "b": True}, {"a": 1.0, "b": True}, {"a": True, "b": 1}, {"a": [1]}]
    assert made([group_by(F.a, F.b, n=count_())], documents) == [
        {"a": 1, "b": True, "n": 2},
        {"a": True, "b": 1, "n": 1},
        {"a": [1], "b": None, "n": 1},
    ]
    assert made([group_by(big=cond(F.a == 1, "yes", "no"))], documents) == [
        {"big": "yes"},
        {"big": "no"},
    ]
    form = [{"group": {"by": ["a.b", "c"], "fields": {}}}]
    assert list(aggregate(form, [{"a": {"b": 1}}])) == [{"b": 1, "c": None}]
    assert list(aggregate([{"group": {"by": "c"}}], [])) == []


def test_a_group_of_all_and_a_count_tell_of_nothing_too() -> None:
    fields = {"n": count_(), "s": sum_(F.x), "a": avg(F.x), "p": push(F.x), "m": min_(F.x)}
    assert made([group_by(**fields)], []) == [{"n": 0, "s": 0, "a": None, "p": [], "m": None}]
    assert made([count()], []) == [{"count": 0}]


def test_project_and_add_fields() -> None:
    document = {"name": "pen", "price": 2, "in": {"stock": 5, "hall": "B"}}
    [kept] = made([project(F.name, "in.stock", worth=F.price * F["in"].stock)], [document])
    assert kept == {"name": "pen", "in": {"stock": 5}, "worth": 10}
    assert made([project(twice=F.price + F.price)], [document]) == [{"twice": 4}]
    [added] = made([add_fields(price=F.price - 1, none=F.nothing)], [document])
    assert added == {**document, "price": 1}
    assert made([drop(F.price, "in.hall")], [document]) == [{"name": "pen", "in": {"stock": 5}}]
    nested = {"a": [{"b": 1, "c": 2}, 5]}
    assert made([drop("a.b")], [nested]) == [{"a": [{"c": 2}, 5]}]


def test_unwind_keeps_what_it_is_told_to() -> None:
    found = made([unwind(F.tags, keep_empty=True, index="at"), project("tags", "at")])
    assert found == [
        {"tags": "x", "at": 0}, {"tags": "y", "at": 1}, {"at": None}, {"tags": "x", "at": 0},
        {"tags": "z", "at": None}, {"at": None},
    ]  # fmt: skip
    assert len(made([unwind("tags")])) == 4
    deep = {"a": {"b": [1, 2], "c": 3}}
    assert made([unwind(F.a.b)], [deep]) == [{"a": {"b": n, "c": 3}} for n in (1, 2)]


def test_lookup_joins_by_equality() -> None:
    shops = [{"id": "a", "city": "Kyoto"}, {"id": ["b", "c"]}, {"id": None}, {"id": "a"}]

    def collections(name: str) -> Iterator[Any]:
        assert name == "shops"
        return iter(shops)

    stages = [lookup("shops", local=F.shop, foreign=F.id, name="found"), project("found.id")]
    found = made(stages, collections=collections)
    assert [[one["id"] for one in row["found"]] for row in found] == [
        ["a", "a"], [["b", "c"]], ["a", "a"], [None], [None],
    ]  # fmt: skip


def test_facets_see_the_same_documents() -> None:
    stages = facet(
        top=[sort(-F.count), limit(1), project(F.count)],
        shops=[match(F.shop.exists()), group_by(F.shop), count("n")],
    )
    assert made([stages]) == [{"top": [{"count": 3}], "shops": [{"n": 3}]}]


def test_sort_is_stable_and_takes_only_what_the_next_stages_want() -> None:
    documents = [{"a": number % 3, "at": number} for number in range(2000)]
    for order, sign in (([F.a], 1), ([-F.a], -1), ([F.a, -F.b], 1), ([-F.a, F.b], -1)):
        whole = made([sort(*order)], documents)
        ordered = sorted((sign * one["a"], one["at"]) for one in documents)
        assert [(sign * one["a"], one["at"]) for one in whole] == ordered
        assert made([sort(*order), skip(3), limit(5)], documents) == whole[3:8]
        assert made([sort(*order), limit(5), skip(3)], documents) == whole[3:5]


# --- Expressions ----------------------------------------------------------------------------

DOCUMENT: dict[str, Any] = {
    "n": 7, "f": 0.5, "text": "ab", "yes": True, "null": None, "list": [1, {"x": 2}, {"x": 3}],
    "big": 2**62, "huge": 1.7e308, "at": datetime(2024, 2, 29, 23, 59, 58, 999, tzinfo=UTC),
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (F.n + 1, 8),
        (1 + F.n, 8),
        (F.n - 1, 6),
        (10 - F.n, 3),
        (F.n * F.f, 3.5),
        (2 * F.n, 14),
        (F.n / 2, 3.5),
        (14 / F.n, 2.0),
        (F.n % 4, 3),
        (15 % F.n, 1),
        (F.big * 4 + 1, 2**64 + 1),
        (F.n + F.missing, None),
        (F.n + F.null, None),
        (F.n + F.text, None),
        (F.n + F.yes, None),
        (F.n / 0, None),
        (F.n % 0, None),
        (F.huge * 10, None),
        (F.huge * F.big * F.big, None),
        (concat(F.text, "-", F.text), "ab-ab"),
        (concat(F.text, F.n), None),
        (if_null(F.missing, F.null, "x"), "x"),
        (if_null(F.null, F.missing), None),
        (if_null(F.n, 0), 7),
        (size(F.list), 3),
        (size(F.text), None),
        (F.list.x + 0, None),
        (if_null(F.list.x, 0), [2, 3]),
        (if_null(F.list[1].x, 0), 2),
        (if_null(F.list[9], "none"), "none"),
        (cond(F.n > 5, "many", "few"), "many"),
        (cond(F.n > 9, F.n, F.missing), None),
        (cond(F.text.regex("^a"), [1, {"y": 2}], 0), [1, {"y": 2}]),
        (year(F.at), 2024),
        (month(F.at), 2),
        (day(F.at), 29),
        (hour(F.at), 23),
        (minute(F.at), 59),
        (second(F.at), 58),
        (weekday(F.at), 4),
        (year(F.text), None),
    ],
)
def test_expressions(expression: Any, value: Any) -> None:
    stages = pipeline_of([project(v=expression)])
    [row] = aggregate(stages, [DOCUMENT])
    assert row.get("v") == value
    assert type(row.get("v")) is type(value)
    assert pipeline_of(json.dumps(pipeline_to_json(stages))) == stages
    hash(stages)


def test_a_missing_value_stays_missing_and_a_literal_is_a_copy() -> None:
    assert list(aggregate([project(v=cond(F.n > 9, 1, F.missing))], [DOCUMENT])) == [{}]
    one, other = aggregate([project(v=cond(F.n == 1, 1, [1]))], [{}, {}])
    assert one["v"] is not other["v"]


@given(VALUES, VALUES)
def test_expressions_never_raise(one: Any, other: Any) -> None:
    document = {"a": one, "b": other}
    expressions = {
        "add": F.a + F.b, "sub": F.a - F.b, "mul": F.a * F.b, "div": F.a / F.b, "mod": F.a % F.b,
        "concat": concat(F.a, F.b), "size": size(F.a), "year": year(F.a), "deep": if_null(F.a.b, 1),
    }  # fmt: skip
    [row] = aggregate([project(**expressions)], [document])
    for value in row.values():
        assert not isinstance(value, float) or math.isfinite(value)


def test_an_accumulator_is_a_value() -> None:
    assert sum_(F.x) == Accumulator("sum", sum_(F.x).argument)
    assert hash(pipeline_of([group_by(F.a, s=sum_(F.b))]))


# --- In pages -------------------------------------------------------------------------------

PIPELINES: list[list[Any]] = [
    [match(F.a.exists()), add_fields(n=size(F.b)), project("a", "n")],
    [sort(F.a, -F.b), skip(1), limit(3)],
    [sort(-F.a)],
    [group_by(F.a, n=count_(), s=sum_(F.b), all=push(F.b))],
    [unwind(F.b, keep_empty=True, index="at"), skip(2)],
    [skip(2), limit(2), count("n")],
    [facet(x=[limit(2)], y=[group_by(F.b)])],
    [drop("a")],
    [],
]


@given(
    st.lists(st.lists(DOCUMENTS, max_size=3), max_size=6),
    st.sampled_from(PIPELINES),
)
def test_pages_of_any_size_empty_ones_too_make_the_same(pages: Any, pipeline: Any) -> None:
    found = [one for chunk in aggregate_chunks(pipeline, pages) for one in chunk]
    assert found == list(aggregate(pipeline, [one for page in pages for one in page]))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_source_that_has_nothing_just_now_gets_the_word_back(pipeline: Any) -> None:
    asked: list[int] = []

    def pages() -> Iterator[list[Any]]:
        for number in range(6):
            asked.append(number)
            yield [{"a": number, "b": [number]}] if number % 2 else []

    before = 0
    for _ in aggregate_chunks(pipeline, pages()):
        assert len(asked) <= before + 1  # Never two pages without a pause between them.
        before = len(asked)
    assert asked
