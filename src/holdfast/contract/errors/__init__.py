"""Every error Holdfast raises: one class per code, all below `StoreError`.

A class states its code and whether trying again can help in its class line; its docstring says
what it means and, after `Next:`, what helps as a rule. The message of an error says what was
wanted, what was found and the next step; `details` carries the same facts as data. Codes are
public API, messages are not.

    StoreError
    ├── absent      KeyNotFound (also KeyError) ...   what was asked for is not there
    ├── existing    StoreExists ...                   what was to be made is there already
    ├── contention  Conflict ...                      another caller came first; retry
    ├── handle      StoreClosed, Unsupported ...      the handle cannot be used so
    ├── medium      StorageFull, StoreLocked ...      the medium says no
    ├── input       InvalidKey (also ValueError) ...  the input is wrong; nothing was written
    └── rights      PermissionDenied ...              set something up first, or you may not
"""

from __future__ import annotations

from holdfast.contract.errors.absent import (
    Compacted,
    EngineNotFound,
    IndexNotFound,
    KeyNotFound,
    OperationNotFound,
    SchemaNotFound,
    ServiceNotFound,
    StoreNotFound,
    VersionNotFound,
)
from holdfast.contract.errors.base import (
    StoreError,
)
from holdfast.contract.errors.codes import (
    ErrorCode,
)
from holdfast.contract.errors.contention import (
    Conflict,
    ConsistencyViolation,
    DeadlockDetected,
    Fenced,
    LeaseLost,
    TransactionAborted,
)
from holdfast.contract.errors.existing import (
    DuplicateKey,
    DuplicateNamespace,
    EngineExists,
    IndexExists,
    StoreExists,
)
from holdfast.contract.errors.handle import (
    ReadOnly,
    StoreClosed,
    TransactionClosed,
    Unsupported,
    WrongContext,
)
from holdfast.contract.errors.input import (
    ConfigInvalid,
    DecryptionFailed,
    DeserializationFailed,
    InvalidInput,
    InvalidKey,
    InvalidName,
    InvalidQuery,
    InvalidValue,
    PatternInvalid,
    SchemaMigrationMissing,
    SchemaValidationFailed,
    SerializationFailed,
    ValueTooLarge,
)
from holdfast.contract.errors.medium import (
    ConnectionFailed,
    ConnectionLost,
    DriverMissing,
    FormatTooNew,
    IntegrityFailed,
    NotADatabase,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    StorageFull,
    StoreLocked,
    TimedOut,
)
from holdfast.contract.errors.rights import (
    AdapterRequired,
    EnvironmentRequired,
    FeatureDisabled,
    InvalidScopeIdentifier,
    InvalidScopeKey,
    PermissionDenied,
    ScopeRequired,
    ServiceRequired,
    Unauthenticated,
)

__all__ = [  # noqa: RUF022 - in the order of the catalogue
    "ErrorCode",
    "StoreError",
    "KeyNotFound",
    "StoreNotFound",
    "EngineNotFound",
    "VersionNotFound",
    "IndexNotFound",
    "SchemaNotFound",
    "OperationNotFound",
    "ServiceNotFound",
    "Compacted",
    "StoreExists",
    "EngineExists",
    "IndexExists",
    "DuplicateKey",
    "DuplicateNamespace",
    "Conflict",
    "TransactionAborted",
    "DeadlockDetected",
    "ConsistencyViolation",
    "Fenced",
    "LeaseLost",
    "StoreClosed",
    "TransactionClosed",
    "WrongContext",
    "ReadOnly",
    "Unsupported",
    "StoreLocked",
    "StorageFull",
    "QuotaExceeded",
    "IntegrityFailed",
    "NotADatabase",
    "FormatTooNew",
    "DriverMissing",
    "ConnectionFailed",
    "ConnectionLost",
    "OutcomeUnknown",
    "TimedOut",
    "Overloaded",
    "InvalidKey",
    "InvalidValue",
    "InvalidName",
    "InvalidQuery",
    "InvalidInput",
    "PatternInvalid",
    "ValueTooLarge",
    "ConfigInvalid",
    "SerializationFailed",
    "DeserializationFailed",
    "DecryptionFailed",
    "SchemaValidationFailed",
    "SchemaMigrationMissing",
    "AdapterRequired",
    "ServiceRequired",
    "ScopeRequired",
    "EnvironmentRequired",
    "InvalidScopeKey",
    "InvalidScopeIdentifier",
    "FeatureDisabled",
    "PermissionDenied",
    "Unauthenticated",
]
