"""Who closes an open engine: its owner, a cancelled opening, the collector, the process's end.

Opening and closing are blocking work that a loop offloads, and such work goes on when its caller is
cancelled. So an engine remembers that nobody wants what is being opened, and a close can be
repeated until everything is let go. An engine that nobody closed is closed when it is collected,
with a ResourceWarning; what it acknowledged is flushed when the process ends.
"""

from __future__ import annotations

import atexit
import logging
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Protocol

from holdfast.contract.forks import Paused, around_fork
from holdfast.contract.runtime import Host
from holdfast.engines.embedded.locking import holding

_log = logging.getLogger("holdfast")


class Living(Protocol):
    """What this module asks of an engine."""

    def before_fork(self) -> None:
        """Let nothing be under way that a child could not live with; undone by the next."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Let go of what is the parent's, and refuse every call."""

    def abandoned(self) -> None:
        """The process ends, and nobody closed the engine."""


_alive: weakref.WeakSet[Living] = weakref.WeakSet()


def born(engine: Living) -> None:
    """The engine is open."""
    _alive.add(engine)


def died(engine: Living) -> None:
    """The engine is closed."""
    _alive.discard(engine)


class Ownership:
    """Opens once and closes once, whatever is cancelled or interrupted meanwhile.

    Args:
        host: tells how callers wait.
        url: for messages.
        close: lets go of everything; repeated after an interrupt. Holds the thread.
    """

    def __init__(self, host: Host, url: str, close: Callable[[], None]) -> None:
        self._host = host
        self._url = url
        self._close = close
        self._lock = threading.RLock()
        self._open = False
        # An item for each call of `open` that still wants it, and for each that is at it.
        self._wanted: set[object] = set()
        self._taking: set[object] = set()

    async def open(self, open: Callable[[], None]) -> None:
        """Run `open`, which leaves nothing behind when it fails. Closes again for the cancelled.

        What is open already stays so.
        """
        mine = object()
        runtime = self._host.runtime()
        try:
            self._wanted.add(mine)
            await runtime.offload(lambda: self._take(open, mine))
        except BaseException as error:
            # Either this sees that it is open, or `_take` sees that nobody wants it.
            self._wanted.discard(mine)
            if runtime.blocking:
                if not isinstance(error, Exception):
                    # Interrupted in this thread: nobody knows how far it came.
                    self._open = True
                    self.let_go()
            elif self._open:
                self._host.spawn("holdfast close", self._let_go_unwanted)
            raise

    async def close(self) -> None:
        """Close what is open; also what a cancelled close left open, or has under way."""
        if self._open or self._taking:
            await self._host.runtime().offload(self.let_go)

    def let_go(self) -> None:
        """Close now, in this thread."""
        holding(self._lock, self._let_go)

    def forget(self) -> None:
        """In a forked child: nothing here is its own to close."""
        self._open = False

    def close_unclosed(self) -> None:
        """Close what its owner forgot, and tell so."""
        if not self._open:
            return
        try:
            warnings.warn(
                f"the database {self._url} was never closed; close it, or open it with "
                "`with` or `async with`",
                ResourceWarning,
                stacklevel=2,
            )
        finally:
            try:
                self.let_go()
            except Exception as error:  # noqa: BLE001 - nobody is there to hear it
                _log.warning("closing %s, which its owner did not, failed: %s", self._url, error)

    def _take(self, open: Callable[[], None], mine: object) -> None:
        try:
            self._taking.add(mine)
            holding(self._lock, lambda: self._take_now(open, mine))
        finally:
            self._taking.discard(mine)

    def _take_now(self, open: Callable[[], None], mine: object) -> None:
        if self._open or mine not in self._wanted:
            return  # Cancelled before this thread came to it; whoever closes did not wait for it.
        open()
        self._open = True
        if not self._wanted:
            self._let_go()

    def _let_go_unwanted(self) -> None:
        holding(self._lock, lambda: None if self._wanted else self._let_go())

    def _let_go(self) -> None:
        if not self._open:
            return
        try:
            self._close()
        except Exception:
            self._open = False
            raise
        self._open = False
        self._wanted.clear()


# --- The process forks, or ends ---------------------------------------------------------------

_paused: list[Living] = []


def _before_fork() -> None:
    for engine in list(_alive):
        _paused.append(engine)
        try:
            engine.before_fork()
        except Exception as error:  # noqa: BLE001 - the others are to be paused too
            _log.warning("a fork comes while a database cannot be paused: %s", error)


def _after_fork_in_parent() -> None:
    while _paused:
        _paused.pop().after_fork_in_parent()


def _after_fork_in_child() -> None:
    _paused.clear()
    for engine in list(_alive):
        engine.after_fork_in_child()
    _alive.clear()


def _at_exit() -> None:
    for engine in list(_alive):
        try:
            engine.abandoned()
        except Exception as error:  # noqa: BLE001 - the others are to be flushed too
            _log.warning("flushing a database at the end of the process failed: %s", error)


atexit.register(_at_exit)
around_fork(
    Paused.STORAGE,
    before=_before_fork,
    in_parent=_after_fork_in_parent,
    in_child=_after_fork_in_child,
)
