"""What can be searched for in a collection: words, vectors, or both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from holdfast.codecs.keys import pack_text
from holdfast.documents.indexes.definition import Catalogue
from holdfast.documents.indexes.writers import analyzer_of
from holdfast.documents.planner.found import Found
from holdfast.documents.planner.ranking import no_text_index, search_ranked, the_text_index
from holdfast.documents.planner.vectors import nearest_documents, no_vector_index
from holdfast.documents.queries import PAGE_RESULTS, Queries
from holdfast.documents.query.paths import Path, path_text, values_at
from holdfast.documents.query.query import Query, selected
from holdfast.documents.results import QueryResult
from holdfast.documents.spelling import as_query
from holdfast.documents.text.highlight import highlight, snippet
from holdfast.documents.text.query import parse
from holdfast.documents.vector.fusion import fuse
from holdfast.documents.walking import Moment

T = TypeVar("T")

#: How many documents `nearest` gives unless told otherwise.
NEAREST_RESULTS: Final = 10
#: How deep each ranking is that is joined with another: so many times the limit, at least so many.
_DEEPER, _DEEP_MIN = 4, 100


class Searched(Queries[T]):
    """The part of a collection that answers searches."""

    async def search(
        self,
        text: str,
        *conditions: Any,
        index: str | None = None,
        limit: int = PAGE_RESULTS,
        select: Iterable[Any] | None = None,
        highlight: Iterable[Any] | None = None,
        vector: Any = None,
        vector_index: str | None = None,
        **equal: Any,
    ) -> list[QueryResult[T]]:
        """The documents that a full-text search finds, best first, with their scores (BM25).

        With a vector both rankings are joined, by the places that documents have in each
        (reciprocal rank fusion): the score is then that of the joined ranking.

        Args:
            text: words, all of which are wanted; `"a phrase"`, `begin*`, `OR`, `NOT`.
            conditions, equal: what else has to hold; see `query`.
            index: the full-text index; left out, the only one there is.
            limit: at most so many.
            select: the fields to keep of each document.
            highlight: fields of which an extract is wanted, the words found in `<b>`; the rest of
                it is not escaped.
            vector: also what is nearest to it; see `nearest`.
            vector_index: the vector index; left out, the only one there is.

        Raises:
            InvalidQuery: the search or a condition is malformed, or there are several indexes.
            IndexNotFound: there is no such index that is ready.
        """
        wanted = as_query(conditions, (), limit, 0, select, None, equal)
        shown = () if highlight is None else selected(highlight, "highlight")
        storage = await self._find()
        if storage is None:
            raise no_text_index(index)
        storage.space.check()
        async with Moment(storage.engine) as moment:
            catalogue = await storage.catalogue_at(moment)
            if vector is None:
                found = await search_ranked(storage, moment, catalogue, text, wanted, index)
            else:
                deep = max(_DEEPER * limit, _DEEP_MIN) if limit else 0
                deeper = Query(wanted.where, limit=deep)
                words = await search_ranked(storage, moment, catalogue, text, deeper, index)
                near = await nearest_documents(
                    storage, moment, catalogue, vector, deeper, vector_index, approximate=False
                )
                found = _joined(words, near, limit)
        keep = self._keep(wanted)
        shows = _Extracts(catalogue, index, text, shown) if shown else None
        return [
            QueryResult(
                row[0], keep(row), row[2].metadata, score,
                highlights=None if shows is None else shows.of(row[1]),
            )
            for row, score in found
        ]  # fmt: skip

    async def nearest(
        self,
        vector: Any,
        *conditions: Any,
        index: str | None = None,
        limit: int = NEAREST_RESULTS,
        approximate: bool = False,
        select: Iterable[Any] | None = None,
        **equal: Any,
    ) -> list[QueryResult[T]]:
        """The documents whose vectors are nearest to a vector, nearest first, with distances.

        Args:
            vector: a list of numbers, or an array of them.
            conditions, equal: what else has to hold; see `query`.
            index: the vector index; left out, the only one there is.
            limit: at most so many.
            approximate: by a graph that this process keeps in memory, made with the first such
                search: of many vectors a hundred times faster, and now and then one of the
                nearest is not among them. In transactions and snapshots all vectors are looked at.
            select: the fields to keep of each document.

        Raises:
            InvalidQuery: it is no vector of the index's dimensions, a condition is malformed, or
                there are several indexes.
            IndexNotFound: there is no vector index that is ready.
            DriverMissing: numpy, or for approximate search usearch, is not installed.
        """
        wanted = as_query(conditions, (), limit, 0, select, None, equal)
        storage = await self._find()
        if storage is None:
            raise no_vector_index(index)
        storage.space.check()
        async with Moment(storage.engine) as moment:
            catalogue = await storage.catalogue_at(moment)
            found = await nearest_documents(
                storage, moment, catalogue, vector, wanted, index, approximate=approximate
            )
        keep = self._keep(wanted)
        return [
            QueryResult(row[0], keep(row), row[2].metadata, distance=distance)
            for row, distance in found
        ]


def _joined(
    words: list[tuple[Found, float]], near: list[tuple[Found, float]], limit: int
) -> list[tuple[Found, float]]:
    """Two rankings as one."""
    rows = {pack_text(row[0]): row for row, _ in [*words, *near]}
    rankings = [[pack_text(row[0]) for row, _ in one] for one in (words, near)]
    return [(rows[one.identifier], one.score) for one in fuse(rankings, limit=limit)]


class _Extracts:
    """Shows where documents match a search."""

    def __init__(
        self, catalogue: Catalogue, index: str | None, text: str, paths: tuple[Path, ...]
    ) -> None:
        self._query = parse(text)
        self._analyzer = analyzer_of(the_text_index(catalogue, index).language)
        self._paths = paths

    def of(self, document: Any) -> dict[str, str]:
        """Of each field that matches, the extract that shows it best."""
        found: dict[str, str] = {}
        for path in self._paths:
            for value in values_at(document, path):
                for text in value if isinstance(value, list) else (value,):
                    spans = (
                        highlight(text, self._query, self._analyzer) if type(text) is str else []
                    )
                    if spans:
                        found.setdefault(path_text(path), snippet(text, spans))
        return found
