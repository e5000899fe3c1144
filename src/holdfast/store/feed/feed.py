"""The feed: every change of the database, in commit order, resumable by revision."""

from __future__ import annotations

from collections.abc import AsyncIterator

from holdfast.contract.batch import append_key
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, InvalidInput
from holdfast.contract.record import Range, after_prefix
from holdfast.store import layout
from holdfast.store.feed.row import FeedPosition, position_of

_END = after_prefix(layout.FEED)


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
                positions = [position_of(key, record.value) for key, record in page.rows]
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
        return [position_of(key, record.value) for key, record in page.rows]
