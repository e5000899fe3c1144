"""What each operator means, spelled out in tables; and reports of what broke elsewhere."""

import math
import time
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from holdfast.contract.errors import InvalidQuery, InvalidValue, PatternInvalid
from holdfast.documents.query import F, Node, Query, compile_where, evaluate, run, run_reference
from holdfast.documents.query.nodes import Comparison
from holdfast.documents.query.ordering import OrderBy, sort_key
from holdfast.documents.query.values import Constant

NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)
MISSING = object()

# One value of each bracket and, of the same bracket, a greater one; in the order of brackets.
BRACKETS: list[tuple[str, Any, Any]] = [
    ("number", 1, 2.5),
    ("text", "a", "b"),
    ("object", {"x": 1}, {"x": 2}),
    ("array", [None], [None, None]),
    ("bytes", b"a", b"b"),
    ("bool", False, True),
    ("instant", NOON, NOON + timedelta(microseconds=1)),
]
OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte")
LESS, SAME, GREATER, OTHER = {"ne", "lt", "lte"}, {"eq", "gte", "lte"}, {"ne", "gt", "gte"}, {"ne"}


def holds(node: Node, document: Any) -> bool:
    """The answer of the reference, with which the compiled form agrees."""
    answer = evaluate(node, document)
    assert compile_where(node)(document) is answer
    return answer


def compares(found: Any, operator: Any, value: Any) -> bool:
    document = {} if found is MISSING else {"a": found}
    return holds(Comparison(("a",), operator, Constant(value)), document)


@pytest.mark.row("I-028")
@pytest.mark.row("trap 37")
@pytest.mark.parametrize("one", BRACKETS, ids=lambda row: row[0])
@pytest.mark.parametrize("other", BRACKETS, ids=lambda row: row[0])
def test_values_compare_within_their_bracket_alone(
    one: tuple[str, Any, Any], other: tuple[str, Any, Any]
) -> None:
    def answers(found: Any, value: Any) -> set[str]:
        return {operator for operator in OPERATORS if compares(found, operator, value)}

    _, low, high = one
    if one[0] == other[0]:
        assert answers(low, high) == LESS
        assert answers(low, low) == SAME
        # An array's elements are looked at too; these hold nothing of another bracket.
        assert answers(high, low) == GREATER
    else:
        assert answers(low, other[2]) == OTHER
        assert answers(high, other[1]) == OTHER


@pytest.mark.row("I-027")
@pytest.mark.parametrize(
    ("operator", "value", "null", "missing", "one"),
    [
        ("eq", None, True, True, False),
        ("ne", None, False, False, True),
        ("gt", None, False, False, False),
        ("gte", None, True, True, False),
        ("lt", None, False, False, False),
        ("lte", None, True, True, False),
        ("eq", 1, False, False, True),
        ("ne", 1, True, True, False),
        ("gte", 1, False, False, True),
        ("lt", 2, False, False, True),
    ],
)
def test_null_and_missing(operator: str, value: Any, null: bool, missing: bool, one: bool) -> None:
    answers = [compares(found, operator, value) for found in (None, MISSING, 1)]
    assert answers == [null, missing, one]


@pytest.mark.row("I-029")
@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"a": 1}, True),
        ({"a": 1.0}, True),
        ({"a": True}, False),
        ({"a": "x"}, True),
        ({"a": None}, True),
        ({}, True),
        ({"a": 2}, False),
        ({"a": [5, "x"]}, True),
        ({"a": []}, False),
        ({"a": [[7]]}, True),
        ({"a": [7]}, True),
    ],
)
def test_in_and_nin_are_complements(document: Any, found: bool) -> None:
    values = [1, "x", None, [7]]
    assert holds(F.a.in_(values), document) is found
    assert holds(F.a.nin(values), document) is not found


def test_in_of_nothing_holds_never() -> None:
    assert not holds(F.a.in_([]), {"a": 1})
    assert not holds(F.a.in_([]), {})
    assert holds(F.a.nin([]), {})


@pytest.mark.row("I-031")
def test_exists_tells_null_from_missing() -> None:
    value: Any
    for value in (None, 0, [], False):
        assert holds(F.a.exists(), {"a": value})
        assert not holds(F.a.exists(False), {"a": value})
    assert not holds(F.a.exists(), {})
    assert holds(F.a.exists(False), {"b": 1})
    assert holds(F.a.b.exists(), {"a": [1, {"b": None}]})
    assert not holds(F.a.b.exists(), {"a": [1, {"c": None}]})


def test_a_bool_is_no_number_at_any_depth() -> None:
    assert not holds(F.a == 1, {"a": True})
    assert not holds(F.a == False, {"a": 0})  # noqa: E712 - the builder's spelling
    assert not holds(F.a == {"x": [1]}, {"a": {"x": [True]}})
    assert not holds(F.a > 0, {"a": True})
    assert holds(F.a == [1.0, {"y": 2}], {"a": [1, {"y": 2.0}]})


