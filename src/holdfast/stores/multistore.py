"""`MultiStore`: the named stores of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from holdfast.contract.engine import Engine
from holdfast.contract.errors import Conflict, InvalidInput, StoreExists, StoreNotFound, Unsupported
from holdfast.contract.runtime import Clock
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.keyspaces import Keyspace, Keyspaces
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.space import Space
from holdfast.store.transaction import TransactionEngine
from holdfast.stores.config import Remembered, StoreConfig, remembered
from holdfast.stores.content import Content
from holdfast.stores.kinds import content_of
from holdfast.stores.lifecycle import CREATED, DELETED, Lifecycle, StoreEvent
from holdfast.stores.limits import checked_key
from holdfast.stores.store import Store

if TYPE_CHECKING:
    from holdfast.stores.versions.together import AllStores, StoreProof, Together

#: The name of the view.
STORES: Final = "stores"


class MultiStore:
    """The named stores of a database. They share its engine, its commits and its feed.

    Args:
        engine: the engine, or one transaction's or snapshot's view of it.
        keyspaces: the directory.
        clock: decides what has expired.
        wrote: told the revision of each commit.
        gate: of the handle.
        lifecycle: what happens to stores is told there.
    """

    def __init__(
        self,
        engine: Engine,
        keyspaces: Keyspaces,
        clock: Clock,
        wrote: Callable[[int], None],
        gate: Gate,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        self._engine = engine
        self._keyspaces = keyspaces
        self._clock = clock
        self._wrote = wrote
        self._gate = gate
        #: Whether it is a transaction's or a snapshot's.
        self._fixed = isinstance(engine, TransactionEngine | SnapshotEngine)
        self._lifecycle = Lifecycle(engine.components) if lifecycle is None else lifecycle
        #: Closed with the handle, also where what happens is told elsewhere.
        self._own_lifecycle = self._lifecycle
        self._home = _Home(self)
        #: By the number of their keyspace: asking for a store twice gives one object.
        self._known: dict[int, Store] = {}

    def on(self, engine: Engine) -> MultiStore:
        """The same stores seen through a transaction or a snapshot."""
        if not isinstance(engine, Engine):
            raise InvalidInput(
                f"stores are seen through an engine; found a {type(engine).__name__}"
            )
        # The directory too is that of the moment, and a drop meanwhile is a conflict.
        # What is written there has no revision yet; the commit tells.
        return MultiStore(
            engine, Keyspaces(engine), self._clock, _nothing, self._gate, self._lifecycle
        )

    # --- Versions of all stores -------------------------------------------------------------

    async def save_version(self) -> AllStores:
        """Save the next version of every store, under one hash over all of their roots.

        Raises:
            StoreNotFound: there is no store.
            Unsupported: inside a transaction or on a snapshot.
        """
        return await (await self._together()).save()

    async def list_versions(self) -> list[int]:
        """The numbers of the versions of all stores, ascending."""
        from holdfast.stores.versions.together import numbers_of

        self._gate.check()
        await self._heal()
        return await numbers_of(self._engine)

    async def root(self, version: int | None = None) -> AllStores:
        """A version of all stores, with the root of each and the hash over all; else the latest.

        Raises:
            VersionNotFound: it is not saved.
        """
        from holdfast.stores.versions.together import version_of

        self._gate.check()
        await self._heal()
        return await version_of(self._engine, version)

    async def prove(self, name: str, key: bytes, version: int | None = None) -> StoreProof:
        """The proof of what a version of all stores says of a key of one of them.

        Raises:
            StoreNotFound: the store is not there, or was not at that version.
            VersionNotFound: the version is not saved, or that of the store was pruned.
        """
        from holdfast.stores.versions.together import proof_of

        store = await self.get(name)
        return await proof_of(store._open(), checked_key(key), await self.root(version))  # noqa: SLF001 - ours

    # --- Stores -----------------------------------------------------------------------------

    async def create(
        self,
        name: str,
        kind: str | None = None,
        config: StoreConfig | Mapping[str, Any] | None = None,
    ) -> Store:
        """A new, empty store.

        Args:
            name: 1 to 255 bytes of text.
            kind: `plain`, or `iavl` for versions that stay readable; left out, that of `config`.
            config: how it keeps its values. The store remembers it: `get` takes none.

        Raises:
            StoreExists: there is one of that name.
            InvalidName: the name is empty, too long, or no text.
            ConfigInvalid: the configuration cannot be.
            Unsupported: inside a transaction.
        """
        self._require_outside("created")
        settings = Remembered(StoreConfig.of(config, kind)).settings()
        found = await self._keyspaces.create(STORES, name, settings)
        self._wrote(0)
        store = self._store(found)
        self._lifecycle.publish(
            CREATED, name, engine=self._engine.capabilities.engine, path=store.path,
            kind=store.config.kind,
        )  # fmt: skip
        return store

    async def open(
        self,
        name: str,
        kind: str | None = None,
        config: StoreConfig | Mapping[str, Any] | None = None,
    ) -> Store:
        """The store of that name, made if there is none; see `create`.

        Raises:
            StoreExists: there is one, and it was made with another configuration.
        """
        wanted = StoreConfig.of(config, kind)
        while True:
            found = await self._find(name)
            if found is not None:
                store = self._store(found)
                if (kind is not None or config is not None) and store.config != wanted:
                    raise StoreExists(
                        f"the store {name!r} was made as {store.config}; wanted {wanted}. Get it "
                        "as it is, or choose another name",
                        name=name,
                    )
                return store
            try:
                return await self.create(name, kind, config)
            except StoreExists:
                continue  # Somebody was faster.

    async def get(self, name: str) -> Store:
        """The store of that name; the same object each time. Raises StoreNotFound."""
        found = await self._find(name)
        if found is None:
            raise StoreNotFound(
                f"a store {name!r} was wanted; there is none. `db.stores.create` makes it, "
                "`db.stores.list` tells which there are",
                name=name,
            )
        return self._store(found)

    async def exists(self, name: str) -> bool:
        """Whether there is a store of that name."""
        return await self._find(name) is not None

    async def list(self) -> list[str]:
        """The names of all stores, in order."""
        self._gate.check()
        return [one.name async for one in self._keyspaces.list(STORES)]

    async def delete(self, name: str) -> None:
        """Remove a store with all its values. Objects of it raise StoreNotFound.

        Raises:
            StoreNotFound: there is none of that name.
            Conflict: a branch of it is there.
            Unsupported: inside a transaction.
        """
        self._require_outside("deleted")
        found = await self._find(name)
        if found is not None:
            await self._refuse_held(found)
        await self._keyspaces.drop(STORES, name)
        if found is not None:
            dropped = self._known.pop(found.number, None)
            if dropped is not None:
                dropped._dropped()  # noqa: SLF001 - ours
        self._lifecycle.publish(DELETED, name)

    async def close_all(self) -> None:
        """Close every store that was handed out; asking for one then gives another object.

        Raises:
            ExceptionGroup: some could not be closed; all others are.
        """
        errors = []
        for store in list(self._known.values()):
            try:
                await store.close()
            except Exception as error:  # noqa: BLE001 - the others are to be closed all the same
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"{len(errors)} stores could not be closed", errors)

    def subscribe(self, topic: str, callback: Callable[[StoreEvent], object]) -> Callable[[], None]:
        """Call `callback` with what happens to stores through this handle.

        Args:
            topic: such as `store.created`, `store.version.+`, or `store.#` for everything.
            callback: a plain function, called before the call goes on, or a coroutine function.

        Returns:
            What ends it.

        Raises:
            PatternInvalid: no topic matches.
        """
        self._gate.check()
        return self._lifecycle.subscribe(topic, callback)

    async def _let_go(self) -> None:
        """The handle closes: nobody is told anything any more."""
        await self._own_lifecycle.close()

    def told_to(self, lifecycle: Lifecycle) -> None:
        """Have what happens to stores told elsewhere: to who keeps several databases."""
        self._lifecycle = self._home.lifecycle = lifecycle

    # --- Inside -----------------------------------------------------------------------------

    async def _together(self) -> Together:
        """All stores as they are now, ready to be saved."""
        from holdfast.stores.versions.together import Together

        self._require_outside("saved together")
        contents = []
        for name in await self.list():
            store = await self.get(name)
            contents.append(await store._recorded())  # noqa: SLF001 - ours
        if not contents:
            raise StoreNotFound("a version of all stores was wanted; there is no store", name="")
        return Together(contents)

    async def _heal(self) -> None:
        """Finish a version of all stores that somebody began and did not end."""
        if self._fixed or not self._engine.capabilities.writable:
            return
        [record] = await self._engine.read((layout.SYSTEM_STORES + b"saving",))
        if record is not None:
            await (await self._together()).heal()

    async def _find(self, name: str) -> Keyspace | None:
        self._gate.check()
        if not self._fixed:
            # Another process may have dropped it, and made another one of that name.
            await self._keyspaces.refresh()
        return await self._keyspaces.get(STORES, name)

    def _store(self, keyspace: Keyspace) -> Store:
        known = self._known.get(keyspace.number)
        if known is None:
            facts = remembered(keyspace.settings)
            made = Store(content_of(self._space(keyspace), facts), facts.config, self._home)
            # Another thread may have been faster: everybody gets one object.
            known = self._known.setdefault(keyspace.number, made)
        return known

    def _space(self, keyspace: Keyspace) -> Space:
        return Space(self._engine, keyspace, self._clock, self._wrote, self._gate, fenced=True)

    def _require_outside(self, what: str) -> None:
        self._gate.check()
        if self._fixed:
            raise Unsupported(
                f"a store is {what} outside of transactions and snapshots; do it on the database, "
                "before or after"
            )

    async def _refuse_held(self, keyspace: Keyspace) -> None:
        """Raise Conflict if branches of a store stand on its rows."""
        if remembered(keyspace.settings).config.kind != "iavl":
            return
        from holdfast.stores.versions.holds import held_versions
        from holdfast.stores.versions.tree_content import TreeContent

        content = content_of(self._space(keyspace))
        assert isinstance(content, TreeContent)  # that is its kind
        held = await held_versions(content)
        if held:
            raise Conflict(
                f"the branch {held[0][1]!r} of the store {keyspace.name!r} stands on its rows; "
                "delete the branch first",
                name=keyspace.name,
            )


class _Home:
    """Where the stores of a multi-store belong; see `home.Home`."""

    def __init__(self, stores: MultiStore) -> None:
        self._stores = stores
        self.lifecycle = stores._lifecycle  # noqa: SLF001 - ours
        self.fixed = stores._fixed  # noqa: SLF001 - ours
        self.writable = stores._engine.capabilities.writable  # noqa: SLF001 - ours

    def path_of(self, content: Content) -> str | None:
        engine = content.space.engine
        if not engine.capabilities.persistent:
            return None
        path = getattr(engine.config, "path", None)
        return None if path is None else str(path)

    async def renewed(self, content: Content) -> Content | None:
        keyspace = content.space.keyspace
        stores = self._stores
        found = await stores._find(keyspace.name)  # noqa: SLF001 - ours
        if found is None or found.number != keyspace.number or found == keyspace:
            return None
        return content_of(stores._space(found))  # noqa: SLF001 - ours

    async def tracked(self, content: Content) -> Content:
        return await self._remembering(
            content,
            lambda facts: replace(facts, tracked=facts.tracked or facts.config.kind == "plain"),
        )

    async def indexed(self, content: Content, *, wanted: bool) -> Content:
        return await self._remembering(
            content,
            lambda facts: replace(facts, config=replace(facts.config, fast_index=wanted)),
        )

    async def _remembering(
        self, content: Content, wanted: Callable[[Remembered], Remembered]
    ) -> Content:
        """The store, with settings that others changed meanwhile, and with those wanted."""
        stores = self._stores
        content = await self.renewed(content) or content
        while True:
            keyspace = content.space.keyspace
            facts = remembered(keyspace.settings)
            settings = wanted(facts).settings()
            if settings == facts.settings():
                return content
            try:
                changed = await stores._keyspaces.change(keyspace, settings)  # noqa: SLF001 - ours
            except Conflict:
                renewed = await self.renewed(content)
                if renewed is None:
                    raise
                content = renewed
                continue
            return content_of(stores._space(changed))  # noqa: SLF001 - ours

    async def branched(self, content: Content, name: str, version: int | None) -> Store:
        from holdfast.stores.versions.branches import make_branch

        stores = self._stores
        keyspace = await make_branch(
            content,
            version,
            lambda settings, begins: stores._keyspaces.create(  # noqa: SLF001 - ours
                STORES, name, settings, begins
            ),
            name,
        )
        store = stores._store(keyspace)  # noqa: SLF001 - ours
        self.lifecycle.publish(
            CREATED, name, engine=content.space.engine.capabilities.engine, path=store.path,
            kind=store.config.kind,
        )  # fmt: skip
        return store

    def forget(self, number: int) -> None:
        self._stores._known.pop(number, None)  # noqa: SLF001 - ours


def _nothing(_revision: int) -> None:
    """Nobody is told."""
