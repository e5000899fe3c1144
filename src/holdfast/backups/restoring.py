"""Restoring: the rows of a backup, or of another database, into a new one.

The new database gets the rows with their revisions, so history, feed and conditions go on. It has a
lineage of its own, so that cursors of the old one are refused instead of being wrong. Its format
row is written last: what is half restored is no database, and cannot be mistaken for one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.backups.chain import BackupFacts, chain_at, chain_of, merged, verify_path
from holdfast.backups.given import in_the_clear, places_of, require_bare, require_moment
from holdfast.backups.places import is_url
from holdfast.backups.shipping import shipped
from holdfast.backups.walking import PASSING, Stopped
from holdfast.contract.capability import Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, StoreExists, Unsupported
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Components
from holdfast.runtime.drive import drive
from holdfast.runtime.working import checked_progress
from holdfast.store import layout
from holdfast.store.encryption.settings import Encryption
from holdfast.store.format import ENCRYPTION, features_above, read_format, with_features
from holdfast.store.registry import engine_class, read_config

_FORMAT_ROW = layout.SYSTEM_FORMAT
#: How many rows, and bytes of them, are loaded at once.
LOADED_ROWS = 1_000
LOADED_BYTES = 1 << 22

#: Called with how many rows are in place.
Progress = Callable[[int], None]
Rows = Sequence[tuple[bytes, Record]]
#: Does something to a database that is restored but for its format row.
TakenBack = Callable[[Engine], Coroutine[Any, Any, None]]


class Restored(NamedTuple):
    """What a restore, or a copy, came to.

    Attributes:
        revision: of the moment that stands there now.
        rows: how many.
        files: the backups used, the full one first; none for a copy.
    """

    revision: int
    rows: int
    files: tuple[str, ...]


async def verify(
    files: Sequence[Path | str],
    components: Components,
    to: int | datetime | None = None,
    at: int | datetime | None = None,
) -> list[BackupFacts]:
    """Read backups and compare all their checksums. Raises as `verify_file` does.

    Args:
        files: paths and URLs, or one directory (a URL of one ends with a slash) that a database
            was followed to.
        components: clock, ids and host.
        to: of a directory: the chain that begins no newer than this.
        at: of a directory: the chain with the oldest backup no older than this.
    """
    places = places_of(files)

    def read() -> list[BackupFacts]:
        if len(places) == 1 and _is_directory(places[0]):
            return shipped(places[0], to, at)
        return [verify_path(one) for one in places]

    return await components.host.runtime().offload(read)


async def restore(
    files: Sequence[Path | str],
    address: str | EngineConfig,
    *,
    to: int | datetime | None = None,
    at: int | datetime | None = None,
    encryption: Encryption | None = None,
    taken_back: TakenBack | None = None,
    components: Components,
    progress: Progress | None = None,
) -> Restored:
    """Make a database of a full backup and those that continue it.

    Args:
        files: in whatever order, or one directory; all of them are verified before anything is
            written.
        address: of the new database.
        to: restore the newest of them no newer than this revision or instant.
        at: restore the oldest of them no older than this, which `taken_back` then takes back.
        encryption: that the backups are expected to have.
        taken_back: gets the engine once all rows are in place, before they count as a database.
        components: clock, ids and host.
        progress: called after each step; from another thread.

    Raises:
        StoreExists: something stands at the address.
        InvalidInput: the files do not belong together, or one is missing.
        NotADatabase, FormatTooNew, IntegrityFailed: a file cannot be restored.
        VersionNotFound: all of them are newer than `to`, or older than `at`.
        Unsupported: `at` of an encrypted database.
        ConfigInvalid: the address names layers, or keys are named for a backup without them.
    """
    require_moment("to", to)
    require_moment("at", at)
    require_bare(address)
    checked_progress(progress)
    found = await verify(files, components, to, at)
    chain = chain_of(found, to) if at is None else chain_at(found, at)
    if encryption is not None:
        encrypted = await components.host.runtime().offload(lambda: _is_encrypted(chain))
        if not encrypted:
            raise in_the_clear(address, f"the backup {chain[-1].shown}")
    engine = _engine(address, components)
    revision = chain[-1].end.revision
    rows = await _in_place(
        engine,
        lambda stopped: _fill(
            engine, _stepwise(merged(chain)), revision, progress, stopped, taken_back
        ),
    )
    return Restored(revision, rows, tuple(one.name for one in chain))


async def copy(
    source: Engine,
    address: str | EngineConfig,
    *,
    encryption: Encryption | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Make a database of the present moment of another one, on whatever engine.

    Args:
        source: the engine of the other one; writes to it go on.
        address: of the new database.
        encryption: of the new one.
        progress: called after each step; from another thread.

    Raises:
        StoreExists: something stands at the address.
        Unsupported: the source has no snapshots.
    """
    require_bare(address)
    checked_progress(progress)
    if not source.capabilities.snapshots:
        raise Unsupported(
            f"a copy needs snapshots, which the engine {source.capabilities.engine} does not have; "
            "use `holdfast export` and `holdfast import`"
        )
    engine = _engine(address, source.components)
    layer = None if encryption is None else encryption(engine)
    with await source.snapshot() as moment:
        if layer is not None:
            # Which keyspace has which key, before the first of their rows.
            directory: Range | None = Range.prefix(layout.SYSTEM_KEYSPACES)
            while directory is not None:
                page = await source.scan(directory, at=moment)
                for key, record in page.rows:
                    layer.places.saw(key, record.value)
                directory = page.resume

        async def pages() -> AsyncIterator[Rows]:
            rest: Range | None = Range()
            while rest is not None:
                page = await source.scan(rest, at=moment)
                rest = page.resume
                rows = [row for row in page.rows if not row[0].startswith(PASSING)]
                yield [_marked(row, brought, undone) for row in rows]

        # The rows come through the layers of the source, and go through that of the copy.
        brought = frozenset() if layer is None else features_above(layer)
        undone = features_above(source)
        revision = moment.revision
        remote = source.capabilities.io is Io.REMOTE
        rows = await _in_place(
            engine,
            lambda stopped: _fill(layer or engine, pages(), revision, progress, stopped),
            remote=remote,
        )
    return Restored(revision, rows, ())


