"""The feed: every change of the database, in commit order, resumable by revision.

A feed row says who did what to which key, never values: those come from the entry and its
history. It is written in the batch that makes the change, under a key that holds the commit's
revision, so the feed can neither miss a change nor tell of one that did not happen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import IntEnum

import msgspec

from holdfast.contract.batch import Append, append_key, append_position
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, IntegrityFailed, InvalidInput
from holdfast.contract.record import Range, after_prefix
from holdfast.store import layout

_END = after_prefix(layout.FEED)


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


class Feed:
    """Reads the feed of a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def oldest(self) -> int:
        """The lowest revision from which the feed is whole: `since` may be one less."""
        [record] = await self._engine.read([layout.SYSTEM_FEED_OLDEST])
        return int.from_bytes(record.value, "big") if record is not None else 1

    async def after(self, since: int) -> AsyncIterator[list[FeedPosition]]:
        """The changes of revisions above `since` that are there now, in pages.

        Raises:
            Compacted: some of them are gone.
        """
        rest: Range | None = Range(append_key(layout.FEED, since + 1, 0), _END)
        while rest is not None:
            page = await self._engine.scan(rest)
            # Asked after the page was read, so that a compaction meanwhile is noticed.
            await self.require(since)
            if page.rows:
                positions = [_position(key, record.value) for key, record in page.rows]
                # The last commit may go on in the next page, all before it is read.
                since = max(since, positions[-1].revision - 1)
                yield positions
            rest = page.resume

    async def require(self, since: int) -> None:
        """Raise unless every change after `since` is still there, and `since` is not ahead."""
        oldest = await self.oldest()
        if since < oldest - 1:
            raise Compacted(
                f"the feed begins at revision {oldest}; changes after {since} were asked for. "
                "Start from a snapshot: watch(..., snapshot=True)",
                oldest=oldest,
                since=since,
            )

    async def follow(self, since: int) -> AsyncIterator[list[FeedPosition]]:
        """The changes after `since`, those to come included; waits when there are none."""
        head = await self._engine.head()
        if since > head:
            raise InvalidInput(
                f"the newest revision is {head}; changes after {since} were asked for. "
                "The cursor belongs to another database",
                head=head,
                since=since,
            )
        while True:
            head = await self._engine.wait(since)
            async for positions in self.after(since):
                since = positions[-1].revision
                yield positions
            # Commits without changes (keyspaces, leases) raise the head too.
            since = max(since, head)

    async def oldest_rows(self, limit: int) -> list[FeedPosition]:
        """The first rows there are, for compaction."""
        page = await self._engine.scan(Range(layout.FEED, _END, limit=limit))
        return [_position(key, record.value) for key, record in page.rows]


def _position(key: bytes, value: bytes) -> FeedPosition:
    revision, index = append_position(key)
    try:
        return FeedPosition(revision, index, _decode(value))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            f"the feed row at revision {revision} cannot be read; run `holdfast check`",
            revision=revision,
        ) from error
