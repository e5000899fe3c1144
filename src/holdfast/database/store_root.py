"""`StoreRoot`: named stores in a folder, each in a database of its own, on several engines.

    <root>/<name>/store.json     name and engine
    <root>/<name>/data...        the database

A store is made beside its place and moved there as a whole: a crash leaves a folder that nobody
lists, and of two who make one name at once one is first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import msgspec

from holdfast.contract.errors import (
    ConfigInvalid,
    EngineNotFound,
    IntegrityFailed,
    InvalidName,
    StoreClosed,
    StoreExists,
    StoreNotFound,
)
from holdfast.contract.files import flush_directory
from holdfast.contract.runtime import Components
from holdfast.database.handle import Database
from holdfast.database.open import open
from holdfast.runtime.system import system_components
from holdfast.store.registry import engine_names
from holdfast.stores.config import StoreConfig
from holdfast.stores.lifecycle import CREATED, DELETED, Lifecycle, StoreEvent
from holdfast.stores.store import Store

NAME_BYTES_MAX: Final = 200
#: What stands in the folder of a store beside its database.
ABOUT: Final = "store.json"
#: After this time, in milliseconds, a store that is being made was left by a crash.
MAKING_MS_MAX: Final = 3_600_000
_MAKING: Final = ".making-"
_REMOVING: Final = ".removing-"
_REFUSED: Final = frozenset("/\\\0")
_ENVIRONMENT: Final = "HOLDFAST_STORES_"


class MultiStoreConfig(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Where stores are and how their engines are opened.

    Attributes:
        root_path: the folder of the stores.
        default_engine: of stores for which none is named.
        engine_configs: parameters of the URL of an engine, by its name.
    """

    root_path: str
    default_engine: str = "lmdb"
    engine_configs: dict[str, dict[str, str | int | float | bool]] = {}

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The configuration in JSON, with the names `rootPath`, `defaultEngine`, `engineConfigs`.

        Raises:
            ConfigInvalid: it is none.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"a configuration of stores cannot be read: {error}") from None

    def to_json(self) -> str:
        """The configuration as JSON, with the same names."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """The configuration in TOML, with the same names. Raises ConfigInvalid."""
        import tomllib

        try:
            return msgspec.convert(tomllib.loads(text), type=cls)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ConfigInvalid(f"a configuration of stores cannot be read: {error}") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The configuration in HOLDFAST_STORES_ROOT, _ENGINE and _CONFIGS (JSON).

        Raises:
            ConfigInvalid: the root is not there, or something cannot be read.
        """
        found = os.environ if environment is None else environment
        root = found.get(f"{_ENVIRONMENT}ROOT")
        if not root:
            raise ConfigInvalid(
                f"{_ENVIRONMENT}ROOT names the folder of the stores; found none. Set it, or pass a "
                "MultiStoreConfig"
            )
        fields: dict[str, Any] = {"rootPath": root}
        if f"{_ENVIRONMENT}ENGINE" in found:
            fields["defaultEngine"] = found[f"{_ENVIRONMENT}ENGINE"]
        try:
            if f"{_ENVIRONMENT}CONFIGS" in found:
                fields["engineConfigs"] = msgspec.json.decode(found[f"{_ENVIRONMENT}CONFIGS"])
            return msgspec.convert(fields, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConfigInvalid(
                f"the configuration in {_ENVIRONMENT}* cannot be read: {error}"
            ) from None


class _About(msgspec.Struct, frozen=True):
    """What a store's folder says of it."""

    name: str
    engine: str
    config: StoreConfig


class StoreRoot:
    """Named stores in a folder, each on an engine of its own; an asynchronous context manager.

    Args:
        config: where and how; a path alone is the folder.
        components: clock, ids and ways to wait; for tests.
    """

    def __init__(
        self, config: MultiStoreConfig | str | Path, *, components: Components | None = None
    ) -> None:
        if isinstance(config, str | Path):
            config = MultiStoreConfig(str(config))
        self._config = config
        self._root = Path(config.root_path)
        self._components = components if components is not None else system_components()
        self._lifecycle = Lifecycle(self._components)
        self._default = config.default_engine
        self._open: dict[str, tuple[Database, Store]] = {}
        self._closed = False

    # --- Engines ----------------------------------------------------------------------------

    @property
    def default_engine(self) -> str:
        """The engine of stores for which none is named."""
        return self._default

    def set_default_engine(self, engine: str) -> None:
        """Have stores on another engine unless one is named. Raises EngineNotFound."""
        self._default = _known(engine)

    # --- Stores -----------------------------------------------------------------------------

    async def create_store(
        self,
        name: str,
        engine: str = "",
        config: StoreConfig | Mapping[str, Any] | None = None,
    ) -> Store:
        """A new, empty store.

        Args:
            name: of the store, and of its folder.
            engine: such as `lmdb` or `sqlite`; empty: the default one.
            config: how it keeps its values; see `StoreConfig`.

        Raises:
            InvalidName: the name cannot be one of a folder.
            StoreExists: there is one of that name.
            EngineNotFound: no such engine is registered.
            ConfigInvalid: the configuration cannot be.
        """
        self._require_open()
        place = self._place(name)
        chosen = _known(engine or self._default)
        wanted = StoreConfig.of(config)
        if place.exists():
            raise _exists(name)
        making = self._root / f"{_MAKING}{self._components.ids.new().hex()}"
        making.mkdir(parents=True)
        try:
            async with self._database(chosen, making) as db:
                await db.stores.create(name, config=wanted)
            (making / ABOUT).write_bytes(msgspec.json.encode(_About(name, chosen, wanted)))
            flush_directory(making)
            try:
                making.rename(place)
            except OSError as error:
                if place.exists():
                    raise _exists(name) from error
                raise
            flush_directory(self._root)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        store = await self.get_store(name)
        self._lifecycle.publish(
            CREATED, name, engine=chosen, path=str(place), kind=store.config.kind
        )
        return store

    async def get_store(self, name: str) -> Store:
        """The store of that name; the same object each time. Raises StoreNotFound."""
        self._require_open()
        known = self._open.get(name)
        if known is not None and not known[1].closed:
            return known[1]
        place = self._place(name)
        about = self._about(place)
        if about is None:
            raise StoreNotFound(
                f"a store {name!r} was wanted; there is none in {self._root}. `create_store` makes "
                "it, `list_stores` tells which there are",
                name=name,
            )
        db = known[0] if known is not None else await self._database(about.engine, place).open()
        try:
            db.stores.told_to(self._lifecycle)
            # What is not kept on a disk is made anew, as it was.
            store = await db.stores.open(name, config=about.config)
        except BaseException:
            if known is None:
                await db.close()
            raise
        if known is None and name in self._open:
            await db.close()  # Another task was faster.
            return self._open[name][1]
        self._open[name] = db, store
        return store

    async def delete_store(self, name: str) -> None:
        """Remove a store with its folder. Objects of it raise an error.

        Raises:
            StoreNotFound: there is none of that name.
        """
        self._require_open()
        place = self._place(name)
        if self._about(place) is None:
            raise StoreNotFound(f"a store {name!r} was wanted; there is none", name=name)
        known = self._open.pop(name, None)
        if known is not None:
            await known[1].close()
            await known[0].close()
        removing = self._root / f"{_REMOVING}{self._components.ids.new().hex()}"
        place.rename(removing)
        shutil.rmtree(removing)
        self._lifecycle.publish(DELETED, name)

    async def list_stores(self) -> list[str]:
        """The names of all stores, in order."""
        self._require_open()
        if not self._root.is_dir():
            return []
        found = [self._about(place) for place in self._root.iterdir() if place.is_dir()]
        return sorted(about.name for about in found if about is not None)

    async def store_exists(self, name: str) -> bool:
        """Whether there is a store of that name."""
        self._require_open()
        return self._about(self._place(name)) is not None

    def subscribe(self, topic: str, callback: Callable[[StoreEvent], object]) -> Callable[[], None]:
        """Call `callback` with what happens to stores; see `MultiStore.subscribe`."""
        self._require_open()
        return self._lifecycle.subscribe(topic, callback)

    async def close_all(self) -> None:
        """Close every store and its database; the root can be used again.

        Raises:
            ExceptionGroup: some could not be closed; all others are.
        """
        errors: list[Exception] = []
        while self._open:
            _, (db, store) = self._open.popitem()
            for part in (store, db):
                try:
                    await part.close()
                except Exception as error:  # noqa: BLE001 - the others are to be closed all the same
                    errors.append(error)
        if errors:
            raise ExceptionGroup(f"{len(errors)} stores could not be closed", errors)

    async def __aenter__(self) -> Self:
        self._require_open()
        self._clear()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.close_all()
        finally:
            self._closed = True
            await self._lifecycle.close()

    # --- Inside -----------------------------------------------------------------------------

    def _clear(self) -> None:
        """Remove what a crash left of stores that never came to be, or were being removed."""
        for left in self._root.glob(f"{_REMOVING}*"):
            shutil.rmtree(left, ignore_errors=True)
        oldest_ms = self._components.clock.now_ms() - MAKING_MS_MAX
        for left in self._root.glob(f"{_MAKING}*"):
            # Another process may be at it right now.
            if left.stat().st_mtime * 1000 < oldest_ms:
                shutil.rmtree(left, ignore_errors=True)

    def _place(self, name: object) -> Path:
        if (
            not isinstance(name, str)
            or not name
            or name.startswith(".")
            or not _REFUSED.isdisjoint(name)
        ):
            raise InvalidName(
                "the name of a store here is that of its folder: text without slashes that does "
                f"not begin with a dot; found {name!r}"
            )
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise InvalidName("a name is Unicode text; found a lone surrogate in it") from None
        if size > NAME_BYTES_MAX:
            raise InvalidName(f"a name has at most {NAME_BYTES_MAX} bytes here; found {size}")
        return self._root / name

    def _about(self, place: Path) -> _About | None:
        try:
            found = (place / ABOUT).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if place.name.startswith("."):
            return None  # On its way in or out.
        try:
            return msgspec.json.decode(found, type=_About)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise IntegrityFailed(
                f"{place / ABOUT} does not say what the store is; restore it from a backup"
            ) from error

    def _database(self, engine: str, place: Path) -> Database:
        settings = self._config.engine_configs.get(engine, {})
        parts = [f"{name}={quote(_text(value))}" for name, value in settings.items()]
        # Names of folders are no parts of an address: one with `?` would bring settings along.
        path = quote(str(place.resolve()), errors="surrogateescape")
        if engine == "memory":
            return open(
                "memory://?" + "&".join([f"name={path}", *parts]), components=self._components
            )
        parameters = "?" + "&".join(parts) if parts else ""
        return open(f"{engine}:///{path}/data{parameters}", components=self._components)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"the stores in {self._root} were closed; open the root again")


def _known(engine: str) -> str:
    names = engine_names()
    if engine not in names:
        raise EngineNotFound(
            f"no engine {engine!r} is registered; there are {', '.join(names)}", scheme=engine
        )
    return engine


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _exists(name: str) -> StoreExists:
    return StoreExists(
        f"a new name was wanted; the store {name!r} exists. Get it, or choose another name",
        name=name,
    )
