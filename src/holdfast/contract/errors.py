"""Every error Holdfast raises: one class per code, all below `StoreError`.

A class states its code and whether trying again can help in its class line; its docstring says
what it means and, after `Next:`, what helps as a rule. The message of an error says what was
wanted, what was found and the next step; `details` carries the same facts as data. Codes are
public API, messages are not.

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
        """The code named `text`; the prefix `STORE_` that seed 004 has is accepted."""
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
    """The key has no living entry. `details`: key.

    Next: `get` returns None instead of raising; `history` tells whether the key was deleted.
    """


class StoreNotFound(StoreError, code=ErrorCode.STORE_NOT_FOUND):
    """No store or database of that name or path. `details`: name or path.

    Next: check the path; leave `create=false` and `read_only` out to have the database made.
    """


class EngineNotFound(StoreError, code=ErrorCode.ENGINE_NOT_FOUND):
    """No engine is registered for that scheme. `details`: scheme, known.

    Next: correct the scheme of the URL, or install the package that registers the engine.
    """


class VersionNotFound(StoreError, code=ErrorCode.VERSION_NOT_FOUND):
    """That version was never written, or its value is no longer retained.

    Next: `history` lists the versions there are; `has_value` says whether a value is kept. Raise
    the retention of the namespace to keep more from now on.
    """


class IndexNotFound(StoreError, code=ErrorCode.INDEX_NOT_FOUND):
    """No index of that name.

    Next: create the index, or query without it.
    """


class SchemaNotFound(StoreError, code=ErrorCode.SCHEMA_NOT_FOUND):
    """No schema is registered under that digest.

    Next: register the schema; one made of a class or function has to be registered in each process.
    """


class OperationNotFound(StoreError, code=ErrorCode.OPERATION_NOT_FOUND):
    """No operation of that name.

    Next: correct the name; the system service lists its operations.
    """


class ServiceNotFound(StoreError, code=ErrorCode.SERVICE_NOT_FOUND):
    """No service of that name.

    Next: correct the name, or register the service first.
    """


class Compacted(StoreError, code=ErrorCode.COMPACTED):
    """The past that a cursor points at is gone. `details`: oldest (first revision still there).

    Next: begin again with `watch(snapshot=True)`; keep the feed longer if this happens often.
    """


# --- Already there --------------------------------------------------------------------------


class StoreExists(StoreError, code=ErrorCode.STORE_EXISTS):
    """A store of that name exists.

    Next: open the existing one, or choose another name.
    """


class EngineExists(StoreError, code=ErrorCode.ENGINE_EXISTS):
    """An engine is registered under that name.

    Next: choose another name for the second engine.
    """


class IndexExists(StoreError, code=ErrorCode.INDEX_EXISTS):
    """An index of that name exists.

    Next: use the index there is, or drop it first.
    """


class DuplicateKey(StoreError, code=ErrorCode.DUPLICATE_KEY):
    """The key, or a value of a unique index, is taken.

    Next: choose another key, or change the entry that is there.
    """


class DuplicateNamespace(StoreError, code=ErrorCode.DUPLICATE_NAMESPACE):
    """The event namespace is registered twice.

    Next: register each event namespace once.
    """


# --- Somebody else --------------------------------------------------------------------------


class Conflict(StoreError, code=ErrorCode.VERSION_CONFLICT, retryable=True):
    """A condition of the write no longer held; nothing was written.

    `details`: key or range, expected, found (a revision or None), current (the entry that won).

    Next: decide again with what stands there now, or let `modify` and `transact` do it.
    """


class TransactionAborted(StoreError, code=ErrorCode.TRANSACTION_ABORTED, retryable=True):
    """The transaction was given up and rolled back.

    Next: run the whole transaction again; `transact` does.
    """


class DeadlockDetected(StoreError, code=ErrorCode.DEADLOCK_DETECTED, retryable=True):
    """Waiting would close a cycle; this caller is the victim.

    Next: let go of what is held and begin again; take several locks in one fixed order.
    """


class ConsistencyViolation(StoreError, code=ErrorCode.CONSISTENCY_VIOLATION, retryable=True):
    """The asked-for consistency level could not be reached.

    Next: try again, or ask for a weaker level.
    """


class Fenced(StoreError, code=ErrorCode.FENCED):
    """A newer owner holds the lease; a write with the old token was refused.

    Next: stop: another owner goes on with the work. Acquire the lock anew before writing again.
    """


class LeaseLost(StoreError, code=ErrorCode.LEASE_LOST):
    """The lease ran out before it was renewed.

    Next: treat the protected work as interrupted; acquire again, with a longer `ttl` if need be.
    """


# --- The handle -----------------------------------------------------------------------------


class StoreClosed(StoreError, code=ErrorCode.STORE_CLOSED):
    """The handle was closed.

    Next: open another handle.
    """


class TransactionClosed(StoreError, code=ErrorCode.TRANSACTION_CLOSED):
    """The transaction was committed or rolled back before.

    Next: begin another transaction.
    """


class WrongContext(StoreError, code=ErrorCode.WRONG_CONTEXT):
    """The handle belongs to another event loop, thread or process (before a fork).

    Next: open a handle where it is used; handles of one process share the engine. After a fork the
    child opens its own.
    """


class ReadOnly(StoreError, code=ErrorCode.READ_ONLY):
    """The handle was opened for reading only.

    Next: open the database without `read_only`.
    """


class Unsupported(StoreError, code=ErrorCode.NOT_SUPPORTED):
    """This engine cannot; the message names what can.

    Next: do what the message names instead, or choose an engine whose capabilities say yes.
    """


# --- The medium and the way to it -----------------------------------------------------------


class StoreLocked(StoreError, code=ErrorCode.STORE_LOCKED, retryable=True):
    """Another process holds the database in a way that excludes this one.

    Next: try again, raise the engine's time-out, or close the other process; the message says
    which.
    """


class StorageFull(StoreError, code=ErrorCode.STORAGE_FULL, retryable=True):
    """The medium or the engine's own limit is full; reads and deletes still work.

    Next: delete or compact, or make room on the medium; then write again.
    """


class QuotaExceeded(StoreError, code=ErrorCode.QUOTA_EXCEEDED):
    """A limit set by configuration is reached.

    Next: raise the limit, or delete.
    """


class IntegrityFailed(StoreError, code=ErrorCode.INTEGRITY_FAILED):
    """Stored bytes do not match their digest or their structure.

    Next: run `holdfast check` to see how much is damaged; restore from a backup or an export.
    """


class NotADatabase(StoreError, code=ErrorCode.NOT_A_DATABASE):
    """The path holds something that Holdfast did not write.

    Next: choose another path; what is there was left as it was.
    """


class FormatTooNew(StoreError, code=ErrorCode.FORMAT_TOO_NEW):
    """A newer Holdfast wrote this; `details`: found, supported.

    Next: open it with the version that wrote it, or upgrade.
    """


class DriverMissing(StoreError, ImportError, code=ErrorCode.DRIVER_MISSING):
    """The engine's driver is not installed; the message names the extra.

    Next: `pip install` what the message names.
    """


class ConnectionFailed(StoreError, code=ErrorCode.CONNECTION_FAILED, retryable=True):
    """The server could not be reached.

    Next: check the address and that the server runs; then try again.
    """


class ConnectionLost(StoreError, code=ErrorCode.CONNECTION_LOST, retryable=True):
    """The connection broke before the request was sent.

    Next: try again: nothing was sent.
    """


class OutcomeUnknown(StoreError, code=ErrorCode.OUTCOME_UNKNOWN):
    """The connection broke after a write was sent; repeat it with the same batch id.

    Next: read what stands there, or send the same batch with the same id: it is applied once.
    """


class TimedOut(StoreError, TimeoutError, code=ErrorCode.TIMEOUT, retryable=True):
    """The time allowed ran out.

    Next: try again, or allow more time.
    """


class Overloaded(StoreError, code=ErrorCode.OVERLOADED, retryable=True):
    """A bounded queue is full.

    Next: wait and try again; send less at once, or raise the limit that the message names.
    """


# --- The input ------------------------------------------------------------------------------


class InvalidKey(StoreError, ValueError, code=ErrorCode.INVALID_KEY):
    """The key cannot be a key; nothing was written.

    Next: correct the key; `StoreKey(name, namespace)` makes one from any text.
    """


class InvalidValue(StoreError, ValueError, code=ErrorCode.INVALID_VALUE):
    """The value cannot be stored there; nothing was written.

    Next: correct the value.
    """


class InvalidName(StoreError, ValueError, code=ErrorCode.INVALID_NAME):
    """The name of a store, keyspace or index is not allowed.

    Next: choose a name as the message describes.
    """


class InvalidQuery(StoreError, ValueError, code=ErrorCode.INVALID_QUERY):
    """The query is malformed.

    Next: correct the query.
    """


class InvalidInput(StoreError, ValueError, code=ErrorCode.INVALID_INPUT):
    """An argument is out of its range.

    Next: correct the argument that the message names.
    """


class PatternInvalid(StoreError, ValueError, code=ErrorCode.PATTERN_INVALID):
    """The pattern cannot be compiled.

    Next: correct the pattern at the place that the message names.
    """


class ValueTooLarge(StoreError, ValueError, code=ErrorCode.VALUE_TOO_LARGE):
    """The value or batch is over the engine's limit.

    Next: split the value over keys, or the batch over commits.
    """


class ConfigInvalid(StoreError, ValueError, code=ErrorCode.CONFIG_INVALID):
    """A URL or configuration cannot be understood.

    Next: correct the part or parameter that the message names; the engine's page lists all.
    """


class SerializationFailed(StoreError, code=ErrorCode.SERIALIZATION_FAILED):
    """The value cannot be turned into bytes; nothing was written.

    Next: turn the part that the message names into None, bool, int, float, str, bytes, an aware
    datetime, or lists and str-keyed dicts of these.
    """


class DeserializationFailed(StoreError, code=ErrorCode.DESERIALIZATION_FAILED):
    """Stored bytes cannot be turned back into a value.

    Next: run `holdfast check`; install the codec or register the serializer it was written with.
    """


class DecryptionFailed(StoreError, code=ErrorCode.DECRYPTION_FAILED):
    """No key at hand opens the stored bytes.

    Next: supply the key it was written with.
    """


class SchemaValidationFailed(StoreError, code=ErrorCode.SCHEMA_VALIDATION_FAILED):
    """The value does not fit its schema; `details`: violations (path and message each).

    Next: correct the value where `violations` points; nothing was written.
    """


class SchemaMigrationMissing(StoreError, code=ErrorCode.SCHEMA_MIGRATION_MISSING):
    """No registered steps lead from the stored schema to the expected one.

    Next: `db.schemas.register_migration` with the missing step, in this process.
    """


# --- Set-up and rights ----------------------------------------------------------------------


class AdapterRequired(StoreError, code=ErrorCode.ADAPTER_REQUIRED):
    """The builder needs an adapter.

    Next: give the builder an adapter before `build()`.
    """


class ServiceRequired(StoreError, code=ErrorCode.SERVICE_REQUIRED):
    """The builder needs a service name.

    Next: give the builder a service name before `build()`.
    """


class ScopeRequired(StoreError, code=ErrorCode.SCOPE_REQUIRED):
    """A required scope is missing.

    Next: open the scope that the message names first.
    """


class EnvironmentRequired(StoreError, code=ErrorCode.ENVIRONMENT_REQUIRED):
    """The call needs a server environment.

    Next: call it where that environment is.
    """


class InvalidScopeKey(StoreError, ValueError, code=ErrorCode.INVALID_SCOPE_KEY):
    """The scope key was not declared.

    Next: declare the scope with the builder, or correct the key.
    """


class InvalidScopeIdentifier(StoreError, ValueError, code=ErrorCode.INVALID_SCOPE_IDENTIFIER):
    """The scope identifier is empty or of the wrong type.

    Next: give a text that is not empty.
    """


class FeatureDisabled(StoreError, code=ErrorCode.FEATURE_DISABLED):
    """The feature is switched off.

    Next: switch the feature on in the configuration.
    """


class PermissionDenied(StoreError, code=ErrorCode.PERMISSION_DENIED):
    """The actor may not do that.

    Next: ask as somebody who may, or have the rule changed.
    """


class Unauthenticated(StoreError, code=ErrorCode.UNAUTHENTICATED):
    """The actor is not known.

    Next: sign in and try again.
    """
