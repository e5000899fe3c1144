"""What was asked for is not there."""

from __future__ import annotations

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode
from holdfast.contract.errors.facts import Fact


class KeyNotFound(StoreError, KeyError, code=ErrorCode.KEY_NOT_FOUND):
    """The key has no living entry.

    Next: `get` returns None instead of raising; `history` tells whether the key was deleted.
    """

    key: Fact[str | None] = Fact("the key")
    field: Fact[str | None] = Fact("the part of the value that was asked for, for payloads")


class StoreNotFound(StoreError, code=ErrorCode.STORE_NOT_FOUND):
    """No store or database of that name or path.

    Next: check the path; leave `create=false` and `read_only` out to have the database made.
    """

    path: Fact[str | None] = Fact("where it was looked for")
    name: Fact[str | None] = Fact("the name that was asked for")


class EngineNotFound(StoreError, code=ErrorCode.ENGINE_NOT_FOUND):
    """No engine is registered for that scheme.

    Next: correct the scheme of the URL, or install the package that registers the engine.
    """

    scheme: Fact[str | None] = Fact("the part of the URL before `://`")


class VersionNotFound(StoreError, code=ErrorCode.VERSION_NOT_FOUND):
    """That version was never written, or its value is no longer retained.

    Next: `history` lists the versions there are; `has_value` says whether a value is kept. Raise
    the retention of the namespace to keep more from now on.
    """

    key: Fact[str | None] = Fact("the key")
    version: Fact[int | tuple[int, int] | None] = Fact("the version, or (incarnation, version)")
    first: Fact[int | None] = Fact("the oldest saved version that is still there")
    latest: Fact[int | None] = Fact("the newest saved version")


class IndexNotFound(StoreError, code=ErrorCode.INDEX_NOT_FOUND):
    """No index of that name.

    Next: create the index, or query without it.
    """

    name: Fact[str | None] = Fact("the name that was asked for")


class SchemaNotFound(StoreError, code=ErrorCode.SCHEMA_NOT_FOUND):
    """No schema is registered under that digest.

    Next: register the schema; one made of a class or function has to be registered in each process.
    """

    schema_hash: Fact[str | None] = Fact("its digest, in hex digits")
    source: Fact[str | None] = Fact("the class or function it was made of")


class OperationNotFound(StoreError, code=ErrorCode.OPERATION_NOT_FOUND):
    """No operation of that name.

    Next: correct the name; the system service lists its operations.
    """


class ServiceNotFound(StoreError, code=ErrorCode.SERVICE_NOT_FOUND):
    """No service of that name.

    Next: correct the name, or register the service first.
    """


class Compacted(StoreError, code=ErrorCode.COMPACTED):
    """The past that a cursor points at is gone.

    Next: begin again with `watch(snapshot=True)`; keep the feed longer if this happens often.
    """

    oldest: Fact[int | None] = Fact("the first revision that is still there")
    since: Fact[int | None] = Fact("the revision that was asked for")
    lineage: Fact[str | None] = Fact("the database the cursor belongs to")