# --- Inside -------------------------------------------------------------------------------------


async def _in_place(
    engine: Engine,
    work: Callable[[Callable[[], bool]], Coroutine[Any, Any, int]],
    *,
    remote: bool = False,
) -> int:
    """Run the work where it holds up no loop, unless an engine is a server's.

    It is given what tells whether its caller has gone.
    """
    gone: list[bool] = []

    def stopped() -> bool:
        return bool(gone)

    if remote or engine.capabilities.io is Io.REMOTE:
        return await work(stopped)
    try:
        return await engine.components.host.runtime().offload(lambda: drive(work(stopped)))
    finally:
        gone.append(True)  # A caller that was cancelled leaves a thread that must not go on.


async def _fill(
    engine: Engine,
    pages: AsyncIterator[Rows],
    revision: int,
    progress: Progress | None,
    stopped: Callable[[], bool],
    taken_back: TakenBack | None = None,
) -> int:
    """Load rows into an engine that holds none; how many."""
    await engine.open()
    try:
        await _require_empty(engine)
        marker: Record | None = None
        count = 0
        async for rows in pages:
            loaded = rows
            if any(key == layout.SYSTEM_FORMAT for key, _ in rows):
                marker = dict(rows)[layout.SYSTEM_FORMAT]
                loaded = [row for row in rows if row[0] != layout.SYSTEM_FORMAT]
            await engine.load(loaded)
            count += len(rows)
            if progress is not None:
                progress(count)
            if stopped():
                raise Stopped
        if marker is None:
            raise IntegrityFailed("there is no format row among the rows; give a whole database")
        found = read_format(marker, engine.config.url)
        if taken_back is not None:
            if ENCRYPTION in found.features:
                raise Unsupported(
                    "the past of an encrypted database cannot be read without its keys; restore "
                    f"to a backup, with `to`. Remove what stands at {engine.config.url} first"
                )
            await taken_back(engine)
        await engine.load([(layout.SYSTEM_FORMAT, marker)], next_revision=revision + 1)
    finally:
        await engine.close()
    return count


def _marked(
    row: tuple[bytes, Record], brought: AbstractSet[str], undone: AbstractSet[str]
) -> tuple[bytes, Record]:
    """A row of a copy: the format row says by which layers the copy is to be read."""
    key, (value, revision) = row
    if key != _FORMAT_ROW:
        return row
    return key, Record(with_features(value, add=brought, drop=undone), revision)


async def _require_empty(engine: Engine) -> None:
    url = engine.config.url
    if not engine.capabilities.loads:
        raise Unsupported(f"{url} cannot be filled; give the address of a database to be written")
    if await engine.head() or (await engine.scan(Range(limit=1))).rows:
        raise StoreExists(
            f"something stands at {url}: a database, or part of a restore that was broken off. "
            "Give another address, or remove it first"
        )


async def _stepwise(rows: Iterator[tuple[bytes, Record]]) -> AsyncIterator[Rows]:
    """Rows in steps that can be loaded at once."""
    step: list[tuple[bytes, Record]] = []
    size = 0
    for row in rows:
        step.append(row)
        size += len(row[0]) + len(row[1].value)
        if len(step) == LOADED_ROWS or size >= LOADED_BYTES:
            yield step
            step, size = [], 0
    if step:
        yield step


def _is_encrypted(chain: Sequence[BackupFacts]) -> bool:
    """Whether the rows of a chain are those of an encrypted database."""
    for key, record in merged(chain):
        if key == _FORMAT_ROW:
            return ENCRYPTION in read_format(record, chain[-1].shown).features
    return False  # No database at all, which is said once it is filled.


def _is_directory(place: Path | str) -> bool:
    return str(place).endswith("/") if is_url(place) else Path(place).is_dir()


def _engine(address: str | EngineConfig, components: Components) -> Engine:
    config = read_config(address)
    return engine_class(config.scheme)(config, components)
