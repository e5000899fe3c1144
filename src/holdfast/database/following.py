"""`follow` and `promote`: a warm standby of a database, and what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreNotFound
from holdfast.contract.runtime import Components
from holdfast.database.handle import Database
from holdfast.database.open import open
from holdfast.runtime.system import system_components
from holdfast.store.encrypted import below_encryption, opened_elsewhere
from holdfast.store.encryption.settings import Encryption, encryption_asked
from holdfast.store.registry import (
    engine_class,
    engine_names,
    read_config,
    read_encryption_place,
    read_layers,
)

if TYPE_CHECKING:
    from holdfast.backups.following import Followed, Round
    from holdfast.backups.standby import Promoted


async def follow(
    source: str | EngineConfig,
    target: str | EngineConfig | Path,
    *,
    encryption: Encryption | str | None = None,
    interval: float | timedelta = 1.0,
    once: bool = False,
    progress: Callable[[Round], None] | None = None,
    components: Components | None = None,
) -> Followed:
    """Keep a standby level with a database, until the caller is cancelled or interrupted.

    The standby holds the rows of the source with their revisions, every view and the past
    included. It can be opened with `read_only=True` meanwhile. Killed on either side, it is called
    again and goes on. A round of up to 20,000 rows is taken whole or not at all, on engines in
    files; one with more takes several steps, and a standby can be promoted only after the last.

    Args:
        source: a database whose engine has snapshots; it is opened for reading only.
        target: the standby: nothing, or what an earlier call left there. A Path, or a URL that is
            of no engine and that fsspec knows, such as `s3://bucket/app`, gets backups instead: a
            full one, then ever more that continue it, for `restore` to take.
        encryption: the keys of the source, as in `holdfast.open`. A standby and shipped
            backups hold its rows as they are stored, and want the same keys.
        interval: the shortest time from one round to the next, seconds or a timedelta. After a
            long round it is four times as long as that, so that a follower leaves most of a core
            to others. This and one round are how much a standby may lack.
        once: end as soon as the standby has all that the source had at the call.
        progress: called after each round; from another thread.
        components: clock, ids and ways to wait other than the machine's; for tests.

    Raises:
        StoreNotFound: there is no source, or it was removed meanwhile.
        StoreExists: something stands at the target that is no standby.
        Compacted: the standby follows another database, or this one before it was restored.
        Fenced: the standby was promoted, or has another follower by now.
        ConfigInvalid: the target names layers, or keys although the source is not encrypted.
        Unsupported: the source has no snapshots, or the target takes no rows with revisions.
    """
    from holdfast.backups.following import Follower
    from holdfast.backups.given import in_the_clear, require_bare
    from holdfast.backups.shipping import Shipper

    parts = components or system_components()
    interval_s = interval.total_seconds() if isinstance(interval, timedelta) else interval
    given = read_config(source)
    config = replace(given, read_only=True, create=False).shown_as(given)
    options: dict[str, Any] = {"interval_s": interval_s, "progress": progress}
    place = _place_of(target)
    if place is None:
        require_bare(target)
    standby = None if place is not None else _engine(cast("str | EngineConfig", target), parts)
    keys, layers = encryption_asked(source, encryption), read_layers(source)
    db = open(config, encryption=keys, housekeeping=False, layers=layers, components=parts)
    async with _there(db) as db:
        options["stale"] = db._require_shared().stale  # noqa: SLF001 - ours
        # Rows as they are stored: the standby of an encrypted database wants the same keys.
        above = db._open_engine()  # noqa: SLF001 - ours
        engine = below_encryption(above)
        if place is not None:
            return await Shipper(engine, place, **options).run(once=once)
        assert standby is not None
        if engine is above and read_encryption_place(cast("str", target)) is not None:
            raise in_the_clear(target, "the source")
        options["opened"] = opened_elsewhere(above)
        return await Follower(engine, standby, **options).run(once=once)


@asynccontextmanager
async def _there(db: Database) -> AsyncIterator[Database]:
    """A database that has to be there."""
    try:
        await db.open()
    except StoreNotFound as error:
        raise _absent(db.config, error) from error
    try:
        yield db
    finally:
        await db.close()


def _absent(config: EngineConfig, error: StoreNotFound) -> StoreNotFound:
    """The error without the engine's advice to leave out what the caller never gave."""
    return StoreNotFound(
        f"there is no database at {config.url}; correct the address, or write to it first",
        **error.details,
    )


def _place_of(target: object) -> str | Path | None:
    """Where backups go: a path, or a URL of no engine; None: it is a standby."""
    if isinstance(target, Path):
        return target
    scheme, separator, _ = target.partition("://") if isinstance(target, str) else ("", "", "")
    if not separator or scheme in engine_names():
        return None
    from holdfast.backups.places import reaches

    return str(target) if reaches(scheme) else None


def _engine(address: str | EngineConfig, components: Components) -> Engine:
    config = read_config(address)
    return engine_class(config.scheme)(config, components)


async def promote(address: str | EngineConfig, *, components: Components | None = None) -> Promoted:
    """Make a database of its own of a standby, which then can be written to.

    Stop following first. It keeps the lineage that it had as a standby, which is not the source's:
    cursors of the source raise `Compacted`, as the source may have got further than the standby.

    Raises:
        InvalidInput: there is no standby.
        IntegrityFailed: the last round was broken off in the middle of several steps.
    """
    from holdfast.backups import standby

    parts = components or system_components()
    given = read_config(address)
    engine = _engine(replace(given, create=False).shown_as(given), parts)
    try:
        await engine.open()
        return await standby.promote(engine)
    except StoreNotFound as error:
        raise _absent(engine.config, error) from error
    finally:
        await engine.close()
