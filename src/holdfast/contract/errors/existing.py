"""What was to be made is there already."""

from __future__ import annotations

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode
from holdfast.contract.errors.facts import Fact


class StoreExists(StoreError, code=ErrorCode.STORE_EXISTS):
    """A store of that name exists.

    Next: open the existing one, or choose another name.
    """

    name: Fact[str | None] = Fact("the name that is taken")
    path: Fact[str | None] = Fact("where it stands, if it is files")


class EngineExists(StoreError, code=ErrorCode.ENGINE_EXISTS):
    """An engine is registered under that name.

    Next: choose another name for the second engine.
    """


class IndexExists(StoreError, code=ErrorCode.INDEX_EXISTS):
    """An index of that name exists.

    Next: use the index there is, or drop it first.
    """

    name: Fact[str | None] = Fact("the name that is taken")


class DuplicateKey(StoreError, code=ErrorCode.DUPLICATE_KEY):
    """The key, or a value of a unique index, is taken.

    Next: choose another key, or change the entry that is there.
    """

    key: Fact[str | None] = Fact("the key, or the identifier of the document")
    index: Fact[str | None] = Fact("the unique index whose value is taken")


class DuplicateNamespace(StoreError, code=ErrorCode.DUPLICATE_NAMESPACE):
    """The event namespace is registered twice.

    Next: register each event namespace once.
    """
