"""Index keys sort as values do, whatever the direction; bounds are exact or say they are not."""

import operator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.codecs.keys import pack
from holdfast.contract.errors import InvalidInput, InvalidValue
from holdfast.documents.entries import (
    COMPONENT_BYTES_MIN,
    ENTRIES_MAX,
    IndexOrder,
    Note,
)
from holdfast.documents.hashed import HASH_BYTES, hash_entries, hash_key
from holdfast.documents.ordering import encode
from holdfast.documents.query.values import MISSING
from tests.documents.ordering.values import LONG_TEXTS, SCALARS, TEXTS, VALUES, kind, rank

SPACIOUS = 100_000
FIELDS = VALUES | st.just(MISSING)
DIRECTIONS = st.lists(st.booleans(), min_size=1, max_size=3).map(tuple)
IDENTIFIERS = st.sampled_from([pack((name,)) for name in ("", "a", "a\0", "b", "\0")])


class Backwards:
    """Sorts the other way round."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __lt__(self, other: "Backwards") -> bool:
        return bool(other.inner < self.inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backwards) and bool(other.inner == self.inner)

    def __hash__(self) -> int:
        return hash(self.inner)


def key_of(order: IndexOrder, row: tuple[Any, ...], identifier: bytes) -> bytes:
    """The one entry of scalars, or the whole entry where a field is an array."""
    entries = order.entries([[value] for value in row], identifier)
    if any(isinstance(value, list) for value in row):
        wanted = order.equal(row).range
        (key,) = [key for key in entries if key in wanted]
        return key
    (key,) = entries
    return key


@pytest.mark.row("I-028")
@given(st.lists(VALUES, min_size=2, max_size=6))
@example([2**53 + 1, float(2**53), 2**53, 2**61, float(2**61), 2**61 + 1])
@example([1, 1.0, -0.0, 0, 0.0, True, False, None])
@example(["a", "a\0", "a\0\0", "a\x01", ["a"], ["a\0"], {"a": 1}, {"a\0": 1}])
def test_bytes_sort_as_values_and_are_equal_where_values_are(values: list[Any]) -> None:
    for one in values:
        for other in values:
            assert (encode(one) < encode(other)) == (rank(one) < rank(other))
            assert (encode(one) == encode(other)) == (rank(one) == rank(other))


@pytest.mark.row("I-043", "I-035")
@given(DIRECTIONS, st.data())
def test_compound_entries_sort_by_each_field_in_its_direction(
    directions: tuple[bool, ...], data: st.DataObject
) -> None:
    order = IndexOrder(directions, component_bytes_max=SPACIOUS)
    rows = data.draw(
        st.lists(
            st.tuples(st.tuples(*[FIELDS for _ in directions]), IDENTIFIERS),
            min_size=2,
            max_size=6,
        )
    )

    def wanted(item: tuple[tuple[Any, ...], bytes]) -> tuple[Any, ...]:
        row, identifier = item
        ranks = [
            Backwards(rank(value)) if turned else rank(value)
            for value, turned in zip(row, directions, strict=True)
        ]
        return (*ranks, Backwards(identifier) if directions[0] else identifier)

    by_value = sorted(rows, key=wanted)
    by_key = sorted(rows, key=lambda item: key_of(order, *item))
    assert [wanted(item) for item in by_value] == [wanted(item) for item in by_key]
    for row, identifier in rows:
        assert order.identifier(key_of(order, row, identifier)) == identifier


COMPARISONS = {
    "gt": (operator.gt, {"low_open": True}, "low"),
    "gte": (operator.ge, {}, "low"),
    "lt": (operator.lt, {"high_open": True}, "high"),
    "lte": (operator.le, {}, "high"),
}


def selected(order: IndexOrder, rows: list[tuple[Any, ...]], span: Any) -> list[tuple[Any, ...]]:
    return [row for row in rows if key_of(order, row, pack(("id",))) in span]


@pytest.mark.row("I-042", "trap 35")
@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("bytes_max", [COMPONENT_BYTES_MIN, SPACIOUS])
@given(
    turned=st.booleans(),
    head=st.sampled_from([(), (1,), ("a",)]),
    values=st.lists(SCALARS | VALUES, min_size=1, max_size=8),
    limit=SCALARS | VALUES,
)
@example(turned=True, head=("a",), values=["b", "b\0", "b\0\0", "c"], limit="b")
@example(turned=False, head=(), values=["b" * 99, "b" * 14, "b" * 15, "b" * 16], limit="b" * 98)
@example(turned=True, head=(), values=["b" * 99, "b" * 14, "b" * 15, "b" * 16], limit="b" * 98)
def test_a_bound_holds_what_compares_and_says_whether_it_holds_more(
    name: str,
    bytes_max: int,
    turned: bool,
    head: tuple[Any, ...],
    values: list[Any],
    limit: Any,
) -> None:
    compare, options, side = COMPARISONS[name]
    order = IndexOrder((*(False for _ in head), turned), component_bytes_max=bytes_max)
    decoys = [(*("other" for _ in head), value) for value in values] if head else []
    rows = [(*head, value) for value in (*values, limit)]
    bound = order.between(head, **{side: limit}, **options)
    wanted = [
        row for row in rows if kind(row[-1]) == kind(limit) and compare(rank(row[-1]), rank(limit))
    ]
    got = selected(order, rows + decoys, bound.range)
    assert all(row in got for row in wanted)
    assert all(kind(row[-1]) == kind(limit) for row in got)
    if bound.exact:
        assert got == wanted
    assert bound.exact or bytes_max == COMPONENT_BYTES_MIN or limit is None


@pytest.mark.row("I-042")
@given(
    turned=st.booleans(),
    values=st.lists(SCALARS, min_size=1, max_size=8),
    low=SCALARS,
    high=SCALARS,
)
def test_a_span_of_two_bounds_is_what_lies_between(
    turned: bool, values: list[Any], low: Any, high: Any
) -> None:
    order = IndexOrder((turned,), component_bytes_max=SPACIOUS)
    rows = [(value,) for value in (*values, low, high)]
    bound = order.between((), low, high, high_open=True)
    wanted = [row for row in rows if rank(low) <= rank(row[0]) < rank(high)]
    if kind(low) != kind(high):
        wanted = []
        assert bound.range.empty
    assert selected(order, rows, bound.range) == wanted


@pytest.mark.row("I-027", "I-029")
@pytest.mark.parametrize("bytes_max", [COMPONENT_BYTES_MIN, SPACIOUS])
@given(
    directions=DIRECTIONS, rows=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=6)
)
def test_equal_and_among_hold_the_equal_and_no_other(
    bytes_max: int, directions: tuple[bool, ...], rows: list[tuple[Any, ...]]
) -> None:
    order = IndexOrder(directions, component_bytes_max=bytes_max)
    cut = [row[: len(directions)] for row in rows]
    for row in cut:
        span = order.equal(row).range
        assert selected(order, cut, span) == [one for one in cut if rank(list(one)) == rank([*row])]
        span = order.equal(row[:1]).range
        assert selected(order, cut, span) == [one for one in cut if rank(one[0]) == rank(row[0])]
    firsts = [row[0] for row in cut]
    spans = order.among((), [*firsts, *firsts])
    assert len(spans) == len({rank(value) for value in firsts})
    starts = [span.range.start or b"" for span in spans]
    assert starts == sorted(starts)


@pytest.mark.row("trap 35")
@pytest.mark.parametrize("bytes_max", [COMPONENT_BYTES_MIN, SPACIOUS])
@given(turned=st.booleans(), texts=st.lists(TEXTS | LONG_TEXTS, min_size=1), prefix=TEXTS)
@example(turned=True, texts=["a" * 40, "a" * 41 + "b", "a"], prefix="a" * 41)
def test_a_prefix_holds_what_begins_with_it(
    bytes_max: int, turned: bool, texts: list[str], prefix: str
) -> None:
    order = IndexOrder((turned,), component_bytes_max=bytes_max)
    rows: list[tuple[Any, ...]] = [(text,) for text in (*texts, prefix)]
    bound = order.starting((), prefix)
    wanted = [row for row in rows if row[0].startswith(prefix)]
    got = selected(order, [*rows, (1,), (b"a",), (["a"],), ({"a": 1},)], bound.range)
    assert got == wanted if bound.exact else all(row in got for row in wanted)


@pytest.mark.row("I-028")
@given(st.lists(LONG_TEXTS, min_size=2, max_size=8), st.booleans())
def test_cut_keys_never_pass_each_other_and_tell_values_apart(
    texts: list[str], turned: bool
) -> None:
    order = IndexOrder((turned,), component_bytes_max=COMPONENT_BYTES_MIN)
    keys = {text: key_of(order, (text,), pack(("id",))) for text in texts}
    assert len(set(keys.values())) == len(keys)
    assert all(len(key) < COMPONENT_BYTES_MIN + 20 for key in keys.values())
    whole_max = COMPONENT_BYTES_MIN - 17
    for one, first in keys.items():
        for other, second in keys.items():
            if encode(one)[:whole_max] != encode(other)[:whole_max]:
                assert (first < second) == ((one > other) if turned else (one < other))
    notes = order.entries([[texts[0]]], pack(("id",))).values()
    assert list(notes) == [bytes([Note.CUT]) if len(encode(texts[0])) > whole_max else b""]


@pytest.mark.row("I-027")
def test_null_is_one_span_over_null_and_missing() -> None:
    for turned in (False, True):
        order = IndexOrder((False, turned))
        rows: list[tuple[Any, ...]] = [("x", None), ("x", MISSING), ("x", 0), ("y", None)]
        assert selected(order, rows, order.equal(("x", None)).range) == rows[:2]
        assert selected(order, rows, order.equal(("x", MISSING)).range) == rows[:2]
        assert not order.equal(("x", None)).exact
        assert not order.between(("x",), None).exact


@pytest.mark.row("I-040")
def test_an_array_is_each_of_its_elements_and_itself() -> None:
    order = IndexOrder((False,))
    identifier = pack(("id",))
    entries = order.entries([[["b", "a", "a", [1]]]], identifier)
    assert len(entries) == 4
    for value, note in (
        ("a", Note.EXACT),
        ("b", Note.EXACT),
        ([1], Note.EXACT),
        (["b", "a", "a", [1]], Note.WHOLE),
    ):
        (key,) = [key for key in entries if key in order.equal((value,)).range]
        assert entries[key] == (bytes([note]) if note else b"")
    # Values that a path gathers from an array of objects count each.
    assert len(order.entries([[1, 2, MISSING]], identifier)) == 3


@pytest.mark.row("I-035", "I-040")
def test_empty_arrays_and_missing_fields_sort_as_null_and_are_told_apart() -> None:
    order = IndexOrder((False,))
    null = order.equal((None,))
    assert not null.exact

    def notes(found: list[Any]) -> list[int]:
        entries = order.entries([found], pack(("id",)))
        return [(value or b"\0")[0] for key, value in entries.items() if key in null.range]

    assert notes([None]) == notes([None, MISSING]) == notes([MISSING, None]) == [Note.EXACT]
    assert notes([MISSING]) == [Note.MISSING]
    assert notes([]) == notes([[]]) == notes([[], []]) == [Note.NOTHING]
    assert notes([[], 5]) == []
    whole = order.equal(([],)).range
    assert [key in whole for key in order.entries([[[]]], pack(("id",)))] == [False, True]


@pytest.mark.row("I-035")
def test_an_index_walked_backwards_is_the_order_turned_round_ties_included() -> None:
    rows = [(value, f"k{name}") for value in (1, 2) for name in ("", "a", "a\0", "b")]
    for turned in (False, True):
        order = IndexOrder((turned, False))
        keys = {}
        for value, name in rows:
            (key,) = order.entries([[value], ["same"]], pack((name,)))
            keys[key] = (value, name)
            assert order.identifier(key) == pack((name,))
        walked = [keys[key] for key in sorted(keys, reverse=turned)]
        assert walked == rows


@pytest.mark.row("I-045", "I-117")
def test_a_sparse_index_leaves_out_who_has_none_of_the_fields() -> None:
    sparse, full = IndexOrder((False, True), sparse=True), IndexOrder((False, True))
    identifier = pack(("id",))
    absent: list[list[list[Any]]] = [[[], []], [[MISSING], []]]
    for missing in absent:
        assert sparse.entries(missing, identifier) == {}
        assert len(full.entries(missing, identifier)) == 1
    assert len(sparse.entries([[None], []], identifier)) == 1


@pytest.mark.row("I-040")
@given(
    st.lists(st.tuples(IDENTIFIERS, st.none() | st.lists(st.lists(SCALARS), max_size=2))),
    st.booleans(),
)
def test_applied_changes_leave_the_rows_of_the_living_documents(
    steps: list[tuple[bytes, list[Any] | None]], sparse: bool
) -> None:
    order = IndexOrder((False,), sparse=sparse)
    stored: dict[bytes, bytes] = {}
    documents: dict[bytes, list[Any] | None] = {}
    for identifier, after in steps:
        before = documents.get(identifier)
        changes = list(
            order.changes(
                None if before is None else [before], None if after is None else [after], identifier
            )
        )
        for key, value in changes:
            if value is None:
                del stored[key]
            else:
                stored[key] = value
        documents[identifier] = after
        wanted: dict[bytes, bytes] = {}
        for one, found in documents.items():
            wanted |= {} if found is None else order.entries([found], one)
        assert stored == wanted
        assert list(order.changes([after or []], [after or []], identifier)) == []


def test_an_instant_is_one_key_in_every_zone() -> None:
    instant = datetime(2026, 3, 29, 0, 59, 59, 999_999, tzinfo=UTC)
    other = instant.astimezone(timezone(timedelta(hours=14)))
    assert encode(instant) == encode(other)
    assert encode(instant) < encode(instant + timedelta(microseconds=1))
    assert encode(datetime.min.replace(tzinfo=UTC)) < encode(instant)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [1, {"a": float("nan")}],
        datetime(2026, 1, 1),  # noqa: DTZ001
        "\ud800",
        {1: 2},
        {"a\ud800": 2},
        object(),
        {1, 2},
    ],
)
def test_what_has_no_place_in_an_order_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValue) as refusal:
        IndexOrder((False,)).entries([[value]], pack(("id",)))
    assert "index" in str(refusal.value) or "object" in str(refusal.value)


def test_a_deep_document_is_no_deeper_than_its_bytes() -> None:
    deep: Any = "end"
    for _ in range(5_000):
        deep = [deep]
    (key, _) = sorted(IndexOrder((False,)).entries([[deep]], pack(("id",))))
    assert len(key) < 150
    assert encode(deep).count(b"\x2c") == 5_000


def test_limits_have_their_errors() -> None:
    order = IndexOrder((False, False))
    wide = list(range(400))
    with pytest.raises(InvalidValue, match=str(ENTRIES_MAX)):
        order.entries([wide, wide], pack(("id",)))
    with pytest.raises(InvalidValue, match=str(ENTRIES_MAX)):
        hash_entries([wide, wide], pack(("id",)))
    with pytest.raises(InvalidInput, match="2 fields; found 1"):
        order.entries([[1]], pack(("id",)))
    with pytest.raises(InvalidInput, match="at least one field"):
        IndexOrder(())
    with pytest.raises(InvalidInput, match=str(COMPONENT_BYTES_MIN)):
        IndexOrder((False,), component_bytes_max=8)
    with pytest.raises(InvalidInput, match="at least one bound"):
        order.between(())


@pytest.mark.row("I-042")
@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_hash_index_finds_equals_and_nothing_else(values: list[Any]) -> None:
    identifier = pack(("id",))
    entries = hash_entries([values], identifier)
    assert {key[HASH_BYTES:] for key in entries} == {identifier}
    held = [part for v in values for part in ([*v, v] if isinstance(v, list) else [v])]
    assert len(entries) == len({rank(value) for value in held})
    assert all(any(key.startswith(hash_key([value])) for key in entries) for value in held)
    assert hash_key([1]) == hash_key([1.0]) != hash_key([True])
    assert hash_key(["a", "b"]) != hash_key(["ab", ""])
