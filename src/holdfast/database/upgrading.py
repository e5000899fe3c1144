"""`upgrade`: from an older format of a database to the newest, one format after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import StoreNotFound
from holdfast.contract.formats import Formats
from holdfast.contract.runtime import Components
from holdfast.runtime.system import system_components
from holdfast.store.format import FORMAT, stored_format
from holdfast.store.registry import engine_class, read_config

#: What of a database has a format of its own: how the engine stores rows, and what stands in them.
Part = Literal["engine", "rows"]


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade found and did.

    Attributes:
        url: the database.
        engine: how the engine stores rows.
        rows: what the views wrote into them; None: no view wrote any yet, or, of a dry run, they
            can be looked at once the engine is upgraded.
        dry_run: nothing was done; the steps are those that would be.
    """

    url: str
    engine: Formats
    rows: Formats | None
    dry_run: bool

    @property
    def changes(self) -> bool:
        """Whether something was done, or would be."""
        return bool(self.engine.steps or (self.rows is not None and self.rows.steps))


async def upgrade(
    address: str | EngineConfig,
    *,
    dry_run: bool = False,
    progress: Callable[[Part, int], None] | None = None,
    components: Components | None = None,
) -> Upgraded:
    """Bring a database to the newest format that this version of Holdfast knows.

    First how the engine stores rows, then what the views wrote into them, one format after the
    other. A step is done whole or not at all: killed, or run twice at once, an upgrade is simply
    called again. It wants no keys and no layers, and goes on beside the processes that have a
    database on a server open; files that this very process has open are to be closed first.

    Args:
        address: of the database.
        dry_run: say what would be done, and do nothing.
        progress: called after each step with the part and the format it has by then; from another
            thread.
        components: clock, ids and ways to wait other than the machine's; for tests.

    Raises:
        StoreNotFound: there is no database.
        NotADatabase: what is there was not written by Holdfast.
        FormatTooNew: a newer Holdfast wrote it.
        Unsupported: it is of a format that was given up; the message says how to move its data.
        ReadOnly: there is something to be done, and the address says to read only.
        StoreLocked: another process, or this one, has it open in a way that excludes this.
    """
    parts = components or system_components()
    config = read_config(address)
    kind = engine_class(config.scheme)
    told = None if progress is None else partial(progress, "engine")
    try:
        engine = await kind.upgrade(config, parts, dry_run=dry_run, progress=told)
    except StoreNotFound as error:
        # Without the engine's advice to leave out what the caller never gave.
        raise StoreNotFound(
            f"there is no database at {config.url}; correct the address", **error.details
        ) from error
    pending = dry_run and bool(engine.steps)
    rows = None if pending else await _rows(config, parts, read_only=dry_run)
    return Upgraded(config.url, engine, rows, dry_run)


async def _rows(config: EngineConfig, components: Components, *, read_only: bool) -> Formats | None:
    """The format of the rows: the first that is kept is the newest, so there is no step yet."""
    asked = replace(config, create=False, read_only=read_only or config.read_only)
    opened = engine_class(config.scheme)(asked.shown_as(config), components)
    try:
        await opened.open()
        found = await stored_format(opened)
    finally:
        await opened.close()
    return None if found is None else Formats(found, FORMAT)
