"""Watching: the changes of a view, with what stood there before and after each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from holdfast.codecs.pattern import Pattern
from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, InvalidInput, StoreError, TimedOut
from holdfast.contract.record import Cursor, Range
from holdfast.runtime.drive import drive, seconds_to_wait
from holdfast.runtime.gate import Gate
from holdfast.store.change import Change
from holdfast.store.feed.feed import WHOLE, Feed
from holdfast.store.feed.standing import Shown, Standing
from holdfast.store.feed.tail import EVERY_VIEW, READERS_MAX, Tail, Waiter
from holdfast.store.feed.told import Told, Translate
from holdfast.store.feed_row import Act, Cause, FeedPosition
from holdfast.store.instants import instant
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.views import ChangeReader

#: Makes the reader of a keyspace as one handle sees it; None: the view is unknown.
MakeReader = Callable[[Engine, Keyspace], ChangeReader | None]

#: How `Change` spells what a feed row says.
_OPERATIONS: Mapping[int, str] = {act: act.name.lower() for act in Act}
_CAUSES: Mapping[int, str] = {cause: cause.name.lower() for cause in Cause}


class Position(NamedTuple):
    """How far a watch has read: a commit, and the index of its last change that was seen."""

    revision: int
    index: int  # type: ignore[assignment]  # in the place of tuple.index


class Wanted(NamedTuple):
    """A change that a watch will tell, and what tells it."""

    position: FeedPosition
    keyspace: Keyspace | None
    reader: ChangeReader | None
    key: Any
    last: bool


class Changes:
    """The changes of a database as one handle sees them.

    Args:
        engine, feed, keyspaces, tail: of the database.
        make_reader: what tells the changes of a keyspace.
        gate: of the handle.
    """

    def __init__(
        self,
        engine: Engine,
        feed: Feed,
        keyspaces: Keyspaces,
        tail: Tail,
        make_reader: MakeReader,
        gate: Gate,
    ) -> None:
        self.engine = engine
        self.feed = feed
        self.gate = gate
        self._keyspaces = keyspaces
        self._tail = tail
        self._make_reader = make_reader
        self._readers: dict[int, ChangeReader | None] = {}

    def watch(
        self,
        pattern: Pattern | str = "#",
        *,
        view: str = "entries",
        since: int | str | Cursor | None = None,
        snapshot: bool = False,
        conflate: bool = False,
        limit: int | None = None,
        translate: Translate | None = None,
    ) -> Watch:
        """The changes of a view's keys that match; see `Database.watch`.

        `translate` says how each is told: None leaves it out.
        """
        self._tail.check_view(view)
        told = Told(limit, translate)
        if since is not None and snapshot:
            raise InvalidInput("give since or snapshot, not both: a snapshot starts from now")
        position: Position | None = None
        if since is not None:
            position = self._position(since)
        elif not snapshot and self.engine.capabilities.io is not Io.REMOTE:
            # The moment of the call, not that of the first step: what is written in between counts.
            position = Position(self.head(), WHOLE)
        return Watch(self, Pattern.of(pattern), view, position, snapshot, conflate, told)

    def head(self) -> int:
        """The newest revision of any process."""
        return drive(self.engine.head())

    def join(self, view: str, pattern: Pattern) -> Waiter:
        """Have a waiter for the changes of keys that match."""
        return self._tail.join(view, pattern, self.gate)

    def _reader_of(self, keyspace: Keyspace) -> ChangeReader | None:
        """What tells the changes of a keyspace."""
        number = keyspace.number
        if number not in self._readers:
            if len(self._readers) >= READERS_MAX:
                self._readers.clear()
            self._readers[number] = self._make_reader(self.engine, keyspace)
        return self._readers[number]

    async def readers(self, view: str) -> list[tuple[Keyspace, ChangeReader]]:
        """What tells the changes of a view's keyspaces; of all views' that are known."""
        found = []
        async for keyspace in self._keyspaces.list(None if view == EVERY_VIEW else view):
            reader = self._make_reader(self.engine, keyspace)
            if reader is not None:
                found.append((keyspace, reader))
        return found

    async def read(self, view: str, position: FeedPosition, *, last: bool = False) -> Wanted | None:
        """The change, if it is of the view."""
        row = position.row
        # Which keyspace first: another view's reader is none of this watch's business.
        keyspace = await self._keyspaces.by_number(row.keyspace)
        if view != EVERY_VIEW and (keyspace is None or keyspace.view != view):
            return None
        reader = None if keyspace is None else self._reader_of(keyspace)
        if reader is None or not row.key:
            # A whole keyspace, or one of an unknown view: told to every watch of it.
            return Wanted(position, keyspace, reader, row.key or None, last)
        return Wanted(position, keyspace, reader, reader.key(row.key), last)

    async def select(
        self, view: str, pattern: Pattern, position: FeedPosition, *, last: bool
    ) -> Wanted | None:
        """The same, if its key matches too."""
        wanted = await self.read(view, position, last=last)
        if wanted is None or wanted.reader is None or wanted.key is None:
            return wanted
        return wanted if wanted.reader.shows(pattern, wanted.key) else None

    async def tell(self, wanted: Wanted) -> Change:
        """The change with what stood there before and after it."""
        position, keyspace, reader, key, last = wanted
        row = position.row
        before = after = None
        if reader is not None and key is not None:
            before, after = await reader.values(position, key)
        return Change(
            position.revision,
            position.index,
            _OPERATIONS.get(row.act, f"act-{row.act}"),
            key,
            before,
            after,
            instant(row.at_ms),
            _CAUSES.get(row.cause, f"cause-{row.cause}"),
            row.origin,
            row.transaction.hex() if row.transaction is not None else None,
            row.modified_by,
            row.comment,
            "" if keyspace is None else keyspace.view,
            "" if keyspace is None else keyspace.name,
            last,
            self.engine.lineage,
        )

    def _position(self, since: int | str | Cursor) -> Position:
        """What `since` names."""
        if isinstance(since, str):
            since = Cursor.parse(since)
        if isinstance(since, Cursor):
            lineage = self.engine.lineage
            if since.lineage != lineage:
                raise Compacted(
                    f"the cursor is of lineage {since.lineage}, this database of {lineage}: it "
                    "was restored or lost its last commits. Start from a snapshot: "
                    "watch(..., snapshot=True)",
                    lineage=lineage,
                    since=since.revision,
                )
            return Position(since.revision, WHOLE if since.index is None else since.index)
        if not isinstance(since, int) or isinstance(since, bool) or since < 0:
            raise InvalidInput(
                "since is a revision from 0, a cursor, or the text of one; "
                f"found {since!r}. Use what change.cursor, db.revision or db.cursor printed"
            )
        return Position(since, WHOLE)


class Watch:
    """An asynchronous iterator of changes; also an asynchronous context manager.

    It holds nothing between two changes but a page of the feed: however slow its reader, no memory
    grows and nothing is missed, because changes are read from the database. Cancelled while it
    waits (a time-out), it can be asked again, and nothing is lost. Abandoned, it leaves nothing
    behind.
    """

    def __init__(
        self,
        changes: Changes,
        pattern: Pattern,
        view: str,
        position: Position | None,
        snapshot: bool,
        conflate: bool,
        told: Told,
    ) -> None:
        self._changes = changes
        self._told = told
        self._pattern = pattern
        self._view = view
        self._position = position
        self._conflate = conflate
        self._ready: deque[Wanted | Change] = deque()
        self._rest: Range | None = None
        #: The last row of a page, until it is known whether its commit goes on.
        self._held: list[FeedPosition] = []
        self._standing = (
            Standing(changes.engine, changes.readers, view, pattern) if snapshot else None
        )
        #: What was told before the feed, where that was not of one moment.
        self._shown: Shown | None = None
        self._waiter: Waiter | None = None
        self._required = False
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        told = self._told
        while not self._closed:
            if told.left == 0:
                await self.aclose()
                break
            try:
                if not self._ready:
                    await self._fill()
                    continue
                first = self._ready[0]
                change = first if isinstance(first, Change) else await self._changes.tell(first)
            except StoreError as error:
                if not error.retryable:
                    await self.aclose()
                raise
            # Taken out only now: a call that is cancelled earlier leaves it for the next. Another
            # task on the same watch may have been faster meanwhile.
            if self._ready and self._ready[0] is first:
                self._ready.popleft()
                if told.translate is not None:
                    translated = told.translate(change)
                    if translated is None:
                        continue
                    change = translated
                if told.left is not None:
                    told.left -= 1
                return change
        raise StopAsyncIteration

    async def poll(self, timeout_s: float = 0) -> Change | None:
        """The next change, or None when none comes within that time.

        Raises:
            StoreClosed: the database is closed.
        """
        runtime = self._changes.engine.components.host.runtime()
        timeout_s = seconds_to_wait(timeout_s)
        try:
            return await runtime.timeout(self.__anext__(), timeout_s)
        except (TimedOut, StopAsyncIteration):
            return None

    async def aclose(self) -> None:
        """End the watch; ending twice does nothing."""
        self._closed = True
        self._ready.clear()
        # Forgotten last: what was interrupted is done by the next call, or with the last reference.
        if self._waiter is not None:
            self._waiter.leave()
            self._waiter = None
        if self._standing is not None:
            self._standing.close()
            self._standing = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Abandoned: the tail must not wake it any more.
        waiter = getattr(self, "_waiter", None)
        if waiter is not None:
            waiter.leave()

    # --- Inside -----------------------------------------------------------------------------

    async def _fill(self) -> None:
        """Have some changes ready, or wait until there may be some."""
        changes = self._changes
        changes.gate.check()
        if self._standing is not None:
            rows, revision = await self._standing.page()
            if revision is not None:
                self._shown = self._standing.shown
                self._standing.close()
                self._standing = None
                self._position = Position(revision, WHOLE)
            self._ready += rows
            return
        if self._position is None:
            self._position = Position(await changes.engine.head(), WHOLE)
        if not self._required:
            # A cursor may be of long ago, or ahead of everything.
            await changes.feed.require_reachable(self._position.revision, self._position.index)
            self._required = True
        if self._waiter is None:
            self._waiter = changes.join(self._view, self._pattern)
        if not await self._read():
            await self._waiter.wait(self._position.revision)

    async def _read(self) -> bool:
        """Read a page of the feed; False when there was nothing new."""
        assert self._position is not None
        changes = self._changes
        head = await changes.engine.head() if self._rest is None else 0
        page = await changes.feed.page(*self._position, self._rest, self._told.rows())
        rows = self._held + page.positions
        wanted = []
        # Which row is the last of its commit is known once the next one is.
        held = rows[-1:] if page.rest is not None else []
        whole = rows[: len(rows) - len(held)]
        for place, position in enumerate(whole):
            following = rows[place + 1] if place + 1 < len(rows) else None
            last = following is None or following.revision != position.revision
            found = await changes.select(self._view, self._pattern, position, last=last)
            if found is not None and not (self._shown and self._shown.holds(position)):
                wanted.append(found)
        if self._conflate:
            newest = {(one.keyspace, one.key): one for one in wanted}
            wanted = sorted(
                newest.values(), key=lambda one: (one.position.revision, one.position.index)
            )
        # Nothing is awaited from here on, so that a cancelled call has read either all or nothing.
        self._ready += wanted
        self._held = held
        self._rest = page.rest
        if whole:
            self._position = Position(whole[-1].revision, whole[-1].index)
        if page.rest is None:
            reached = max(self._position.revision, head)
            self._position = Position(reached, WHOLE)
        if self._shown is not None and self._position >= (self._shown.newest, WHOLE):
            self._shown = None  # As long as what was there, and of no use any more.
        return bool(rows)
