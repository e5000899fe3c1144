"""Instants: milliseconds since 1970 UTC in rows, aware datetimes for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(milliseconds: int) -> datetime:
    """The aware instant of milliseconds since 1970 UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 UTC of an aware instant."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
