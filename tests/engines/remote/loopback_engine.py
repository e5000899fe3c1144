"""An engine of the remote base whose server is a process of the tests."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from holdfast.contract.batch import Batch
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import ConnectionLost, OutcomeUnknown, StoreError
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.remote import RemoteConfig, RemoteEngine, Transport
from holdfast.engines.remote.transport import Outcome, Welcome
from tests.servers.loopback import read_frame, write_frame

#: Where the server listens, for this process and those that tests start.
PORT = "HOLDFAST_TEST_LOOPBACK"


@dataclass(frozen=True, kw_only=True)
class LoopbackConfig(RemoteConfig):
    scheme: ClassVar[str] = "loopback"

    reconnect_timeout: float = 5.0


def loopback_config(database: str, **settings: Any) -> LoopbackConfig:
    """A database of the running server."""
    return LoopbackConfig(
        host="127.0.0.1", port=int(os.environ[PORT]), database=database, **settings
    )


class LoopbackTransport(Transport):
    """One connection; answers find their requests by number."""

    def __init__(self, config: LoopbackConfig) -> None:
        self.config = config
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def connect(self) -> Welcome:
        config = self.config
        try:
            reader, self._writer = await asyncio.open_connection(config.host, config.port)
        except OSError as error:
            raise ConnectionLost(f"no server at {config.url}; is it running?") from error
        self._listener = asyncio.create_task(self._listen(reader))
        create = config.create and not config.read_only
        return Welcome(*await self._ask("open", create))

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        if writer is not None:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                return  # It was broken.

    async def read(self, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        answer: tuple[list[Record | None], int] = await self._ask("read", list(keys))
        return answer

    async def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        page: Page = await self._ask("scan", range, rows_max, bytes_max)
        return page

    async def commit_many(
        self, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        outcomes: list[Outcome] = await self._ask("commit_many", list(batches), list(heads), since)
        return outcomes

    async def wait_above(self, revision: int) -> int:
        head: int = await self._ask("wait_above", revision)
        return head

    async def check(self) -> list[str]:
        wrong: list[str] = await self._ask("check")
        return wrong

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], next_revision: int | None
    ) -> None:
        await self._ask("load", list(rows), next_revision)

    async def _ask(self, verb: str, *arguments: object) -> Any:
        number = next(self._numbers)
        if self._writer is None or self._listener is None or self._listener.done():
            raise ConnectionLost("the connection is closed")
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            try:
                await write_frame(self._writer, (number, verb, self.config.database, *arguments))
            except OSError as error:
                raise OutcomeUnknown("the connection broke while the request was sent") from error
            return await answer
        finally:
            del self._answers[number]

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        broken: BaseException | None = None
        try:
            while True:
                number, result = await read_frame(reader)
                answer = self._answers.get(number)
                if answer is None or answer.done():
                    continue
                if isinstance(result, StoreError):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)
        except (asyncio.IncompleteReadError, OSError) as error:
            broken = error
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    lost = OutcomeUnknown("the connection broke before the answer")
                    lost.__cause__ = broken
                    answer.set_exception(lost)


class LoopbackEngine(RemoteEngine):
    """A memory engine of another process."""

    config_type = LoopbackConfig

    def __init__(self, config: EngineConfig, components: Any) -> None:
        super().__init__(config, components)
        self._capabilities = Capabilities(
            engine="loopback",
            io=Io.REMOTE,
            durability="server",
            writable=not config.read_only,
            waits=True,
            checks=True,
            loads=not config.read_only,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def transport(self) -> Transport:
        assert isinstance(self.config, LoopbackConfig)
        return LoopbackTransport(self.config)
