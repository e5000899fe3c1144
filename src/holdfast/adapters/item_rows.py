"""How the items of a LangGraph store stand in a database: as entries, and their vectors beside.

An item is the entry of its key in the namespace of its labels, below a root. So its history, its
changes and its expiry are those of entries. How long it lives after an access is one of its tags.
A vector is a document of a collection, with the item that it is of and all namespaces above that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.codecs.text import StoreKey, format_namespace
from holdfast.contract.errors import IndexExists, IndexNotFound, QuotaExceeded
from holdfast.database.handle import Database
from holdfast.records.options import write_options
from holdfast.records.scope import EntryScope
from holdfast.records.write import DELETE, SetValue, Write
from holdfast.store.versions.entry import Entry

#: The most namespaces that are gathered to be listed.
NAMESPACES_MAX: Final = 1_000_000
#: The most vectors that one search looks through for items that meet its filter.
CANDIDATES_MAX: Final = 100_000
#: An access renews an expiry once this part of the time has passed: not every read is a write.
RENEWED_AFTER: Final = 0.1

_TTL: Final = "ttl_minutes="
_MINUTE_S: Final = 60
_MINUTE_MS: Final = 60_000


class Stored(NamedTuple):
    """An item as it stands in the database."""

    labels: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Put(NamedTuple):
    """An item to write.

    Attributes:
        value: None: it is removed.
        ttl: minutes from an access on; None: it stays.
        vectors: of its texts.
    """

    value: Mapping[str, Any] | None
    ttl: float | None
    vectors: Sequence[Sequence[float]]


class Items:
    """The items below a root.

    Args:
        root: the first segment of all their keys.
        dimensions: of their vectors; 0: they have none.
    """

    def __init__(self, root: str, dimensions: int = 0) -> None:
        self._root = root
        self._dimensions = dimensions
        self._vectors = f"{root}.vectors"
        self._indexed = False

    # --- Reading ----------------------------------------------------------------------------

    async def get(self, view: Any, labels: tuple[str, ...], key: str) -> Entry[Any] | None:
        """The entry of an item, in a database, transaction or snapshot."""
        found: Entry[Any] | None = await view.entries.get(StoreKey(key, (self._root, *labels)))
        return found

    async def walk(self, view: Any, labels: tuple[str, ...]) -> AsyncIterator[Entry[Any]]:
        """The entries of all items in a namespace and below it, in the order of keys."""
        above = (self._root, *labels)
        # A scope, because labels are literal whatever they hold.
        scope: EntryScope[Any] = EntryScope(view.entries, above)
        async for entry in scope.items():
            key = StoreKey.of_stored((*above, *entry.key.segments))
            yield msgspec.structs.replace(entry, _key=key)

    @staticmethod
    def stored(entry: Entry[Any]) -> Stored:
        """The item of an entry."""
        _, *labels, key = entry.key.segments
        metadata = entry.metadata
        return Stored(tuple(labels), key, entry.value, metadata.created_at, metadata.updated_at)

    async def namespaces(self, view: Any) -> set[tuple[str, ...]]:
        """The namespaces that have an item."""
        scope: EntryScope[Any] = EntryScope(view.entries, (self._root,))
        found: set[tuple[str, ...]] = set()
        async for key in scope.keys():
            found.add(key.namespace)
            if len(found) > NAMESPACES_MAX:
                raise QuotaExceeded(
                    f"at most {NAMESPACES_MAX} namespaces are listed; found more",
                    limit=NAMESPACES_MAX,
                )
        return found

    async def nearest(
        self, view: Any, labels: tuple[str, ...], vector: Sequence[float], limit: int
    ) -> tuple[list[tuple[StoreKey, float]], bool]:
        """The items with the nearest of so many vectors, and how similar; whether these are all."""
        if not any(vector):
            return [], True
        vectors = view.collection(self._vectors)
        try:
            found = await vectors.nearest(vector, scopes=format_namespace(labels), limit=limit)
        except IndexNotFound:
            return [], True  # Nothing was written yet.
        best: dict[str, float] = {}
        for one in found:
            best.setdefault(one.value["item"], 1 - one.distance)
        near = [(StoreKey.parse(item), score) for item, score in best.items()]
        return near, len(found) < limit

    # --- Writing ----------------------------------------------------------------------------

    async def renew(self, db: Database, entries: Iterable[Entry[Any]]) -> None:
        """Let items that were read live from now on as long as they were to."""
        if db.config.read_only:
            return
        now = db._components.clock.now_ms()  # noqa: SLF001 - of this database
        for entry in entries:
            minutes = _minutes_of(entry)
            if minutes is None:
                continue
            rest = entry.metadata.expires_at_ms - now
            if rest < (1 - RENEWED_AFTER) * minutes * _MINUTE_MS:
                await db.entries.touch(entry.key, ttl=minutes * _MINUTE_S)
                if self._dimensions:
                    vectors = db.collection(self._vectors)
                    async for one in vectors.query(item=entry.key.text):
                        await vectors.touch(one.key, minutes * _MINUTE_S)

    async def put(self, db: Database, puts: Mapping[tuple[tuple[str, ...], str], Put]) -> None:
        """Write items and their vectors, as one commit."""
        writes = list(self._writes(puts))
        if not self._dimensions:
            await db.entries.write(writes)
            return
        await self._require_indexes(db)

        async def work(transaction: Any) -> None:
            await transaction.entries.write(writes)
            vectors = transaction.collection(self._vectors)
            for (labels, key), one in puts.items():
                item = StoreKey(key, (self._root, *labels)).text
                await vectors.delete_many([old.key async for old in vectors.query(item=item)])
                scopes = [format_namespace(labels[:end]) for end in range(len(labels) + 1)]
                await vectors.set_many(
                    {
                        f"{number}:{item}": {"item": item, "scopes": scopes, "at": list(vector)}
                        for number, vector in enumerate(one.vectors)
                        if any(vector)  # One of zeros is similar to nothing.
                    },
                    ttl=None if one.ttl is None else one.ttl * _MINUTE_S,
                )

        await db.transact(work)

    def _writes(self, puts: Mapping[tuple[tuple[str, ...], str], Put]) -> Iterator[Write]:
        for (labels, key), one in puts.items():
            place = StoreKey(key, (self._root, *labels))
            if one.value is None:
                yield Write(place, DELETE)
                continue
            tags = [] if one.ttl is None else [f"{_TTL}{float(one.ttl)!r}"]
            ttl = None if one.ttl is None else one.ttl * _MINUTE_S
            options = write_options(None, None, tags, ttl, None, None)
            yield Write(place, SetValue(dict(one.value)), options)

    async def _require_indexes(self, db: Database) -> None:
        if self._indexed:
            return
        vectors = db.collection(self._vectors, history="none")
        for name, fields, kind, dimensions in (
            ("item", "item", "hash", None),
            ("scopes", "scopes", "hash", None),
            ("at", "at", "vector", self._dimensions),
        ):
            try:
                await vectors.create_index(name, fields, kind=kind, dimensions=dimensions)
            except IndexExists:
                continue
        self._indexed = True


def _minutes_of(entry: Entry[Any]) -> float | None:
    for tag in entry.metadata.tags:
        if tag.startswith(_TTL):
            return float(tag[len(_TTL) :])
    return None
