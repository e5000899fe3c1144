"""A store where a mapping was expected, and a mapping where a store is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Protocol, TypeVar

from holdfast.contract.errors import InvalidInput, KeyNotFound
from holdfast.contract.record import MISSING, Missing, after_prefix
from holdfast.stores.content import Bounds, Pair
from holdfast.stores.limits import VALUE_BYTES_MAX, checked_key, checked_value

T = TypeVar("T")


class PlainVerbs(Protocol):
    """What a mapping needs of a store without an event loop: `holdfast.sync` has it."""

    def get(self, key: bytes, default: None) -> bytes | None:
        """The value under a key, or None."""
        ...

    def set(self, key: bytes, value: bytes) -> int:
        """Put a value under a key."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove a value; whether there was one."""
        ...

    def iterate(self) -> Iterator[Pair]:
        """Every pair in the order of the keys."""
        ...

    def count(self) -> int:
        """How many keys there are."""
        ...


class StoreMapping(MutableMapping[bytes, bytes]):
    """A store as the mapping that older code wants: a dict, a `dbm` file.

    Text keys and values are taken as UTF-8, as `dbm` does; what comes back is bytes.

    Args:
        store: a store of a handle of `holdfast.sync`.
    """

    def __init__(self, store: PlainVerbs) -> None:
        self._store = store

    def __getitem__(self, key: bytes | str) -> bytes:
        value = self._store.get(_bytes_of(key), None)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes | str, value: bytes | str) -> None:
        self._store.set(_bytes_of(key), _bytes_of(value))

    def __delitem__(self, key: bytes | str) -> None:
        if not self._store.delete(_bytes_of(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[bytes]:
        return (key for key, _ in self._store.iterate())

    def __len__(self) -> int:
        return self._store.count()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes | str) and self._store.get(_bytes_of(key), None) is not None

    def close(self) -> None:
        """Nothing to do: the handle closes the store. Older code calls it."""

    def sync(self) -> None:
        """Nothing to do: every change is durable. Older code calls it."""


class MappingStore:
    """A mapping with the verbs of a store, so that newer code runs on older data.

    Args:
        name: what the store is called.
        mapping: bytes by bytes; such as an open `dbm` file.
    """

    supports_range_queries = True
    supports_transactions = False
    supports_versioning = False

    def __init__(self, name: str, mapping: MutableMapping[bytes, bytes]) -> None:
        self.name = name
        self._mapping = mapping

    async def get(self, key: bytes, default: T | Missing = MISSING) -> bytes | T:
        """The value under a key; see `Store.get`."""
        try:
            return self._mapping[checked_key(key)]
        except KeyError:
            if not isinstance(default, Missing):
                return default
        raise KeyNotFound(
            f"{self.name!r} has no value under the key of {len(key)} bytes; `get(key, default)` "
            "returns a default instead",
            key=key,
        )

    async def has(self, key: bytes) -> bool:
        """Whether there is a value under the key."""
        return checked_key(key) in self._mapping

    async def set(self, key: bytes, value: bytes) -> int:
        """Put a value under a key; 0, because a mapping has no revisions."""
        self._mapping[checked_key(key)] = checked_value(value, VALUE_BYTES_MAX)
        return 0

    async def delete(self, key: bytes) -> bool:
        """Remove the value under a key; whether there was one."""
        return self._mapping.pop(checked_key(key), None) is not None

    async def iterate(self, ascending: bool = True) -> AsyncIterator[Pair]:
        """Every (key, value) in key order; the keys of the mapping are sorted in memory."""
        async for pair in self.iterate_range(ascending=ascending):
            yield pair

    async def iterate_range(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        ascending: bool = True,
        *,
        limit: int | None = None,
    ) -> AsyncIterator[Pair]:
        """The (key, value) pairs with `start <= key < end`, in key order; see the store's."""
        Bounds.checked(start, end, reverse=not ascending, limit=limit)
        keys = sorted(
            (
                key
                for key in self._mapping
                if (start is None or key >= start) and (end is None or key < end)
            ),
            reverse=not ascending,
        )
        for key in keys[:limit]:
            value = self._mapping.get(key)
            if value is not None:  # Else it was removed since.
                yield key, value

    async def prefix(self, prefix: bytes, ascending: bool = True) -> AsyncIterator[Pair]:
        """The pairs whose keys begin with `prefix`."""
        async for pair in self.iterate_range(prefix or None, after_prefix(prefix), ascending):
            yield pair

    async def count(self) -> int:
        """How many keys there are."""
        return len(self._mapping)


def _bytes_of(text: bytes | str) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise InvalidInput(f"bytes or text were wanted; found a {type(text).__name__}")
