"""The feed: every change of the database, in commit order, resumable by revision."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final, NamedTuple

from holdfast.contract.batch import append_key
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, InvalidInput
from holdfast.contract.record import Range, after_prefix
from holdfast.store import layout
from holdfast.store.feed_row import FeedPosition, position_of

_END: Final = after_prefix(layout.FEED)


#: As an index: behind every change of the commit.
WHOLE: Final = 1 << 32


class FeedPage(NamedTuple):
    """Some changes in commit order.

    Attributes:
        positions: the changes.
        rest: where they go on; None: there are no more now.
    """

    positions: list[FeedPosition]
    rest: Range | None


class Feed:
    """Reads the feed of a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def oldest(self) -> int:
        """The lowest revision from which the feed is whole: `since` may be one less."""
        [record] = await self._engine.read([layout.SYSTEM_FEED_OLDEST])
        return int.from_bytes(record.value, "big") if record is not None else 1

    async def page(
        self, revision: int, index: int, rest: Range | None = None, rows: int | None = None
    ) -> FeedPage:
        """The changes behind one place in the feed, or those of a `rest`, as far as a page goes.

        Args:
            revision, index: the place.
            rest: of the page before.
            rows: at most so many.

        Raises:
            Compacted: some of them are gone.
        """
        whole = index >= WHOLE
        place = (revision + 1, 0) if whole else (revision, index + 1)
        range = rest or Range(append_key(layout.FEED, *place), _END)
        page = await self._engine.scan(replace(range, limit=rows) if rows else range)
        # Asked after the page was read, so that a compaction meanwhile is noticed.
        await self.require(revision if whole else revision - 1)
        return FeedPage([position_of(key, record.value) for key, record in page.rows], page.resume)

    async def after(self, since: int) -> AsyncIterator[list[FeedPosition]]:
        """The changes of revisions above `since` that are there now, in pages.

        Raises:
            Compacted: some of them are gone.
        """
        rest: Range | None = None
        while True:
            positions, rest = await self.page(since + 1, -1, rest)
            if positions:
                yield positions
                # The last commit may go on in the next page, all before it is read.
                since = max(since, positions[-1].revision - 1)
            if rest is None:
                return

    async def require(self, since: int) -> None:
        """Raise Compacted unless every change after `since` is still there."""
        oldest = await self.oldest()
        if since < oldest - 1:
            raise Compacted(
                f"the feed begins at revision {oldest}; changes after {since} were asked for. "
                "Start from a snapshot: watch(..., snapshot=True)",
                oldest=oldest,
                since=since,
            )

    async def require_reachable(self, revision: int, index: int) -> None:
        """Raise unless the feed reaches back to this place, and the place is not ahead of it.

        Raises:
            Compacted: changes behind it are gone.
            InvalidInput: it is of another database.
        """
        head = await self._engine.head()
        if revision > head:
            raise InvalidInput(
                f"the newest revision is {head}; changes after {revision} were asked for. "
                "The cursor belongs to another database",
                head=head,
                since=revision,
            )
        await self.require(revision if index >= WHOLE else revision - 1)

    async def oldest_rows(self, limit: int) -> list[FeedPosition]:
        """The first rows there are, for compaction."""
        page = await self._engine.scan(Range(layout.FEED, _END, limit=limit))
        return [position_of(key, record.value) for key, record in page.rows]
