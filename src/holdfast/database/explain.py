"""What `explain` tells of a database."""

from __future__ import annotations

from typing import Any

from holdfast.contract.capability import Capabilities
from holdfast.contract.engine import Engine
from holdfast.records.decorators.cached import Cached
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.store.abilities import abilities
from holdfast.store.instances import SharedDatabase


async def explained(
    engine: Engine, entries: KeyValueStoreInterface, shared: SharedDatabase
) -> dict[str, Any]:
    """What stands below a handle, from the view of entries to the engine, and what it can do."""
    stack = []
    layer: Engine | None = engine
    while layer is not None:
        stack.append(type(layer).__name__)
        layer = getattr(layer, "inner", None)
    capabilities = engine.capabilities
    return {
        "lineage": engine.lineage,
        "feed_oldest": await shared.feed.oldest(),
        "stack": [repr(entries), *stack],
        "cache": _cache(entries),
        "format": {"number": shared.format.number, "features": list(shared.format.features)},
        "keyspaces": [
            {
                "view": one.view,
                "name": one.name,
                "history": one.settings.history,
                "feed": one.settings.feed,
                "known": shared.view_of(one.view) is not None,
            }
            async for one in shared.keyspaces.list()
        ],
        "housekeeping": _housekeeping(shared),
        "waiting_for_changes": shared.tail.joined,
        "capabilities": {
            name: getattr(capabilities, name) for name in Capabilities.__dataclass_fields__
        },
        "abilities": {
            name: {"source": ability.source, "remark": ability.remark}
            for name, ability in abilities(capabilities).items()
        },
    }


def _housekeeping(shared: SharedDatabase) -> dict[str, Any] | None:
    """How the rounds of this process fare; None: it keeps no house."""
    rounds = shared.housekeeping
    if rounds is None:
        return None
    return {
        "running": rounds.running,
        "failures": rounds.failures,
        "last_failure": rounds.last_failure,
        "retention": "set"
        if shared.retention.unreadable is None
        else str(shared.retention.unreadable),
    }


def _cache(entries: KeyValueStoreInterface) -> dict[str, int] | None:
    """What the cache of a view did and holds; None: it has none."""
    store: KeyValueStoreInterface | None = entries
    while store is not None and not isinstance(store, Cached):
        store = getattr(store, "inner", None)
    return None if store is None else store.stats()._asdict()