def test_numbers_compare_exactly() -> None:
    assert not holds(F.a == 2**53 + 1, {"a": float(2**53)})
    assert holds(F.a > float(2**53), {"a": 2**53 + 1})
    assert not holds(F.a.in_([float(2**60)]), {"a": 2**60 + 1})
    assert holds(F.a == -0.0, {"a": 0})
    assert holds(F.a < 10**400, {"a": 1.7e308})


@pytest.mark.row("I-034")
def test_paths_reach_into_objects_and_dots_can_be_escaped() -> None:
    assert holds(F.a.b == 1, {"a": {"b": 1}})
    assert not holds(F.a.b == 1, {"a.b": 1})
    assert holds(F["a.b"] == 1, {"a.b": 1})
    assert [
        r[0]
        for r in run(
            Query.of({"field": r"a\.b", "operator": "eq", "value": 1}), [("k", {"a.b": 1})]
        )
    ]
    assert holds(F.a.b.exists(False), {"a": 5})


@pytest.mark.parametrize(
    ("document", "node", "answer"),
    [
        ({"a": [5, 6]}, F.a[1] == 6, True),
        ({"a": [5, 6]}, F.a[0] == 6, False),
        ({"a": [5]}, F.a[7] == None, True),  # noqa: E711 - the builder's spelling
        ({"a": {"0": 5}}, F.a[0] == 5, True),
        ({"a": [{"0": 5}, 9]}, F.a[0] == 5, True),
        ({"a": [[1, 2], 3]}, F.a[0] == 2, True),
        ({"a": [{"b": 1}, {"b": 2}]}, F.a[1].b == 1, False),
        ({"a": [{"b": 1}, {}]}, F.a.b == None, True),  # noqa: E711 - the builder's spelling
        ({"a": [1, 2]}, F.a.b == None, False),  # noqa: E711 - the builder's spelling
        ({"a": [[{"b": 1}]]}, F.a.b == 1, False),  # arrays in arrays are not searched
    ],
)
def test_paths_through_arrays(document: Any, node: Node, answer: bool) -> None:
    assert holds(node, document) is answer


@pytest.mark.row("I-033")
def test_nested_and_elem_match_ask_it_of_one() -> None:
    bought = {"items": [{"name": "pen", "count": 1}, {"name": "ink", "count": 9}]}
    pen, many = F.items.name == "pen", F.items.count > 5
    assert holds(pen & many, bought)
    assert not holds(F.items.elem_match(F.name == "pen", F.count > 5), bought)
    assert holds(F.items.elem_match(F.name == "ink", F.count > 5), bought)
    assert not holds(F.items.nested(F.name == "pen", F.count > 5), bought)
    assert holds(F.items.nested(name="ink"), bought)
    home = {"address": {"city": "Kyoto", "zip": None}}
    assert holds(F.address.nested(F.city == "Kyoto", F.zip.exists()), home)
    assert not holds(F.address.elem_match(F.city == "Kyoto"), home)
    assert not holds(F.address.nested(F.missing == None), {})  # noqa: E711 - the builder's spelling
    # A range may be met by two elements; elem_match asks for one that lies inside.
    scores = {"scores": [1, 9]}
    assert holds((F.scores > 4) & (F.scores < 6), scores)
    assert not holds(F.scores.elem_match(F > 4, F < 6), scores)
    assert holds(F.scores.any(9, 10), scores)
    assert not holds(F.scores.any(9), {"scores": 9})
    assert holds(F.grid.elem_match(F.elem_match(F > 5)), {"grid": [[1], [2, 6]]})


@pytest.mark.row("I-032")
def test_and_or_not_of_nothing() -> None:
    def spelled(operator: str) -> Node:
        return Query.of({"operator": operator, "conditions": []}).where

    assert holds(spelled("and"), {})
    assert not holds(spelled("or"), {})
    assert not holds(spelled("not"), {})


def test_objects_are_equal_in_any_order_of_names() -> None:
    assert holds(F.a == {"x": 1, "y": 2}, {"a": {"y": 2, "x": 1}})
    assert not holds(F.a == {"x": 1}, {"a": {"x": 1, "y": 2}})


# --- Regular expressions and texts ----------------------------------------------------------


@pytest.mark.row("I-030")
def test_a_regex_searches_and_flags_stand_inside() -> None:
    assert holds(F.a.regex("ok"), {"a": "tokyo"})
    assert not holds(F.a.regex("^ok"), {"a": "tokyo"})
    assert holds(F.a.regex("(?i)TOK"), {"a": "tokyo"})
    assert holds(F.a.regex("^x$"), {"a": ["y", "x"]})
    assert not holds(F.a.regex("1"), {"a": 1})
    assert holds(F.a.regex(r"^\p{Han}+$"), {"a": "東京"})


