"""Indexes of an encrypted database: their keys hold values, and keys are not encrypted."""

from __future__ import annotations

import msgspec

from holdfast.contract.errors import Unsupported
from holdfast.documents.indexes.definition import IndexDefinition
from holdfast.documents.query.paths import path_text
from holdfast.documents.storage import DocumentStorage
from holdfast.store.encrypted import encryption_of

#: A vector index has its vectors in the values of its rows.
_CLOSED = "vector"


def fit_for_encryption(storage: DocumentStorage, index: IndexDefinition) -> IndexDefinition:
    """The index as an encrypted database may have it; anywhere else the index itself.

    A hash index gets a secret, which keys its digests and lies in the catalogue, a value.

    Raises:
        Unsupported: it would hold values in the clear of fields that were not named for that.
    """
    layer = encryption_of(storage.engine)
    if layer is None or index.kind == _CLOSED:
        return index
    if index.kind == "hash":
        from holdfast.layers.encrypt.cipher import new_key

        return msgspec.structs.replace(index, secret=new_key())
    collection = storage.space.keyspace.name
    paths = [path_text(field.path) for field in index.fields]
    closed = [path for path in paths if not layer.places.indexed_in_the_clear(collection, path)]
    if closed:
        raise Unsupported(
            f"an index of kind {index.kind} would hold the values of {', '.join(closed)} in the "
            "clear, and the database is encrypted. Make it of kind hash, for equality; or name "
            f"the fields: Encryption(..., plain_indexes=('{collection}.{closed[0]}',))",
        )
    return index
