"""Every error Holdfast raises: one class per code, all below `StoreError`.

A class states its code and whether trying again can help in its class line. The message of an
error says what was wanted, what was found and the next step; `details` carries the same facts
as data. Codes are public API, messages are not.

    StoreError
    ├── KeyNotFound (also KeyError) ...   what was asked for is not there
    ├── Conflict ...                      somebody else was faster; read again and retry
    ├── StoreClosed, WrongContext ...     the handle cannot be used here any more
    ├── StorageFull, StoreLocked ...      the medium says no
    ├── InvalidKey (also ValueError) ...  the input is wrong; nothing was written
    └── Unsupported ...                   this engine cannot; the message names what can
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Self


class ErrorCode(StrEnum):
    """The stable, machine-readable name of an error."""

    # Not there.
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    STORE_NOT_FOUND = "STORE_NOT_FOUND"
    ENGINE_NOT_FOUND = "ENGINE_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    INDEX_NOT_FOUND = "INDEX_NOT_FOUND"
    SCHEMA_NOT_FOUND = "SCHEMA_NOT_FOUND"
    OPERATION_NOT_FOUND = "OPERATION_NOT_FOUND"
    SERVICE_NOT_FOUND = "SERVICE_NOT_FOUND"
    COMPACTED = "COMPACTED"
    # Already there.
    STORE_EXISTS = "STORE_EXISTS"
    ENGINE_EXISTS = "ENGINE_EXISTS"
    INDEX_EXISTS = "INDEX_EXISTS"
    DUPLICATE_KEY = "DUPLICATE_KEY"
    DUPLICATE_NAMESPACE = "DUPLICATE_NAMESPACE"
    # Somebody else.
    VERSION_CONFLICT = "VERSION_CONFLICT"
    TRANSACTION_ABORTED = "TRANSACTION_ABORTED"
    DEADLOCK_DETECTED = "DEADLOCK_DETECTED"
    CONSISTENCY_VIOLATION = "CONSISTENCY_VIOLATION"
    FENCED = "FENCED"
    LEASE_LOST = "LEASE_LOST"
    # The handle.
    STORE_CLOSED = "STORE_CLOSED"
    TRANSACTION_CLOSED = "TRANSACTION_CLOSED"
    WRONG_CONTEXT = "WRONG_CONTEXT"
    READ_ONLY = "READ_ONLY"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    # The medium and the way to it.
    STORE_LOCKED = "STORE_LOCKED"
    STORAGE_FULL = "STORAGE_FULL"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    INTEGRITY_FAILED = "INTEGRITY_FAILED"
    NOT_A_DATABASE = "NOT_A_DATABASE"
    FORMAT_TOO_NEW = "FORMAT_TOO_NEW"
    DRIVER_MISSING = "DRIVER_MISSING"
    CONNECTION_FAILED = "CONNECTION_FAILED"
    CONNECTION_LOST = "CONNECTION_LOST"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    TIMEOUT = "TIMEOUT"
    OVERLOADED = "OVERLOADED"
    OPERATION_FAILED = "OPERATION_FAILED"
    # The input.
    INVALID_KEY = "INVALID_KEY"
    INVALID_VALUE = "INVALID_VALUE"
    INVALID_NAME = "INVALID_NAME"
    INVALID_QUERY = "INVALID_QUERY"
    INVALID_INPUT = "INVALID_INPUT"
    PATTERN_INVALID = "PATTERN_INVALID"
    VALUE_TOO_LARGE = "VALUE_TOO_LARGE"
    CONFIG_INVALID = "CONFIG_INVALID"
    SERIALIZATION_FAILED = "SERIALIZATION_FAILED"
    DESERIALIZATION_FAILED = "DESERIALIZATION_FAILED"
    DECRYPTION_FAILED = "DECRYPTION_FAILED"
    SCHEMA_VALIDATION_FAILED = "SCHEMA_VALIDATION_FAILED"
    SCHEMA_MIGRATION_MISSING = "SCHEMA_MIGRATION_MISSING"
    # Set-up and rights.
    ADAPTER_REQUIRED = "ADAPTER_REQUIRED"
    SERVICE_REQUIRED = "SERVICE_REQUIRED"
    SCOPE_REQUIRED = "SCOPE_REQUIRED"
    ENVIRONMENT_REQUIRED = "ENVIRONMENT_REQUIRED"
    INVALID_SCOPE_KEY = "INVALID_SCOPE_KEY"
    INVALID_SCOPE_IDENTIFIER = "INVALID_SCOPE_IDENTIFIER"
    FEATURE_DISABLED = "FEATURE_DISABLED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"

    @classmethod
    def parse(cls, text: str) -> ErrorCode:
        """The code named `text`; the `STORE_` prefix that seed 004 puts before codes is accepted."""
        try:
            return cls(text)
        except ValueError:
            return cls(text.removeprefix("STORE_"))


class StoreError(Exception):
    """The base of every error of Holdfast.

    Attributes:
        code: the stable name of the error.
        retryable: whether the same call can succeed later without changing it.
        details: the facts of the message as data (never values, never secrets).
    """

    code: ClassVar[ErrorCode] = ErrorCode.OPERATION_FAILED
    retryable: ClassVar[bool] = False

    # Filled below: code -> class, so that a code from a wire becomes its class again.
    by_code: ClassVar[dict[ErrorCode, type[StoreError]]] = {}

    def __init_subclass__(
        cls, *, code: ErrorCode | None = None, retryable: bool = False, **keywords: Any
    ) -> None:
        super().__init_subclass__(**keywords)
        if code is not None:
            cls.code = code
            cls.retryable = retryable
            StoreError.by_code[code] = cls

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        facts = "".join(f", {name}={value!r}" for name, value in self.details.items())
        return f"{type(self).__name__}({self.message!r}{facts})"

    def __getattr__(self, name: str) -> Any:
        # `error.key`, `error.current`, `error.oldest`: the facts read like attributes.
        details = self.__dict__.get("details")
        if details is not None and name in details:
            return details[name]
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details, self.__cause__)

    def within(self, /, **details: Any) -> Self:
        """Add facts that only an outer floor knows; what is already stated stays."""
        self.details = details | self.details
        return self


def _rebuild(
    error: type[StoreError], message: str, details: dict[str, Any], cause: BaseException | None
) -> StoreError:
    rebuilt = error(message, **details)
    rebuilt.__cause__ = cause
    return rebuilt


StoreError.by_code[ErrorCode.OPERATION_FAILED] = StoreError


# --- Not there ------------------------------------------------------------------------------


class KeyNotFound(StoreError, KeyError, code=ErrorCode.KEY_NOT_FOUND):
    """The key has no living entry. `details`: key."""


class StoreNotFound(StoreError, code=ErrorCode.STORE_NOT_FOUND):
    """No store or database of that name or path. `details`: name or path."""


class EngineNotFound(StoreError, code=ErrorCode.ENGINE_NOT_FOUND):
    """No engine is registered for that scheme. `details`: scheme, known."""


class VersionNotFound(StoreError, code=ErrorCode.VERSION_NOT_FOUND):
    """That version was never written, or its value is no longer retained."""


class IndexNotFound(StoreError, code=ErrorCode.INDEX_NOT_FOUND):
    """No index of that name."""


class SchemaNotFound(StoreError, code=ErrorCode.SCHEMA_NOT_FOUND):
    """No schema is registered under that digest."""


class OperationNotFound(StoreError, code=ErrorCode.OPERATION_NOT_FOUND):
    """No operation of that name."""


class ServiceNotFound(StoreError, code=ErrorCode.SERVICE_NOT_FOUND):
    """No service of that name."""


class Compacted(StoreError, code=ErrorCode.COMPACTED):
    """The past that a cursor points at is gone. `details`: oldest (first revision still there)."""


# --- Already there --------------------------------------------------------------------------


class StoreExists(StoreError, code=ErrorCode.STORE_EXISTS):
    """A store of that name exists."""


class EngineExists(StoreError, code=ErrorCode.ENGINE_EXISTS):
    """An engine is registered under that name."""


class IndexExists(StoreError, code=ErrorCode.INDEX_EXISTS):
    """An index of that name exists."""


class DuplicateKey(StoreError, code=ErrorCode.DUPLICATE_KEY):
    """The key, or a value of a unique index, is taken."""


class DuplicateNamespace(StoreError, code=ErrorCode.DUPLICATE_NAMESPACE):
    """The event namespace is registered twice."""


# --- Somebody else --------------------------------------------------------------------------


class Conflict(StoreError, code=ErrorCode.VERSION_CONFLICT, retryable=True):
    """A condition of the write no longer held; nothing was written.

    `details`: key or range, expected, found (a revision or None), current (the entry that won).
    """


class TransactionAborted(StoreError, code=ErrorCode.TRANSACTION_ABORTED, retryable=True):
    """The transaction was given up and rolled back."""


class DeadlockDetected(StoreError, code=ErrorCode.DEADLOCK_DETECTED, retryable=True):
    """Waiting would close a cycle; this caller is the victim."""


class ConsistencyViolation(StoreError, code=ErrorCode.CONSISTENCY_VIOLATION, retryable=True):
    """The asked-for consistency level could not be reached."""


class Fenced(StoreError, code=ErrorCode.FENCED):
    """A newer owner holds the lease; a write with the old token was refused."""


class LeaseLost(StoreError, code=ErrorCode.LEASE_LOST):
    """The lease ran out before it was renewed."""


# --- The handle -----------------------------------------------------------------------------


class StoreClosed(StoreError, code=ErrorCode.STORE_CLOSED):
    """The handle was closed."""


class TransactionClosed(StoreError, code=ErrorCode.TRANSACTION_CLOSED):
    """The transaction was committed or rolled back before."""


class WrongContext(StoreError, code=ErrorCode.WRONG_CONTEXT):
    """The handle belongs to another event loop, thread or process (before a fork)."""


class ReadOnly(StoreError, code=ErrorCode.READ_ONLY):
    """The handle was opened for reading only."""


class Unsupported(StoreError, code=ErrorCode.NOT_SUPPORTED):
    """This engine cannot; the message names what can."""


# --- The medium and the way to it -----------------------------------------------------------


class StoreLocked(StoreError, code=ErrorCode.STORE_LOCKED, retryable=True):
    """Another process holds the database in a way that excludes this one."""


class StorageFull(StoreError, code=ErrorCode.STORAGE_FULL, retryable=True):
    """The medium or the engine's own limit is full; reads and deletes still work."""


