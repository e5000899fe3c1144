"""Document stores written in Python: TinyDB, mongita and montydb, each on its memory storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.driver import driver
from benchmarks.stores.documents import DocumentStore
from benchmarks.workloads.documents_data import (
    BOX,
    COMPOUND,
    COUNT,
    GROUP,
    LIMIT,
    POINT,
    RANGE,
    SCAN,
    UPDATE,
    Answer,
    Argument,
    Document,
)


class _Plain(DocumentStore):
    def answer(self, question: str, argument: Argument) -> Answer:
        found = self.asks[question](argument)
        return found if question in (COUNT, UPDATE, GROUP) else [one["id"] for one in found]


class TinyDocuments(_Plain):
    """A list of documents that every query walks."""

    def start(self) -> None:
        tinydb = driver("tinydb")
        storage = driver("tinydb.storages").MemoryStorage
        database = self._database = tinydb.TinyDB(storage=storage)
        # Else a question that is asked again is answered from a cache.
        table = self._table = database.table("people", cache_size=0)
        where = tinydb.where
        self.asks = {
            POINT: lambda email: table.search(where("email") == email),
            RANGE: lambda at: sorted(
                table.search(where("created") >= at), key=lambda one: one["created"]
            )[:LIMIT],
            COMPOUND: lambda city: sorted(
                table.search((where("city") == city) & (where("age") >= 20) & (where("age") < 30)),
                key=lambda one: one["score"],
            )[:LIMIT],
            COUNT: lambda city: table.count(where("city") == city),
            BOX: lambda box: table.search(
                (where("location")["longitude"] >= box[0])
                & (where("location")["longitude"] <= box[2])
                & (where("location")["latitude"] >= box[1])
                & (where("location")["latitude"] <= box[3])
            ),
            SCAN: lambda score: sorted(
                table.search((where("score") >= score) & (where("active") == True)),  # noqa: E712
                key=lambda one: -one["score"],
            )[:LIMIT],
            GROUP: lambda _: self._grouped(),
            UPDATE: lambda change: table.update({"created": change[1]}, where("id") == change[0]),
        }

    def _grouped(self) -> dict[str, tuple[int, float]]:
        groups: dict[str, tuple[int, float]] = {}
        for one in self._table:
            number, total = groups.get(one["city"], (0, 0.0))
            groups[one["city"]] = number + 1, total + one["score"]
        return {city: (number, total / number) for city, (number, total) in groups.items()}

    def stop(self) -> None:
        self._database.close()

    def load(self, documents: Sequence[Document]) -> None:
        self._table.insert_multiple(documents)


class MongoLike(_Plain):
    """A client with the calls of MongoDB's driver, as far as they go."""

    def ask(self, people: Any) -> None:
        """Fill `asks`. Indexes of several fields are not made: one of them would not be used."""
        self._people = people
        self.asks = {
            POINT: lambda email: list(people.find({"email": email})),
            RANGE: lambda at: list(
                people.find({"created": {"$gte": at}}).sort("created", 1).limit(LIMIT)
            ),
            COMPOUND: lambda city: list(
                people.find({"city": city, "age": {"$gte": 20, "$lt": 30}})
                .sort("score", 1)
                .limit(LIMIT)
            ),
            COUNT: lambda city: people.count_documents({"city": city}),
            SCAN: lambda score: list(
                people.find({"active": True, "score": {"$gte": score}})
                .sort("score", -1)
                .limit(LIMIT)
            ),
            UPDATE: lambda change: people.update_one(
                {"id": change[0]}, {"$set": {"created": change[1]}}
            ),
        }

    def load(self, documents: Sequence[Document]) -> None:
        self._people.insert_many(documents)

    def stop(self) -> None:
        self._client.close()

    _client: Any


class MongitaDocuments(MongoLike):
    """Indexes of one field each."""

    def start(self) -> None:
        self._client = driver("mongita").MongitaClientMemory()
        self.ask(self._client.bench.people)

    def index(self) -> None:
        for field in ("email", "created", "city"):
            self._people.create_index(field)


class MontyDocuments(MongoLike):
    """Every query walks all documents."""

    def start(self) -> None:
        self._client = driver("montydb").MontyClient(":memory:")
        self.ask(self._client.bench.people)
