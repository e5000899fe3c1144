"""State that services share: scopes, values, counters, claims, events, streams.

from holdfast.state import RedisAdapter, StoreBuilder

store = (
    StoreBuilder.create()
    .with_adapter(RedisAdapter.from_url("redis://localhost:6379"))
    .with_service("api-server")
    .add_scope("organization", required=True)
    .build()
)
await store.scope("organization", "org_123").kv.set("settings:theme", "dark")
"""

from __future__ import annotations

import sys

from holdfast.contract.errors import EnvironmentRequired

if sys.platform == "emscripten":
    raise EnvironmentRequired(
        "state that services share wants a server's Python; found a browser's, where secrets would "
        "be in everybody's hands. Ask a server for it"
    )

from typing import TYPE_CHECKING, Any

from holdfast.state.adaptive import AdaptiveSerializer
from holdfast.state.areas.area import ExtensionArea
from holdfast.state.areas.batch import BatchEntry
from holdfast.state.areas.cached_function import CachedFunction
from holdfast.state.bounds import Bound
from holdfast.state.builder import StoreBuilder, build_store
from holdfast.state.events.area import EventsValidation
from holdfast.state.events.bridge import EventBridge
from holdfast.state.events.classes import EventClass, event, group
from holdfast.state.events.compatibility import check_compatible
from holdfast.state.events.message import Message
from holdfast.state.events.registry import EventRegistry, Events
from holdfast.state.events.writing import event_classes
from holdfast.state.keys import ScopedKeys, ScopeEntry, ScopeOptions
from holdfast.state.layers import BreakerAdapter, RetryAdapter
from holdfast.state.mock.adapter import MockStoreAdapter
from holdfast.state.open_telemetry import OpenTelemetry
from holdfast.state.redis.acl import acl_rule
from holdfast.state.seed_adapter import SeedAdapter, StoreAdapter
from holdfast.state.server_sent import server_sent_events
from holdfast.state.store import ScopedStore
from holdfast.state.streams.message import StreamMessage

if TYPE_CHECKING:
    from holdfast.state.redis.adapter import RedisAdapter
    from holdfast.state.redis.cluster import ClusterAdapter
    from holdfast.state.redis.local import LocalRedisAdapter
    from holdfast.state.redis.sentinel import SentinelAdapter

__all__ = [
    "AdaptiveSerializer",
    "BatchEntry",
    "Bound",
    "BreakerAdapter",
    "CachedFunction",
    "ClusterAdapter",
    "EventBridge",
    "EventClass",
    "EventRegistry",
    "Events",
    "EventsValidation",
    "ExtensionArea",
    "LocalRedisAdapter",
    "Message",
    "MockStoreAdapter",
    "OpenTelemetry",
    "RedisAdapter",
    "RetryAdapter",
    "ScopeEntry",
    "ScopeOptions",
    "ScopedKeys",
    "ScopedStore",
    "SeedAdapter",
    "SentinelAdapter",
    "StoreAdapter",
    "StoreBuilder",
    "StreamMessage",
    "acl_rule",
    "build_store",
    "check_compatible",
    "event",
    "event_classes",
    "group",
    "server_sent_events",
]


def __getattr__(name: str) -> Any:
    # The driver is imported when the adapter is asked for.
    if name == "ClusterAdapter":
        from holdfast.state.redis.cluster import ClusterAdapter

        return ClusterAdapter
    if name == "LocalRedisAdapter":
        from holdfast.state.redis.local import LocalRedisAdapter

        return LocalRedisAdapter
    if name == "SentinelAdapter":
        from holdfast.state.redis.sentinel import SentinelAdapter

        return SentinelAdapter
    if name == "RedisAdapter":
        from holdfast.state.redis.adapter import RedisAdapter

        return RedisAdapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
