"""The one interface of entry stores: the core, and every decorator around it."""

from __future__ import annotations

from typing import Any, TypeVar

from holdfast.records.calls import EntryCalls
from holdfast.records.scope import EntryScope, segments_of, typed_scope

T = TypeVar("T")


class KeyValueStoreInterface(EntryCalls[Any]):
    """Entries in namespaces.

    Keys are `StoreKey` or their text: `users/active:123` is the name 123 in the namespace
    users/active. Values are what MessagePack holds: None, bool, int, float, str, bytes, aware
    datetime, and lists and str-keyed dicts of them. What is returned never aliases what is
    stored: change it as you like.
    """

    def scope(self, *segments: str) -> EntryScope[Any]:
        """The entries below these segments, called from there on; no pattern leaves them.

        Segments are literal, whatever characters they hold: input of users can be one.

        Raises:
            InvalidKey, InvalidInput: the segments cannot be.
        """
        return EntryScope(self, segments_of(segments))

    def typed(self, type: type[T], namespace: str = "") -> EntryScope[T]:
        """The entries below a namespace with values of a type, called from the namespace on.

        Args:
            type: a dataclass, a msgspec Struct, a TypedDict or a pydantic model.
            namespace: written as in keys, such as `users/active`; left out: everywhere.

        Raises:
            InvalidInput, InvalidKey: the arguments cannot be.
        """
        return typed_scope(self, type, namespace)
