"""What callers hand in, checked once: durations, whole numbers, texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from holdfast.contract.errors import InvalidInput, InvalidValue
from holdfast.state.limits import (
    BLOCK_MAX_S,
    COUNTER_MAX,
    COUNTER_MIN,
    NAME_CHARACTERS_MAX,
    TTL_MAX_S,
)

#: Of a number of 64 bits.
_CURSOR_DIGITS = 20
#: Digits of two numbers of 64 bits at most; the second one may be left out.
_ID = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?", re.ASCII)

Duration = float | int | timedelta


def ttl_ms(ttl: Duration) -> int:
    """A time-to-live in whole milliseconds, at least one.

    Raises:
        InvalidValue: it is no duration above zero, or longer than `TTL_MAX_S`.
    """
    return _milliseconds("ttl", ttl, TTL_MAX_S)


def block_ms(block: Duration | None) -> int:
    """How long a read blocks; 0: not at all."""
    if block is None or block == 0:
        return 0
    return _milliseconds("block", block, BLOCK_MAX_S)


def loop_block_ms(block: Duration) -> int:
    """How long each read of a loop blocks: above zero, or the loop would never rest.

    Raises:
        InvalidValue: it is zero, or longer than `BLOCK_MAX_S`.
    """
    return _milliseconds("block", block, BLOCK_MAX_S)


def duration_ms(name: str, duration: Duration) -> int:
    """Another duration of that name."""
    return _milliseconds(name, duration, TTL_MAX_S)


def whole(name: str, number: Any, low: int, high: int) -> int:
    """A whole number within its limits.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise InvalidInput(f"{name} is a whole number from {low} to {high}; found {_found(number)}")
    return int(number)


def counter_number(name: str, number: Any) -> int:
    """A number that a counter can hold.

    Raises:
        InvalidValue: it is none.
    """
    if (
        not isinstance(number, int)
        or isinstance(number, bool)
        or not COUNTER_MIN <= number <= COUNTER_MAX
    ):
        raise InvalidValue(f"{name} is a whole number of 64 bits; found {_found(number)}")
    return int(number)


def name(what: str, text: Any, characters_max: int = NAME_CHARACTERS_MAX) -> str:
    """A short text that can be written.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(text, str) or not 0 < len(text) <= characters_max or not _writes(text):
        raise InvalidInput(
            f"{what} is a text of 1 to {characters_max} characters; found {_found(text)}"
        )
    return text


def stream_id(id: Any, *special: str) -> str:
    """The id of a message of a stream, or one of the special texts that are allowed there.

    Raises:
        InvalidInput: it is neither.
    """
    found = _ID.fullmatch(id) if isinstance(id, str) else None
    if found is not None and max(int(part or 0) for part in found.groups()) < 1 << 64:
        return str(id)
    if isinstance(id, str) and id in special:
        return id
    other = "".join(f", or {one!r}" for one in special)
    raise InvalidInput(
        f"an id of a stream reads milliseconds-sequence, such as '1700000000000-42'{other}; found "
        f"{_found(id)}"
    )


def stream_ids(ids: Any) -> Sequence[str]:
    """Several of them.

    Raises:
        InvalidInput: one is none, or they are no list.
    """
    if isinstance(ids, str | bytes):
        raise InvalidInput("ack takes a list of ids; found a single text")
    try:
        given = list(ids)
    except TypeError:
        raise InvalidInput(f"ack takes a list of ids; found a {type(ids).__name__}") from None
    return [stream_id(one) for one in given]


def number_within(what: str, number: Any, low: float, high: float) -> float:
    """A number within its limits.

    Raises:
        InvalidInput: it is none.
    """
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidInput(f"{what} is a number; found {_found(number)}")
    if not low <= number <= high:
        raise InvalidInput(
            f"{what} lies from {_plain(low)} to {_plain(high)}; found {found(number)}"
        )
    return float(number)


def is_cursor(text: str) -> bool:
    """Whether it is a number of 64 bits, as cursors of servers are."""
    return (
        text.isascii() and text.isdecimal() and len(text) <= _CURSOR_DIGITS and int(text) < 1 << 64
    )


def bad_cursor() -> InvalidInput:
    """The error of a cursor that no step returned."""
    return InvalidInput("a cursor is what the last step returned, or '0'; found another text")


def found(number: float) -> str:
    """A number as an error shows it: Python does not write numbers of thousands of digits."""
    return _found(number) if isinstance(number, int) else str(number)


def _plain(number: float) -> str:
    return f"{number:f}".rstrip("0").rstrip(".")


def _milliseconds(what: str, duration: Any, longest_s: float) -> int:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidValue(
            f"{what} is a number of seconds or a timedelta; found a {type(duration).__name__}"
        )
    if not 0 < seconds <= longest_s:
        raise InvalidValue(
            f"{what} lies above 0 and at most at {longest_s:.0f} seconds; found "
            f"{found(seconds)}. Leave "
            "it out if there is none"
        )
    return max(1, round(seconds * 1000))


def _writes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _found(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 1 << 70 else "a much larger one"
    if isinstance(value, str):
        return f"one of {len(value)} characters" if value else "an empty one"
    return f"a {type(value).__name__}"
