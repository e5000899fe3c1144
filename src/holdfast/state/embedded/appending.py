"""Putting messages behind the others of a stream, and trimming; ids as callers see them."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from holdfast.contract.errors import KeyNotFound
from holdfast.contract.record import Record
from holdfast.state.checks import stream_id
from holdfast.state.embedded.rows import STREAM, Head, StreamPlaces, living, pack_message
from holdfast.state.embedded.site import Ground
from holdfast.store.plain.rows import pack_plain, plain_value
from holdfast.store.plan import Plan

#: Approximate trimming waits until so many messages are too many.
TRIM_SLACK: Final = 100
#: Up to so many messages are trimmed one by one, more as a range.
_SINGLY: Final = 64


class Given(NamedTuple):
    """A message that was given out and not acknowledged."""

    at_ms: int
    consumer: str
    given_ms: int
    deliveries: int

    def packed(self) -> bytes:
        """The stored form."""
        return pack_plain(_encode(self))


_encode = msgspec.msgpack.Encoder().encode
_given = msgspec.msgpack.Decoder(Given).decode


def given_of(stored: bytes) -> Given:
    """What a row of a pending message says."""
    return _given(plain_value(stored))


def append_message(
    ground: Ground,
    plan: Plan,
    data_key: bytes,
    record: Record | None,
    data: bytes,
    length_max: int,
    *,
    approximate: bool,
) -> str:
    """Put a message behind the others, and trim; its id."""
    row = living(record, plan.now_ms)
    head = Head() if row is None else Head.of(row.require(STREAM))
    places = ground.places.stream(data_key)
    at_ms, number, first = max(plan.now_ms, head.newest_ms), head.next, head.first
    too_many = number + 1 - first - length_max if length_max else 0
    if too_many > (TRIM_SLACK if approximate else 0):
        _trim(plan, places, first, first + too_many)
        first += too_many
    ground.put(
        plan, data_key, record, STREAM, Head(at_ms, number + 1, first).packed(),
        0 if row is None else row.until_ms,
    )  # fmt: skip
    if number >= first:
        plan.put(places.message(number), pack_message(at_ms, data))
    return text(at_ms, number)


def _trim(plan: Plan, places: StreamPlaces, first: int, end: int) -> None:
    if end - first > _SINGLY:
        plan.delete_range(places.messages(first, end))
        return
    for number in range(first, end):
        plan.delete(places.message(number))


def no_group() -> KeyNotFound:
    """The error where a group was wanted."""
    return KeyNotFound("the stream has no such group; call ensure() first")


def text(at_ms: int, number: int) -> str:
    """An id as callers see it."""
    return f"{at_ms}-{number}"


def parsed(id: str) -> tuple[int, int]:
    """(instant, number) of an id. Raises InvalidInput."""
    instant, _, number = stream_id(id).partition("-")
    return int(instant), int(number or 0)
