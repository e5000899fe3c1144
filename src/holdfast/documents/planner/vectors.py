"""The documents whose vectors are nearest: by all vectors, or by the graph that is kept of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from holdfast.codecs.keys import pack_text
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, IndexNotFound, InvalidQuery, QuotaExceeded
from holdfast.contract.record import Range
from holdfast.documents.indexes.definition import Catalogue, IndexDefinition, index_prefix
from holdfast.documents.indexes.writers import space_of
from holdfast.documents.planner.execute import SEEN_MAX, Run
from holdfast.documents.planner.found import Examined, Found
from holdfast.documents.planner.plan import QueryPlan, plan_query
from holdfast.documents.query.nodes import EVERYTHING
from holdfast.documents.query.query import Query
from holdfast.documents.storage import DocumentStorage
from holdfast.documents.vector.approximate import VectorGraph
from holdfast.documents.vector.exact import merged, search_rows
from holdfast.documents.vector.kept import KeptGraph
from holdfast.documents.vector.vectors import Change, Neighbour
from holdfast.store.feed.feed import Feed
from holdfast.store.snapshot import SnapshotEngine

#: Of fewer documents than that the vectors are read one by one; of more all are looked at.
READ_VECTORS_MAX: Final = 4096
#: How many vectors a graph in memory has at most.
GRAPH_VECTORS_MAX: Final = 5_000_000
#: How many more are asked for, in case that some have run out.
_SPARE = 8
#: How much more when these were not enough.
_GROWTH = 4
#: How often a graph is brought to the moment before all vectors are looked at instead.
_TRIES_MAX = 8


async def nearest_documents(
    storage: DocumentStorage,
    moment: Engine,
    catalogue: Catalogue,
    vector: Any,
    wanted: Query,
    name: str | None,
    *,
    approximate: bool,
) -> list[tuple[Found, float]]:
    """The documents that match with how far they are, nearest first; `wanted.limit` of them."""
    definition = the_index(catalogue, name)
    space_of(definition).pack_query(vector)
    limit = wanted.limit or 0
    if not limit:
        return []
    allowed = None
    if wanted.where != EVERYTHING:
        allowed = await _allowed(storage, moment, catalogue, wanted)
    run = Run(storage, moment, QueryPlan(Query()), Examined())
    asked = limit if allowed is not None else limit + _SPARE
    while True:
        near = None
        if approximate and isinstance(moment, SnapshotEngine) and moment is not storage.engine:
            near = await _by_graph(storage, moment, definition, vector, asked, allowed)
        if near is None:
            near = await _by_rows(storage, moment, definition, vector, asked, allowed)
        distances = dict(near)
        rows = await run.documents(list(distances))
        if len(rows) >= limit or len(near) < asked:
            return [(row, distances[pack_text(row[0])]) for row in rows[:limit]]
        asked *= _GROWTH


def the_index(catalogue: Catalogue, name: str | None) -> IndexDefinition:
    """The vector index to search. Raises IndexNotFound, InvalidQuery."""
    ready = [one for one in catalogue.indexes if one.kind == "vector" and one.state == "ready"]
    if name is not None:
        ready = [one for one in ready if one.name == name]
    if not ready:
        raise no_vector_index(name)
    if len(ready) > 1:
        raise InvalidQuery(
            f"a search is in one vector index; found {len(ready)}. Name the one that is meant"
        )
    return ready[0]


def no_vector_index(name: str | None) -> IndexNotFound:
    """The error of a search without an index."""
    which = "an index of kind vector" if name is None else f"an index {name!r} of kind vector"
    return IndexNotFound(
        f"a search wanted {which} that is ready; the collection has none. "
        "`create_index(name, field, kind='vector', dimensions=...)` makes it",
        name=name,
    )


async def _allowed(
    storage: DocumentStorage, moment: Engine, catalogue: Catalogue, wanted: Query
) -> set[bytes]:
    """The documents that meet the condition."""
    plan = plan_query(Query(wanted.where), storage.number, catalogue)
    allowed: set[bytes] = set()
    async with aclosing(Run(storage, moment, plan, Examined()).results()) as results:
        async for key, _, _ in results:
            allowed.add(pack_text(key))
            if len(allowed) > SEEN_MAX:
                raise QuotaExceeded(
                    f"a search of vectors remembers at most {SEEN_MAX} documents that meet its "
                    "condition; found more. Narrow it, or leave it out",
                    limit=SEEN_MAX,
                )
    return allowed


async def _by_rows(
    storage: DocumentStorage,
    moment: Engine,
    definition: IndexDefinition,
    vector: Any,
    limit: int,
    allowed: set[bytes] | None,
) -> list[Neighbour]:
    """The nearest of all vectors, page by page."""
    space = space_of(definition)
    may = None if allowed is None else allowed.__contains__
    nearest: list[Neighbour] = []
    async with aclosing(_vectors(storage, moment, definition, allowed)) as pages:
        async for rows in pages:
            nearest = merged(nearest, search_rows(space, rows, vector, limit, may), limit)
    return nearest


async def _vectors(
    storage: DocumentStorage,
    moment: Engine,
    definition: IndexDefinition,
    allowed: set[bytes] | None = None,
) -> AsyncGenerator[list[tuple[bytes, bytes]], None]:
    """The rows of the index, without its prefix."""
    prefix = index_prefix(storage.number, definition.number)
    if allowed is not None and len(allowed) <= READ_VECTORS_MAX:
        several = sorted(allowed)
        records = await moment.read([prefix + one for one in several]) if several else []
        found = zip(several, records, strict=True)
        yield [(one, record.value) for one, record in found if record is not None]
        return
    rest: Range | None = Range.prefix(prefix)
    while rest is not None:
        page = await moment.scan(rest)
        yield [(key[len(prefix) :], record.value) for key, record in page.rows]
        rest = page.resume


async def _by_graph(
    storage: DocumentStorage,
    moment: SnapshotEngine,
    definition: IndexDefinition,
    vector: Any,
    limit: int,
    allowed: set[bytes] | None,
) -> list[Neighbour] | None:
    """What the graph finds, as of the moment; None: it is newer than that."""
    kept = storage.graphs.setdefault(definition.number, KeptGraph())
    may = None if allowed is None else allowed.__contains__
    for _ in range(_TRIES_MAX):
        if kept.revision != moment.revision:
            await _bring(storage, moment, definition, kept)
        found = kept.search(moment.revision, lambda graph: graph.search(vector, limit, may))
        if found is not None:
            return found
        if (kept.revision or 0) > moment.revision:
            return None
    return None


async def _bring(
    storage: DocumentStorage, moment: SnapshotEngine, definition: IndexDefinition, kept: KeptGraph
) -> None:
    """Bring the graph to the moment, by what changed; or make it."""
    since = kept.revision
    if since is not None and since < moment.revision:
        try:
            changes = await _changes(storage, moment, definition, since)
        except Compacted:
            kept.drop()
        else:
            kept.follow(changes, since, moment.revision)
            return
    if kept.revision is None:
        rows: list[tuple[bytes, bytes]] = []
        async with aclosing(_vectors(storage, moment, definition)) as pages:
            async for page in pages:
                rows += page
                if len(rows) > GRAPH_VECTORS_MAX:
                    raise QuotaExceeded(
                        f"a graph of vectors has at most {GRAPH_VECTORS_MAX}; the index has more. "
                        "Search exactly, with a condition",
                        limit=GRAPH_VECTORS_MAX,
                    )
        space = space_of(definition)
        runtime = storage.space.gate.runtime
        # It takes seconds for a hundred thousand.
        graph = await runtime.offload(lambda: VectorGraph(space, rows))
        kept.replace(graph, moment.revision)


async def _changes(
    storage: DocumentStorage, moment: SnapshotEngine, definition: IndexDefinition, since: int
) -> list[Change]:
    """The vectors of the documents that changed, as they are at the moment."""
    identifiers: dict[bytes, None] = {}
    async for positions in Feed(moment).after(since):
        for one in positions:
            if one.row.keyspace == storage.number and one.row.key:
                identifiers[one.row.key] = None
    prefix = index_prefix(storage.number, definition.number)
    several = list(identifiers)
    records = await moment.read([prefix + one for one in several]) if several else []
    return [
        (one, None if record is None else record.value)
        for one, record in zip(several, records, strict=True)
    ]
