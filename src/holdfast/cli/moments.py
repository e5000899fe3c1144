"""Moments as people write them: a revision, a date, an instant, or how long ago.

1200                       a revision
2025-01-31                 the beginning of that day, here
2025-01-31 12:00           that minute, here
2025-01-31T12:00:00Z       an instant wherever one is
now, today, yesterday      this instant, the beginning of this day, of the one before
2 hours ago, 90m ago       so long before now
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from holdfast.contract.runtime import Clock

_AGO = re.compile(r"(\d{1,9})\s*([a-z]+)\s+ago", re.ASCII | re.IGNORECASE)
_UNITS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
    "w": 604_800, "week": 604_800, "weeks": 604_800,
}  # fmt: skip
_DAYS = {"today": 0, "yesterday": 1}

WANTED = (
    "a revision such as 1200, a date or instant such as 2025-01-31, 2025-01-31 12:00 or "
    "2025-01-31T12:00:00Z, yesterday, or '2 hours ago'"
)


def moment(text: str, clock: Clock) -> int | datetime:
    """What the text means. Raises ValueError, which says no more, when it means nothing.

    Dates and times without an offset are of the time zone of this machine.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        # A text of thousands of digits is no number that Python reads.
        return int(text)
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    word = text.lower()
    if word == "now":
        return now
    if word in _DAYS:
        day = now.astimezone().date() - timedelta(days=_DAYS[word])
        return datetime(day.year, day.month, day.day).astimezone()
    if (match := _AGO.fullmatch(text)) and match[2].lower() in _UNITS:
        return _before(now, int(match[1]) * _UNITS[match[2].lower()])
    found = datetime.fromisoformat(text)
    if found.tzinfo is not None:
        return found
    try:
        return found.astimezone()
    except (OverflowError, OSError) as error:
        raise ValueError("the local time zone does not know that year") from error


def _before(now: datetime, seconds: int) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("that is before the first year") from error
