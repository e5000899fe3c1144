"""What storages have in common: a collection in a database that it has to itself."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, cast

from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import ConfigInvalid, StoreClosed
from holdfast.contract.runtime import Components
from holdfast.database.handle import Database
from holdfast.database.open import check_switches
from holdfast.database.open import open as open_database
from holdfast.database.storage_debug import Debugging
from holdfast.documents.caching import CacheConfig
from holdfast.documents.collection import Collection
from holdfast.documents.levels import level_of
from holdfast.documents.serialization import SerializationConfig
from holdfast.store.registry import read_config

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    #: Of documents; where no type is given they are what they are.
    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

ACCESS_PATTERNS: Final = ("random", "sequential", "write-heavy", "read-heavy")
#: What a document is reckoned at when a cache is sized for so many.
DOCUMENT_BYTES: Final = 512
#: The least and the most that a hint makes of a cache of pages.
CACHE_BYTES_MIN: Final = 2 * 2**20
CACHE_BYTES_MAX: Final = 2**30
#: How much of a file is mapped for reading in order.
MAPPED_BYTES: Final = 256 * 2**20
#: How many pages the log gathers where much is written.
LOG_PAGES: Final = 16_000

_ID = re.compile(r"[\w.:-]{1,64}")


@dataclass(frozen=True)
class PerformanceHints:
    """What is known of the load beforehand. Each changes settings that `stats` shows.

    Attributes:
        expected_size: documents. Sizes the engine's cache (`cache_size`: sqlite and file).
        access_pattern: `random`; `sequential` maps the file (`mmap_size`: sqlite); `write-heavy`
            lets the log grow (`checkpoint_pages`: sqlite); `read-heavy` makes the cache four times
            as big. What a write survives never changes.
        cache: documents that are kept in memory between reads: see `Collection.cached`.
    """

    expected_size: int | None = None
    access_pattern: str = "random"
    cache: CacheConfig | None = None

    def __post_init__(self) -> None:
        size = self.expected_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
            raise ConfigInvalid(f"expected_size is an int from 0; found {size!r}")
        if self.access_pattern not in ACCESS_PATTERNS:
            raise ConfigInvalid(
                f"access_pattern is one of {', '.join(ACCESS_PATTERNS)}; found "
                f"{str(self.access_pattern)[:80]!r}"
            )

    def applied(self, config: EngineConfig) -> EngineConfig:
        """The settings of an engine with what the hints say."""
        changed: dict[str, Any] = {}
        known = vars(config)
        if "cache_size" in known and self.expected_size is not None:
            wanted = self.expected_size * DOCUMENT_BYTES
            if self.access_pattern == "read-heavy":
                wanted *= 4
            changed["cache_size"] = min(max(wanted, CACHE_BYTES_MIN), CACHE_BYTES_MAX)
        elif "cache_size" in known and self.access_pattern == "read-heavy":
            changed["cache_size"] = min(4 * config.cache_size, CACHE_BYTES_MAX)  # type: ignore[attr-defined]
        if "mmap_size" in known and self.access_pattern == "sequential":
            changed["mmap_size"] = MAPPED_BYTES
        if "checkpoint_pages" in known and self.access_pattern == "write-heavy":
            changed["checkpoint_pages"] = LOG_PAGES
        return replace(config, **changed)


class StorageAdapter(Generic[T]):
    """One collection in a database of its own; an asynchronous context manager that gives it.

    Args:
        config: the database.
        name: of the collection.
        type: of its documents; see `Database.collection`.
        id: names the storage in logs: letters, digits and `_.:-`.
        debug: whether each operation is logged, at the level DEBUG of the logger
            `holdfast.storage`: what it was, how long it took, and `id`; never keys or documents.
        hints, serialization: see there.
        components: clock, ids and ways to wait other than the machine's; for tests.
    """

    def __init__(
        self,
        config: EngineConfig | str,
        name: str = "storage",
        *,
        type: type[T] | None = None,
        id: str | None = None,
        debug: bool = False,
        hints: PerformanceHints | Mapping[str, Any] | None = None,
        serialization: SerializationConfig | Mapping[str, Any] | None = None,
        components: Components | None = None,
    ) -> None:
        check_switches(debug=debug)
        self._hints = _made(PerformanceHints, hints, "hints")
        self._serialization = _made(SerializationConfig, serialization, "serialization")
        self.config = self._hints.applied(read_config(config))
        self.id = name if id is None else id
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise ConfigInvalid(
                "the id of a storage is 1 to 64 letters, digits and _.:- ; found another text"
            )
        self._name = name
        self._type = type
        self._debug = debug
        self._components = components
        self._db: Database | None = None
        self._collection: Collection[T] | None = None

    async def open(self) -> Collection[T]:
        """Open the database; its collection. Opened twice it is the same."""
        if self._collection is None:
            db = open_database(self.config, components=self._components)
            await db.open()
            try:
                self._collection = await self._opened(db)
                self._db = db
            except BaseException:
                await db.close()
                raise
        return self._collection

    async def close(self) -> None:
        """Let go of it; closing twice does nothing."""
        db, self._db = self._db, None
        if db is not None:
            try:
                await self._closing(db)
            finally:
                self._collection = None
                await db.close()

    def stats(self) -> dict[str, Any]:
        """The settings in force, and how the cache fares.

        Raises:
            StoreClosed: it is not open.
        """
        collection = self._require()
        settings = {
            name: value
            for name, value in vars(self.config).items()
            if name in ("cache_size", "mmap_size", "checkpoint_pages", "durability")
        }
        return {
            "id": self.id,
            "level": level_of(collection),
            "engine": self.config.scheme,
            "settings": settings,
            "expected_size": self._hints.expected_size,
            "access_pattern": self._hints.access_pattern,
            "cache": collection.cache_facts(),
        }

    def __await__(self) -> Generator[Any, None, Collection[T]]:
        return self.open().__await__()

    async def __aenter__(self) -> Collection[T]:
        return await self.open()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # --- Inside -----------------------------------------------------------------------------

    async def _opened(self, db: Database) -> Collection[T]:
        kind = cast("type[T]", dict if self._type is None else self._type)
        collection = db.collection(self._name, kind)
        collection = collection.stored_as(self._serialization)
        if self._hints.cache is not None:
            collection = collection.cached(self._hints.cache)
        if self._debug:
            Debugging(self.id, db._components.clock).attach(collection)  # noqa: SLF001 - ours
        return collection

    async def _closing(self, db: Database) -> None:
        """Before the database is closed."""

    def _require(self) -> Collection[T]:
        if self._collection is None:
            raise StoreClosed("the storage is not open; use it inside `async with`, or `await` it")
        return self._collection


def _made(kind: Any, given: Any, name: str) -> Any:
    """A settings object from itself, a mapping or nothing. Raises ConfigInvalid."""
    if given is None:
        return kind()
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise ConfigInvalid(f"{name} is a mapping or a {kind.__name__}; found a {type_name(given)}")
    settings = dict(given)
    if isinstance(settings.get("cache"), Mapping):
        settings["cache"] = _made(CacheConfig, settings["cache"], "cache")
    try:
        return kind(**settings)
    except TypeError as error:
        raise ConfigInvalid(f"{name} has other settings: {error}") from error


def type_name(value: object) -> str:
    """The name of a value's type, for people."""
    return type(value).__name__
