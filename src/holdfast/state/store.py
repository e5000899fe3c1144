"""`ScopedStore`: the areas of a service in one scope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Self, TypeVar

from holdfast.state.adapter import Moment, StateAdapter
from holdfast.state.areas.area import ExtensionArea, Scene
from holdfast.state.areas.batch import BatchArea
from holdfast.state.areas.bloom import Bloom
from holdfast.state.areas.cache import Cache
from holdfast.state.areas.cached_function import Caching
from holdfast.state.areas.claim import Claim
from holdfast.state.areas.counter import Counter
from holdfast.state.areas.dev import Dev
from holdfast.state.areas.kv import KV
from holdfast.state.areas.limiter import Limiter
from holdfast.state.areas.presence import Presence
from holdfast.state.areas.semaphore import Semaphore
from holdfast.state.checks import Duration
from holdfast.state.events.area import EventHub, EventsArea
from holdfast.state.keys import ScopeEntry
from holdfast.state.observing import Observer
from holdfast.state.purging import PurgeReport, purge
from holdfast.state.streams.area import Streams

A = TypeVar("A", bound=ExtensionArea)


class ScopedStore:
    """State that is shared by everybody who builds the same service on the same keeper.

    It is made by `StoreBuilder.build`. `scope` gives another store one scope further in, over the
    same connections.
    """

    def __init__(self, scene: Scene, hub: EventHub) -> None:
        self._scene = scene
        self._hub = hub

    @property
    def service(self) -> str:
        """Name of the service."""
        return self._scene.keys.service

    @property
    def scope_chain(self) -> tuple[ScopeEntry, ...]:
        """The scopes that are open, outermost first."""
        return self._scene.keys.chain

    def scope(self, key: str, identifier: str | int) -> ScopedStore:
        """The store of one scope further in; what is in it nobody else sees.

        Order counts: organization then workspace is another place than workspace then organization.

        Raises:
            InvalidScopeKey: the scope is not declared.
            InvalidScopeIdentifier: the identifier cannot be one.
        """
        scene = self._scene
        keys = scene.keys.scope(key, identifier)
        seen = scene.observer
        observer = Observer(keys, seen.clock, seen.telemetry, seen.logger, seen.warned)
        adapter = self._hub.pins.get(keys.chain[-1], scene.adapter)
        return ScopedStore(replace(scene, keys=keys, observer=observer, adapter=adapter), self._hub)

    def on(self, moment: Moment) -> ScopedStore:
        """The same store inside a transaction, or as of a snapshot, of the database it stands on.

            async with db.transaction() as tx:
                await store.on(tx).kv.set("a", 1)
                await tx.entries.set("b", 2)

        Raises:
            Unsupported: the adapter keeps its state somewhere else.
        """
        scene = replace(self._scene, adapter=self._scene.adapter.on(moment))
        return ScopedStore(scene, self._hub)

    def around(self, layer: Callable[[StateAdapter], StateAdapter]) -> ScopedStore:
        """The same store with a layer around each of its adapters: `store.around(RetryAdapter)`."""
        pins = {entry: layer(adapter) for entry, adapter in self._hub.pins.items()}
        scene = replace(self._scene, adapter=layer(self._scene.adapter))
        return ScopedStore(scene, replace(self._hub, pins=pins))

    def area(self, kind: type[A]) -> A:
        """An area that is not built in; see `ExtensionArea`."""
        return kind(self._scene)

    async def purge_scope(self, *, cursor: str = "0", steps: int | None = None) -> PurgeReport:
        """Remove every key of every area in this scope and the scopes below it.

        What is written meanwhile may stay, so writers are stopped first. A purge that was broken
        off goes on where it was, or simply begins anew. When it is done a record of it stands in
        the service's stream `purges`, outside all scopes.

        Args:
            cursor: of the report of a purge that had not come to its end.
            steps: how many steps this call makes; to the end unless given.

        Raises:
            InvalidInput: no scope is open, or an argument cannot be.
        """
        return await purge(self._scene, cursor, steps)

    async def close(self) -> None:
        """Close the adapters, and with them every scope's store."""
        for adapter in {
            id(one): one for one in (self._scene.adapter, *self._hub.pins.values())
        }.values():
            await adapter.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        scopes = "".join(f"/{entry.key}" for entry in self.scope_chain)
        return f"<ScopedStore {self.service}{scopes} on {self._scene.adapter.name}>"

    def cached(
        self,
        *,
        ttl: Duration,
        key: str | Callable[..., str] | None = None,
        tags: Sequence[str] | Callable[..., Sequence[str]] = (),
        stale: Duration | None = None,
        early: Duration | None = None,
        wait: Duration | None = None,
    ) -> Caching:
        """Keep what a function returns; see `Cache.cached`."""
        return self.cache.cached(ttl=ttl, key=key, tags=tags, stale=stale, early=early, wait=wait)

    # --- Areas ------------------------------------------------------------------------------

    @cached_property
    def kv(self) -> KV:
        """Values under keys."""
        return KV(self._scene)

    @cached_property
    def counter(self) -> Counter:
        """Whole numbers that many add to at once."""
        return Counter(self._scene)

    @cached_property
    def claim(self) -> Claim:
        """One holder at a time."""
        return Claim(self._scene)

    @cached_property
    def batch(self) -> BatchArea:
        """Many values in one round trip."""
        return BatchArea(self._scene)

    @cached_property
    def events(self) -> EventsArea:
        """Messages to who listens now."""
        return EventsArea(self._scene, self._hub)

    @cached_property
    def streams(self) -> Streams:
        """Messages that are kept, and given to each group once."""
        return Streams(self._scene)

    @cached_property
    def cache(self) -> Cache:
        """Results of functions."""
        return Cache(self._scene)

    @cached_property
    def limiter(self) -> Limiter:
        """How often something may happen."""
        return Limiter(self._scene)

    @cached_property
    def semaphore(self) -> Semaphore:
        """At most so many holders at a time."""
        return Semaphore(self._scene)

    @cached_property
    def presence(self) -> Presence:
        """Who is there now."""
        return Presence(self._scene)

    @cached_property
    def bloom(self) -> Bloom:
        """Whether something was surely never seen."""
        return Bloom(self._scene)

    @cached_property
    def dev(self) -> Dev:
        """Looking around, for people and monitors."""
        return Dev(self._scene)
