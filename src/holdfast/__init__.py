"""Holdfast: one storage layer, from a dict to a cluster.

    import holdfast

    async with holdfast.open("lmdb:///app") as db:
        await db.entries.set("users/active:123", {"name": "Ada"}, modified_by="ada")

Without an event loop: `import holdfast.sync` and `holdfast.sync.open(...)`.
"""

from holdfast.codecs.canonical import canonical_json
from holdfast.codecs.digest import Digest, digest
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import KeyFormat, StoreKey
from holdfast.contract.capability import Capabilities
from holdfast.contract.errors import (
    Compacted,
    Conflict,
    ErrorCode,
    KeyNotFound,
    SchemaMigrationMissing,
    SchemaNotFound,
    SchemaValidationFailed,
    StoreError,
    Unsupported,
)
from holdfast.contract.record import Cursor
from holdfast.database.handle import Database
from holdfast.database.open import open
from holdfast.database.snapshot import SnapshotView
from holdfast.database.store_root import MultiStoreConfig, StoreRoot
from holdfast.database.transaction import Transaction
from holdfast.records.core import KeyValueStore
from holdfast.records.decorators.cached import Cached
from holdfast.records.decorators.logged import Logged
from holdfast.records.decorators.read_only import ReadOnlyStore
from holdfast.records.options import KEEP
from holdfast.records.services.mutex import MutexLockService
from holdfast.store.change import Change
from holdfast.store.feed.watch import Watch
from holdfast.store.locks.lock import Lock
from holdfast.store.operation_log import LoggingService, LogRecord, OperationLog
from holdfast.store.versions.cache import CacheLimits
from holdfast.store.versions.entry import Entry, Metadata, PastVersion
from holdfast.stores.config import StoreConfig
from holdfast.stores.multistore import MultiStore
from holdfast.stores.store import Store

__version__ = "0.1.0"

__all__ = [
    "KEEP",
    "CacheLimits",
    "Cached",
    "Capabilities",
    "Change",
    "Compacted",
    "Conflict",
    "Cursor",
    "Database",
    "Digest",
    "Entry",
    "ErrorCode",
    "KeyFormat",
    "KeyNotFound",
    "KeyValueStore",
    "Lock",
    "LogRecord",
    "Logged",
    "LoggingService",
    "Metadata",
    "MultiStore",
    "MultiStoreConfig",
    "MutexLockService",
    "OperationLog",
    "PastVersion",
    "Pattern",
    "ReadOnlyStore",
    "SchemaMigrationMissing",
    "SchemaNotFound",
    "SchemaValidationFailed",
    "SnapshotView",
    "Store",
    "StoreConfig",
    "StoreError",
    "StoreKey",
    "StoreRoot",
    "Transaction",
    "Unsupported",
    "Watch",
    "canonical_json",
    "digest",
    "open",
]
