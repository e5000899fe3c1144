"""Decorators in every order, around the core of a handle."""

from collections.abc import Callable
from typing import Any

from holdfast.database.handle import Database
from holdfast.records.decorators.cached import Cached
from holdfast.records.decorators.evented import Evented
from holdfast.records.decorators.logged import Logged
from holdfast.records.decorators.read_only import ReadOnlyStore
from holdfast.records.decorators.validated import Validated
from holdfast.records.interface import KeyValueStoreInterface
from holdfast.store.versions.cache import CacheLimits, EntryCache

Make = Callable[[Database, KeyValueStoreInterface], Any]


def cache_of(db: Database, limits: CacheLimits | None = None) -> EntryCache:
    """A new cache for the entries of a handle."""
    shared, clock = db._require_shared(), db._components.clock
    rows = db._open_parts().storage._rows
    return EntryCache(shared.engine, shared.feed, rows, clock, limits or CacheLimits())


#: How each decorator is put around a store.
MAKERS: dict[str, Make] = {
    "Logged": lambda db, inner: Logged(inner, db.log),
    "Cached": lambda db, inner: Cached(inner, cache_of(db), db._require_gate()),
    "Validated": lambda db, inner: Validated(inner, db._open_parts().composition.rules),
    "Evented": lambda db, inner: Evented(inner, db._open_parts().events),
    "ReadOnlyStore": lambda _db, inner: ReadOnlyStore(inner),
}


def stacked(db: Database, inner: KeyValueStoreInterface, *names: str) -> KeyValueStoreInterface:
    """The store in decorators: the first named is innermost."""
    for name in names:
        inner = MAKERS[name](db, inner)
    return inner