@pytest.mark.row("I-030")
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x"])
def test_a_catastrophic_regex_ends_in_time(pattern: str) -> None:
    # HarperFast/harper#1930: a backtracking matcher would not end within the age of the world.
    test = compile_where(F.a.regex(pattern))
    before = time.monotonic()
    assert test({"a": "a" * 50_000 + "!"}) is False
    assert time.monotonic() - before < 5


@pytest.mark.row("I-030")
@pytest.mark.parametrize("pattern", ["(a", r"(a)\1", "(?=a)", "a{1001}", "((a{100}){100}){100}"])
def test_an_invalid_regex_is_refused_at_the_beginning(pattern: str) -> None:
    with pytest.raises(PatternInvalid, match="RE2"):
        compile_where(F.a.regex(pattern))
    with pytest.raises(PatternInvalid):
        run(Query.of(F.a.regex(pattern)), [])


def test_texts_match_word_by_word() -> None:
    fox = {"a": "The quick Red-Fox, straße"}
    assert holds(F.a.matches("fox RED"), fox)
    assert not holds(F.a.matches("fox hound"), fox)
    assert holds(F.a.matches("STRASSE"), fox)
    assert not holds(F.a.matches("  !"), fox)
    assert holds(F.a.matches("fox"), {"a": ["hound", "fox"]})

    def whole(search: str) -> Any:
        return search.__eq__

    assert evaluate(F.a.matches("x y"), {"a": "x y"}, text=whole)
    assert compile_where(F.a.matches("x"), text=whole)({"a": "x y"}) is False


# --- Places ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        {"latitude": 35.0, "longitude": 135.7},
        {"lat": 35.0, "lon": 135.7},
        {"lat": 35.0, "lng": 135.7},
        {"type": "Point", "coordinates": [135.7, 35.0]},
        [135.7, 35.0],
        [[0, 0], [135.7, 35.0]],
    ],
)
def test_points_are_read_from_what_is_usual(place: Any) -> None:
    document = {"at": place}
    assert holds(F.at.near(35.0, 135.7, 1), document)
    assert holds(F.at.within(west=135, south=34, east=136, north=36), document)
    assert not holds(F.at.near(36.0, 135.7, 100_000), document)


@pytest.mark.parametrize("place", [None, "x", [1], [1, True], [0, 91], {"lat": "1", "lon": 2}])
def test_what_is_no_point_is_near_nothing(place: Any) -> None:
    assert not holds(F.at.near(0, 0), {"at": place})
    assert not holds(F.at.near(0, 0), {})


def test_distances_are_those_of_the_globe() -> None:
    paris = {"at": {"lat": 48.8566, "lon": 2.3522}}
    # London to Paris: 343.5 km on the ellipsoid.
    assert holds(F.at.near(51.5074, -0.1278, 345_000), paris)
    assert not holds(F.at.near(51.5074, -0.1278, 342_000), paris)
    assert holds(F.at.near(0, 179.9, 30_000), {"at": {"lat": 0, "lon": -179.9}})
    assert holds(F.at.near(90, 0, 1), {"at": {"lat": 90, "lon": 120}})


def test_a_box_over_the_date_line() -> None:
    # qdrant/qdrant#4102
    pacific = F.at.within(west=170, south=-20, east=-170, north=20)
    for east, inside in ((175, True), (-175, True), (180, True), (-180, True), (0, False)):
        assert holds(pacific, {"at": [east, 0]}) is inside
    assert holds(F.at.within(west=170, south=0, east=180, north=1), {"at": [-180, 0]})
    assert holds(F.at.within(west=-180, south=0, east=-170, north=1), {"at": [180, 0]})


# --- Reports --------------------------------------------------------------------------------


def test_not_equal_is_true_only_if_no_element_equals() -> None:
    # bwaldvogel/mongo-java-server#220
    value: Any
    for value in ([1, 2], [2], 1, None, MISSING, [], [[1]]):
        assert compares(value, "ne", 1) is not compares(value, "eq", 1)
    assert not compares([1, 2], "ne", 1)
    assert compares([[1]], "ne", 1)


def test_a_second_condition_on_an_array_means_the_same_as_the_first() -> None:
    # dexie/Dexie.js#696
    document = {"tags": ["a", "b"]}
    assert holds((F.tags == "a") & (F.tags == "b"), document)
    assert holds((F.tags == "a") & F.tags.in_(["b", "z"]), document)


def test_overlapping_values_give_a_document_once() -> None:
    # dexie/Dexie.js#932
    rows: list[tuple[str, Any]] = [("k", {"tags": ["a", "b", "a"]})]
    assert len(list(run(Query.of(F.tags.in_(["a", "b", "a"])), rows))) == 1


