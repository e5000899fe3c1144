"""Pipelines over collections: documents come page by page, what comes of them goes out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from holdfast.contract.errors import InvalidInput, QuotaExceeded, TimedOut
from holdfast.contract.runtime import Clock
from holdfast.documents.aggregate.budget import CHUNK_DOCUMENTS, Chunk, Deadline
from holdfast.documents.aggregate.pipeline import aggregate_chunks
from holdfast.documents.aggregate.stage_json import pipeline_of
from holdfast.documents.aggregate.stages import Facet, Lookup, Match, Stage
from holdfast.documents.query.texts import TextMatcher

#: How many documents of another collection a `lookup` holds at most.
LOOKUP_DOCUMENTS_MAX: Final = 1_000_000


def split(pipeline: Any) -> tuple[Match | None, tuple[Stage, ...]]:
    """A pipeline as the condition it begins with, which an index may serve, and the rest.

    Raises:
        InvalidQuery: a stage is malformed.
    """
    stages = tuple(pipeline_of(pipeline))
    if stages and isinstance(stages[0], Match):
        return stages[0], stages[1:]
    return None, stages


def looked_up(stages: Sequence[Stage]) -> Iterator[str]:
    """The names of the other collections that the stages want."""
    for stage in stages:
        if isinstance(stage, Lookup):
            yield stage.collection
        elif isinstance(stage, Facet):
            for _, inner in stage.pipelines:
                yield from looked_up(inner)


async def aggregated(
    stages: Sequence[Stage],
    rows: AsyncIterator[list[Any]],
    others: dict[str, list[Any]],
    deadline: Deadline | None,
    memory_bytes_max: int,
    text: TextMatcher,
) -> AsyncGenerator[Any, None]:
    """What the stages make of the documents, as it is made."""
    source = _Source()
    made = aggregate_chunks(
        stages,
        source.chunks(),
        collections=lambda name: others.get(name, ()),
        deadline=deadline,
        memory_bytes_max=memory_bytes_max,
        text=text,
    )
    while True:
        if source.hungry:
            await source.fill(rows)
        for chunk in made:
            for one in chunk:
                yield one
            if source.hungry:
                break
        else:
            return


class _Source:
    """Hands chunks to plain generators, and takes documents from an asynchronous one."""

    def __init__(self) -> None:
        self._page: list[Any] = []
        self._ended = False

    @property
    def hungry(self) -> bool:
        """Whether it has handed on what it had, and there may be more."""
        return not self._page and not self._ended

    def chunks(self) -> Iterator[Chunk]:
        while self._page or not self._ended:
            page = self._page
            chunk, self._page = page[:CHUNK_DOCUMENTS], page[CHUNK_DOCUMENTS:]
            yield chunk

    async def fill(self, rows: AsyncIterator[list[Any]]) -> None:
        page = self._page
        async for some in rows:
            page += some
            if len(page) >= CHUNK_DOCUMENTS:
                return
        self._ended = True


def deadline_of(timeout: float | timedelta | None, clock: Clock) -> Deadline | None:
    """What raises TimedOut once the time is over; None: there is no limit."""
    if timeout is None:
        return None
    seconds: Any = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidInput("timeout is seconds above 0, or a timedelta; found something else")
    until = clock.monotonic() + seconds

    def ask() -> None:
        if clock.monotonic() > until:
            raise TimedOut(
                f"an aggregation took longer than its {seconds} seconds; match less before it, or "
                "allow more time",
                timeout_s=float(seconds),
            )

    return ask


async def held(
    name: str, rows: AsyncGenerator[list[Any], None], deadline: Deadline | None
) -> list[Any]:
    """All documents of another collection. Raises QuotaExceeded when there are too many."""
    documents: list[Any] = []
    try:
        async for page in rows:
            if deadline is not None:
                deadline()
            documents += page
            if len(documents) > LOOKUP_DOCUMENTS_MAX:
                raise QuotaExceeded(
                    f"a lookup holds at most {LOOKUP_DOCUMENTS_MAX} documents of another "
                    f"collection; {name!r} has more. Query it by itself",
                    limit=LOOKUP_DOCUMENTS_MAX,
                )
    finally:
        # Whoever keeps the error keeps this walk, and would keep its moment.
        await rows.aclose()
    return documents
