"""The tail: one reader of new feed rows for each open database, however many wait for changes.

Each waiter says which keys concern it. The tail reads each new feed row once, finds in a trie
which waiters it concerns, and wakes only those: a thousand idle watchers cost a writer one
wake-up. It runs in a thread of its own, only while there are waiters.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from holdfast.codecs.pattern import Pattern
from holdfast.codecs.trie import PatternTrie
from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidInput, StoreClosed, StoreError
from holdfast.contract.forks import renewed_lock
from holdfast.contract.runtime import Background, Completion
from holdfast.runtime.gate import Gate
from holdfast.store.feed.feed import Feed
from holdfast.store.feed_row import FeedPosition
from holdfast.store.keyspaces import Keyspaces
from holdfast.store.views import ChangeReader, ViewKeeper

_log = logging.getLogger("holdfast")

#: How long the tail rests after it has told of changes, so that commits that follow each other
#: closely are read together, and most of their writers need not wake the tail.
REST_S = 0.002
#: The pause after the feed could not be read, in seconds.
RETRY_S = 0.5
#: How long a close waits, in seconds, for the tail to end.
CLOSE_WAIT_S = 1.0
#: How many keyspaces' readers are remembered.
READERS_MAX = 1000
#: Stands for all views.
EVERY_VIEW = "*"


class Waiter:
    """A watch or a live result that waits for changes. Made by `Tail.join`; leave when done.

    Args:
        tail: of the database.
        gate: of the handle; its closing wakes the waiter.
    """

    def __init__(self, tail: Tail, gate: Gate) -> None:
        self._tail = tail
        self.gate = gate
        self.token = 0
        self.view = ""
        self.woken = False
        self.completion: Completion[None] | None = None

    async def wait(self, after: int) -> None:
        """Wait until a change that may concern this waiter was committed since it last waited.

        Args:
            after: revision up to which the waiter has read.
        """
        await self._tail.wait(self, after)

    def wake(self) -> None:
        """End its wait, or the next one, as a change would: there is something else to look at."""
        self._tail.wake_one(self)

    def leave(self) -> None:
        """Wait no more; leaving twice does nothing."""
        self._tail.leave(self)


class Tail:
    """Wakes the waiters that new changes concern.

    Args:
        engine, feed, keyspaces: of the database.
        views: the keepers by view.
    """

    def __init__(
        self, engine: Engine, feed: Feed, keyspaces: Keyspaces, views: Mapping[str, ViewKeeper]
    ) -> None:
        self._engine = engine
        self._feed = feed
        self._keyspaces = keyspaces
        self._views = views
        self._host = engine.components.host
        self._lock = renewed_lock(self, "_lock")
        self._tries: dict[str, PatternTrie[Waiter]] = {}
        self._waiters: set[Waiter] = set()
        self._readers: dict[int, tuple[str, ChangeReader | None]] = {}
        self._reader: Background | None = None
        #: The last one that was told to end.
        self._stopped: Background | None = None
        #: Everything up to this revision was told.
        self._position = 0
        self._closed = False

    @property
    def joined(self) -> int:
        """How many have joined and not left."""
        return len(self._waiters)

    @property
    def waiting(self) -> int:
        """How many of them wait right now."""
        with self._lock:
            return sum(one.completion is not None for one in self._waiters)

    def check_view(self, view: str) -> None:
        """Refuse a name that is no view of this database: nothing would ever be told of it."""
        if not isinstance(view, str):
            raise InvalidInput(f"a view is given by its name; found a {type(view).__name__}")
        if view != EVERY_VIEW and view not in self._views:
            known = ", ".join(sorted(self._views))
            raise InvalidInput(
                f"the view {view!r:.80} is unknown; give {EVERY_VIEW!r} or one of: {known}"
            )

    def join(self, view: str, pattern: Pattern, gate: Gate) -> Waiter:
        """Have a waiter for changes of a view's keys that match; `*`: of every view's."""
        waiter = Waiter(self, gate)
        try:
            with self._lock:
                waiter.view = view
                self._waiters.add(waiter)
                waiter.token = self._tries.setdefault(view, PatternTrie()).add(pattern, waiter)
            return waiter
        except BaseException:
            self.leave(waiter)
            raise

    def leave(self, waiter: Waiter) -> None:
        """The waiter waits no more."""
        reader: Background | None = None
        with self._lock:
            if waiter not in self._waiters:
                return
            trie = self._tries.get(waiter.view)
            if trie is not None:  # Else its joining was interrupted.
                trie.remove(waiter.token)
            self._waiters.discard(waiter)
            if not self._waiters:
                reader, self._reader = self._reader, None
                self._stopped = reader or self._stopped
        if reader is not None:
            reader.stop()

    async def wait(self, waiter: Waiter, after: int) -> None:
        """See `Waiter.wait`."""
        if self._engine.capabilities.io is Io.REMOTE:
            await self._engine.wait(after)  # The server wakes; a thread here could not ask it.
            return
        completion: Completion[None] = self._host.runtime().completion()
        with self._lock:
            if waiter.woken:
                waiter.woken = False
                return
            if self._closed:
                raise _closed()
            # While nothing was waiting, the tail read no changes.
            told = after if self._reader is None else self._position
            if self._reader is None:
                self._position = after
                self._reader = self._host.start("holdfast tail", self._run)
            if told > after:
                return  # The tail is ahead of what was read: read on first.
            waiter.completion = completion
        try:
            await completion.wait()
            waiter.woken = False
        finally:
            waiter.completion = None

    def wake(self, gate: Gate) -> None:
        """Wake those of one handle: it closes."""
        with self._lock:
            self._settle([one for one in self._waiters if one.gate is gate])

    def wake_one(self, waiter: Waiter) -> None:
        """See `Waiter.wake`."""
        with self._lock:
            self._settle([waiter])

    async def close(self) -> None:
        """Wake everybody, and end."""
        with self._lock:
            self._closed = True
            readers = [one for one in (self._reader, self._stopped) if one is not None]
            self._reader = self._stopped = None
            self._settle(list(self._waiters))
        for reader in readers:
            reader.stop()
            await reader.wait(CLOSE_WAIT_S)

    # --- Inside -----------------------------------------------------------------------------

    async def _run(self) -> None:
        runtime = self._host.runtime()
        while not self._closed:
            try:
                head = await self._engine.wait(self._position)
                async for positions in self._feed.after(self._position):
                    await self._tell(positions)
                self._position = max(self._position, head)
                pause = REST_S
            except StoreClosed:
                break
            except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001
                # Those who wait look for themselves.
                said = str(error) if isinstance(error, StoreError) else type(error).__name__
                _log.warning("the feed is read again for those who wait: %s", said)
                with self._lock:
                    self._settle(list(self._waiters))
                pause = RETRY_S
            await runtime.sleep(pause)
        with self._lock:
            self._settle(list(self._waiters))

    async def _tell(self, positions: list[FeedPosition]) -> None:
        """Wake the waiters that a page of changes concerns."""
        concerned: set[Waiter] = set()
        for position in positions:
            row = position.row
            known = self._readers.get(row.keyspace)
            if known is None:
                known = await self._reader_of(row.keyspace)
            view, reader = known
            segments = None
            if reader is not None and row.key:
                try:
                    segments = reader.segments(reader.key(row.key))
                except BaseException as error:  # noqa: BLE001 - the waiters get it when they read
                    _log.warning("a change of %s was not read: %s", view, type(error).__name__)
            with self._lock:
                for name in (view, EVERY_VIEW):
                    trie = self._tries.get(name)
                    if trie is None or not len(trie):
                        continue
                    if segments is None:
                        concerned.update(one for one in self._waiters if one.view == name)
                    else:
                        concerned.update(trie.matches(segments))
        with self._lock:
            # Set before they are woken: a waiter that joins now and has read less looks for itself.
            self._position = max(self._position, positions[-1].revision)
            self._settle(concerned & self._waiters)

    async def _reader_of(self, number: int) -> tuple[str, ChangeReader | None]:
        keyspace = await self._keyspaces.by_number(number)
        if keyspace is None:
            return "", None  # It may be made known later.
        keeper = self._views.get(keyspace.view)
        reader = None if keeper is None else keeper.reader(self._engine, keyspace)
        if len(self._readers) >= READERS_MAX:
            self._readers.clear()
        self._readers[number] = found = (keyspace.view, reader)
        return found

    def _settle(self, waiters: set[Waiter] | list[Waiter]) -> None:
        """Wake these. The caller holds the lock."""
        completions = []
        for waiter in waiters:
            waiter.woken = True
            if waiter.completion is not None:
                completions.append((waiter.completion, None, None))
        if completions:
            self._host.settle(completions)


def _closed() -> StoreClosed:
    return StoreClosed("the database was closed while changes were waited for")
