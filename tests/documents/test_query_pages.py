"""Order, pages, cursors and projection of whole queries."""

import base64
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.codecs.keys import pack
from holdfast.contract.errors import InvalidQuery, QuotaExceeded
from holdfast.documents.query import F, Query, Row, cursor_of, run, run_reference
from holdfast.documents.query.cursor import CURSOR_CHARACTERS_MAX, fingerprint
from holdfast.documents.query.places import Point

PEOPLE: list[Row] = [
    (f"p{number:03}", {"team": number % 3, "age": None if number % 7 == 0 else number % 5})
    for number in range(100)
]


def keys(query: Query, rows: list[Row] = PEOPLE) -> list[str]:
    found = [key for key, _ in run(query, rows)]
    assert found == [key for key, _ in run_reference(query, rows)]
    return found


@pytest.mark.row("I-036")
def test_pages_of_seven_over_a_hundred_rows() -> None:
    for order in ("team", "-team", ["-age", "team"], []):
        whole = keys(Query.of(order_by=order))
        pages = [keys(Query.of(order_by=order, limit=7, offset=at)) for at in range(0, 105, 7)]
        assert [key for page in pages for key in page] == whole
        assert sorted(whole) == [key for key, _ in PEOPLE]


@pytest.mark.row("I-036")
def test_limit_and_offset_at_their_edges() -> None:
    assert keys(Query.of(limit=0)) == []
    assert keys(Query.of(order_by="team", limit=0)) == []
    assert keys(Query.of(limit=0, offset=5)) == []
    assert keys(Query.of(offset=1000)) == []
    assert keys(Query.of(order_by="age", offset=1000, limit=5)) == []
    assert len(keys(Query.of(limit=2**53, offset=2**53 - 1))) == 0
    assert len(keys(Query.of(order_by="age", limit=2**53))) == 100
    with pytest.raises(InvalidQuery, match="limit"):
        Query.of(limit=-1)


@pytest.mark.parametrize(
    "order", ["same", "-same", "-team", ["team", "-age"], ["-age", "team"], []]
)
def test_a_cursor_gives_each_of_many_ties_once(order: Any) -> None:
    # lablup/backend.ai#14731: rows that tie on the sort key were skipped, and so backwards.
    rows: list[Row] = [(key, {**document, "same": 1}) for key, document in PEOPLE]
    query = Query.of(order_by=order, limit=7)
    seen: list[Row] = []
    after = None
    while page := list(run(Query.of(order_by=order, limit=7, after=after), rows)):
        seen += page
        after = cursor_of(query, *page[-1])
    assert seen == run_reference(Query.of(order_by=order), rows)
    assert len(seen) == 100


def test_an_order_turned_round_turns_its_ties_round() -> None:
    assert keys(Query.of(order_by="-team")) == keys(Query.of(order_by="team"))[::-1]
    order = [-F.team, F.age]
    assert keys(Query.of(order_by=[F.team, -F.age])) == keys(Query.of(order_by=order))[::-1]


def test_a_cursor_stands_where_rows_come_and_go() -> None:
    query = Query.of(order_by=-F.age, limit=10)
    first = list(run(query, PEOPLE))
    after = cursor_of(query, *first[-1])
    # The row of the cursor is deleted, and one is added before it.
    rows = sorted([*PEOPLE[:20], *PEOPLE[21:], ("p000a", {"age": 99})], key=lambda row: row[0])
    rows = [row for row in rows if row[0] != first[-1][0]]
    second = list(run(Query.of(order_by=-F.age, limit=10, after=after), rows))
    assert not {key for key, _ in first} & {key for key, _ in second}
    rest = run_reference(Query.of(order_by=-F.age), PEOPLE)[10:20]
    assert [key for key, _ in second] == [key for key, _ in rest]


