"""`StoreBuilder`: what a store stands on, collected step by step or given at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from holdfast.codecs.serializers import JSON
from holdfast.contract.errors import AdapterRequired, ConfigInvalid, ServiceRequired
from holdfast.contract.runtime import Components
from holdfast.runtime.system import system_components
from holdfast.state.adapter import KeepsState, StateAdapter
from holdfast.state.areas.area import Scene, ValueSerializer
from holdfast.state.bounds import Bound, check_bounded_area
from holdfast.state.checks import Duration, ttl_ms
from holdfast.state.events.area import EventHub, EventsValidation
from holdfast.state.events.classes import EventClass
from holdfast.state.events.registry import EventRegistry
from holdfast.state.events.subscription import OnError
from holdfast.state.keys import (
    DEFAULT_PREFIX,
    HashTags,
    ScopedKeys,
    ScopeEntry,
    ScopeOptions,
    check_prefix,
    check_scope_key,
    check_service,
    scope_identifier,
)
from holdfast.state.observing import Logger, Observer
from holdfast.state.store import ScopedStore
from holdfast.state.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class StoreBuilder:
    """Collects what a store stands on. Each step returns another builder and leaves this one.

    Attributes are what the steps of the same name gave.
    """

    adapter: StateAdapter | None = None
    service: str | None = None
    serializer: ValueSerializer = JSON
    logger: Logger | None = None
    telemetry: Telemetry | None = None
    scopes: Mapping[str, ScopeOptions] | None = None
    prefix: str = DEFAULT_PREFIX
    hash_tags: HashTags = "none"
    default_ttl_ms: int = 0
    lints: bool = False
    bounds: Mapping[str, Bound] = field(default_factory=lambda: MappingProxyType({}))
    events: EventRegistry = field(default_factory=EventRegistry)
    validation: EventsValidation = field(default_factory=EventsValidation)
    on_event_error: OnError | None = None
    pins: Mapping[ScopeEntry, StateAdapter] = field(default_factory=lambda: MappingProxyType({}))
    components: Components = field(default_factory=system_components, repr=False)

    @classmethod
    def create(cls) -> Self:
        """A builder without anything."""
        return cls()

    def with_adapter(self, adapter: StateAdapter | KeepsState) -> Self:
        """Where the state is kept: an adapter, or an open database.

        Raises:
            AdapterRequired: it is neither.
            StoreClosed: the database is not open.
        """
        return replace(self, adapter=adapter_of(adapter))

    def with_pinned_scope(
        self, key: str, identifier: str | int, adapter: StateAdapter | KeepsState
    ) -> Self:
        """Keep one scope, and what is below it, elsewhere: `("region", "eu-west-1", eu)`."""
        elsewhere = adapter_of(adapter)
        entry = ScopeEntry(check_scope_key(key, None), scope_identifier(identifier))
        return replace(self, pins=MappingProxyType({**self.pins, entry: elsewhere}))

    def with_service(self, service: str) -> Self:
        """The name that keeps the keys of this service apart from those of others."""
        check_service(service)
        return replace(self, service=service)

    def with_serializer(self, serializer: ValueSerializer) -> Self:
        """How values become bytes; JSON unless told otherwise."""
        for method in ("encode", "decode"):
            if not callable(getattr(serializer, method, None)):
                raise ConfigInvalid(
                    f"a serializer has the methods encode and decode; found no {method} on a "
                    f"{type(serializer).__name__}",
                    parameter="serializer",
                )
        return replace(self, serializer=serializer)

    def with_logger(self, logger: Logger) -> Self:
        """Where each operation is logged, with its whole key; nowhere unless told."""
        return replace(self, logger=logger)

    def with_telemetry(self, telemetry: Telemetry) -> Self:
        """Who is told of each operation, without keys and values."""
        if not callable(getattr(telemetry, "emit", None)):
            raise ConfigInvalid(
                f"telemetry has a method emit; found none on a {type(telemetry).__name__}",
                parameter="telemetry",
            )
        return replace(self, telemetry=telemetry)

    def with_prefix(self, prefix: str) -> Self:
        """What all keys begin with, in place of `holdfast:state`."""
        check_prefix(prefix)
        return replace(self, prefix=prefix)

    def with_hash_tags(self, hash_tags: HashTags = "scope") -> Self:
        """Let the keys of each scope share a slot of a cluster."""
        if hash_tags not in ("none", "scope"):
            raise ConfigInvalid("hash_tags is 'none' or 'scope'", parameter="hash_tags")
        return replace(self, hash_tags=hash_tags)

    def with_default_ttl(self, ttl: Duration) -> Self:
        """The time-to-live of values that are set without one."""
        return replace(self, default_ttl_ms=ttl_ms(ttl))

    def with_bound(self, area: str, bound: Bound) -> Self:
        """Let an area (`kv` or `cache`) hold only so much; what goes first is the bound's order.

        It counts for the whole service, in all of its scopes. Where several processes write, each
        may pass it by a sixteenth for a moment.

        Raises:
            ConfigInvalid: the area cannot be bounded.
        """
        check_bounded_area(area)
        return replace(self, bounds=MappingProxyType({**self.bounds, area: bound}))

    def with_lint(self) -> Self:
        """Warn, once, of a value that is set without a time-to-live."""
        return replace(self, lints=True)

    def with_components(self, components: Components) -> Self:
        """Clock, identities and ways to wait, for tests."""
        return replace(self, components=components)

    def add_scope(self, key: str, *, required: bool = False) -> Self:
        """Declare a scope; once one is declared, others cannot be opened."""
        check_scope_key(key, None)
        declared = {**(self.scopes or {}), key: ScopeOptions(required)}
        return replace(self, scopes=MappingProxyType(declared))

    def add_events(self, events: EventRegistry | type[EventClass]) -> Self:
        """Declare the events of further namespaces; see `Events`.

        Raises:
            DuplicateNamespace: one of them is declared already.
        """
        if isinstance(events, type) and issubclass(events, EventClass):
            events = events.registry()
        if not isinstance(events, EventRegistry):
            raise ConfigInvalid(
                "events are a registry, such as Events.create(name).event(...).build(); found a "
                f"{type(events).__name__}",
                parameter="events",
            )
        return replace(self, events=self.events.merged(events))

    def with_events_validation(
        self, *, publish: bool = True, subscribe: bool = True, throw_on_error: bool = True
    ) -> Self:
        """When the schemas of events are applied; see `EventsValidation`."""
        return replace(self, validation=EventsValidation(publish, subscribe, throw_on_error))

    def with_event_errors(self, on_error: OnError) -> Self:
        """Who is told of messages that could not be handled: called with error and channel."""
        return replace(self, on_event_error=on_error)

    def build(self) -> ScopedStore:
        """The store.

        Raises:
            AdapterRequired: no adapter was given.
            ServiceRequired: no service was given.
            Unsupported: areas are to be bounded, and the adapter cannot.
        """
        if self.adapter is None:
            raise AdapterRequired(
                "a store wants an adapter; found none. Call with_adapter(RedisAdapter.from_url(u))"
            )
        if self.service is None:
            raise ServiceRequired("a store wants a service; found none. Call with_service(name)")
        keys = ScopedKeys(self.service, self.prefix, (), self.scopes, self.hash_tags)
        adapter, pins = self.adapter, dict(self.pins)
        if self.bounds:
            name = keys.stem
            adapter = adapter.bounded(self.bounds, name)
            pins = {entry: one.bounded(self.bounds, name) for entry, one in pins.items()}
        scene = Scene(
            keys,
            adapter,
            self.serializer,
            Observer(keys, self.components.clock, self.telemetry, self.logger, set()),
            self.components,
            self.default_ttl_ms,
            self.lints,
        )
        return ScopedStore(scene, EventHub(self.events, self.validation, self.on_event_error, pins))


def adapter_of(adapter: StateAdapter | KeepsState) -> StateAdapter:
    """The adapter of what was given as one.

    Raises:
        AdapterRequired: it is none, and no database.
    """
    if isinstance(adapter, StateAdapter):
        return adapter
    if isinstance(adapter, KeepsState):
        return adapter.state_adapter()
    raise AdapterRequired(
        "an adapter such as RedisAdapter.from_url(url) or an open database was wanted; found a "
        f"{type(adapter).__name__}"
    )


def build_store(
    adapter: StateAdapter | KeepsState,
    service: str,
    *,
    scopes: Mapping[str, ScopeOptions | bool] | Iterable[str] = (),
    serializer: ValueSerializer = JSON,
    prefix: str = DEFAULT_PREFIX,
    events: Iterable[EventRegistry | type[EventClass]] = (),
    events_validation: EventsValidation | None = None,
    bounds: Mapping[str, Bound] | None = None,
    pinned_scopes: Mapping[tuple[str, str | int], StateAdapter | KeepsState] | None = None,
    lint: bool = False,
    **settings: Any,
) -> ScopedStore:
    """A store at once: the builder's steps as arguments.

    Args:
        adapter: where the state is kept.
        service: keeps the keys of this service apart.
        scopes: names of scopes, or a mapping of names to whether they are required.
        serializer: how values become bytes.
        prefix: what all keys begin with.
        events: declared events.
        events_validation: when their schemas are applied.
        bounds: how much areas hold, by their names.
        pinned_scopes: where scopes are kept that are kept elsewhere, by key and identifier.
        lint: whether a value that is set without a time-to-live is warned of.
        settings: `logger`, `telemetry`, `hash_tags`, `default_ttl`, `event_errors`, `components`.

    Raises:
        ConfigInvalid: there is no such setting.
    """
    builder = StoreBuilder.create().with_adapter(adapter).with_service(service)
    builder = builder.with_serializer(serializer).with_prefix(prefix)
    required = scopes if isinstance(scopes, Mapping) else dict.fromkeys(scopes, False)
    for key, options in required.items():
        needed = options.required if isinstance(options, ScopeOptions) else options
        builder = builder.add_scope(key, required=needed)
    for registry in events:
        builder = builder.add_events(registry)
    for area, bound in (bounds or {}).items():
        builder = builder.with_bound(area, bound)
    for (key, identifier), elsewhere in (pinned_scopes or {}).items():
        builder = builder.with_pinned_scope(key, identifier, elsewhere)
    if events_validation is not None:
        builder = replace(builder, validation=events_validation)
    if lint:
        builder = builder.with_lint()
    steps = {"logger", "telemetry", "hash_tags", "default_ttl", "event_errors", "components"}
    for name, value in settings.items():
        if name not in steps:
            raise ConfigInvalid(
                f"build_store takes {', '.join(sorted(steps))}; found {name!r}", parameter=name
            )
        builder = getattr(builder, f"with_{name}")(value)
    return builder.build()
