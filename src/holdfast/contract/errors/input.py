"""The input is wrong; nothing was written."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode
from holdfast.contract.errors.facts import Fact


class InvalidKey(StoreError, ValueError, code=ErrorCode.INVALID_KEY):
    """The key cannot be a key; nothing was written.

    Next: correct the key; `StoreKey(name, namespace)` makes one from any text.
    """

    key: Fact[str | None] = Fact("the key")
    text: Fact[str | None] = Fact("what was to be a key")
    limit: Fact[int | None] = Fact("the most bytes of a key")
    found: Fact[int | None] = Fact("the bytes it has")
    length: Fact[int | None] = Fact("the bytes it has in its keyspace")


class InvalidValue(StoreError, ValueError, code=ErrorCode.INVALID_VALUE):
    """The value cannot be stored there; nothing was written.

    Next: correct the value.
    """

    type: Fact[str | None] = Fact("the type that stands there")
    limit: Fact[int | None] = Fact("the most bytes of a value")
    found: Fact[int | None] = Fact("the bytes it has")


class InvalidName(StoreError, ValueError, code=ErrorCode.INVALID_NAME):
    """The name of a store, keyspace or index is not allowed.

    Next: choose a name as the message describes.
    """

    name: Fact[str | None] = Fact("the name")
    view: Fact[str | None] = Fact("the view that it belongs to")
    hashing: Fact[str | None] = Fact("the digest that it was made with")


class InvalidQuery(StoreError, ValueError, code=ErrorCode.INVALID_QUERY):
    """The query is malformed.

    Next: correct the query.
    """

    path: Fact[str | None] = Fact("the place in the query")
    position: Fact[int | None] = Fact("the place among the conditions, or in the text, from 0")
    stage: Fact[str | None] = Fact("the stage of the pipeline")
    function: Fact[str | None] = Fact("the function that was asked for")
    type: Fact[str | None] = Fact("the type that stands there")
    hint: Fact[str | None] = Fact("the index that was asked for")
    limit: Fact[int | None] = Fact("the bound that is passed")


class InvalidInput(StoreError, ValueError, code=ErrorCode.INVALID_INPUT):
    """An argument is out of its range.

    Next: correct the argument that the message names.
    """

    key: Fact[str | None] = Fact("the key it is about")
    limit: Fact[int | None] = Fact("the bound that is passed")
    cursor: Fact[str | None] = Fact("what was to be a cursor")
    since: Fact[int | None] = Fact("the revision that was asked for")
    head: Fact[int | None] = Fact("the newest revision")
    path: Fact[str | None] = Fact("the place in a schema")
    reference: Fact[str | None] = Fact("where the schema refers to")
    required: Fact[str | None] = Fact("the schema of the namespace")
    old: Fact[str | None] = Fact("the schema to migrate from")
    new: Fact[str | None] = Fact("the schema to migrate to")
    found: Fact[int | None] = Fact("what was given, or how many")
    index: Fact[int | None] = Fact("the place that was asked for, from 0")
    size: Fact[int | None] = Fact("how many there are")
    old_size: Fact[int | None] = Fact("how many there were said to have been")
    version: Fact[int | None] = Fact("the saved version that was asked for")
    initial_version: Fact[int | None] = Fact("the first version that was asked for")
    latest: Fact[int | None] = Fact("the newest saved version")
    to: Fact[int | None] = Fact("the last version that was to go")
    cache_nodes: Fact[int | None] = Fact("how many nodes were to be remembered")


class PatternInvalid(StoreError, ValueError, code=ErrorCode.PATTERN_INVALID):
    """The pattern cannot be compiled.

    Next: correct the pattern at the place that the message names.
    """

    text: Fact[str | None] = Fact("the pattern")
    reason: Fact[str | None] = Fact("what the compiler said of it")
    length: Fact[int | None] = Fact("its characters")


class ValueTooLarge(StoreError, ValueError, code=ErrorCode.VALUE_TOO_LARGE):
    """The value or batch is over the engine's limit.

    Next: split the value over keys, or the batch over commits.
    """

    limit: Fact[int | None] = Fact("the most bytes, or operations")
    found: Fact[int | None] = Fact("how many there are")
    size_max: Fact[int | None] = Fact("the most bytes of a decoded value")
    size: Fact[int | None] = Fact("the bytes of the data")
    compression: Fact[str | None] = Fact("the format of the data")


class ConfigInvalid(StoreError, ValueError, code=ErrorCode.CONFIG_INVALID):
    """A URL or configuration cannot be understood.

    Next: correct the part or parameter that the message names; the engine's page lists all.
    """

    scheme: Fact[str | None] = Fact("the engine whose configuration it is")
    parameter: Fact[str | None] = Fact("the setting")
    parameters: Fact[Sequence[str] | None] = Fact("the settings that differ")
    name: Fact[str | None] = Fact("the format that is not known")
    found: Fact[str | None] = Fact("what stood there")


class SerializationFailed(StoreError, code=ErrorCode.SERIALIZATION_FAILED):
    """The value cannot be turned into bytes; nothing was written.

    Next: turn the part that the message names into None, bool, int, float, str, bytes, an aware
    datetime, or lists and str-keyed dicts of these.
    """

    path: Fact[str | None] = Fact("the place in the value, such as `value.a[3]`")
    type: Fact[str | None] = Fact("the type that stands there")
    format: Fact[str | None] = Fact("the serializer")


class DeserializationFailed(StoreError, code=ErrorCode.DESERIALIZATION_FAILED):
    """Stored bytes cannot be turned back into a value.

    Next: run `holdfast check`; install the codec or register the serializer it was written with.
    """

    key: Fact[str | None] = Fact("the key")
    found: Fact[int | None] = Fact("the code of the format")
    position: Fact[int | None] = Fact("the byte at which it ends to make sense")
    compression: Fact[str | None] = Fact("the compression of the data")
    serializer: Fact[str | None] = Fact("the serializer of the data")
    limit: Fact[int | None] = Fact("the most bytes of a proof")


class DecryptionFailed(StoreError, code=ErrorCode.DECRYPTION_FAILED):
    """No key at hand opens the stored bytes.

    Next: supply the key it was written with.
    """

    name: Fact[str | None] = Fact("the name of the key of the database")
    versions: Fact[object] = Fact("its versions that cannot be read; of a database, those it wants")
    number: Fact[int | None] = Fact("the number of a key that the database does not list")
    key: Fact[bytes | None] = Fact("the whole key of the row, as stored")
    revision: Fact[int | None] = Fact("the revision of the row")
    rows: Fact[Sequence[bytes]] = Fact(
        "the keys of rows that a rotation had to leave, the first", ()
    )
    count: Fact[int | None] = Fact("how many rows a rotation had to leave")
    variable: Fact[str | None] = Fact("the variable of the environment that is not set")


class SchemaValidationFailed(StoreError, code=ErrorCode.SCHEMA_VALIDATION_FAILED):
    """The value does not fit its schema.

    Next: correct the value where `violations` points; nothing was written.
    """

    key: Fact[str | None] = Fact("the key")
    schema_hash: Fact[str | None] = Fact("the digest of the schema, in hex digits")
    violations: Fact[Sequence[tuple[str, str]]] = Fact("path and message of each", ())


class SchemaMigrationMissing(StoreError, code=ErrorCode.SCHEMA_MIGRATION_MISSING):
    """No registered steps lead from the stored schema to the expected one.

    Next: `db.schemas.register_migration` with the missing step, in this process.
    """

    key: Fact[str | None] = Fact("the key")
    stored: Fact[str | None] = Fact("the schema it has, as hex digits")
    expected: Fact[str | None] = Fact("the schema that is wanted, as hex digits")
