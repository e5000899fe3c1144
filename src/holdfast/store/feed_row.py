"""One change of the database, as stored.

A feed row says who did what to which key, never values: those come from the view and its history.
It is written in the commit that makes the change, under a key that holds the commit's revision, so
the feed can neither miss a change nor tell of one that did not happen.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from holdfast.contract.batch import append_position
from holdfast.contract.errors import IntegrityFailed
from holdfast.contract.record import THIS_COMMIT

#: How `previous` says `THIS_COMMIT` in a feed row: MessagePack keeps it in one byte.
_OWN: Final = -1


class Act(IntEnum):
    """What a change did."""

    #: A value was written under the key.
    SET = 1
    #: The key was removed.
    DELETE = 2
    #: The whole keyspace was removed; the key is empty.
    DROP = 3
    #: The whole keyspace was put back to an earlier state; the key is empty.
    RESTORE = 4


class Cause(IntEnum):
    """Why it happened."""

    WRITE = 0
    EXPIRED = 1
    RESTORED = 2
    RENAMED = 3
    IMPORTED = 4
    MIGRATED = 5


class WriteContext(NamedTuple):
    """Who writes and why, as the feed tells it.

    Attributes:
        modified_by: who, as given by the caller.
        origin: the replica or client that the write came from.
        cause: why it happened.
        transaction: the id of the transaction it is part of.
        comment: as given by the caller.
    """

    modified_by: str | int | None = None
    origin: str | None = None
    cause: Cause = Cause.WRITE
    transaction: bytes | None = None
    comment: str | None = None


#: What most writes say of themselves.
NO_CONTEXT: Final = WriteContext()


class Life(NamedTuple):
    """Which version of a value a change made; of a delete, which one it ended."""

    identity: bytes
    incarnation: int
    version: int


class FeedRow(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One change, as stored: first what every view has, last what only versioned values have.

    Attributes:
        act: an `Act`. A number that is none comes from a later Holdfast and is passed on.
        keyspace: number of the keyspace.
        key: within the keyspace, as packed by its view.
        previous: revision of the state before; 0: there was none; `THIS_COMMIT`: that of this row.
        at_ms: when.
        cause: a `Cause`, or a number of a later Holdfast.
        modified_by, origin, transaction, comment: see `WriteContext`.
        identity, incarnation, version: see `Life`.
    """

    act: int
    keyspace: int
    key: bytes
    previous: int
    at_ms: int
    cause: int = 0
    modified_by: str | int | None = None
    origin: str | None = None
    transaction: bytes | None = None
    comment: str | None = None
    identity: bytes = b""
    incarnation: int = 0
    version: int = 0


class FeedPosition(msgspec.Struct, frozen=True):
    """A feed row and where it stands.

    Attributes:
        revision: of the commit.
        index: place among the changes of the commit, from 0.
        row: the change.
    """

    revision: int
    index: int
    row: FeedRow

    @property
    def previous(self) -> int:
        """The revision of the state before the change; 0: there was none."""
        previous = self.row.previous
        return self.revision if previous == _OWN else previous


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FeedRow).decode


def encode_feed_row(
    act: Act | int,
    keyspace: int,
    key: bytes,
    previous: int,
    at_ms: int,
    context: WriteContext = NO_CONTEXT,
    life: Life | tuple[bytes, int, int] | None = None,
    cause: Cause | None = None,
) -> bytes:
    """The stored form of a change; `cause` is that of the context unless given."""
    # The same bytes as an encoded FeedRow, without making one: every write comes through here.
    if previous == THIS_COMMIT:
        previous = _OWN
    if context is NO_CONTEXT and cause is None and life is not None:
        return _encode((act, keyspace, key, previous, at_ms, 0, None, None, None, None, *life))
    modified_by, origin, why, transaction, comment = context
    if cause is not None:
        why = cause
    return _encode(
        (
            act,
            keyspace,
            key,
            previous,
            at_ms,
            why,
            modified_by,
            origin,
            transaction,
            comment,
            *(life or ()),
        )
    )


def position_of(key: bytes, value: bytes) -> FeedPosition:
    """The feed row under a key of the feed. Raises IntegrityFailed."""
    revision, index = append_position(key)
    try:
        return FeedPosition(revision, index, _decode(value))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            f"the feed row at revision {revision} cannot be read; run `holdfast check`",
            revision=revision,
        ) from error
