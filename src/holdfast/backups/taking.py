"""Taking a backup: to a file, which can be gone on with, to a stream, or to a URL of fsspec."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple

from holdfast.backups.chain import BackupFacts, verify_path
from holdfast.backups.framing import FORMAT, LAYER, ROWS, FrameReader, FrameWriter, Head, Layer
from holdfast.backups.given import place_of, stream_or_path
from holdfast.backups.places import fsspec_for, written
from holdfast.backups.walking import BackupWalk, Border, Progress
from holdfast.codecs.compression import compression_named
from holdfast.contract.capability import Io
from holdfast.contract.config import masked
from holdfast.contract.engine import Engine
from holdfast.contract.errors import (
    Compacted,
    DriverMissing,
    IntegrityFailed,
    InvalidInput,
    StorageFull,
    StoreError,
    StoreExists,
    StoreLocked,
)
from holdfast.contract.files import NO_ROOM, flush_directory
from holdfast.runtime.drive import drive
from holdfast.runtime.working import checked_progress

#: What the name of a backup under way ends with.
PARTIAL = ".partial"


class Taken(NamedTuple):
    """What a backup came to.

    Attributes:
        path: of the file; None for a stream.
        revision: of the moment that it restores.
        rows: of the database at that moment.
        written: how many of them the file holds.
        resumed: whether it went on with one that was broken off.
    """

    path: Path | None
    revision: int
    rows: int
    written: int
    resumed: bool


async def back_up(
    engine: Engine,
    target: Path | str | IO[bytes],
    *,
    base: Path | str | None = None,
    compression: str | None = None,
    progress: Progress | None = None,
) -> Taken:
    """Back up to a file, a binary stream, or a URL that fsspec knows. See `Database.backup`."""
    place = stream_or_path(target)
    checked_progress(progress)
    chosen = compression or best_compression()
    compression_named(chosen).compress(b"")  # Its library is there, or that is said now.
    gone: list[bool] = []

    def stopped() -> bool:
        return bool(gone)

    async def work() -> Taken:
        known = None if base is None else base_of(verify_path(place_of(base)))
        head = head_of(engine, known, chosen)
        if isinstance(place, str):
            with _open_url(place) as stream:
                return await to_stream(engine, stream, head, progress, stopped)
        if isinstance(place, Path):
            try:
                return await _to_file(engine, place, head, progress, stopped)
            except StoreError:
                raise  # TimedOut is an OSError, too.
            except OSError as error:
                raise _told(error, place) from error
        return await to_stream(engine, place, head, progress, stopped)

    try:
        if engine.capabilities.io is Io.REMOTE:
            return await work()
        # Not on a loop: files, checksums and compression take their time.
        return await engine.components.host.runtime().offload(lambda: drive(work()))
    finally:
        gone.append(True)  # A caller that was cancelled leaves a thread that need not go on.


# --- Inside -----------------------------------------------------------------------------


async def _to_file(
    engine: Engine,
    path: Path,
    head: Head,
    progress: Progress | None,
    stopped: Callable[[], bool],
) -> Taken:
    """Back up to a file, which has its name only once it is whole and flushed."""
    partial = path.with_name(path.name + PARTIAL)
    with _opened(path, partial) as stream:
        found = _resume(stream, str(partial), head)
        if found is None:
            writer = FrameWriter(stream)
            writer.head(head)
            walk = BackupWalk(engine, writer, head, progress, stopped)
        else:
            writer = FrameWriter(stream, found.digest)
            writer.compression = compression_named(found.head.compression)
            walk = BackupWalk(engine, writer, found.head, progress, stopped)
            walk.resume(found.border)
        await walk.run()
        stream.flush()
        os.fsync(stream.fileno())
        # Under its lock, so that nothing else goes on with it meanwhile.
        partial.rename(path)
    flush_directory(path.parent)
    return Taken(path, walk.revision, walk.rows, walk.written, found is not None)


async def to_stream(
    engine: Engine,
    stream: IO[bytes],
    head: Head,
    progress: Progress | None,
    stopped: Callable[[], bool],
) -> Taken:
    """Write a backup with that head to a stream, which stays open."""
    writer = FrameWriter(stream)
    writer.head(head)
    walk = BackupWalk(engine, writer, head, progress, stopped)
    await walk.run()
    stream.flush()
    return Taken(None, walk.revision, walk.rows, walk.written, resumed=False)


def _opened(path: Path, partial: Path) -> IO[bytes]:
    """The file under way, locked."""
    if path.exists():
        raise StoreExists(f"{path} exists; give another name, or remove it first")
    stream = partial.open("r+b" if partial.exists() else "w+b")
    try:
        _lock(stream, partial)
        if not partial.exists() or not os.path.samestat(os.fstat(stream.fileno()), partial.stat()):
            # Another backup ended between the two lines: its file has its name now.
            raise StoreExists(f"{path} was written by another backup just now; give another name")
    except BaseException:
        stream.close()
        raise
    return stream


class _Found(NamedTuple):
    """What a file that was broken off holds: its head, a digest of it, and how far it went."""

    head: Head
    digest: Any
    border: Border


class Base(NamedTuple):
    """The backup that another one continues.

    Attributes:
        id: of it.
        name: of it, for errors.
        lineage, revision: of the database then.
    """

    id: str
    name: str
    lineage: str
    revision: int


def base_of(facts: BackupFacts) -> Base:
    """What a backup that continues this one has to know of it."""
    return Base(facts.head.id, facts.shown, facts.head.lineage, facts.end.revision)


def head_of(engine: Engine, base: Base | None, compression: str) -> Head:
    """The head of a new backup. Raises Compacted where the base is of another lineage."""
    if base is not None and base.lineage != engine.lineage:
        raise Compacted(
            f"{base.name} is a backup of another database, or of this one before a restore: "
            "nothing tells what is newer. Take a full backup",
            lineage=engine.lineage,
        )
    components = engine.components
    return Head(
        format=FORMAT,
        id=components.ids.new().hex(),
        lineage=engine.lineage,
        engine=engine.capabilities.engine,
        made_at_ms=components.clock.now_ms(),
        compression=compression,
        base=None if base is None else base.id,
        since=0 if base is None else base.revision,
    )


def _resume(stream: IO[bytes], name: str, wanted: Head) -> _Found | None:
    """Where to go on with a file that was broken off; None: it has to be begun anew."""
    found = _found(stream, name, wanted)
    if found is None:
        stream.truncate(0)
        stream.seek(0)
    return found


def _found(stream: IO[bytes], name: str, wanted: Head) -> _Found | None:
    try:
        reader = FrameReader(stream, name)
    except StoreError:
        return None  # Nothing in it can be used, or nothing is in it.
    head = reader.head
    if (head.lineage, head.base, head.since) != (wanted.lineage, wanted.base, wanted.since):
        return None
    layer: Layer | None = None
    key, written, place = b"", 0, reader.tell()
    try:
        while (frame := reader.frame()) is not None:
            kind, body = frame
            if kind == LAYER:
                layer, key = reader.decode(body, Layer), b""
            elif kind == ROWS:
                items = reader.rows(body)
                key = items[-1][0] + b"\0"
                written += sum(value is not None for _, _, value in items)
            else:
                break
            place = reader.tell()
    except IntegrityFailed:
        pass  # The last frame did not reach the file as a whole.
    if layer is None:
        return None
    digest = reader.sha256(place)
    stream.truncate(place)
    stream.seek(place)
    return _Found(head, digest, Border(layer, key, written))


def _lock(stream: IO[bytes], partial: Path) -> None:
    """Keep a second backup out of the file, where the system can."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StoreLocked(
            f"another backup is being written to {partial}; wait for its end, or give another name",
        ) from error


def _told(error: OSError, path: Path) -> StoreError:
    """What the file system had against a backup file."""
    if error.errno in NO_ROOM:
        return StorageFull(
            f"there is no room for the backup {path}; make some and ask for it again, and it goes "
            "on where it was"
        )
    return InvalidInput(f"the backup {path} cannot be written: {error.strerror}; give another path")


def best_compression() -> str:
    """The best that is installed."""
    try:
        compression_named("zstd").compress(b"")
    except DriverMissing:
        return "gzip"
    return "zstd"


def _open_url(url: str) -> AbstractContextManager[IO[bytes]]:
    fsspec = fsspec_for(url)
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        # Not its words: they may repeat what the address holds.
        raise InvalidInput(
            f"a backup goes to a URL that fsspec knows; it does not take {masked(url)} "
            f"({type(error).__name__})"
        ) from None
    return written(system, path)
