"""Durations as callers give them: seconds, or a timedelta."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from holdfast.contract.errors import InvalidInput

#: A time-to-live is at most this long: longer ones say "never".
TTL_MAX_S: Final = 1000 * 365 * 86400.0


def ttl_milliseconds(ttl: float | timedelta) -> int:
    """A time-to-live in milliseconds, at least one.

    Raises:
        InvalidInput: it is no duration, not above 0, or longer than TTL_MAX_S.
    """
    seconds: Any = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidInput(
            f"ttl is a number of seconds or a timedelta; found a {type(ttl).__name__}"
        )
    if not 0 < seconds <= TTL_MAX_S:
        raise InvalidInput(
            f"ttl lies above 0 and at most at {TTL_MAX_S:.0f} seconds; found {seconds}. "
            "Leave it out for a value that does not expire, or delete the key"
        )
    return max(1, round(seconds * 1000))
