"""Three spellings of one tree; what is spelled wrong is told with its place and what helps."""

import copy
import json
import pickle
from typing import Any

import pytest

from holdfast.contract.errors import DriverMissing, InvalidQuery, StoreError
from holdfast.documents.query import (
    F,
    Query,
    canonical,
    compile_where,
    expression_text,
    nodes,
    parse_expression,
    query_from_json,
    query_to_json,
)
from holdfast.documents.query.expression import EXPRESSION_CHARACTERS_MAX
from holdfast.documents.query.fields import Field
from holdfast.documents.query.nodes import And, Node
from holdfast.documents.query.ordering import OrderBy
from holdfast.documents.query.regex import regex_search

ORIGIN = {"latitude": 0, "longitude": 0}
NARROW = {"west": 1, "south": 5, "east": 2, "north": 6}
ADULTS = (F.age >= 18) & (F.address.city == "Kyoto") & ~F.tags.any("closed")


@pytest.mark.row("I-032")
@pytest.mark.row("I-033")
def test_builder_json_and_text_spell_one_tree() -> None:
    form = {
        "operator": "and",
        "conditions": [
            {"field": "age", "operator": "gte", "value": 18},
            {"field": "address.city", "operator": "eq", "value": "Kyoto"},
            {
                "operator": "not",
                "conditions": [
                    {
                        "field": "tags",
                        "elemMatch": {"field": [], "operator": "in", "value": ["closed"]},
                    }
                ],
            },
        ],
    }
    text = 'age >= 18 and address.city == "Kyoto" and not tags.any("closed")'
    assert Query.of(form).where == ADULTS
    assert parse_expression(text) == ADULTS
    assert hash(parse_expression(text)) == hash(ADULTS)
    assert query_to_json(Query.of(ADULTS))["where"] == form


def test_keywords_are_equalities() -> None:
    assert Query.of(country="JP", active=True) == Query.of((F.country == "JP") & (F.active == True))  # noqa: E712
    assert Query.of(F.age > 1, country="JP").where == And((F.age > 1, F.country == "JP"))
    assert Query.of().where == And()


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ('population > 1000000 and country == "JP"', (F.population > 10**6) & (F.country == "JP")),
        ("1 <= a.b < 5", (F.a.b >= 1) & (F.a.b < 5)),
        ('"JP" != country', F.country != "JP"),
        ("F.a[0].b == null", F.a[0].b == None),  # noqa: E711
        ('F["class"] in [1, -2.5, true]', F["class"].in_([1, -2.5, True])),
        ('row["a.b"] not in ("x",)', F.row["a.b"].nin(["x"])),
        ("not (a == 1 or b == None)", ~((F.a == 1) | (F.b == None))),  # noqa: E711
        (r'name.regex(r"^\d+$")', F.name.regex(r"^\d+$")),
        ("name.exists() and b.exists(false)", F.name.exists() & F.b.exists(False)),
        ("at.near(35, 135.7, 500)", F.at.near(35, 135.7, 500)),
        ("at.within(west=1, south=5, east=2, north=6)", F.at.within(**NARROW)),
        ("items.elem_match(n > 5, F.price < 3)", F["items"].elem_match(F.n > 5, F.price < 3)),
        ("scores.any(F > 4)", F.scores.elem_match(F > 4)),
        ('bio.matches("red fox")', F.bio.matches("red fox")),
        ('a == {"x": [1, "y"]}', F.a == {"x": [1, "y"]}),
        ("a == b'xy'", F.a == b"xy"),
        ("(a == 1 # it's\n or b == 2)", (F.a == 1) | (F.b == 2)),
        ("ﬁ == 1", F["ﬁ"] == 1),
        ("true", And()),
    ],
)  # fmt: skip
def test_expressions(text: str, node: Node) -> None:
    assert parse_expression(text) == node
    assert parse_expression(expression_text(node)) == node


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "position", "hint"),
    [
        ("", 0, "age >= 18"),
        ("a", 0, "path alone"),
        ("a > 1 and b", 10, "path alone"),
        ("a = 1", None, "=="),
        ("a == b", 5, "quotes"),
        ("a == 1 + 2", 5, "arithmetic"),
        ("a is null", 0, "== null"),
        ("a == 1 and b.regx('x')", 11, "'regex'"),
        ('a == "\\d"', 6, 'r"'),
        ("a == 1or b == 2", 6, "space"),
        ("x == 1 +", 8, "parse"),
        ("a in 5", 5, "list"),
        ("[x for x in y]", 0, "ListComp"),
        ("__import__('os').system('x')", 0, "path before the call"),
        ("open('x')", 0, "a call"),
        ("a == 1j", 5, "number"),
        ("a.near(1)", 0, "near"),
        ("a.near(100, 2)", 0, "degrees"),
        ("a == 1) or (b == 2", 6, "Take it out"),
        ('a == datetime("2025-01-31T12:00:00")', 5, "offset"),
        ('a == datetime("soon")', 5, "ISO 8601"),
        ("é == ü", 5, "quotes"),
        ("a\n== b", 5, "quotes"),
        ("a == '''x'''", 5, "one pair"),
        ("a == 0x1F", 6, "decimal"),
        ("a == 1\0", 6, "control"),
        ('a == "\\ud800"', 5, "surrogate"),
        ("(" * 300 + "a == 1" + ")" * 300, None, "parentheses"),
        ("not " * 5000 + "a == 1", 0, "implify"),
        ("a" + ".a" * 5000 + " == 1", 0, "implify"),
        ("9" * 5000 + " == a", None, "digits"),
        ("a == lambda: 1", 5, "parse"),
        ("a.regex(pattern='x', **y)", 23, "name=value"),
        ("a" * (EXPRESSION_CHARACTERS_MAX + 1), None, "at most"),
    ],
)
def test_a_wrong_expression_is_told_with_its_place(
    text: str, position: int | None, hint: str
) -> None:
    with pytest.raises(InvalidQuery, match=hint.replace("(", r"\(")) as refused:
        parse_expression(text)
    if position is not None:
        assert refused.value.details["position"] == position
    assert len(str(refused.value)) < 600


