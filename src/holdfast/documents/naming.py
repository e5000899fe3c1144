"""Errors about one document of many: told with its key, and how it can be read nevertheless."""

from __future__ import annotations

from typing import Final

from holdfast.contract.errors import (
    InvalidValue,
    SchemaValidationFailed,
    SerializationFailed,
    StoreError,
)

#: What a document that is decided about may be refused with.
ABOUT_ONE: Final = (SchemaValidationFailed, SerializationFailed, InvalidValue)


def name_in(error: StoreError, key: str, collection: str) -> None:
    """Have an error say which document it is about."""
    error.within(key=key)
    error.add_note(
        f"It is the document {key!r} of the collection {collection!r}; without a type, "
        f"`db.collection({collection!r})` reads it as it is."
    )
