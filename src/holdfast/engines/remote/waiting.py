"""Waiting for commits: one question to the server, however many tasks wait for its answer."""

from __future__ import annotations

import asyncio

from holdfast.contract.errors import Overloaded, StoreClosed
from holdfast.engines.remote.line import Line


class Waiting:
    """Who waits on one loop for which revision.

    Args:
        line: to the server.
        waiting_max: how many may wait.
    """

    def __init__(self, line: Line, waiting_max: int) -> None:
        self._line = line
        self._waiting_max = waiting_max
        self._waiting: dict[asyncio.Future[int], int] = {}
        self._watch: asyncio.Task[None] | None = None
        self._head = 0
        self._closed = False

    async def wait(self, after_revision: int) -> int:
        """The head once it is above `after_revision`."""
        if self._closed:
            raise _closed()
        if self._head > after_revision:
            return self._head
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded(
                f"{self._waiting_max} tasks of this event loop wait for a commit already "
                "(waiting_max)",
                limit=self._waiting_max,
            )
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[int] = loop.create_future()
        self._waiting[reached] = after_revision
        if self._watch is None or self._watch.done():  # Cancelled with its loop.
            self._watch = loop.create_task(self._ask(), name="holdfast waits for commits")
        try:
            return await reached
        finally:
            self._waiting.pop(reached, None)
            if not self._waiting:
                await self._end_watch()

    def publish(self, head: int) -> None:
        """Wake the waiters for a revision below `head`."""
        self._head = max(self._head, head)
        for reached, after in list(self._waiting.items()):
            if head > after and not reached.done():
                reached.set_result(head)

    def forget(self) -> None:
        """Revisions are of another line of history now."""
        self._head = 0

    async def close(self) -> None:
        """Wake everybody with StoreClosed."""
        self._closed = True
        self._fail(_closed())
        await self._end_watch()

    # --- Inside -----------------------------------------------------------------------------

    async def _ask(self) -> None:
        while True:
            known = min(self._waiting.values(), default=self._head)
            known = max(known, self._head)
            try:
                head = await self._line.repeated(
                    lambda transport, known=known: transport.wait_above(known),  # type: ignore[misc]
                    writes=False,
                    longest=True,
                )
            except Exception as error:  # noqa: BLE001 - a fault of a driver too is told to each
                self._fail(error)
                self._watch = None
                return
            self.publish(head)
            if all(reached.done() for reached in self._waiting):
                self._watch = None  # Whoever waits next asks anew.
                return

    def _fail(self, error: Exception) -> None:
        for reached in list(self._waiting):
            if not reached.done():
                reached.set_exception(error)

    async def _end_watch(self) -> None:
        """End the question with its last waiter: nothing is left behind."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])


def _closed() -> StoreClosed:
    return StoreClosed("the database was closed while waiting for a commit")
