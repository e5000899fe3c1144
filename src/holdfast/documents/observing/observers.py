"""Observers: what is told each commit to a collection, whoever made it.

They stand at a revision up to which everything was told. A writer of this handle that has
committed tells before it goes on; what others commit is noticed by a follower, which is there only
while somebody observes. Everything comes from the feed, in its order: nothing is told before it is
committed, nothing is left out, nothing is told twice.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any, Final

import msgspec

from holdfast.contract.errors import (
    Compacted,
    SchemaValidationFailed,
    StoreClosed,
    StoreError,
    TimedOut,
)
from holdfast.contract.forks import renewed_lock
from holdfast.contract.runtime import Background, Completion, Runtime
from holdfast.documents.observing.calling import Handler, call_all, log_raised
from holdfast.documents.observing.hooks import require_room
from holdfast.store.change import Change
from holdfast.store.feed.feed import WHOLE
from holdfast.store.feed.tail import Waiter
from holdfast.store.feed.watch import Changes
from holdfast.store.feed_row import FeedPosition

_log = logging.getLogger("holdfast")

#: How many changes of one commit are told together; of a bigger one the rest comes after them.
COMMIT_CHANGES_MAX: Final = 10_000
#: How long a writer waits, in seconds, while another one's changes are being told.
WRITER_WAIT_S: Final = 0.1
#: How long the follower leaves a commit to its writer, in seconds.
PAUSE_S: Final = 0.002
#: The pause after the feed could not be read, in seconds.
RETRY_S: Final = 0.5
#: How long a close waits, in seconds, for what is under way.
CLOSE_WAIT_S: Final = 1.0

#: Is told the changes of one commit; what it makes of them is its own.
Observer = Callable[[list[Change]], object]


class Observers:
    """Those who observe one collection through one handle.

    Args:
        name: of the collection.
        view: of collections.
        changes: of the handle.
        join: has a waiter for the collection's changes.
    """

    def __init__(self, name: str, view: str, changes: Changes, join: Callable[[], Waiter]) -> None:
        self._name = name
        self._view = view
        self._changes = changes
        self._join = join
        self._host = changes.engine.components.host
        self._observers: tuple[tuple[Handler, Observer], ...] = ()
        self._follower: Background | None = None
        #: The one that is to go on: of another one an interrupt kept the end from coming.
        self._following: object = None
        #: Guards what follows: one caller at a time tells, and has the turn.
        self._lock = renewed_lock(self, "_lock")
        self._turn: object = None
        self._waiting: list[Completion[None]] = []
        self._position = 0
        #: The last change that was told of a commit that has not been told whole.
        self._index = WHOLE
        self._wanted = 0

    @property
    def active(self) -> bool:
        """Whether anybody observes."""
        return bool(self._observers)

    # --- Observing --------------------------------------------------------------------------

    def add(self, handler: Handler, observer: Observer) -> None:
        """Have an observer told every commit from now on; `handler` is what it is known by."""
        with self._lock:
            require_room(len(self._observers), "change")
            self._changes.gate.check()
            before = self._observers
            try:
                self._observers = (*before, (handler, observer))
                if before:
                    return
                following = self._following = object()
                # Asked once the observer is in place, so that no commit falls between.
                self._position = max(self._position, self._changes.head())
                self._index = WHOLE
                runtime = self._changes.gate.runtime
                self._follower = runtime.start(
                    "holdfast observers", lambda: self._follow(runtime, following)
                )
            except BaseException:
                # Whoever was interrupted is told nothing, and whoever comes next has a follower.
                self._observers = before
                if not before:
                    self._following = None
                raise

    def remove(self, handler: Handler) -> None:
        """Tell the observer no more; one that is not there is none."""
        follower: Background | None = None
        with self._lock:
            for one in self._observers:
                if one[0] == handler:
                    self._observers = tuple(kept for kept in self._observers if kept is not one)
                    break
            if not self._observers:
                self._following = None
                follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    async def close(self) -> None:
        """Tell nobody anything any more."""
        with self._lock:
            self._observers, self._following = (), None
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()
            await follower.wait(CLOSE_WAIT_S)

    async def committed(self, revision: int) -> None:
        """A writer of this handle has committed: tell before it goes on. It never fails for that.

        What an observer raises is logged; an interrupt goes on to the writer.
        """
        try:
            await self._reach(revision, (BaseException,))
        except StoreError as error:
            _log.warning("observers have to wait for revision %d: %s", revision, error)

    # --- Inside -----------------------------------------------------------------------------

    async def _reach(self, revision: int, going_on: tuple[type[BaseException], ...]) -> None:
        runtime = self._changes.gate.runtime
        caller = runtime.caller()
        while self.active and self._position < revision:
            completion: Completion[None] | None = None
            with self._lock:
                self._wanted = max(self._wanted, revision)
                if self._turn is None:
                    self._turn = caller
                elif self._turn is caller:
                    return  # Written inside a handler: told when that has returned.
                else:
                    completion = runtime.completion()
                    self._waiting.append(completion)
            if completion is not None:
                try:
                    await completion.wait(WRITER_WAIT_S)
                except TimedOut:
                    return  # Whoever has the turn will tell it.
                continue
            try:
                await self._advance(going_on)
            finally:
                with self._lock:
                    self._turn = None
                    waiting, self._waiting = self._waiting, []
                self._host.settle((one, None, None) for one in waiting)

    async def _advance(self, going_on: tuple[type[BaseException], ...]) -> None:
        """Tell from the feed up to what is wanted. The caller has the turn."""
        while self.active and self._position < self._wanted:
            until = self._wanted
            try:
                await self._tell_on(going_on)
            except Compacted as gone:
                until = int(gone.details["oldest"]) - 1
                _log.error("observers missed the changes up to revision %d: %s", until, gone)
            if self._position < until:
                self._position, self._index = until, WHOLE

    async def _tell_on(self, going_on: tuple[type[BaseException], ...]) -> None:
        """Tell all that is there, commit by commit."""
        commit: list[Change] = []
        held: FeedPosition | None = None
        async for position in self._positions():
            if held is not None:
                last = held.revision != position.revision
                commit = await self._note(commit, held, going_on, last=last)
            held = position
        if held is not None:
            await self._note(commit, held, going_on, last=True)

    async def _positions(self) -> AsyncIterator[FeedPosition]:
        revision, index, rest = self._position, self._index, None
        while True:
            positions, rest = await self._changes.feed.page(revision, index, rest)
            for one in positions:
                yield one
            if rest is None:
                return
            revision = max(revision, positions[-1].revision - 1) if positions else revision

    async def _note(
        self,
        commit: list[Change],
        position: FeedPosition,
        going_on: tuple[type[BaseException], ...],
        *,
        last: bool,
    ) -> list[Change]:
        """Add a change to its commit, and tell that when it is whole; what is left to be told."""
        wanted = await self._changes.read(self._view, position, last=last)
        keyspace = None if wanted is None else wanted.keyspace
        if wanted is not None and keyspace is not None and keyspace.name == self._name:
            commit.append(await self._changes.tell(wanted))
        if not last and len(commit) < COMMIT_CHANGES_MAX:
            return commit
        # Before they are called: what one of them raises is no reason to call it again.
        self._position, self._index = position.revision, WHOLE if last else position.index
        if commit:
            observers = tuple(observer for _, observer in self._observers)
            log_raised("change", await call_all(observers, commit), going_on)
        return []

    async def _follow(self, runtime: Runtime, following: object) -> None:
        """Notice what others commit, until another one is to."""
        # A thread of its own has nobody to interrupt.
        going_on = () if runtime.blocking else (KeyboardInterrupt, SystemExit)
        waiter = self._join()
        try:
            while self._following is following:
                try:
                    await waiter.wait(self._position)
                    # A writer of this handle goes first.
                    await runtime.sleep(PAUSE_S)
                    await self._reach(await self._changes.engine.head(), going_on)
                except StoreClosed:
                    return
                except StoreError as error:
                    _log.warning("changes for observers are waited for again: %s", error)
                    await runtime.sleep(RETRY_S)
                except Exception as error:  # noqa: BLE001 - one failure is not to end the rest
                    _log.error("changes for observers: %s", type(error).__name__)
                    await runtime.sleep(RETRY_S)
        finally:
            waiter.leave()


def own_change(change: Change, make: Callable[[Any], Any]) -> Change:
    """A change with values of a handler's own."""
    before, after = change.before, change.after
    return msgspec.structs.replace(
        change,
        before=None if before is None else as_it_was(make, deepcopy(before)),
        after=None if after is None else make(deepcopy(after)),
    )


def as_it_was(make: Callable[[Any], Any], plain: Any) -> Any:
    """A document of the past: of the type of its collection, or plain where it does not fit that.

    A type becomes another one with time; what was written before must not keep a change from being
    told, least of all the one that brings the document into its new shape or removes it.
    """
    try:
        return make(plain)
    except SchemaValidationFailed:
        return plain
