"""The life of a handle: what it takes part in when it opens, holds, and lets go when it closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.codecs.compression import NONE, Compression
from holdfast.codecs.serializers import MESSAGE_PACK, Serializer
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import InvalidInput, StoreClosed, StoreError
from holdfast.contract.runtime import Components
from holdfast.database.views import keepers
from holdfast.layers.read_only import ReadOnlyLayer
from holdfast.records.compose import NO_WISHES, Entries, Wishes, open_entries
from holdfast.runtime.gate import Gate
from holdfast.store.abilities import refuse_emulation
from holdfast.store.feed.watch import Changes
from holdfast.store.instances import Layers, SharedDatabase
from holdfast.store.keyspaces import Keyspace
from holdfast.store.opened import Token, acquire, release
from holdfast.store.versions.chunks import Values
from holdfast.store.views import ChangeReader
from holdfast.stores.multistore import MultiStore

if TYPE_CHECKING:
    from holdfast.documents.collections import Collections


class Handle:
    """What a handle on a database has while it is open. Refuses what is asked of it otherwise.

    Args:
        config: the database.
        components: clock, ids and host.
        serializer, compression: how values are stored.
        housekeeping: whether expired entries are ended in this process.
        wishes: what else entries are to have.
        layers: what stands above the engine, outermost first.
        emulation: False refuses an engine on which something would be emulated.
    """

    def __init__(
        self,
        config: EngineConfig,
        components: Components,
        *,
        serializer: Serializer = MESSAGE_PACK,
        compression: Compression = NONE,
        housekeeping: bool = True,
        wishes: Wishes = NO_WISHES,
        layers: Layers = (),
        emulation: bool = True,
    ) -> None:
        self.config = config
        self._components = components
        self._values = Values(components.host, serializer, compression)
        self._with_housekeeping = housekeeping
        self._wishes = wishes
        self._layers = layers
        self._emulation = emulation
        self._shared: SharedDatabase | None = None
        #: What this handle takes part in, until it has let go; and by which token.
        self._leaving: SharedDatabase | None = None
        self._token = Token()
        self._gate: Gate | None = None
        self._closed = False
        self._engine: Engine | None = None
        self._changes: Changes | None = None
        self._entries: Entries | None = None
        self._stores: MultiStore | None = None
        self._collections: Collections | None = None
        self._revision = 0

    # --- Opening and closing ----------------------------------------------------------------

    async def _open(self) -> None:
        if self._closed:
            raise self._refuse()
        if self._shared is not None:
            return
        gate = Gate(self._components.host.runtime(), self._refuse)
        token = Token()
        shared = await acquire(
            self.config, self._components, keepers, token,
            housekeeping=self._with_housekeeping, layers=self._layers,
        )  # fmt: skip
        try:
            if self._closed:
                raise self._refuse()  # By another task, while this one waited.
            if self._leaving is not None:
                raise InvalidInput(
                    "a handle is opened once; another task is opening this one. Await that one, "
                    "or open another handle: handles share the database"
                )
            self._leaving, self._token = shared, token
            self._shared, self._gate = shared, gate
            engine = shared.engine
            if self.config.read_only and engine.capabilities.writable:
                engine = ReadOnlyLayer(engine)
            self._engine = engine
            if not self._emulation:
                refuse_emulation(engine.capabilities)
            await self._open_views(engine)
            if self._closed:
                raise self._refuse()
        except BaseException:
            if self._token is token:
                self._shared = self._leaving = None
            await release(shared, token)
            raise

    async def _close(self) -> None:
        self._closed = True
        if self._gate is not None:
            self._gate.close()
        self._shared = None
        # Until all of it is let go: a close that was cancelled or interrupted can be repeated.
        shared = self._leaving
        if shared is not None:
            try:
                if self._gate is not None:
                    shared.tail.wake(self._gate)
                if self._collections is not None:
                    await self._collections.close()
                if self._entries is not None:
                    await self._entries.events.close()
                if self._stores is not None:
                    await self._stores._let_go()  # noqa: SLF001 - ours
                await shared.let_go(self._gate)
            finally:
                await release(shared, self._token)
            self._leaving = None

    async def _open_views(self, engine: Engine) -> None:
        shared, gate = self._require_shared(), self._require_gate()
        self._changes = Changes(
            engine, shared.feed, shared.keyspaces, shared.tail, self._reader_of, gate
        )
        self._entries = await open_entries(
            engine, shared, self._changes, self._values, self._wishes, self._wrote, gate
        )
        self._stores = MultiStore(
            engine, shared.keyspaces, self._components.clock, self._wrote, gate
        )
        self._revision = await engine.head()

    def state_adapter(self) -> Any:
        """A keeper of state in this database: `StoreBuilder.with_adapter(db)` asks for it."""
        from holdfast.state.embedded.adapter import EmbeddedAdapter
        from holdfast.state.embedded.site import Site

        engine, shared = self._open_engine(), self._require_shared()
        clock, gate = self._components.clock, self._require_gate()
        return EmbeddedAdapter(Site(engine, shared.keyspaces, clock, self._wrote, gate))

    # --- What it has, if it is open ---------------------------------------------------------

    def _require_collections(self) -> Collections:
        if self._collections is None:
            # Loaded with the first use: the package is as big as all others together.
            from holdfast.documents.collections import Collections

            shared = self._require_shared()
            self._collections = Collections(
                self._open_engine(), shared.keyspaces, shared.retention, self._values,
                self._components, self._wrote, self._require_gate(), changes=self._changes,
            )  # fmt: skip
        return self._collections

    def _reader_of(self, engine: Engine, keyspace: Keyspace) -> ChangeReader | None:
        view = self._require_shared().view_of(keyspace.view)
        return None if view is None else view.reader(engine, keyspace)

    def _require_changes(self) -> Changes:
        if self._changes is None:
            raise self._refuse()
        return self._changes

    def _open_parts(self) -> Entries:
        if self._entries is None or self._shared is None:
            raise self._refuse()
        return self._entries

    def _wrote(self, revision: int) -> None:
        """A commit of this handle."""
        self._revision = max(self._revision, revision)
        if self._shared is not None:
            self._shared.wrote()

    async def _committed(self, revision: int) -> None:
        """A transaction of this handle: its subscribers are told before its writer goes on."""
        self._wrote(revision)
        if self._collections is not None:
            await self._collections.committed(revision)
        if self._entries is not None:
            self._entries.composition.committed()
            if self._entries.events.active:
                await self._entries.events.committed(revision)

    def _guard(self) -> None:
        """Raise unless the handle may be used here and now."""
        self._require_gate().check()

    def _require_gate(self) -> Gate:
        if self._gate is None:
            raise self._refuse()
        return self._gate

    def _refuse(self) -> StoreError:
        if self._closed:
            return StoreClosed(f"the handle on {self.config.url} is closed; open another one")
        return StoreClosed(
            f"the handle on {self.config.url} is not open yet; open it, or use it inside `with` "
            "(on a loop `async with holdfast.open(...) as db`)"
        )

    def _open_engine(self) -> Engine:
        if self._engine is None or self._shared is None:
            raise self._refuse()
        return self._engine

    def _require_shared(self) -> SharedDatabase:
        if self._shared is None:
            raise self._refuse()
        return self._shared