def test_a_cursor_belongs_to_its_conditions_and_order() -> None:
    query = Query.of(F.team == 1, order_by="-age")
    after = cursor_of(query, *PEOPLE[1])
    assert list(run(Query.of(F.team == 2, order_by="-age", after=after, limit=1), PEOPLE))
    others = [
        Query.of(F.team > 1, order_by="-age", after=after),
        Query.of(F.age == 1, order_by="-age", after=after),
        Query.of(F.team == 1, order_by="age", after=after),
        Query.of(F.team == 1, order_by=["-age", "x"], after=after),
        Query.of(F.team == 1, after=after),
    ]
    for other in others:
        with pytest.raises(InvalidQuery, match="another query"):
            run(other, PEOPLE)
    near = Query.of(order_by=F.at.distance(1, 1))
    elsewhere = Query.of(order_by=F.at.distance(1, 2), after=cursor_of(near, *PEOPLE[1]))
    with pytest.raises(InvalidQuery, match="another query"):
        run(elsewhere, PEOPLE)


@pytest.mark.parametrize(
    "after",
    [
        "",
        "x",
        "é",
        "!!!!",
        "A" * (CURSOR_CHARACTERS_MAX + 1),
        base64.urlsafe_b64encode(pack((1,))).decode(),
        base64.urlsafe_b64encode(pack((2, b"x" * 12, "k"))).decode(),
        base64.urlsafe_b64encode(b"\xff" * 20).decode(),
    ],
)
def test_what_is_no_cursor_is_refused(after: str) -> None:
    with pytest.raises(InvalidQuery, match="after wanted a cursor"):
        run(Query.of(after=after), PEOPLE)


@pytest.mark.parametrize(
    "forged",
    [(1, "x"), (1,), (2, 5), (1, None), (9, 1), (True, 1), (3, 2, 5, -1), (1, (1,))],
    ids=str,
)
def test_a_forged_cursor_is_refused(forged: tuple[Any, ...]) -> None:
    query = Query.of(order_by="age")
    packed = pack((1, fingerprint(query), "p001", forged))
    after = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
    with pytest.raises(InvalidQuery, match="after wanted a cursor"):
        list(run(Query.of(order_by="age", after=after), PEOPLE))


def test_a_cursor_holds_every_kind_of_value() -> None:
    values: list[Any] = [None, 2**70, 1.5, "x\0y", {"a": [1, None]}, [[], [b"\0"]], b"\xff", True]
    rows: list[Row] = [(f"k{at}", {"a": value}) for at, value in enumerate(values)]
    query = Query.of(order_by="a")
    for at, row in enumerate(whole := run_reference(query, rows)):
        after = cursor_of(query, *row)
        assert list(run(Query.of(order_by="a", after=after), rows)) == whole[at + 1 :]
    with pytest.raises(InvalidQuery, match="shorter"):
        cursor_of(query, "k", {"a": "x" * CURSOR_CHARACTERS_MAX})


def test_the_nearest_come_first() -> None:
    places = {"kyoto": (35.01, 135.77), "osaka": (34.69, 135.5), "tokyo": (35.68, 139.69)}
    rows: list[Row] = [
        (name, {"at": Point(*place)._asdict()}) for name, place in sorted(places.items())
    ]
    rows.append(("nowhere", {}))
    order = F.at.distance(35.0, 135.7)
    assert keys(Query.of(F.at.near(0, 0), order_by=order), rows) == ["kyoto", "osaka", "tokyo"]
    assert keys(Query.of(F.at.near(0, 0), order_by=-order), rows) == ["tokyo", "osaka", "kyoto"]
    assert keys(Query.of(order_by=order), rows)[0] == "nowhere"


def test_an_array_sorts_by_its_least_and_downwards_by_its_greatest() -> None:
    rows: list[Row] = [("a", {"n": [1, 9]}), ("b", {"n": 2}), ("c", {"n": [5, 3]})]
    assert keys(Query.of(order_by="n"), rows) == ["a", "b", "c"]
    assert keys(Query.of(order_by="-n"), rows) == ["a", "c", "b"]
    inside: list[Row] = [("a", {"n": [{"x": 2}, {"x": 0}]}), ("b", {"n": {"x": 1}})]
    assert keys(Query.of(order_by="n.x"), inside) == ["a", "b"]


