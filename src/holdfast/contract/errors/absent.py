"""What was asked for is not there."""

from __future__ import annotations

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode


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
