"""What every document store that is measured does, and ours."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import holdfast
from benchmarks.workloads.documents_data import (
    BOX,
    COMPOUND,
    COUNT,
    GROUP,
    LIMIT,
    NEAREST,
    POINT,
    RANGE,
    SCAN,
    UPDATE,
    WORDS_AND,
    WORDS_OR,
    Answer,
    Argument,
    Document,
)
from holdfast.documents.aggregate import avg, count_
from holdfast.documents.query import F

#: Documents of one commit while a store is loaded.
LOAD_DOCUMENTS = 1_000


class DocumentStore(ABC):
    """A store of documents with indexes on `email`, `created`, `city` and `age`, `bio`, `location`.

    Args:
        folder: an empty one.

    Attributes:
        asks: what it can be asked, and with which function.
    """

    asks: dict[str, Callable[[Any], Any]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def start(self) -> None:
        """Open it; `asks` is there from then on."""

    @abstractmethod
    def stop(self) -> None:
        """Close it."""

    @abstractmethod
    def load(self, documents: Sequence[Document]) -> None:
        """Take the documents in, some in a commit, without indexes."""

    def index(self) -> float | None:
        """Make the indexes; seconds for that over city and age. None: there are none."""
        return None

    def run(self, question: str, arguments: Sequence[Argument]) -> float:
        """Seconds that the answers took."""
        ask = self.asks[question]
        started = perf_counter()
        for argument in arguments:
            ask(argument)
        return perf_counter() - started

    def answer(self, question: str, argument: Argument) -> Answer:
        """One answer, to be compared."""
        return self.asks[question](argument)


class OurDocuments(DocumentStore):
    """A collection, called by a program with an event loop."""

    def __init__(self, folder: Path, engine: str) -> None:
        super().__init__(folder)
        target = "" if engine == "memory" else f"/{folder}/documents"
        self.url = f"{engine}://{target}?durability=relaxed"
        if engine == "memory":
            self.url = "memory://"

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._database = holdfast.open(self.url)
        self._loop.run_until_complete(self._database.open())
        people: Any = self._database.collection("people", history="none")
        self._people = people
        self.asks = {
            POINT: lambda email: people.find_many(email=email),
            RANGE: lambda at: people.find_many(F.created >= at, order_by="created", limit=LIMIT),
            COMPOUND: lambda city: people.find_many(
                F.age >= 20, F.age < 30, city=city, order_by="score", limit=LIMIT
            ),
            COUNT: lambda city: people.count(city=city),
            WORDS_AND: lambda words: people.search(" ".join(words), limit=LIMIT),
            WORDS_OR: lambda words: people.search(" OR ".join(words), limit=LIMIT),
            BOX: lambda box: people.find_many(
                F.location.within(west=box[0], south=box[1], east=box[2], north=box[3])
            ),
            NEAREST: lambda at: people.find_many(
                F.location.near(*at), order_by=F.location.distance(*at), limit=LIMIT
            ),
            SCAN: lambda score: people.find_many(
                F.score >= score, active=True, order_by="-score", limit=LIMIT
            ),
            GROUP: lambda _: people.group_by(F.city, n=count_(), mean=avg(F.score)),
            UPDATE: lambda change: people.patch(change[0], {"created": change[1]}),
        }

    def stop(self) -> None:
        self._loop.run_until_complete(self._database.close())
        self._loop.close()

    def load(self, documents: Sequence[Document]) -> None:
        self._loop.run_until_complete(self._load(documents))

    async def _load(self, documents: Sequence[Document]) -> None:
        for at in range(0, len(documents), LOAD_DOCUMENTS):
            some = documents[at : at + LOAD_DOCUMENTS]
            await self._people.set_many({one["id"]: one for one in some})

    def index(self) -> float:
        return self._loop.run_until_complete(self._index())

    async def _index(self) -> float:
        make = self._people.create_index
        await make("email", "email")
        await make("created", "created")
        started = perf_counter()
        await make("city_age", ["city", "age"])
        took = perf_counter() - started
        await make("bio", "bio", kind="text")
        await make("location", "location", kind="geo")
        return took

    def run(self, question: str, arguments: Sequence[Argument]) -> float:
        return self._loop.run_until_complete(_timed(self.asks[question], arguments))

    def answer(self, question: str, argument: Argument) -> Answer:
        async def ask() -> Any:
            return await self.asks[question](argument)

        found = self._loop.run_until_complete(ask())
        if question == GROUP:
            return {one["city"]: (one["n"], one["mean"]) for one in found}
        if question in (WORDS_AND, WORDS_OR):
            return [one.value["id"] for one in found]
        return found if question in (COUNT, UPDATE) else [one["id"] for one in found]


async def _timed(ask: Callable[[Any], Awaitable[Any]], arguments: Sequence[Argument]) -> float:
    started = perf_counter()
    for argument in arguments:
        await ask(argument)
    return perf_counter() - started