# --- Projection -----------------------------------------------------------------------------


@pytest.mark.row("I-037")
@pytest.mark.parametrize(
    ("select", "kept"),
    [
        (["name"], {"name": "Ada"}),
        (["none"], {}),
        (["address.city"], {"address": {"city": "Kyoto"}}),
        ([F.address.zip, F.name], {"name": "Ada", "address": {"zip": None}}),
        (["address", "address.city"], {"address": {"city": "Kyoto", "zip": None}}),
        (["address.city", "address"], {"address": {"city": "Kyoto", "zip": None}}),
        (["items.n"], {"items": [{"n": 1}, {}]}),
        (["items.0.n"], {"items": [{"n": 1}, {}]}),
        (["items.1"], {"items": [{}, {"m": 2}]}),
        (["name.first"], {}),
        ([["a.b"]], {"a.b": 1}),
        ([r"a\.b"], {"a.b": 1}),
    ],
)
def test_selected_fields_are_all_that_is_given(select: Any, kept: dict[str, Any]) -> None:
    document = {
        "name": "Ada",
        "address": {"city": "Kyoto", "zip": None},
        "items": [{"n": 1}, {"m": 2}, "x", [1]],
        "a.b": 1,
    }
    before = repr(document)
    assert list(run(Query.of(select=select), [("k", document)])) == [("k", kept)]
    assert repr(document) == before


def test_documents_need_not_be_objects() -> None:
    rows: list[Row] = [("a", 5), ("b", [1, {"x": 2}]), ("c", None), ("d", "text")]
    assert keys(Query.of(F == 5), rows) == ["a"]
    assert keys(Query.of(F.x == 2), rows) == ["b"]
    assert keys(Query.of(F.x.exists()), rows) == ["b"]
    assert keys(Query.of(order_by=F.x), rows) == ["a", "c", "d", "b"]
    assert list(run(Query.of(F == 5, select=["x"]), rows)) == [("a", {})]


# --- Cost -----------------------------------------------------------------------------------


def counted(rows: list[int], number: int) -> Iterator[Row]:
    for at in range(number):
        rows.append(at)
        yield f"k{at:06}", {"n": (at * 7919) % number, "text": f"{at:0200}"}


@pytest.mark.row("I-022")
@pytest.mark.row("I-024")
def test_without_an_order_no_row_more_than_needed_is_read() -> None:
    read: list[int] = []
    found = run(Query.of(F.n >= 0, limit=3), counted(read, 1000))
    assert read == []
    assert len(list(found)) == 3
    assert len(read) == 3


def test_the_first_ten_of_many_are_found_without_holding_all() -> None:
    tracemalloc.start()
    try:
        found = list(run(Query.of(order_by=-F.n, limit=10), counted([], 50_000)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [document["n"] for _, document in found] == list(range(49_999, 49_989, -1))
    assert peak < 5_000_000  # All documents together take over 20 MB.


def test_a_sort_without_a_limit_is_bounded() -> None:
    with pytest.raises(QuotaExceeded, match="limit") as refused:
        list(run(Query.of(order_by="n"), counted([], 101), rows_max=100))
    assert refused.value.details["limit"] == 100
    with pytest.raises(QuotaExceeded):
        list(run(Query.of(order_by="n", limit=2**40), counted([], 101), rows_max=100))
    assert (
        len(list(run(Query.of(order_by="n", limit=2**40), counted([], 100), rows_max=100))) == 100
    )


def test_a_scan_with_a_condition_is_quick() -> None:
    rows = list(counted([], 20_000))
    before = time.monotonic()
    for _ in range(5):
        list(run(Query.of((F.n > 10) & (F.text != "x"), order_by="n", limit=10), rows))
    assert time.monotonic() - before < 5
