"""What an engine keeps for one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from holdfast.contract.batch import Batch, Draft
from holdfast.contract.errors import StoreError
from holdfast.contract.runtime import Ids
from holdfast.engines.remote.config import RemoteConfig
from holdfast.engines.remote.gathering import Gathering
from holdfast.engines.remote.line import Line
from holdfast.engines.remote.reading import Reading
from holdfast.engines.remote.transport import Transport, Welcome
from holdfast.engines.remote.waiting import Waiting


class Site:
    """The way to the server of one loop, and who shares it.

    Attributes:
        line: to the server.
        reading: reads that travel together.
        gathering: writes that travel together.
        waiting: who waits for commits.

    Args:
        settings: the bounds.
        transport: makes a way to the server.
        welcomed: told what the server said each time a connection was made.
        ids: for batches that come without one.
        check: refuses a batch that breaks a limit.
        key_bytes_max: of the engine.
    """

    def __init__(
        self,
        settings: RemoteConfig,
        transport: Callable[[], Transport],
        welcomed: Callable[[Welcome], None],
        ids: Ids,
        check: Callable[[Batch | Draft], None],
        key_bytes_max: int,
    ) -> None:
        self._tell = welcomed
        self._lineage = ""
        self._closing: asyncio.Task[None] | None = None
        most = settings.waiting_max
        self.line = Line(settings, transport, self._welcomed)
        self.reading = Reading(self.line, most)
        self.waiting = Waiting(self.line, most)
        self.gathering = Gathering(self.line, ids, check, key_bytes_max, most, self.waiting.publish)

    async def close(self) -> None:
        """Finish what was handed over, wake who waits, let go of the server.

        Several callers share one closing, and cancelling one of them does not cancel it: whoever
        returned first would end the loop under the others.
        """
        await asyncio.shield(self._start_closing())

    def close_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have it closed on its own loop, as soon as that turns."""
        with contextlib.suppress(RuntimeError):  # The loop is closed, and all this with it.
            loop.call_soon_threadsafe(self._start_closing)

    def part(self, refusal: StoreError) -> None:
        """In a forked child: send nothing more, whoever goes on there."""
        self.line.part(refusal)

    def _start_closing(self) -> asyncio.Task[None]:
        # Kept by itself: a task that nobody holds may vanish half-way.
        if self._closing is None or self._closing.done():
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        try:
            await self.gathering.close()
            await self.waiting.close()
        finally:
            await self.line.close()

    def _welcomed(self, welcome: Welcome) -> None:
        if welcome.lineage != self._lineage:
            self._lineage = welcome.lineage
            self.waiting.forget()  # Revisions begin anew.
        self._tell(welcome)
