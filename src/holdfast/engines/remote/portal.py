"""A thread with an event loop, for callers that have none.

A synchronous handle drives its coroutines in the caller's thread, where nothing can wait for a
server without holding the thread. So the work is done on this loop, and the thread is held until
it is done.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.contract.errors import StoreClosed, WrongContext
from holdfast.contract.runtime import Completion, Host, Worker

T = TypeVar("T")

#: How a child ends that was forked in a function on this thread, once the function returns there.
PARTED_EXIT = 1


class Portal:
    """Runs coroutines for callers that hold their thread. The thread starts when first needed."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self._host = host
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Worker | None = None
        self._closed = False
        self._stopped = False
        self._parted = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """Its loop, once it was needed."""
        return self._loop

    @property
    def closed(self) -> bool:
        """Whether it runs nothing more."""
        return self._closed

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, withdraw: bool = False) -> T:
        """The result of the work, done on the portal's loop.

        Args:
            work: makes the coroutine, on that loop.
            withdraw: cancel the work when the caller is interrupted (Ctrl-C).
        """
        if asyncio._get_running_loop() is (self._loop or self):  # noqa: SLF001 - the public one raises
            raise WrongContext(
                "a function that decides a write (of modify or transact) cannot use the same "
                "database itself: it would wait for the commit that it is a part of. Return what "
                "to write, or do it after the call"
            )
        completion: Completion[T] = self._host.runtime().completion()
        tasks: list[asyncio.Task[None]] = []

        async def guarded() -> None:
            # Whatever is raised goes to the caller: some of it would end the loop.
            try:
                completion.settle(await work())
            except BaseException as error:  # noqa: BLE001 - it is raised again by the caller
                ended = self._closed and isinstance(error, asyncio.CancelledError)
                completion.settle(error=_closed() if ended else error)

        def start() -> None:
            task = asyncio.get_running_loop().create_task(guarded())
            # One that is cancelled before its first step never comes to settle anything.
            task.add_done_callback(lambda _: completion.settle(error=_closed()))
            tasks.append(task)

        with self._lock:
            # Not once it is closing: what is started before the loop stops is told by then.
            self._started().call_soon_threadsafe(start)
        try:
            return await completion.wait()
        except BaseException:
            if withdraw and not self._parted and tasks and not tasks[0].done():
                self._cancel(tasks[0])
            raise

    def part(self) -> None:
        """In a forked child: the thread is the parent's, and so is what wakes its loop."""
        self._parted = True
        if self._loop is not None:
            self._loop.stop()  # Where a function on this loop has forked. Nobody is woken by it.

    def close(self) -> None:
        """End the thread; holds the caller's until it has. Several may close at once."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            try:
                loop.call_soon_threadsafe(self._stop, loop)
            except RuntimeError:
                return  # It has ended already.
            thread.join()

    # --- Inside -----------------------------------------------------------------------------

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise _closed()
        if self._loop is None:
            loop = asyncio.new_event_loop()
            try:
                self._thread = self._host.spawn(self.name, lambda: self._turn(loop))
            except Exception:
                loop.close()  # There is no thread for it.
                raise
            except BaseException:
                loop.call_soon_threadsafe(loop.stop)  # Interrupted: it may turn already.
                raise
            # Only now: whoever hands work to a loop that never turns would wait for ever.
            self._loop = loop
        return self._loop

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._stopped:
            self._stopped = True  # A second stop would break off how the thread ends its tasks.
            loop.stop()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            if self._parted:
                # A function of modify forked here and returned in the child, where no caller waits.
                # To end the tasks or the loop would reach the sockets of the parent.
                os._exit(PARTED_EXIT)
            while left := asyncio.all_tasks(loop):
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def _cancel(self, task: asyncio.Task[None]) -> None:
        try:
            task.get_loop().call_soon_threadsafe(task.cancel)
        except RuntimeError:
            return  # The loop is closed, and the task with it.


def _closed() -> StoreClosed:
    return StoreClosed("the database is closed; open it again")
