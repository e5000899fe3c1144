"""Entries and stores as a `MutableMapping`: for code that takes a dict.

    from holdfast.adapters.mapping import EntryMapping

    settings = EntryMapping(db.entries.scope("settings"))
    settings["theme"] = "dark"

Each call is a commit or a read of its own, so what a mapping gives is a copy: change it, then
assign it. `update` is one commit. `setdefault`, `pop` and `popitem` are single steps that nobody
comes between, whatever thread or process writes.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, TypeVar, cast

from holdfast.adapters.steps import ATTEMPTS_MAX, contended, one_step, rest
from holdfast.contract.errors import Conflict
from holdfast.contract.record import MISSING
from holdfast.sync import EntryScope, KeyValueStore, Store, StoreTransaction

K = TypeVar("K")
V = TypeVar("V")


class EntryMapping(MutableMapping[str, Any]):
    """The values of entries under the text of their keys.

    Keys are what `db.entries` takes, `StoreKey` or text. Iterating gives `StoreKey`, a str.

    Args:
        entries: `db.entries`, or `db.entries.scope(...)` for those below some segments.
    """

    def __init__(self, entries: KeyValueStore | EntryScope[Any]) -> None:
        self._entries = entries

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._entries!r})"

    def __getitem__(self, key: str) -> Any:
        entry = self._entries.get(key)
        if entry is None:
            raise KeyError(key)
        return entry.value

    def __setitem__(self, key: str, value: Any) -> None:
        self._entries.set(key, value)

    def __delitem__(self, key: str) -> None:
        if not self._entries.delete(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries.keys())

    def __reversed__(self) -> Iterator[str]:
        return iter(self._entries.keys(reverse=True))

    def __len__(self) -> int:
        return self._entries.count()

    def __bool__(self) -> bool:
        return _any(iter(self._entries.keys(limit=1)))

    def __contains__(self, key: object) -> bool:
        return self._entries.has(cast("str", key))

    def items(self) -> ItemsView[str, Any]:
        """All pairs, read page by page in the order of their keys."""
        return _Items(self, lambda: ((one.key, one.value) for one in self._entries.items()))

    def values(self) -> ValuesView[Any]:
        """All values, read page by page in the order of their keys."""
        return _Values(self, lambda: (one.value for one in self._entries.items()))

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Set many values as one commit: all of them, or none."""
        given = dict(other, **values)
        if given:
            self._entries.set_many(given)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under a key; `default` becomes it where there is none."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            entry = self._entries.get(key)
            if entry is not None:
                return entry.value
            try:
                return self._entries.set(key, default, if_absent=True).value
            except Conflict:
                rest(attempt)
        raise contended()

    def pop(self, key: str, default: Any = MISSING) -> Any:
        """Remove a key and return its value, or `default`; without one raises KeyError."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            entry = self._entries.get(key)
            if entry is None:
                return _default(key, default)
            try:
                if self._entries.delete(key, if_revision=entry.revision):
                    return entry.value
            except Conflict:
                rest(attempt)
        raise contended()

    def popitem(self) -> tuple[str, Any]:
        """Remove the first pair and return it; raises KeyError when there is none."""
        return _popitem(self)

    def clear(self) -> None:
        """Remove every entry; the commits are of a thousand keys each."""
        self._entries.delete_matching("#")


class StoreMapping(MutableMapping[bytes, bytes]):
    """The values of a store under their keys: bytes under bytes.

    Args:
        store: `db.stores.open(name)` of a database of `holdfast.sync`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store.name!r})"

    def __getitem__(self, key: bytes) -> bytes:
        value = self._store.get(key, None)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._store.set(key, value)

    def __delitem__(self, key: bytes) -> None:
        if not self._store.delete(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[bytes]:
        return self._store.keys()

    def __reversed__(self) -> Iterator[bytes]:
        return self._store.keys(ascending=False)

    def __len__(self) -> int:
        return self._store.count()

    def __bool__(self) -> bool:
        return _any(self._store.keys(limit=1))

    def __contains__(self, key: object) -> bool:
        return self._store.has(cast("bytes", key))

    def items(self) -> ItemsView[bytes, bytes]:
        """All pairs, read page by page in the order of their keys."""
        return _Items(self, self._store.iterate)

    def values(self) -> ValuesView[bytes]:
        """All values, read page by page in the order of their keys."""
        return _Values(self, lambda: (value for _, value in self._store.iterate()))

    def update(self, other: Any = (), /) -> None:
        """Set many values as one commit: all of them, or none."""
        self._store.set_many(dict(other))

    def setdefault(self, key: bytes, default: bytes = b"") -> bytes:
        """The value under a key; `default` becomes it where there is none."""

        def step(store: StoreTransaction) -> bytes:
            found = store.get(key, None)
            if found is None:
                store.set(key, default)
                return default
            return found

        return one_step(self._store, step)

    def pop(self, key: bytes, default: Any = MISSING) -> Any:
        """Remove a key and return its value, or `default`; without one raises KeyError."""

        def step(store: StoreTransaction) -> bytes | None:
            found = store.get(key, None)
            if found is not None:
                store.delete(key)
            return found

        value = one_step(self._store, step)
        return _default(key, default) if value is None else value

    def popitem(self) -> tuple[bytes, bytes]:
        """Remove the first pair and return it; raises KeyError when there is none."""
        return _popitem(self)

    def clear(self) -> None:
        """Remove every value; the commits are of a thousand keys each."""
        while keys := list(self._store.keys(limit=1_000)):
            self._store.delete_many(keys)


class _Items(ItemsView[K, V]):
    """Pairs in one walk, where the view of the standard library looks up key after key."""

    def __init__(self, mapping: Mapping[K, V], walk: Callable[[], Iterator[tuple[K, V]]]) -> None:
        super().__init__(mapping)
        self._walk = walk

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._walk()


class _Values(ValuesView[V]):
    """Values in one walk."""

    def __init__(self, mapping: Mapping[Any, V], walk: Callable[[], Iterator[V]]) -> None:
        super().__init__(mapping)
        self._walk = walk

    def __iter__(self) -> Iterator[V]:
        return self._walk()

    def __contains__(self, value: object) -> bool:
        return any(value is one or value == one for one in self._walk())


def _any(keys: Iterator[Any]) -> bool:
    return next(keys, MISSING) is not MISSING


def _default(key: Any, default: Any) -> Any:
    if default is MISSING:
        raise KeyError(key)
    return default


def _popitem(mapping: MutableMapping[K, V]) -> tuple[K, V]:
    for key in mapping:
        value = mapping.pop(key, cast("V", MISSING))
        if value is not MISSING:
            return key, value
    raise KeyError("popitem: the mapping is empty")