class QuotaExceeded(StoreError, code=ErrorCode.QUOTA_EXCEEDED):
    """A limit set by configuration is reached."""


class IntegrityFailed(StoreError, code=ErrorCode.INTEGRITY_FAILED):
    """Stored bytes do not match their digest or their structure."""


class NotADatabase(StoreError, code=ErrorCode.NOT_A_DATABASE):
    """The path holds something that Holdfast did not write."""


class FormatTooNew(StoreError, code=ErrorCode.FORMAT_TOO_NEW):
    """A newer Holdfast wrote this; `details`: found, supported."""


class DriverMissing(StoreError, ImportError, code=ErrorCode.DRIVER_MISSING):
    """The engine's driver is not installed; the message names the extra."""


class ConnectionFailed(StoreError, code=ErrorCode.CONNECTION_FAILED, retryable=True):
    """The server could not be reached."""


class ConnectionLost(StoreError, code=ErrorCode.CONNECTION_LOST, retryable=True):
    """The connection broke before the request was sent."""


class OutcomeUnknown(StoreError, code=ErrorCode.OUTCOME_UNKNOWN):
    """The connection broke after a write was sent; repeat it with the same batch id."""


class TimedOut(StoreError, TimeoutError, code=ErrorCode.TIMEOUT, retryable=True):
    """The time allowed ran out."""


