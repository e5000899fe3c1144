"""The order of the keys of a dict: what a walk shows, however the dict has changed since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.record import Range
from holdfast.engines.embedded import key_order
from holdfast.engines.embedded.key_order import KeyOrder

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "delete", "lost", "walk", "forget"]), KEYS))


@given(STEPS)
def test_a_walk_shows_the_keys_that_are_there(steps: list[tuple[str, bytes]]) -> None:
    records: dict[bytes, int] = {}
    order = KeyOrder(records)
    for step, key in steps:
        if step == "put":
            if key not in records:
                order.add((key,))
            records[key] = 1
        elif step == "delete":
            order.discard(key)
            records.pop(key, None)
        elif step == "lost" and key not in records:
            order.add((key,))  # An interrupt came before its record did.
        elif step == "forget":
            order.forget()
        elif step == "walk":
            assert list(order.walk(Range())) == sorted(records)
    assert list(order.walk(Range(reverse=True))) == sorted(records, reverse=True)
    assert list(order.walk(Range(b"b", b"d"))) == sorted(records.keys() & {b"b", b"c"})


def test_keys_that_come_and_go_take_no_more_room_than_those_that_stay() -> None:
    records: dict[bytes, int] = {}
    order = KeyOrder(records)
    assert list(order.walk(Range())) == []
    for number in range(10 * key_order.UNORDERED_SPARE):
        key = b"%d" % number
        order.add((key,))
        records[key] = 1
        order.discard(key)
        del records[key]
    assert len(order._unordered) <= key_order.UNORDERED_SPARE + 1
    assert list(order.walk(Range())) == []
