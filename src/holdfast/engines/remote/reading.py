"""One round trip for all reads that tasks ask for in the same turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from holdfast.contract.errors import Overloaded
from holdfast.contract.record import Record
from holdfast.engines.remote.line import Line

#: How many keys travel together, unless one caller asks for more at once.
READ_KEYS_MAX = 1000

Answer = tuple[list[Record | None], int]


class Reading:
    """Gathers reads. Each answer is of one moment; several callers may share that moment.

    Args:
        line: to the server.
        waiting_max: how many callers may wait.
    """

    def __init__(self, line: Line, waiting_max: int) -> None:
        self._line = line
        self._waiting_max = waiting_max
        self._gathered: list[tuple[Sequence[bytes], asyncio.Future[Answer]]] = []
        self._waiting = 0

    async def read(self, keys: Sequence[bytes]) -> Answer:
        """The records of the keys, and the head of the same moment."""
        if self._waiting >= self._waiting_max:
            raise Overloaded(
                f"{self._waiting_max} reads of this event loop wait for the server already "
                "(waiting_max); wait, or ask for many keys at once",
                limit=self._waiting_max,
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        if not self._gathered:
            loop.call_soon(self._send)
        self._gathered.append((keys, answer))
        self._waiting += 1
        try:
            return await answer
        finally:
            self._waiting -= 1

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        if len(gathered) == 1:
            self._line.start(self._carry(gathered))
            return
        group: list[tuple[Sequence[bytes], asyncio.Future[Answer]]] = []
        count = 0
        for one in gathered:
            if group and count + len(one[0]) > READ_KEYS_MAX:
                self._line.start(self._carry(group))
                group, count = [], 0
            group.append(one)
            count += len(one[0])
        self._line.start(self._carry(group))

    async def _carry(self, group: Sequence[tuple[Sequence[bytes], asyncio.Future[Answer]]]) -> None:
        keys = group[0][0]
        if len(group) > 1:
            keys = list(dict.fromkeys(key for asked, _ in group for key in asked))
        try:
            records, head = await self._line.repeated(
                lambda transport: transport.read(keys), writes=False
            )
        except BaseException as error:  # noqa: BLE001 - who waits must hear of it, whatever it is
            for _, answer in group:
                if not answer.done():
                    answer.set_exception(error)
                    answer.exception()
            return
        if len(group) == 1:
            if not group[0][1].done():
                group[0][1].set_result((records, head))
            return
        found = dict(zip(keys, records, strict=True))
        for asked, answer in group:
            if not answer.done():  # The caller was cancelled.
                answer.set_result(([found[key] for key in asked], head))