class Overloaded(StoreError, code=ErrorCode.OVERLOADED, retryable=True):
    """A bounded queue is full."""


# --- The input ------------------------------------------------------------------------------


class InvalidKey(StoreError, ValueError, code=ErrorCode.INVALID_KEY):
    """The key cannot be a key; nothing was written."""


class InvalidValue(StoreError, ValueError, code=ErrorCode.INVALID_VALUE):
    """The value cannot be stored there; nothing was written."""


class InvalidName(StoreError, ValueError, code=ErrorCode.INVALID_NAME):
    """The name of a store, keyspace or index is not allowed."""


class InvalidQuery(StoreError, ValueError, code=ErrorCode.INVALID_QUERY):
    """The query is malformed."""


class InvalidInput(StoreError, ValueError, code=ErrorCode.INVALID_INPUT):
    """An argument is out of its range."""


class PatternInvalid(StoreError, ValueError, code=ErrorCode.PATTERN_INVALID):
    """The pattern cannot be compiled."""


class ValueTooLarge(StoreError, ValueError, code=ErrorCode.VALUE_TOO_LARGE):
    """The value or batch is over the engine's limit."""


class ConfigInvalid(StoreError, ValueError, code=ErrorCode.CONFIG_INVALID):
    """A URL or configuration cannot be understood."""


class SerializationFailed(StoreError, code=ErrorCode.SERIALIZATION_FAILED):
    """The value cannot be turned into bytes; nothing was written."""


class DeserializationFailed(StoreError, code=ErrorCode.DESERIALIZATION_FAILED):
    """Stored bytes cannot be turned back into a value."""


class DecryptionFailed(StoreError, code=ErrorCode.DECRYPTION_FAILED):
    """No key at hand opens the stored bytes."""


class SchemaValidationFailed(StoreError, code=ErrorCode.SCHEMA_VALIDATION_FAILED):
    """The value does not fit its schema; `details`: violations (path and message each)."""


class SchemaMigrationMissing(StoreError, code=ErrorCode.SCHEMA_MIGRATION_MISSING):
    """No registered steps lead from the stored schema to the expected one."""


# --- Set-up and rights ----------------------------------------------------------------------


class AdapterRequired(StoreError, code=ErrorCode.ADAPTER_REQUIRED):
    """The builder needs an adapter."""


class ServiceRequired(StoreError, code=ErrorCode.SERVICE_REQUIRED):
    """The builder needs a service name."""


class ScopeRequired(StoreError, code=ErrorCode.SCOPE_REQUIRED):
    """A required scope is missing."""


class EnvironmentRequired(StoreError, code=ErrorCode.ENVIRONMENT_REQUIRED):
    """The call needs a server environment."""


class InvalidScopeKey(StoreError, ValueError, code=ErrorCode.INVALID_SCOPE_KEY):
    """The scope key was not declared."""


class InvalidScopeIdentifier(StoreError, ValueError, code=ErrorCode.INVALID_SCOPE_IDENTIFIER):
    """The scope identifier is empty or of the wrong type."""


class FeatureDisabled(StoreError, code=ErrorCode.FEATURE_DISABLED):
    """The feature is switched off."""


class PermissionDenied(StoreError, code=ErrorCode.PERMISSION_DENIED):
    """The actor may not do that."""


class Unauthenticated(StoreError, code=ErrorCode.UNAUTHENTICATED):
    """The actor is not known."""
