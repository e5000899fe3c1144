"""Which databases are open in this process, so that handles on one path share one.

A handle takes part with a token of its own and gives it back once, however often its close is
repeated. The registry keeps no database alive: one whose handles were all forgotten is collected,
and its engine closes itself.
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import fields

from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.runtime import Completion, Components
from holdfast.layers.stack import stack
from holdfast.store.instances import Layers, MakeViews, SharedDatabase
from holdfast.store.registry import engine_class

#: Settings in which handles on one engine may differ: each handle has its own.
_OF_THE_HANDLE = frozenset(("read_only", "create"))


class Token:
    """What a handle takes part with."""

    __slots__ = ("__weakref__",)


class _Opening:
    """An entry of the registry below.

    Attributes:
        busy: whether the database is being opened or closed; who wants it meanwhile waits.
        tokens: of the handles on it. A handle that is forgotten takes its token along, so one that
            an interrupted opening made and nobody ever got keeps no database open.
    """

    def __init__(self, config: EngineConfig, layers: Layers) -> None:
        self.config = config
        self.layers = tuple(layers)
        self.busy = True
        self.tokens: weakref.WeakSet[Token] = weakref.WeakSet()
        self.waiting: list[Completion[None]] = []
        self._database: weakref.ref[SharedDatabase] | None = None

    @property
    def database(self) -> SharedDatabase | None:
        """None while it opens, and once it is gone."""
        return None if self._database is None else self._database()

    @database.setter
    def database(self, database: SharedDatabase) -> None:
        self._database = weakref.ref(database)

    @property
    def joinable(self) -> SharedDatabase | None:
        """The database, unless it opens or closes, or its path leads to another one by now."""
        database = None if self.busy else self.database
        return None if database is None or database.stale() else database


_registry: dict[str, _Opening] = {}
_openings: weakref.WeakKeyDictionary[SharedDatabase, _Opening] = weakref.WeakKeyDictionary()
_registry_lock = threading.Lock()


def _forget_in_child() -> None:
    # The parent's engines refuse in a child; the child opens its own.
    global _registry_lock  # noqa: PLW0603 - a lock that another thread held at the fork stays held
    _registry_lock = threading.Lock()
    _registry.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


async def acquire(
    config: EngineConfig,
    components: Components,
    make_views: MakeViews,
    token: Token,
    *,
    housekeeping: bool,
    layers: Layers = (),
) -> SharedDatabase:
    """The open database of that configuration; one more handle, known by its token, uses it.

    Raises:
        ConfigInvalid: it is open in this process with other settings or layers.
    """
    mine = _Opening(config, layers)
    mine.tokens.add(token)
    database: SharedDatabase | None = None
    # From taking the path to giving it out: an interrupt at any line gives the path back.
    try:
        there = await _join_or_take(mine, token, components)
        if there is not None:
            return there
        engine = engine_class(config.scheme)(config, components)
        database = SharedDatabase(stack(engine, layers), make_views, housekeeping=housekeeping)
        await database.open()
        mine.database = database
        _openings[database] = mine
        _over(mine, components)
        return database
    except BaseException as error:
        if database is None or isinstance(error, Exception):
            _leave(mine)
            _over(mine, components)
        else:
            # Cancelled: a thread may still be opening it, and until it let go the path is taken.
            await _close_whatever_happens(database, mine)
        raise


async def release(database: SharedDatabase, token: Token) -> None:
    """The handle with this token is closed; the last one closes the database.

    Repeated after it was cancelled or interrupted, it goes on with what is left to close.
    """
    opening = _openings.get(database)
    if opening is None:
        await database.close()
        return
    with _registry_lock:
        opening.tokens.discard(token)
        if opening.tokens:
            return
        # Until it is closed the path stays taken; who wants it meanwhile waits.
        opening.busy = True
    await _close_whatever_happens(database, opening)


# --- Inside -----------------------------------------------------------------------------------


async def _join_or_take(
    mine: _Opening, token: Token, components: Components
) -> SharedDatabase | None:
    """The open database of that configuration, joined; None: its path is taken by `mine` now."""
    identity = mine.config.identity
    while True:
        with _registry_lock:
            there = None if identity is None else _registry.get(identity)
            database = None if there is None else there.joinable
            if there is None or (database is None and not there.busy):
                if identity is not None:
                    _forget_collected()
                    # What was there before is closed by its own handles.
                    _registry[identity] = mine
                return None
            _require_same(there, mine.config, mine.layers)
            if database is not None:
                there.tokens.add(token)
                return database
            waiting: Completion[None] = components.host.runtime().completion()
            there.waiting.append(waiting)
        await waiting.wait()


async def _close_whatever_happens(database: SharedDatabase, opening: _Opening) -> None:
    """Close it, also when the caller is cancelled meanwhile; only then is the path free."""
    runtime = database.components.host.runtime()
    await runtime.shielded("holdfast close", lambda: _close(database, opening))


async def _close(database: SharedDatabase, opening: _Opening) -> None:
    try:
        await database.close()
    finally:
        _leave(opening)
        _over(opening, database.components)


def _forget_collected() -> None:
    """Forget databases whose handles were all forgotten. The caller holds the lock."""
    gone = [name for name, one in _registry.items() if not one.busy and one.database is None]
    for name in gone:
        del _registry[name]


def _leave(opening: _Opening) -> None:
    """Have the path free again."""
    with _registry_lock:
        identity = opening.config.identity
        if identity is not None and _registry.get(identity) is opening:
            del _registry[identity]


def _over(opening: _Opening, components: Components) -> None:
    """Wake those who waited for an opening or a closing."""
    with _registry_lock:
        opening.busy = False
        # Forgotten last: interrupted, this is repeated, and settling twice is settling once.
        components.host.settle((one, None, None) for one in opening.waiting)
        opening.waiting = []


def _require_same(there: _Opening, config: EngineConfig, layers: Layers) -> None:
    """Raise unless both handles want the same of the engine."""
    differing = [
        part.name
        for part in fields(there.config)
        if part.name not in _OF_THE_HANDLE
        and getattr(there.config, part.name) != getattr(config, part.name)
        and part.name != "path"
    ]
    if there.config.read_only and not config.read_only:
        differing.append("read_only")
    if differing:
        raise ConfigInvalid(
            f"{there.config.url} is open in this process with other settings of "
            f"{', '.join(differing)}; open it with the same ones, or close it first",
            parameters=differing,
        )
    if there.layers != tuple(layers):
        raise ConfigInvalid(
            f"{there.config.url} is open in this process with {len(there.layers)} layers above its "
            f"engine; found {len(layers)}, or others. All handles of a process share them: open it "
            "with the same ones, or close it first",
            parameters=["layers"],
        )
