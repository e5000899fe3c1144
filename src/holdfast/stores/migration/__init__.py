"""From what people have to stores: adapters, two stores side by side, and the way over."""

from __future__ import annotations

from holdfast.stores.migration.adapters import MappingStore, StoreMapping
from holdfast.stores.migration.bridge import NotPassed, TopicBridge
from holdfast.stores.migration.copying import Migrated, migrate
from holdfast.stores.migration.old_names import OldConfig, from_old_names
from holdfast.stores.migration.routing import Router
from holdfast.stores.migration.shadow import Difference, ShadowStore

__all__ = [
    "Difference",
    "MappingStore",
    "Migrated",
    "NotPassed",
    "OldConfig",
    "Router",
    "ShadowStore",
    "StoreMapping",
    "TopicBridge",
    "from_old_names",
    "migrate",
]
