"""Watching: the feed, told with the entries before and after each change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, InvalidInput
from holdfast.contract.record import Cursor
from holdfast.records.storage import EngineEntryStorage
from holdfast.runtime.drive import drive
from holdfast.runtime.gate import Gate
from holdfast.store.feed.change import Change
from holdfast.store.feed.feed import Feed
from holdfast.store.feed.row import Act, Cause, FeedPosition
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.text_keys import shows, unpack_key
from holdfast.store.versions.entry import instant
from holdfast.store.versions.rows import Rows


class Watch:
    """An asynchronous iterator of changes; also an asynchronous context manager.

    It holds nothing between two changes but a revision: however slow its reader, no memory grows
    and nothing is missed, because changes are read from the database. Abandoned, it leaves
    nothing behind.
    """

    def __init__(self, changes: AsyncIterator[Change]) -> None:
        self._changes = changes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        return await self._changes.__anext__()

    async def aclose(self) -> None:
        """End the watch; ending twice does nothing."""
        close = getattr(self._changes, "aclose", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class Changes:
    """Tells the changes of one keyspace.

    Args:
        engine: of the database.
        feed: of the database.
        rows: where the keyspace's entries stand.
        storage: reads them.
        gate: of the handle.
    """

    def __init__(
        self,
        engine: Engine,
        feed: Feed,
        rows: Rows,
        storage: EngineEntryStorage,
        gate: Gate,
    ) -> None:
        self._engine = engine
        self._feed = feed
        self._rows = rows
        self._storage = storage
        self._gate = gate

    def watch(
        self,
        pattern: Pattern | str = "#",
        *,
        since: int | str | None = None,
        snapshot: bool = False,
        conflate: bool = False,
    ) -> Watch:
        """The changes of keys that match; see `Database.watch`."""
        if since is not None and snapshot:
            raise InvalidInput("give since or snapshot, not both: a snapshot starts from now")
        position: int | None = None
        if since is not None:
            position = self._position(since)
        elif not snapshot and self._engine.capabilities.io is not Io.REMOTE:
            # The moment of the call, not that of the first step: what is written in between counts.
            position = self.head()
        return Watch(self._watch(Pattern.of(pattern), position, snapshot, conflate))

    # --- For subscriptions ------------------------------------------------------------------

    def head(self) -> int:
        """The newest revision of any process."""
        return drive(self._engine.head())

    async def wait(self, after_revision: int) -> int:
        """The newest revision, once it is above this one."""
        return await self._engine.wait(after_revision)

    async def after(self, since: int) -> AsyncIterator[tuple[FeedPosition, StoreKey]]:
        """The changes of the keyspace after a revision that are there now. Raises Compacted."""
        number = self._rows.keyspace.number
        async for positions in self._feed.after(since):
            for position in positions:
                if position.row.keyspace == number:
                    yield position, unpack_key(position.row.key)

    async def tell(self, position: FeedPosition, key: StoreKey) -> Change:
        """A change with the entries before and after it."""
        row = position.row
        deleted = row.act == Act.DELETE
        if deleted:
            after = None
            before = await self._storage.state(str(key), row.identity, row.incarnation, row.version)
        else:
            after = await self._storage.state(str(key), row.identity, row.incarnation, row.version)
            before = None
            if row.previous:
                before = await self._storage.state(
                    str(key), row.identity, row.incarnation, row.version - 1
                )
        return Change(
            position.revision,
            position.index,
            "delete" if deleted else "set",
            key,
            before,
            after,
            instant(row.at_ms),
            Cause(row.cause).name.lower(),
            row.origin,
            row.transaction.hex() if row.transaction is not None else None,
            row.actor,
        )

    # --- Inside -----------------------------------------------------------------------------

    def _position(self, since: int | str) -> int:
        """The revision that `since` names."""
        if isinstance(since, str):
            cursor = Cursor.parse(since)
            lineage = self._engine.lineage
            if cursor.lineage != lineage:
                raise Compacted(
                    f"the cursor is of lineage {cursor.lineage}, this database of {lineage}: it "
                    "was restored or lost its last commits. Start from a snapshot: "
                    "watch(..., snapshot=True)",
                    lineage=lineage,
                    since=cursor.revision,
                )
            return cursor.revision
        if not isinstance(since, int) or isinstance(since, bool) or since < 0:
            raise InvalidInput(
                "since is a revision from 0, or the text of a cursor; "
                f"found {since!r}. Use what db.revision or db.cursor printed"
            )
        return since

    async def _watch(
        self, pattern: Pattern, since: int | None, snapshot: bool, conflate: bool
    ) -> AsyncIterator[Change]:
        self._gate.check()
        if snapshot:
            since = 0
            async for change in self._snapshot(pattern):
                since = change.revision  # At last that of the marker.
                yield change
        elif since is None:
            since = await self._engine.head()
        else:
            await self._feed.require(since)
        async for positions in self._feed.follow(since):
            for position, key in self._wanted(pattern, positions, conflate):
                yield await self.tell(position, key)

    async def _snapshot(self, pattern: Pattern) -> AsyncIterator[Change]:
        """The entries of one moment, then the marker with its revision."""
        with await self._engine.snapshot() as view:
            reader = self._storage.on(SnapshotEngine(self._engine, view))
            async for entry in reader.scan(pattern):
                yield Change(
                    entry.revision, 0, "set", entry.key, None, entry,
                    entry.metadata.updated_at, "snapshot", actor=entry.metadata.modified_by,
                )  # fmt: skip
            revision = view.revision
        now = instant(self._storage.now_ms())
        yield Change(revision, 0, "snapshot_end", None, None, None, now, "snapshot")

    def _wanted(
        self, pattern: Pattern, positions: list[FeedPosition], conflate: bool
    ) -> list[tuple[FeedPosition, StoreKey]]:
        """The changes of a page that concern this watch."""
        number = self._rows.keyspace.number
        wanted = []
        for position in positions:
            if position.row.keyspace == number:
                key = unpack_key(position.row.key)
                if shows(pattern, key):
                    wanted.append((position, key))
        if conflate:
            newest = {key: (position, key) for position, key in wanted}
            wanted = sorted(newest.values(), key=lambda one: (one[0].revision, one[0].index))
        return wanted
