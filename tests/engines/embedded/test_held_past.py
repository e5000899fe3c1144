"""What is overwritten while snapshots are open: all that they see, and no more."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.record import Range
from holdfast.engines.embedded.held_past import HeldPast

Kept = tuple[str, int]
KEYS = [b"a", b"b", b"c"]

#: What happens: a key is written or deleted, a snapshot is taken, or the n-th one is closed.
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(KEYS)),
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("take"), st.none()),
    st.tuples(st.just("close"), st.integers(0, 3)),
)


@given(st.lists(STEPS, max_size=60))
def test_every_snapshot_sees_its_moment(steps: list[tuple[str, bytes | int | None]]) -> None:
    past: HeldPast[Kept] = HeldPast()
    now: dict[bytes, Kept] = {}
    taken: list[tuple[object, int, dict[bytes, Kept]]] = []
    head = 0
    for what, whom in steps:
        if what == "take":
            taken.append((object(), head, dict(now)))
            past.take(taken[-1][0], head)
        elif what == "close":
            assert isinstance(whom, int)
            if whom < len(taken):
                past.release(taken.pop(whom)[0])
        else:
            assert isinstance(whom, bytes)
            head += 1
            past.overwrite(whom, now.get(whom), head)
            now.pop(whom, None)
            if what == "write":
                now[whom] = (f"value {head}", head)
        for _, revision, then in taken:
            found = {key: past.at(key, revision, now.get(key)) for key in KEYS}
            assert {key: one for key, one in found.items() if one is not None} == then
            for reverse in (False, True):
                order = sorted(now, reverse=reverse)
                keys = [*past.keys(iter(order), Range(reverse=reverse))]
                assert keys == sorted({*now, *past.rows}, reverse=reverse)
                assert {*then} <= {*keys}
        assert taken or not past.rows


def test_a_key_takes_one_place_for_each_snapshot_however_often_it_is_written() -> None:
    past: HeldPast[Kept] = HeldPast()
    kept: Kept | None = None
    for revision in range(1, 1001):
        if revision in (5, 500):
            past.take(object(), revision - 1)
        past.overwrite(b"a", kept, revision)
        kept = ("", revision)
    assert len(past.rows[b"a"]) == 2


def test_a_row_that_is_overwritten_again_after_an_interrupt_stays_as_it_was() -> None:
    past: HeldPast[Kept] = HeldPast()
    past.take(object(), 1)
    past.overwrite(b"a", ("old", 1), 2)
    past.overwrite(b"a", ("new", 2), 2)
    assert past.at(b"a", 1, ("new", 2)) == ("old", 1)


def test_a_dropped_snapshot_lets_the_past_go_with_the_next_write() -> None:
    past: HeldPast[Kept] = HeldPast()
    token = object()
    past.take(token, 1)
    past.overwrite(b"a", ("old", 1), 2)
    past.drop(token)
    assert past.rows
    past.overwrite(b"b", None, 3)
    assert not past.rows


def test_a_walk_in_pages_looks_at_each_key_once() -> None:
    past: HeldPast[Kept] = HeldPast()
    past.take(object(), 1)
    names = [b"%04d" % number for number in range(1000)]
    for name in names[::2]:
        past.overwrite(name, ("old", 1), 2)
    looks = 0

    def newest(start: bytes) -> Iterator[bytes]:
        nonlocal looks
        for name in names:
            if name >= start:
                looks += 1
                yield name

    start, found, pages = b"", [], 0
    while True:
        page = []
        for name in past.keys(newest(start), Range(start)):
            page.append(name)
            if len(page) == 10:
                break
        if not page:
            break
        found += page
        pages += 1
        start = page[-1] + b"\0"
    assert found == names
    assert looks <= len(names) + 2 * pages
