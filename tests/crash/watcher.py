"""A process that watches a database, and tells what it saw and how often it woke.

    python -m tests.crash.watcher URL FROM

FROM: the revision after which changes are told. Each line of output is one JSON object:
`{"ready": true}`, then one for each change, with the moment at which it arrived. A line of input is
answered with how often the process has woken so far: how often it gave up a core by itself.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

import holdfast
from tests.crash.writer import tell


async def answer() -> None:
    """Answer each line of input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        woken = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        tell(woken=woken, at=time.monotonic())


async def main(url: str, since: int) -> None:
    """Watch until it is killed."""
    answering = asyncio.create_task(answer())
    async with holdfast.open(url) as db, db.watch("#", since=since) as changes:
        tell(ready=True)
        async for change in changes:
            tell(revision=change.revision, index=change.index, seen_at=time.monotonic())
    await answering


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
