"""Errors about one document of many: told with its key, and how it can be read nevertheless."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.contract.errors import StoreError


def name_in(error: StoreError, key: str, collection: str) -> None:
    """Have an error say which document it is about."""
    error.within(key=key)
    error.add_note(
        f"It is the document {key!r} of the collection {collection!r}; without a type, "
        f"`db.collection({collection!r})` reads it as it is."
    )


@contextmanager
def naming(key: str, collection: str) -> Iterator[None]:
    """What is raised inside is told with the document that it is about."""
    try:
        yield
    except StoreError as error:
        name_in(error, key, collection)
        raise
