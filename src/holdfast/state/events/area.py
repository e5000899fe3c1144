"""`events`: publish and subscribe, by name or through declared events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from holdfast.contract.errors import InvalidInput, SchemaValidationFailed, StoreError
from holdfast.state.adapter import StateAdapter
from holdfast.state.areas.area import Area, Scene
from holdfast.state.calling import call
from holdfast.state.event_names import EventNameRules
from holdfast.state.events.classes import EventClass
from holdfast.state.events.message import Message, envelope, opened
from holdfast.state.events.registry import EventRegistry, Leaf, Tree
from holdfast.state.events.subscription import Handler, OnError, Subscription
from holdfast.state.keys import ScopeEntry, escape_glob
from holdfast.state.observing import fail
from holdfast.state.telemetry import error_attributes, operation

_CHANNEL = {"ctx.events.channel": str}
_PUBLISH = operation("events.publish", "events", _CHANNEL)
_SUBSCRIBE = operation("events.subscribe", "events", _CHANNEL)
_UNSUBSCRIBE = operation("events.unsubscribe", "events", {}, _CHANNEL, ("success",))
_DELIVER = operation("events.deliver", "events", {}, {}, ("error",))

_log = logging.getLogger("holdfast")

G = TypeVar("G", bound=EventClass)
Phase = Literal["publish", "subscribe"]


@dataclass(frozen=True, slots=True)
class EventsValidation:
    """When declared schemas are applied.

    Attributes:
        publish: before something is sent.
        subscribe: before a handler is called.
        throw_on_error: what does not fit is refused; otherwise it is warned of, and goes on as
            it is.
    """

    publish: bool = True
    subscribe: bool = True
    throw_on_error: bool = True


@dataclass(slots=True)
class EventHub:
    """What all scopes of a store share about events: declarations, settings, who listens."""

    registry: EventRegistry = field(default_factory=EventRegistry)
    validation: EventsValidation = field(default_factory=EventsValidation)
    on_error: OnError | None = None
    #: Scopes that are kept elsewhere than the rest.
    pins: dict[ScopeEntry, StateAdapter] = field(default_factory=dict)
    #: By whole channel, then by handler.
    subscriptions: dict[str, dict[Handler, Subscription]] = field(default_factory=dict)
    #: Classes whose events are all declared.
    known: set[type[EventClass]] = field(default_factory=set)


class EventAccessor:
    """One declared event: publish and subscribe know its channel."""

    def __init__(self, area: EventsArea, channel: str) -> None:
        self._area = area
        self.channel = channel

    async def publish(self, data: Any) -> None:
        """Publish it; see `EventsArea.publish`."""
        await self._area.publish(self.channel, data)

    async def subscribe(self, handler: Handler) -> Subscription:
        """Have a function called with each; see `EventsArea.subscribe`."""
        return await self._area.subscribe(self.channel, handler)

    def __repr__(self) -> str:
        return f"<EventAccessor {self.channel}>"


class EventDirectory:
    """Declared events below a name: attributes and items lead to events or further down."""

    def __init__(self, area: EventsArea, tree: Tree, path: str) -> None:
        self._area = area
        self._tree = tree
        self._path = path

    def __getitem__(self, name: str) -> Any:
        """The event or group of that name; for names that attributes cannot have."""
        return _step(self._area, self._tree, self._path, name, KeyError)

    def __getattr__(self, name: str) -> Any:
        return _step(self._area, self._tree, self._path, name, AttributeError)

    def __dir__(self) -> list[str]:
        return [*self._tree]


class EventsArea(Area):
    """Channels. A message reaches who listens now, in the same scope; nobody else, and no later.

    `store.events.user.created` leads to the declared event `user:created`.
    """

    area = "events"

    def __init__(self, scene: Scene, hub: EventHub) -> None:
        super().__init__(scene)
        self._hub = hub

    async def publish(self, channel: str, data: Any) -> None:
        """Tell everybody who listens on this channel in this scope.

        Data of a declared event is validated; what its schema makes of it (defaults) is sent.

        Raises:
            InvalidName: the channel is none, or has a wildcard.
            SchemaValidationFailed: the data does not fit; nothing was sent.
            SerializationFailed: the data cannot be sent; nothing was.
        """
        EventNameRules.channel(channel)
        whole = self._key(channel)
        seen = (
            self._observer.started(_PUBLISH, whole, {"ctx.events.channel": self._shown(channel)})
            if self._observer.on
            else None
        )
        try:
            sent = self._validated(channel, data, "publish")
            now_ms = self._scene.components.clock.now_ms()
            made = envelope(channel, sent, now_ms, self._scene.keys.chain)
            await self._adapter.publish(whole, self._scene.encode(made))
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, _PUBLISH, channel, seen)
        if seen is not None:
            seen.success()

    async def republish(self, message: Message[Any], plain: Any, bridge: str) -> None:
        """Publish a message that was heard elsewhere, as it was, marked with who carried it."""
        channel = EventNameRules.channel(message.type)
        made = {
            "type": channel,
            "data": plain,
            "timestamp": message.timestamp,
            "via": [*message.via, bridge],
        }
        if self._scene.keys.chain:
            made["scope"] = [{"key": k, "identifier": i} for k, i in self._scene.keys.chain]
        whole = self._key(channel)
        await self._observer.run(
            _PUBLISH,
            channel,
            self._adapter.publish(whole, self._scene.encode(made)),
            {"ctx.events.channel": self._shown(channel)},
        )

    def plain(self, channel: str, data: Any) -> Any:
        """The data of a message as it is sent."""
        leaf = self._hub.registry.find(channel)
        return data if leaf is None or leaf.shape is None else leaf.shape.plain(data)

    async def subscribe(self, channel: str, handler: Handler) -> Subscription:
        """Have a function, plain or a coroutine function, called with each message.

        Calls come one after the other, in the order of publication. What the handler raises is
        reported and disturbs nobody. Messages that come while `SUBSCRIBER_QUEUE_MAX` wait are
        dropped and counted. The same function on the same channel is called once.

        Args:
            channel: `user:created`, or with `*` for any run of characters: `user:*`.
            handler: called with a `Message`.

        Returns:
            What ends it: `await subscription()`.
        """
        EventNameRules.pattern(channel)
        if not callable(handler):
            raise InvalidInput(
                f"a handler is a function of one message; found a {type(handler).__name__}"
            )
        wildcard = "*" in channel
        whole = self._whole(channel)
        shown = {"ctx.events.channel": self._shown(channel)}
        handlers = self._hub.subscriptions.setdefault(whole, {})
        there = handlers.get(handler)
        if there is not None and there.runtime is self._scene.components.host.runtime():
            await there.ready.wait()
            return there
        end: Any = None

        async def unsubscribe(subscription: Subscription) -> None:
            if subscription.closed:
                return
            subscription.close()
            self._forget(whole, subscription)
            if end is not None:
                await end()
            self._observer.tell(_UNSUBSCRIBE, "success", shown)

        made = Subscription(
            channel, handler, self._scene.components.host, self._read, self._report, unsubscribe
        )
        handlers[handler] = made
        try:
            end = await self._observer.run(
                _SUBSCRIBE,
                channel,
                self._adapter.subscribe(whole, made.deliver, made.gap, wildcard=wildcard),
                shown,
            )
        except BaseException as error:
            made.close()
            self._forget(whole, made)
            made.ready.settle(error=error)
            raise
        made.ready.settle()
        return made

    async def unsubscribe(self, channel: str) -> None:
        """End all subscriptions to this channel in this scope."""
        for subscription in [*self._hub.subscriptions.get(self._whole(channel), {}).values()]:
            await subscription()

    def subscriptions(self) -> list[Subscription]:
        """All that there are, of every scope."""
        return [one for handlers in self._hub.subscriptions.values() for one in handlers.values()]

    def of(self, events: type[G]) -> G:
        """The declared events of a class, with their types.

        Raises:
            InvalidInput: the class was not added to the builder, or another one of its namespace.
        """
        namespace, hub = events.namespace, self._hub
        if events not in hub.known:
            if namespace is None or namespace not in hub.registry.tree:
                raise InvalidInput(
                    f"the events of {events.__name__} were not added; call "
                    f"add_events({events.__name__}) on the builder"
                )
            channels = events.registry().channels()
            missing = sorted(one for one in channels if hub.registry.find(one) is None)
            if missing:
                raise InvalidInput(
                    f"{events.__name__} has events that the store does not know: "
                    f"{', '.join(missing[:5])}. Another class of its namespace was added; add "
                    "this one, or declare them there"
                )
            hub.known.add(events)
        return events(self, str(namespace) + ":")

    # --- Declared events --------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        hub: EventHub = self.__dict__["_hub"]
        return _step(self, hub.registry.tree, "", name, AttributeError)

    def __getitem__(self, name: str) -> Any:
        """A declared event by its channel, or a group or namespace by its name."""
        found: Any = self
        tree: Any = self._hub.registry.tree
        path = ""
        for part in name.split(":"):
            if isinstance(found, EventAccessor):
                raise KeyError(name)
            found = _step(self, tree, path, part, KeyError)
            tree, path = tree.get(part), path + part + ":"
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._hub.registry.tree]

    # --- Inside -----------------------------------------------------------------------------

    def _whole(self, channel: str) -> str:
        """The whole channel, or the glob of whole channels when it has a wildcard."""
        whole = self._key(channel)
        if "*" not in channel:
            return whole
        return escape_glob(self._key.stem) + "*".join(map(escape_glob, channel.split("*")))

    def _shown(self, channel: str) -> str:
        """What telemetry calls a channel: its name if it is declared, else its first segment.

        A channel that was put together may hold somebody's identity.
        """
        if self._hub.registry.find(channel) is not None:
            return channel
        first, colon, _ = channel.partition(":")
        return first + ":…" if colon else first

    def _validated(self, channel: str, data: Any, phase: Phase) -> Any:
        """The one gate of publishing and of receiving: what the schema makes of the data."""
        leaf = self._hub.registry.find(channel)
        shape = leaf.shape if isinstance(leaf, Leaf) else None
        if shape is None:
            return data
        validation = self._hub.validation
        if not (validation.publish if phase == "publish" else validation.subscribe):
            return shape.plain(data)
        try:
            return shape.sent(data) if phase == "publish" else shape.received(data)
        except SchemaValidationFailed as error:
            if validation.throw_on_error:
                raise
            violations: list[tuple[str, str]] = error.details.get("violations", [])
            self._observer.log(
                "warning",
                "%s of %s does not fit its schema at %s; it goes on as it is",
                phase,
                channel,
                ", ".join(path for path, _ in violations[:3]),
            )
            return shape.plain(data)

    def _read(self, channel: str, data: bytes) -> Message[Any]:
        """The message of what came on a whole channel."""
        message = opened(self._scene.decode(data))
        name = self._key.user_key(channel) or message.type
        return replace(message, data=self._validated(name, message.data, "subscribe"))

    async def _report(self, error: BaseException, channel: str) -> None:
        """Something went wrong where no caller waits."""
        named = self._key.user_key(channel) or channel
        if isinstance(error, StoreError):
            error.within(channel=named)
        observer = self._observer
        if observer.telemetry is not None:
            observer.tell(_DELIVER, "error", error_attributes(error))
        if self._hub.on_error is not None:
            # Nobody is there to be interrupted, and the messages behind this one wait.
            failure = await call(self._scene.components.host, self._hub.on_error, error, named)
            if failure is not None:
                _log.error("on_error of events failed with %s", type(failure).__name__)
            return
        said = self._shown(named)
        observer.log("warning", "a message on %s was not handled: %s", said, type(error).__name__)

    def _forget(self, whole: str, subscription: Subscription) -> None:
        handlers = self._hub.subscriptions.get(whole, {})
        # The same function may have been subscribed anew, on another loop.
        if handlers.get(subscription.handler) is subscription:
            del handlers[subscription.handler]
        if not handlers:
            self._hub.subscriptions.pop(whole, None)


def _step(
    area: EventsArea, tree: Mapping[str, Any], path: str, name: str, error: type[Exception]
) -> Any:
    found = tree.get(name)
    if found is None:
        where = f"{path[:-1]!r} has" if path else "this store has"
        raise error(
            f"{where} the events {', '.join(tree) or '(none)'}; found no {name!r} among them"
        )
    if isinstance(found, Leaf):
        return EventAccessor(area, path + name)
    return EventDirectory(area, found, path + name + ":")
