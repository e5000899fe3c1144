"""One change of the database, as stored.

A feed row says who did what to which key, never values: those come from the entry and its
history. It is written in the batch that makes the change, under a key that holds the commit's
revision, so the feed can neither miss a change nor tell of one that did not happen.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from holdfast.contract.batch import Append, append_position
from holdfast.contract.errors import IntegrityFailed
from holdfast.store import layout

#: As `previous` of a change: the state before was made by the same commit.
OWN_COMMIT = -1


class Act(IntEnum):
    """What a change did to its key."""

    SET = 1
    DELETE = 2


class Cause(IntEnum):
    """Why it happened."""

    WRITE = 0
    EXPIRED = 1
    RESTORED = 2
    RENAMED = 3
    IMPORTED = 4
    MIGRATED = 5


class FeedRow(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One change, as stored.

    Attributes:
        act: an `Act`.
        keyspace: number of the keyspace.
        key: packed key within it.
        identity, incarnation, version: which state of the entry the change made; for a delete
            the last state it ended.
        previous: revision of the state before, 0: there was none, `OWN_COMMIT`: that of this row.
        at_ms: when.
        cause: a `Cause`.
        actor: who, as given by the writer.
        origin: which replica or client, when it came from one.
        transaction: the id of the transaction it was part of.
    """

    act: int
    keyspace: int
    key: bytes
    identity: bytes
    incarnation: int
    version: int
    previous: int
    at_ms: int
    cause: int = 0
    actor: str | int | None = None
    origin: str | None = None
    transaction: bytes | None = None


class FeedPosition(msgspec.Struct, frozen=True):
    """A feed row and where it stands: `index` counts the changes of one commit."""

    revision: int
    index: int
    row: FeedRow


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FeedRow).decode


def feed_append(row: FeedRow) -> Append:
    """The operation that adds a change to the feed."""
    return Append(layout.FEED, _encode(row))


def position_of(key: bytes, value: bytes) -> FeedPosition:
    revision, index = append_position(key)
    try:
        return FeedPosition(revision, index, _decode(value))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            f"the feed row at revision {revision} cannot be read; run `holdfast check`",
            revision=revision,
        ) from error