def asked(operator: str, value: Any) -> Any:
    return {"where": {"field": "a", "operator": operator, "value": value}}


@pytest.mark.row("I-029")
@pytest.mark.parametrize(
    ("form", "path", "hint"),
    [
        ({"wher": {}}, "query", "'where'"),
        ("{nope", "query", "JSON"),
        ([], "query", "where"),
        ({"where": 5}, "where", "an object"),
        (asked("eqq", 1), "where.operator", "'eq'"),
        (asked("$gte", 1), "where.operator", "'gte'"),
        ({"where": {"field": "a", "operator": "eq"}}, "where.value", "Add 'value'"),
        ({"where": {"field": "a", "operator": ["eq"], "value": 1}}, "where.operator", "one of"),
        (asked("in", "xy"), "where.value", "list"),
        (asked("nin", {"x": 1}), "where.value", "list"),
        (asked("exists", 1), "where.value", "true"),
        (asked("regex", 1), "where.value", "text"),
        ({"where": {"field": "a..b", "operator": "eq", "value": 1}}, "where.field", "empty"),
        ({"where": {"field": 5, "operator": "eq", "value": 1}}, "where.field", "path"),
        ({"where": {"operator": "gt", "value": 1}}, "where", "field"),
        ({"where": {"operator": "gt", "conditions": []}}, "where", "Add 'field'"),
        ({"where": {"operator": "nand", "conditions": []}}, "where.operator", "'and'"),
        ({"where": {"operator": "and", "conditions": {}}}, "where.conditions", "list"),
        (
            {"where": {"operator": "or", "conditions": [
                {"field": "a", "operator": "eq", "value": 1},
                {"field": "b", "nested": {"field": "c", "operator": "no", "value": 1}}]}},
            "where.conditions[1].nested.operator", "operator",
        ),
        (asked("near", 5), "where.value", "latitude"),
        (asked("near", {"latitude": 1}), "where.value.longitude", "degrees"),
        (asked("near", {**ORIGIN, "meters": -1}), "where.value.meters", "meters"),
        (asked("within", {**NARROW, "north": 1}), "where.value", "Swap"),
        (asked("eq", {"$datetime": "x"}), "where.value", "instant"),
        (asked("eq", {"$bytes": "!"}), "where.value", "base64"),
        ({"limit": -1}, "limit", "0 up"),
        ({"limit": 1.5}, "limit", "whole"),
        ({"limit": True}, "limit", "whole"),
        ({"offset": -1}, "offset", "0 up"),
        ({"limit": 2**64}, "limit", "beyond"),
        ({"orderBy": [{"field": "a", "direction": "up"}]}, "orderBy[0].direction", "asc"),
        ({"orderBy": 5}, "orderBy", "'-x'"),
        ({"orderBy": ["a"] * 33}, "orderBy", "32"),
        ({"select": []}, "select", "whole documents"),
        ({"select": "a"}, "select", "list"),
        ({"select": [5]}, "select[0]", "path"),
        ({"after": 5}, "after", "cursor"),
    ],
)  # fmt: skip
def test_wrong_json_is_told_with_its_place(form: Any, path: str, hint: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        query_from_json(form)
    assert refused.value.details["path"] == path
    assert hint in str(refused.value)


def test_json_keeps_instants_bytes_and_great_numbers() -> None:
    values = [
        2**53 + 1,
        {"$bytes": "eA=="},
        {"$datetime": "2025-01-31T12:00:00+09:00"},
        {"$$bytes": 1},
    ]
    text = json.dumps(asked("in", values))
    query = query_from_json(text)
    assert query_from_json(canonical(query)) == query
    assert "9007199254740993" in canonical(query)
    assert query_from_json(canonical(query).encode()) == query
    assert canonical(Query.of(F.a == 1.0)) == canonical(Query.of(F.a == 1))
    assert canonical(Query.of(F.a == True)) != canonical(Query.of(F.a == 1))  # noqa: E712


def test_a_list_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MEMBERS_MAX", 3)
    F.a.in_([1, 2, 3])
    with pytest.raises(InvalidQuery, match="at most 3"):
        F.a.in_([1, 2, 3, 4])
    monkeypatch.setattr(nodes, "NODES_MAX", 3)
    with pytest.raises(InvalidQuery, match="at most 3"):
        (F.a == 1) | (F.a == 2) | (F.a == 3)


def test_orders_have_three_spellings() -> None:
    wanted = (OrderBy(("a", "b"), descending=True), OrderBy(("c",)))
    assert Query.of(order_by=[-F.a.b, F.c]).order_by == wanted
    assert Query.of(order_by=["-a.b", "c"]).order_by == wanted
    form = {"orderBy": [{"field": "a.b", "direction": "desc"}, {"field": "c"}]}
    assert query_from_json(form).order_by == wanted
    assert Query.of(order_by=F.c).order_by == wanted[1:]
    assert Query.of(order_by=r"\-x").order_by == (OrderBy(("-x",)),)


def test_fields_are_values() -> None:
    assert pickle.loads(pickle.dumps(F.a["b.c"])).path_of_field() == ("a", "b.c")
    assert copy.deepcopy(F.a).path_of_field() == ("a",)
    assert repr(F.a["b c"][0]) == "F.a['b c']['0']"
    assert len({hash(F.a), hash(F.b), hash(F.a)}) == 2
    node = F.a == [1, {"b": b"x"}]
    assert pickle.loads(pickle.dumps(node)) == node
    with pytest.raises(AttributeError):
        F.a = 1
    with pytest.raises(AttributeError):
        node.path = ()  # type: ignore[attr-defined]


# For calls that type checkers refuse, as they should.
WRONG: Any = F
WRONG_VALUE: Any = 5


def chained() -> object:
    return 1 < F.a < 5


@pytest.mark.parametrize(
    ("misuse", "hint"),
    [
        (chained, "&"),
        (lambda: (F.a == 1) and (F.b == 2), "&"),
        (lambda: not F.a, "truth"),
        (lambda: "x" in F.tags, "any"),
        (lambda: list(F.tags), "collection"),
        (lambda: F.a[-1], "negative"),
        (lambda: WRONG.a[1.5], "float"),
        (lambda: F.a == F.b, "another field"),
        (lambda: F.a.in_("abc"), "list"),
        (lambda: F.a.in_(range(3)), "list"),
        (lambda: WRONG.a.exists(1), "True or False"),
        (lambda: WRONG.a.regex(5), "text"),
        (lambda: WRONG.a.elem_match(5), "conditions"),
        (lambda: F.a.near(91, 0), "degrees"),
        (lambda: F.a.near(0, 0, float("nan")), "meters"),
        (lambda: F.a.near(0, 0, float("inf")), "finite"),
        (lambda: F.a.regex("x" * 5000), "4096"),
        (lambda: Field(("a",) * 201) == 1, "200 parts"),
        (lambda: F.a.regx("x"), "'regex'"),
        (F.nothing_like_it, "elem_match"),
        (lambda: Query(limit=-1), "negative"),
        (lambda: Query(offset=-1), "negative"),
        (lambda: Query.of(WRONG_VALUE), "condition 1"),
        (lambda: Query.of(select=F.a), "list"),
        (lambda: Query.of(select=[F]), "empty path"),
        (lambda: Query.of(order_by=5), "order_by"),
    ],
)
def test_misuse_of_the_builder_is_told(misuse: Any, hint: str) -> None:
    with pytest.raises(InvalidQuery, match=hint):
        misuse()


def test_shapes_are_equal_without_values() -> None:
    def shape(limit: int, age: object, city: str) -> str:
        return Query.of(F.age > age, F.city == city, order_by="-age", limit=limit).shape()

    assert shape(1, 2, "x") == shape(5, 2.5, "y")
    assert shape(1, 2, "x") != shape(1, "2", "x")
    assert Query.of(F.a.in_([1, 2])).shape() == Query.of(F.a.in_([3])).shape()
    assert Query.of(F["a.b"] == 1).shape() != Query.of(F.a.b == 1).shape()
    assert Query.of(F.a == None).shape() != Query.of(F.a == 1).shape()  # noqa: E711


def test_without_its_package_a_regex_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "re2", None)
    regex_search.cache_clear()
    with pytest.raises(DriverMissing, match=r"holdfast-db\[documents\]"):
        compile_where(F.a.regex("x"))


def test_errors_show_no_values() -> None:
    secret = "hunter2"
    wrong: list[Any] = [
        lambda: F.a == {"x": [secret, object()]},
        lambda: query_from_json(asked("in", secret)),
        lambda: query_from_json({"limit": secret}),
        lambda: query_from_json({"after": [secret]}),
    ]
    for one in wrong:
        with pytest.raises(StoreError) as refused:
            one()
        assert secret not in repr(refused.value)


def test_no_order_may_be_none_as_no_limit_is() -> None:
    assert Query.of(order_by=None, limit=None, select=None, after=None) == Query()
