"""The envelope of an event: what it is, when and where it was published, and its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from holdfast.contract.errors import DeserializationFailed
from holdfast.state.keys import ScopeEntry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Message(Generic[T]):
    """What a handler gets.

    Attributes:
        type: the whole channel, `user:created`.
        data: what was published.
        timestamp: when, as ISO 8601 text in UTC.
        scope: the scopes it was published in, outermost first.
        via: the bridges that carried it here.
    """

    type: str
    data: T
    timestamp: str
    scope: tuple[ScopeEntry, ...] = ()
    via: tuple[str, ...] = ()

    @property
    def at(self) -> datetime:
        """The timestamp as an aware datetime.

        Raises:
            DeserializationFailed: another program published it with another text.
        """
        try:
            at = datetime.fromisoformat(self.timestamp)
        except ValueError:
            raise DeserializationFailed(
                "a timestamp in ISO 8601 was wanted; found another text in a message that another "
                "program published"
            ) from None
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def envelope(channel: str, data: Any, now_ms: int, scope: tuple[ScopeEntry, ...]) -> dict[str, Any]:
    """The envelope as plain data, ready for the serializer."""
    made: dict[str, Any] = {"type": channel, "data": data, "timestamp": _timestamp(now_ms)}
    if scope:
        made["scope"] = [{"key": one.key, "identifier": one.identifier} for one in scope]
    return made


# Who publishes much does so many times in a millisecond.
@lru_cache(maxsize=2)
def _timestamp(now_ms: int) -> str:
    at = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")


def opened(plain: Any) -> Message[Any]:
    """The message of a decoded envelope. The scope may be a chain, or a single one.

    Raises:
        DeserializationFailed: it is no envelope.
    """
    if isinstance(plain, Mapping) and "data" in plain:
        kind, at, scope = plain.get("type"), plain.get("timestamp"), plain.get("scope") or []
        steps = [scope] if isinstance(scope, Mapping) else scope
        if isinstance(kind, str) and isinstance(at, str) and isinstance(steps, list):
            try:
                chain = tuple(ScopeEntry(str(one["key"]), str(one["identifier"])) for one in steps)
            except (TypeError, KeyError):
                pass
            else:
                via = plain.get("via", [])
                if isinstance(via, list):
                    return Message(kind, plain["data"], at, chain, tuple(map(str, via)))
    raise DeserializationFailed(
        "an envelope with type, data and timestamp was wanted; found another message. Whoever "
        "publishes on this channel has to publish through a store"
    )
