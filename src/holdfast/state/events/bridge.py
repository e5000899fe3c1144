"""`EventBridge`: events of one region's store heard in the others, each once, without a loop.

    us = await EventBridge([europe, america]).open()

What crosses is marked with the bridge that carried it, and a bridge carries nothing that is marked
with its own name. Several processes may run the same bridge for safety: the first to claim an event
carries it. Equal events of one millisecond count as one. An event that is published while no bridge
runs does not cross.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Self

from holdfast.codecs.digest import digest
from holdfast.contract.errors import InvalidInput, StoreError
from holdfast.state.checks import name as checked_name
from holdfast.state.events.area import EventsArea
from holdfast.state.events.message import Message
from holdfast.state.events.subscription import Subscription

_log = logging.getLogger("holdfast")

#: For how long it is remembered that an event has crossed, in seconds.
REMEMBERED_S = 60
STORES_MAX = 32


class EventBridge:
    """Carries events between stores of the same service in different places.

    Args:
        stores: those of the regions, in the same scope.
        channel: what crosses: a channel, or a pattern with `*`.
        name: of the bridge; processes that run it together use one name.

    Attributes:
        carried: events that this bridge has published elsewhere.
    """

    def __init__(self, stores: Sequence[Any], *, channel: str = "*", name: str = "bridge") -> None:
        if not 1 < len(stores) <= STORES_MAX:
            raise InvalidInput(f"a bridge joins 2 to {STORES_MAX} stores; found {len(stores)}")
        self.name = checked_name("the name of a bridge", name)
        self.channel = channel
        self.carried = 0
        self._stores = list(stores)
        self._subscriptions: list[Subscription] = []

    async def open(self) -> Self:
        """Begin to carry."""
        try:
            for place, store in enumerate(self._stores):
                handler = _Carrier(self, place)
                events: EventsArea = store.events
                self._subscriptions.append(await events.subscribe(self.channel, handler))
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Carry nothing more."""
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def carry(self, place: int, message: Message[Any]) -> None:
        """Publish in the other places what was heard in one."""
        if self.name in message.via:
            return
        source = self._stores[place]
        plain = source.events.plain(message.type, message.data)
        identity = digest({"type": message.type, "data": plain, "at": message.timestamp}).hex[:32]
        # Of several processes with this bridge one carries it.
        claim = f"{self.name}-{identity}"
        if not await source.claim.once(claim, self.name, ttl=REMEMBERED_S):
            return
        for other, store in enumerate(self._stores):
            if other == place:
                continue
            try:
                await store.events.republish(message, plain, self.name)
                self.carried += 1
            except StoreError as error:
                # A region that is away misses it; the others do not.
                _log.warning("a bridge could not carry an event: %s", error.code)


class _Carrier:
    """A handler of its own for each store: equal ones on one channel would be called once."""

    def __init__(self, bridge: EventBridge, place: int) -> None:
        self._bridge = bridge
        self._place = place

    async def __call__(self, message: Message[Any]) -> None:
        await self._bridge.carry(self._place, message)
