"""The database that a command was told to use, and the loop that its work runs on."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from holdfast.cli.exits import BadUsage
from holdfast.contract.config import EngineConfig, masked
from holdfast.contract.errors import StoreNotFound
from holdfast.database.handle import Database
from holdfast.database.open import open
from holdfast.runtime.system import system_components
from holdfast.store.registry import (
    engine_class,
    read_config,
    read_encryption_place,
    read_layers,
)

T = TypeVar("T")


def config_of(url: str) -> EngineConfig:
    """The configuration of a `--url`. Raises BadUsage when none was given, or only a path."""
    if not url:
        raise BadUsage("no database given; add --url lmdb:///app, or set HOLDFAST_URL")
    if "://" not in url:
        path = masked(url)
        raise BadUsage(
            f"--url wants an address that begins with its engine; found {path!r}. Did you mean "
            f"lmdb:///{path} or sqlite:///{path}?"
        )
    return read_config(url)


def encryption_of(url: str) -> str | None:
    """Where the keys of a database are, by its URL or HOLDFAST_ENCRYPTION; None: neither says."""
    return read_encryption_place(url) or os.environ.get("HOLDFAST_ENCRYPTION") or None


def repaired(url: str) -> list[str]:
    """Mend the files of a database that is not open, where its engine can; a line for each."""
    config = config_of(url)
    mend = getattr(engine_class(config.scheme), "repair", None)
    told: list[str] = [] if mend is None else mend(config, system_components())
    return told


@asynccontextmanager
async def for_reading(url: str) -> AsyncIterator[Database]:
    """The database, for commands that write nothing and must not make one."""
    async with _existing(config_of(url), url, read_only=True) as db:
        yield db


@asynccontextmanager
async def for_writing(url: str, *, create: bool = True) -> AsyncIterator[Database]:
    """The database, for commands that write; `create=False`: only one that exists."""
    config = config_of(url)
    async with (
        _opened(config, url) if create else _existing(config, url, read_only=config.read_only)
    ) as db:
        yield db


@asynccontextmanager
async def _existing(config: EngineConfig, url: str, *, read_only: bool) -> AsyncIterator[Database]:
    """A database that has to be there."""
    asked = replace(config, create=False, read_only=read_only)
    db = _opened(asked.shown_as(config), url)
    try:
        await db.open()
    except StoreNotFound as error:
        # The user asked for none of what the engine's advice would have left out.
        raise StoreNotFound(
            f"there is no database at {config.url}; correct --url or HOLDFAST_URL, or make one "
            "with `holdfast set` or `holdfast import`",
            **error.details,
        ) from error
    try:
        yield db
    finally:
        await db.close()


def _opened(config: EngineConfig, url: str) -> Database:
    """The handle on a database, with the layers and the keys that its URL names."""
    return open(
        config, layers=read_layers(url), encryption=encryption_of(url), serializer="extended"
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a command's coroutine. Ctrl-C ends it at once, also while it reads stdin."""
    import asyncio

    # asyncio's own handler, which comes only in place of Python's, would wait for the next await.
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        return asyncio.run(work)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt
