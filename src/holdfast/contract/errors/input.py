"""The input is wrong; nothing was written."""

from __future__ import annotations

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode


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
