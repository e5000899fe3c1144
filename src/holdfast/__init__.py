"""Holdfast: one storage layer, from a dict to a server.

    import holdfast

    async with holdfast.open("lmdb:///app") as db:
        await db.entries.set("users/active:123", {"name": "Ada"}, modified_by="ada")

Without an event loop: `import holdfast.sync` and `holdfast.sync.open(...)`.
"""

from holdfast.codecs.canonical import canonical_json
from holdfast.codecs.digest import Digest, data_hash, digest
from holdfast.codecs.extended import EnumMember
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.serializers import ExtendedSerializer, Serializer
from holdfast.codecs.text import KeyFormat, StoreKey
from holdfast.contract.capability import Capabilities
from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import (
    AdapterRequired,
    Compacted,
    ConfigInvalid,
    Conflict,
    ConnectionFailed,
    ConnectionLost,
    ConsistencyViolation,
    DeadlockDetected,
    DecryptionFailed,
    DeserializationFailed,
    DriverMissing,
    DuplicateKey,
    DuplicateNamespace,
    EngineExists,
    EngineNotFound,
    EnvironmentRequired,
    ErrorCode,
    FeatureDisabled,
    Fenced,
    FormatTooNew,
    IndexExists,
    IndexNotFound,
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    InvalidName,
    InvalidQuery,
    InvalidScopeIdentifier,
    InvalidScopeKey,
    InvalidValue,
    KeyNotFound,
    LeaseLost,
    NotADatabase,
    OperationNotFound,
    OutcomeUnknown,
    Overloaded,
    PatternInvalid,
    PermissionDenied,
    QuotaExceeded,
    ReadOnly,
    SchemaMigrationMissing,
    SchemaNotFound,
    SchemaValidationFailed,
    ScopeRequired,
    SerializationFailed,
    ServiceNotFound,
    ServiceRequired,
    StorageFull,
    StoreClosed,
    StoreError,
    StoreExists,
    StoreLocked,
    StoreNotFound,
    TimedOut,
    TransactionAborted,
    TransactionClosed,
    Unauthenticated,
    Unsupported,
    ValueTooLarge,
    VersionNotFound,
    WrongContext,
)
from holdfast.contract.record import Cursor
from holdfast.contract.runtime import Clock, ManualClock
from holdfast.database.finding import find_engines
from holdfast.database.following import follow, promote
from holdfast.database.handle import Database
from holdfast.database.open import open
from holdfast.database.restoring import restore, verify_backups
from holdfast.database.scope import Scope
from holdfast.database.snapshot import SnapshotView
from holdfast.database.store_root import MultiStoreConfig, StoreRoot
from holdfast.database.transaction import Transaction
from holdfast.database.upgrading import Upgraded, upgrade
from holdfast.records.core import KeyValueStore
from holdfast.records.decorators.cached import Cached
from holdfast.records.decorators.logged import Logged
from holdfast.records.decorators.read_only import ReadOnlyStore
from holdfast.records.options import KEEP
from holdfast.records.scope import EntryScope
from holdfast.records.services.mutex import MutexLockService
from holdfast.records.walk import Walk
from holdfast.store.change import Change
from holdfast.store.feed.watch import Watch
from holdfast.store.locks.lock import Lock
from holdfast.store.operation_log import LoggingService, LogRecord, OperationLog
from holdfast.store.registry import read_config
from holdfast.store.versions.cache import CacheLimits
from holdfast.store.versions.entry import Entry, Metadata, PastVersion
from holdfast.stores.config import StoreConfig
from holdfast.stores.multistore import MultiStore
from holdfast.stores.store import Store

__version__ = "0.1.0"

__all__ = [
    "KEEP",
    "AdapterRequired",
    "CacheLimits",
    "Cached",
    "Capabilities",
    "Change",
    "Clock",
    "Compacted",
    "ConfigInvalid",
    "Conflict",
    "ConnectionFailed",
    "ConnectionLost",
    "ConsistencyViolation",
    "Cursor",
    "Database",
    "DeadlockDetected",
    "DecryptionFailed",
    "DeserializationFailed",
    "Digest",
    "DriverMissing",
    "DuplicateKey",
    "DuplicateNamespace",
    "EngineConfig",
    "EngineExists",
    "EngineNotFound",
    "Entry",
    "EntryScope",
    "EnumMember",
    "EnvironmentRequired",
    "ErrorCode",
    "ExtendedSerializer",
    "FeatureDisabled",
    "Fenced",
    "FormatTooNew",
    "IndexExists",
    "IndexNotFound",
    "IntegrityFailed",
    "InvalidInput",
    "InvalidKey",
    "InvalidName",
    "InvalidQuery",
    "InvalidScopeIdentifier",
    "InvalidScopeKey",
    "InvalidValue",
    "KeyFormat",
    "KeyNotFound",
    "KeyValueStore",
    "LeaseLost",
    "Lock",
    "LogRecord",
    "Logged",
    "LoggingService",
    "ManualClock",
    "Metadata",
    "MultiStore",
    "MultiStoreConfig",
    "MutexLockService",
    "NotADatabase",
    "OperationLog",
    "OperationNotFound",
    "OutcomeUnknown",
    "Overloaded",
    "PastVersion",
    "Pattern",
    "PatternInvalid",
    "PermissionDenied",
    "QuotaExceeded",
    "ReadOnly",
    "ReadOnlyStore",
    "SchemaMigrationMissing",
    "SchemaNotFound",
    "SchemaValidationFailed",
    "Scope",
    "ScopeRequired",
    "SerializationFailed",
    "Serializer",
    "ServiceNotFound",
    "ServiceRequired",
    "SnapshotView",
    "StorageFull",
    "Store",
    "StoreClosed",
    "StoreConfig",
    "StoreError",
    "StoreExists",
    "StoreKey",
    "StoreLocked",
    "StoreNotFound",
    "StoreRoot",
    "TimedOut",
    "Transaction",
    "TransactionAborted",
    "TransactionClosed",
    "Unauthenticated",
    "Unsupported",
    "Upgraded",
    "ValueTooLarge",
    "VersionNotFound",
    "Walk",
    "Watch",
    "WrongContext",
    "canonical_json",
    "data_hash",
    "digest",
    "find_engines",
    "follow",
    "open",
    "promote",
    "read_config",
    "restore",
    "upgrade",
    "verify_backups",
]
