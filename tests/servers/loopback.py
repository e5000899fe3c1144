"""A process that serves memory engines on a loopback socket, for tests of remote engines.

    python -m tests.servers.loopback

It prints its port and serves until it is ended. A message is 4 bytes of length and a pickled
tuple: (number, verb, arguments) one way, (number, result or error) the other. Each answer comes 1
ms later than it could. Verbs on a database name it first; a database is made when it is opened
with `create`, and kept while the process runs. `plan` makes later messages fail on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.contract.batch import Batch
from holdfast.contract.errors import StoreError, StoreNotFound
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.engines.remote.transport import Moved, Outcome
from holdfast.runtime.system import system_components

DELAY_S = 0.001
#: What a plan does with a message: break the connection before or after its work, or not answer.
FAULTS = ("drop_before", "drop_after", "stall")


async def write_frame(writer: asyncio.StreamWriter, content: object) -> None:
    data = pickle.dumps(content)
    writer.write(len(data).to_bytes(4, "big") + data)
    await writer.drain()


async def read_frame(reader: asyncio.StreamReader) -> Any:
    size = int.from_bytes(await reader.readexactly(4), "big")
    return pickle.loads(await reader.readexactly(size))


class Server:
    def __init__(self) -> None:
        self.databases: dict[str, MemoryEngine] = {}
        #: What will happen to the next messages of a verb on a database.
        self.plans: dict[tuple[str, str], list[str]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.connections: set[asyncio.StreamWriter] = set()
        self.turn = asyncio.Lock()

    async def serve(self) -> None:
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - for who starts it
        async with server:
            await server.serve_forever()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        tasks: set[asyncio.Task[None]] = set()
        order = asyncio.Lock()  # What comes over one connection is done in its order.
        try:
            while True:
                message = await read_frame(reader)
                task = asyncio.create_task(self.answer(writer, order, *message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections.discard(writer)
            for task in tasks:
                task.cancel()
            writer.close()

    async def answer(
        self, writer: asyncio.StreamWriter, order: asyncio.Lock, number: int, verb: str,
        database: str, *arguments: Any,
    ) -> None:  # fmt: skip
        plan = self.plans.get((database, verb))
        fault = plan.pop(0) if plan else None
        self.counts[database, verb] += 1
        if fault == "drop_before":
            writer.close()
            return
        result: object
        try:
            if verb == "wait_above":
                result = await self.wait_above(database, *arguments)
            else:
                async with order:
                    result = await getattr(self, verb)(database, *arguments)
        except StoreError as error:
            result = error
        await asyncio.sleep(DELAY_S)
        if fault == "drop_after":
            writer.close()
        elif fault != "stall":
            with contextlib.suppress(ConnectionError):
                await write_frame(writer, (number, result))

    # --- Verbs ------------------------------------------------------------------------------

    async def open(self, database: str, create: bool) -> tuple[str, int]:
        engine = self.databases.get(database)
        if engine is None:
            if not create:
                raise StoreNotFound(f"no database {database}; open it with create=true to make it")
            engine = MemoryEngine(MemoryConfig(), system_components())
            await engine.open()
            self.databases[database] = engine
        return engine.lineage, await engine.head()

    async def read(self, database: str, keys: Sequence[bytes]) -> tuple[list[Record | None], int]:
        engine = self.databases[database]
        return await engine.read(keys), await engine.head()

    async def scan(self, database: str, range: Range, rows_max: int, bytes_max: int) -> Page:
        # Its limits are those that the client goes by.
        assert self.databases[database].capabilities.page_bytes_max == bytes_max
        assert range.rows_wanted(rows_max) <= rows_max
        return await self.databases[database].scan(range)

    async def commit_many(
        self, database: str, batches: Sequence[Batch], heads: Sequence[int | None], since: int
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        engine = self.databases[database]
        async with self.turn:
            begun = await engine.head()
            for batch, wanted in zip(batches, heads, strict=True):
                head = await engine.head()
                known = batch.id is not None and batch.id in engine._state.batch_ids
                if wanted is not None and (wanted, since) != (head, begun) and not known:
                    outcomes.append(Moved(head))
                    continue
                try:
                    outcomes.append(await engine.commit(batch))
                except StoreError as error:
                    outcomes.append(error)
        return outcomes

    async def wait_above(self, database: str, revision: int) -> int:
        return await self.databases[database].wait(revision)

    async def check(self, database: str) -> list[str]:
        return await self.databases[database].check()

    async def load(
        self, database: str, rows: Sequence[tuple[bytes, Record | None]], next_revision: int | None
    ) -> None:
        await self.databases[database].load(rows, next_revision=next_revision)

    # --- For tests --------------------------------------------------------------------------

    async def plan(self, database: str, verb: str, faults: list[str]) -> None:
        assert set(faults) <= {*FAULTS, ""}
        self.plans[database, verb] = faults

    async def counted(self, database: str) -> dict[str, int]:
        return {verb: count for (one, verb), count in self.counts.items() if one == database}

    async def restore(self, database: str) -> None:
        """Start the database anew: another lineage, nothing in it. Connections break."""
        engine = MemoryEngine(MemoryConfig(), system_components())
        await engine.open()
        self.databases[database] = engine
        for writer in list(self.connections):
            writer.close()


def start_loopback(folder: Path) -> dict[str, Any]:
    """Start the process; where it listens."""
    root = Path(__file__).parents[2]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.loopback"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        stderr=log,
    )
    log.close()
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
    assert line.strip(), f"the server did not start: {(folder / 'log').read_text()}"
    process.returncode = 0  # It is ended by its number, perhaps by another process.
    return {"port": int(line), "pid": process.pid, "signal": "SIGTERM"}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Server().serve())
