"""The long-term memory of LangGraph: items in namespaces, with filters, expiry and similarity.

store = HoldfastStore(db)
store.put(("users", "ada"), "profile", {"name": "Ada"})
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from holdfast.adapters.handles import Bridge
from holdfast.adapters.item_filters import matches, meets
from holdfast.adapters.item_rows import CANDIDATES_MAX, Items, Put
from holdfast.adapters.requirement import requires
from holdfast.contract.errors import InvalidInput
from holdfast.database.handle import Database
from holdfast.store.durations import TTL_MAX_S
from holdfast.store.versions.entry import Entry
from holdfast.sync.database import Database as SyncDatabase

with requires("langgraph-checkpoint>=4.1"):
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        Item,
        ListNamespacesOp,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
        ensure_embeddings,
        get_text_at_path,
        tokenize_path,
        validate_op_namespace,
    )

#: How many vectors a search looks at first for each item wanted: items have several.
_VECTORS_AN_ITEM: Final = 4

Place = tuple[tuple[str, ...], str]


class HoldfastStore(BaseStore):
    """Keeps items in a database; one object for plain calls and for `await`.

    Operations that come in one batch read first, all of one moment; then they write, as one
    commit. Items are found in the order of their namespaces and keys, or the most similar first.

    Args:
        database: open; of `holdfast` or `holdfast.sync`. One of `holdfast` belongs to its event
            loop: there await, and call plainly from other threads only.
        namespace: what all keys in the database begin with.
        ttl: `default_ttl` in minutes, and `refresh_on_read`. What has expired is absent at once,
            whatever `omit_expired` says. A read renews an expiry once a tenth of it has passed.
        index: `dims`, `embed` and `fields`, for searches by meaning; left out, `query` is ignored.

    Raises:
        InvalidInput: there is no such database.
    """

    supports_ttl = True

    def __init__(
        self,
        database: Database | SyncDatabase,
        *,
        namespace: str = "langgraph",
        ttl: TTLConfig | None = None,
        index: IndexConfig | None = None,
    ) -> None:
        self._bridge = Bridge(database)
        self.ttl_config = ttl
        self.index_config = index
        self.embeddings = None if index is None else ensure_embeddings(index["embed"])
        fields = [] if index is None else index.get("fields") or ["$"]
        self._paths = [one if one == "$" else tokenize_path(one) for one in fields]
        self._items = Items(namespace, 0 if index is None else index["dims"])

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do the operations; their results in the same order."""
        batch = _Batch(ops)
        vectors: list[list[float]] = []
        queries: list[list[float]] = []
        if self.embeddings is not None:
            texts = self._texts(batch)
            vectors = _one_each(texts, self.embeddings.embed_documents(texts) if texts else [])
            queries = [self.embeddings.embed_query(one) for one in batch.queries()]
        return self._bridge.call(lambda db: self._do(db, batch, vectors, queries))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """See `batch`."""
        batch = _Batch(ops)
        vectors: list[list[float]] = []
        queries: list[list[float]] = []
        if self.embeddings is not None:
            texts = self._texts(batch)
            made = await self.embeddings.aembed_documents(texts) if texts else []
            vectors = _one_each(texts, made)
            queries = [await self.embeddings.aembed_query(one) for one in batch.queries()]
        return await self._bridge.wait(lambda db: self._do(db, batch, vectors, queries))

    # --- Inside -----------------------------------------------------------------------------

    def _texts(self, batch: _Batch) -> list[str]:
        return [text for place in batch.puts for text in self._texts_of(batch.puts[place])]

    def _texts_of(self, put: PutOp) -> list[str]:
        """What of an item is searched by meaning."""
        if put.value is None or put.index is False or self.embeddings is None:
            return []
        paths = self._paths if put.index is None else [tokenize_path(one) for one in put.index]
        return [text for path in paths for text in get_text_at_path(put.value, path)]

    async def _do(
        self,
        db: Database,
        batch: _Batch,
        vectors: Sequence[Sequence[float]],
        queries: Sequence[Sequence[float]],
    ) -> list[Result]:
        results: list[Result] = [None] * len(batch.ops)
        read: list[Entry[Any]] = []
        embedded = iter(queries)
        if batch.reads:
            async with db.snapshot() as view:
                for at, op in batch.reads:
                    if isinstance(op, GetOp):
                        results[at] = await self._get(view, op, read)
                    elif isinstance(op, SearchOp):
                        similar = op.query and self.embeddings is not None
                        vector = next(embedded) if similar else None
                        results[at] = await self._search(view, op, vector, read)
                    else:
                        results[at] = await self._namespaces(view, op)
            await self._items.renew(db, read)
        if batch.puts:
            await self._items.put(db, self._puts(batch, vectors))
        return results

    def _puts(self, batch: _Batch, vectors: Sequence[Sequence[float]]) -> dict[Place, Put]:
        made = iter(vectors)
        return {
            place: Put(op.value, op.ttl, [next(made) for _ in self._texts_of(op)])
            for place, op in batch.puts.items()
        }

    async def _get(self, view: Any, op: GetOp, read: list[Entry[Any]]) -> Item | None:
        entry = await self._items.get(view, op.namespace, op.key)
        if entry is None:
            return None
        if op.refresh_ttl:
            read.append(entry)
        stored = self._items.stored(entry)
        return Item(
            value=stored.value, key=stored.key, namespace=stored.labels,
            created_at=stored.created_at, updated_at=stored.updated_at,
        )  # fmt: skip

    async def _search(
        self, view: Any, op: SearchOp, vector: Sequence[float] | None, read: list[Entry[Any]]
    ) -> list[SearchItem]:
        _check_page(op)
        if not isinstance(op.filter, Mapping | None):
            raise InvalidInput(
                f"filter is a mapping of names to values; found a {type(op.filter).__name__}"
            )
        found = await (
            self._in_order(view, op) if vector is None else self._by_meaning(view, op, vector)
        )
        if op.refresh_ttl:
            read += [entry for entry, _ in found]
        return [self._found(entry, score) for entry, score in found]

    async def _in_order(self, view: Any, op: SearchOp) -> list[tuple[Entry[Any], float | None]]:
        found: list[tuple[Entry[Any], float | None]] = []
        if not op.limit:
            return found
        passed = 0
        async for entry in self._items.walk(view, op.namespace_prefix):
            if not meets(entry.value, op.filter):
                continue
            passed += 1
            if passed > op.offset:
                found.append((entry, None))
            if len(found) == op.limit:
                break
        return found

    async def _by_meaning(
        self, view: Any, op: SearchOp, vector: Sequence[float]
    ) -> list[tuple[Entry[Any], float | None]]:
        wanted = op.offset + op.limit
        looked_at = min(max(1, wanted * _VECTORS_AN_ITEM), CANDIDATES_MAX)
        known: dict[str, Entry[Any] | None] = {}
        while True:
            near, whole = await self._items.nearest(view, op.namespace_prefix, vector, looked_at)
            found: list[tuple[Entry[Any], float | None]] = []
            for key, score in near:
                if key not in known:
                    entry = await self._items.get(view, key.namespace[1:], key.name)
                    met = entry is not None and meets(entry.value, op.filter)
                    known[key] = entry if met else None
                entry = known[key]
                if entry is not None:
                    found.append((entry, score))
            if len(found) >= wanted or whole or looked_at == CANDIDATES_MAX:
                return found[op.offset : wanted]
            looked_at = min(looked_at * _VECTORS_AN_ITEM, CANDIDATES_MAX)

    def _found(self, entry: Entry[Any], score: float | None) -> SearchItem:
        stored = self._items.stored(entry)
        return SearchItem(
            stored.labels, stored.key, stored.value, stored.created_at, stored.updated_at, score
        )

    async def _namespaces(self, view: Any, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        _check_page(op)
        if op.max_depth is not None and (not isinstance(op.max_depth, int) or op.max_depth < 1):
            raise InvalidInput(f"max_depth is a whole number from 1; found {op.max_depth!r}")
        conditions = op.match_conditions or ()
        found = {
            labels[: op.max_depth]
            for labels in await self._items.namespaces(view)
            if all(matches(labels, one.match_type, one.path) for one in conditions)
        }
        return sorted(found)[op.offset : op.offset + op.limit]


def _check_page(op: SearchOp | ListNamespacesOp) -> None:
    """Refuse a page that is none. Raises InvalidInput."""
    for name, given in (("limit", op.limit), ("offset", op.offset)):
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            found = given if isinstance(given, int) else f"a {type(given).__name__}"
            raise InvalidInput(f"{name} is a whole number of 0 or more; found {found}")


def _check_put(op: PutOp) -> None:
    """Refuse an item that cannot be one. Raises InvalidInput."""
    if not isinstance(op.value, Mapping | None):
        raise InvalidInput(f"the value of an item is a mapping; found a {type(op.value).__name__}")
    if op.ttl is not None:
        number = isinstance(op.ttl, int | float) and not isinstance(op.ttl, bool)
        # Bounded before it is multiplied: a huge int is no float.
        if not number or not 0 < op.ttl <= TTL_MAX_S / 60:
            raise InvalidInput(
                f"ttl is a number of minutes above 0 and at most {TTL_MAX_S / 60:.0f}; found "
                + (f"{op.ttl}"[:80] if number else f"a {type(op.ttl).__name__}")
            )


def _one_each(texts: list[str], vectors: list[list[float]]) -> list[list[float]]:
    if len(vectors) != len(texts):
        raise InvalidInput(
            f"embed gives a vector for each text; found {len(vectors)} for {len(texts)} texts. "
            "Nothing was written"
        )
    return vectors


class _Batch:
    """Operations sorted by what they do. Of several writes of one item the last counts."""

    def __init__(self, ops: Iterable[Op]) -> None:
        self.ops = list(ops)
        self.reads: list[tuple[int, GetOp | SearchOp | ListNamespacesOp]] = []
        self.puts: dict[Place, PutOp] = {}
        for at, op in enumerate(self.ops):
            if isinstance(op, PutOp):
                _check_put(op)
                self.puts[op.namespace, op.key] = op
            elif isinstance(op, GetOp | SearchOp | ListNamespacesOp):
                self.reads.append((at, op))
            else:
                raise InvalidInput(f"an operation of a store was wanted; found {type(op).__name__}")
            validate_op_namespace(op)

    def queries(self) -> list[str]:
        """What is searched for by meaning, in the order of the operations."""
        return [op.query for _, op in self.reads if isinstance(op, SearchOp) and op.query]
