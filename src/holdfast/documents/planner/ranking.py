"""Full-text search by relevance: the best hits first, as far as they are wanted."""

from __future__ import annotations

from typing import Final

from holdfast.contract.engine import Engine
from holdfast.contract.errors import IndexNotFound, InvalidQuery
from holdfast.documents.indexes.definition import Catalogue, IndexDefinition, index_prefix
from holdfast.documents.indexes.writers import text_index
from holdfast.documents.planner.execute import Run
from holdfast.documents.planner.found import Examined, Found
from holdfast.documents.planner.plan import QueryPlan
from holdfast.documents.planner.searching import replay
from holdfast.documents.query.query import Query
from holdfast.documents.storage import DocumentStorage
from holdfast.documents.text.query import parse
from holdfast.documents.text.search import Hit, search

#: How much more hits are asked for when some of them were not wanted.
GROWTH: Final = 4


async def search_ranked(
    storage: DocumentStorage,
    moment: Engine,
    catalogue: Catalogue,
    text: str,
    wanted: Query,
    name: str | None,
) -> list[tuple[Found, float]]:
    """The documents that match, with their scores, best first; `wanted.limit` of them."""
    definition = the_text_index(catalogue, name)
    query = parse(text)
    limit = wanted.limit or 0
    if not limit:
        return []
    index = text_index(definition)
    prefix = index_prefix(storage.number, definition.number)
    run = Run(storage, moment, QueryPlan(wanted, rest=wanted.where), Examined())
    asked = limit
    while True:
        hits: list[Hit] = await replay(
            moment,
            prefix,
            lambda read, scan, asked=asked: search(  # type: ignore[misc]
                index, query, read, scan, limit=asked
            ),
        )
        scores = dict(hits)
        rows = await run.documents(list(scores))
        if len(rows) >= limit or len(hits) < asked:
            of_key = {storage.data_key(row[0])[len(storage.rows.data) :]: row for row in rows}
            return [(of_key[one], score) for one, score in scores.items() if one in of_key][:limit]
        asked *= GROWTH


def the_text_index(catalogue: Catalogue, name: str | None) -> IndexDefinition:
    """The full-text index to search. Raises IndexNotFound, InvalidQuery."""
    ready = [one for one in catalogue.indexes if one.kind == "text" and one.state == "ready"]
    if name is not None:
        ready = [one for one in ready if one.name == name]
    if not ready:
        raise no_text_index(name)
    if len(ready) > 1:
        raise InvalidQuery(
            f"a search is in one index; found {len(ready)} of kind text. Name it: `index=...`",
        )
    return ready[0]


def no_text_index(name: str | None) -> IndexNotFound:
    """The error of a search without an index."""
    which = "an index of kind text" if name is None else f"an index {name!r} of kind text"
    return IndexNotFound(
        f"a search wanted {which} that is ready; the collection has none. "
        "`create_index(name, fields, kind='text')` makes it",
        name=name,
    )
