"""A collection as a handle, a transaction or a snapshot hands it out."""

from __future__ import annotations

from typing import Any

from holdfast.codecs.typed import Typed
from holdfast.documents.collection import Collection
from holdfast.documents.collections import Collections, checked_history, checked_name


def collection_of(
    collections: Collections, name: str, kind: type[Any] | None, history: str | None
) -> Collection[Any]:
    """The collection of that name. Raises InvalidName, InvalidInput."""
    return Collection(checked_name(name), Typed(kind), collections, checked_history(history))