def test_a_dotted_path_through_an_array_of_objects_finds() -> None:
    # scottrogowski/mongita#44
    assert holds(F.a.b == 2, {"a": [{"b": 1}, {"b": 2}]})
    assert holds(F.a.b.c == 2, {"a": [{"b": [{"c": 1}, {"c": 2}]}]})


def test_an_empty_array_sorts_as_null_in_both_directions() -> None:
    # FerretDB/FerretDB#2276
    values: list[Any] = [[], None, 0, [3, -1], "x", [[]], {"x": 1}, b"", False, NOON]
    rows: list[tuple[str, Any]] = [(f"k{at}", {"a": value}) for at, value in enumerate(values)]
    rows.append(("k99", {}))
    up = [key for key, _ in run(Query.of(order_by="a"), rows)]
    assert up == ["k0", "k1", "k99", "k3", "k2", "k4", "k6", "k5", "k7", "k8", "k9"]
    down = [key for key, _ in run(Query.of(order_by="-a"), rows)]
    assert down == ["k9", "k8", "k7", "k5", "k6", "k4", "k3", "k2", "k99", "k1", "k0"]
    for clause in (OrderBy(("a",)), OrderBy(("a",), descending=True)):
        assert sort_key({"a": []}, clause) == sort_key({}, clause)


def test_instants_are_compared_as_instants_across_zones_and_clock_changes() -> None:
    # alltuner/vibetuner#2159
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2024, 10, 27, 2, 30, tzinfo=berlin)  # the clock shows 2:30 twice that night
    second = first.replace(fold=1)
    assert holds(F.at > first, {"at": second})
    assert not holds(F.at == first, {"at": second})
    assert holds(F.at == first.astimezone(UTC), {"at": first})
    tokyo = timezone(timedelta(hours=9))
    assert holds(F.at == NOON, {"at": NOON.astimezone(tokyo)})
    assert holds(F.at.in_([NOON]), {"at": NOON.astimezone(berlin)})


def test_ten_thousand_values_with_duplicates_are_as_quick_as_one() -> None:
    # apache/couchdb#1853, and 100,000 of them.
    values = list(range(100_000)) * 1 + [5, 5, "x"]
    test = compile_where(F.a.in_(values))
    before = time.monotonic()
    assert sum(test({"a": number}) for number in range(99_990, 100_010)) == 10
    assert sum(test({"a": number}) for number in range(200_000)) == 100_000
    assert time.monotonic() - before < 5


# --- Bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (math.nan, "None"),
        (math.inf, "None"),
        ([1, {"x": math.nan}], "None"),
        (Decimal(1), "float"),
        (date(2025, 1, 31), "datetime"),
        (datetime(2025, 1, 31), "UTC"),  # noqa: DTZ001 - that is what is refused
        ({1: 2}, "str names"),
        ({1, 2}, "plain data"),
        ("\ud800", "codec"),
        (object(), "plain data"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_no_document_holds_is_refused(value: Any, advice: str) -> None:
    with pytest.raises(InvalidQuery, match=advice) as refused:
        assert F.a.b == value
    assert refused.value.details["path"].startswith("a.b")


def test_deep_values_are_refused_in_queries_and_sorted_in_documents() -> None:
    deep: Any = 1
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(InvalidQuery, match="200 levels"):
        assert F.a == deep
    document: dict[str, Any] = {"a": deep}
    assert not holds(F.a == 1, document)
    assert holds(F.a != [1], document)
    rows = [("k1", document), ("k2", {"a": [[deep]]})]
    assert [key for key, _ in run_reference(Query.of(order_by="a"), rows)] == ["k1", "k2"]


def test_conditions_stand_at_most_so_deep() -> None:
    def nested(deep: int) -> Node:
        node: Node = F.a == 1
        for _ in range(deep):
            node = F.a.nested(node)
        return node

    assert nested(99).deep == 100
    with pytest.raises(InvalidQuery, match="100 deep"):
        nested(1000)
    flat = F.a == 0
    for number in range(1000):
        flat |= F.a == number
    assert holds(flat, {"a": 999})
    form: dict[str, Any] = {"field": "a", "operator": "eq", "value": 1}
    for _ in range(1000):
        form = {"operator": "not", "conditions": [form]}
    with pytest.raises(InvalidQuery, match="100 deep") as refused:
        Query.of(form)
    assert refused.value.details["path"].startswith("where.conditions[0].conditions[0]")


def test_a_document_with_something_strange_says_so_when_sorted() -> None:
    with pytest.raises(InvalidValue, match="Decimal"):
        list(run(Query.of(order_by="a"), [("k", {"a": Decimal(1)})]))
