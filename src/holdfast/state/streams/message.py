"""A message of a stream as its reader gets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from holdfast.contract.errors import KeyNotFound, StoreError
from holdfast.state.adapter import Delivered


class StreamMessage(NamedTuple):
    """One message.

    Attributes:
        id: `milliseconds-sequence`; later ones are above.
        message: what was appended; None when `error` says why it cannot be read.
        deliveries: how often it was given out, this time included.
        error: what is wrong with it: one bad message does not keep the others back.
    """

    id: str
    message: Any
    deliveries: int = 1
    error: StoreError | None = None


def read(delivered: Delivered, decode: Callable[[bytes], Any]) -> StreamMessage:
    """The message of what was delivered."""
    id, data, deliveries = delivered
    if data is None:
        gone = KeyNotFound("the message was trimmed away before it was read", key=id)
        return StreamMessage(id, None, deliveries, gone)
    try:
        return StreamMessage(id, decode(data), deliveries)
    except StoreError as error:
        # Also what a serializer of the caller's raises: a key that is missing, a wrong digest.
        return StreamMessage(id, None, deliveries, error)
