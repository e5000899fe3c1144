"""Files of tables: written whole or not at all, and read without holding up an event loop."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeVar

from holdfast.documents.collection import Collection
from holdfast.documents.plain import components_of, runtime_of


class Closable(Protocol):
    """What has to be closed."""

    def close(self) -> Any:
        """Let go of it."""


T = TypeVar("T")
C = TypeVar("C", bound=Closable)

#: How many steps of a reader are made at once, away from the loop.
STEPS: Final = 256


@contextmanager
def replaced(path: str | PathLike[str], collection: Collection[Any]) -> Iterator[Path]:
    """A file beside `path` to write; it takes the place of `path` once all was written.

    Args:
        path: what is there already is replaced, at the end of a symbolic link too, and gives its
            mode.
        collection: its database names the file in the meantime.
    """
    place = Path(path).resolve()
    ids = components_of(collection).ids
    beside = place.with_name(f"holdfast-{ids.new().hex()}.partial")
    try:
        yield beside
        with beside.open("rb+") as stream:
            os.fsync(stream.fileno())
        if place.exists():
            beside.chmod(stat.S_IMODE(place.stat().st_mode))
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


@asynccontextmanager
async def output(
    collection: Collection[Any], target: str | PathLike[str] | IO[str]
) -> AsyncIterator[IO[str]]:
    """A stream of text to a file, which is there when all was written; or the stream given."""
    if not isinstance(target, str | PathLike):
        yield target
        return
    with (
        replaced(target, collection) as beside,
        beside.open("x", encoding="utf-8", newline="") as stream,
    ):
        yield stream


async def offload(collection: Collection[Any], work: Callable[[], T]) -> T:
    """Do what waits for a disk away from the loop, if there is one.

    A caller that is cancelled goes on when the work has ended: nobody closes a file under it.
    """
    runtime = runtime_of(collection)
    if runtime.blocking:
        return work()
    task = asyncio.ensure_future(runtime.offload(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # Asked for, so that nobody complains that nobody did.
        raise


@asynccontextmanager
async def held(collection: Collection[Any], acquire: Callable[[], C]) -> AsyncIterator[C]:
    """What was opened away from the loop; closed in the end, after a cancelled wait for it too."""
    found: list[C] = []
    try:
        await offload(collection, lambda: found.append(acquire()))
        yield found[0]
    finally:
        for one in found:
            one.close()


@asynccontextmanager
async def opened(
    collection: Collection[Any], source: str | PathLike[str] | IO[bytes]
) -> AsyncIterator[IO[bytes]]:
    """The bytes of a file by its path, or those of a stream, which stays open."""
    if not isinstance(source, str | PathLike):
        yield source
        return
    async with held(collection, lambda: io.BufferedReader(io.FileIO(source))) as stream:
        yield stream


async def stepped(collection: Collection[Any], steps: Iterator[T]) -> AsyncIterator[T]:
    """What an iterator gives that reads a file; what it raises comes behind what it gave."""

    def some() -> tuple[list[T], BaseException | None]:
        made: list[T] = []
        try:
            made.extend(islice(steps, STEPS))
        except BaseException as error:  # noqa: BLE001 - raised below
            return made, error
        return made, None

    while True:
        made, failure = await offload(collection, some)
        for one in made:
            yield one
        if failure is not None:
            raise failure
        if not made:
            return
