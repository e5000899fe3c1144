"""Documents as JSON in SQL databases, with what each offers: expression indexes, FTS5, R*Tree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson

from benchmarks.peers.driver import driver
from benchmarks.stores.documents import DocumentStore
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
    metres,
)

#: Half the side of the first box in which the nearest are looked for, in degrees.
FIRST_DEGREES = 2.0
DEGREE_METRES = 111_195.0


class SqlDocuments(DocumentStore):
    """A table of ids and JSON. `execute` gives rows; the rest is the same for all databases."""

    #: How a document is put, and how it is read as text.
    put, shown = "?", "doc"
    #: The JSON path of a field.
    field = staticmethod(lambda name: f"json_extract(doc, '$.{name}')")
    execute: Callable[..., Iterable[Any]]

    def queries(self) -> None:
        field, shown = self.field, self.shown
        city, age, score = field("city"), field("age"), field("score")
        mail, created = field("email"), field("created")
        self._texts = {
            POINT: f"select {shown} from d where {mail} = ?",
            RANGE: f"select {shown} from d where {created} >= ? order by {created} limit {LIMIT}",
            COMPOUND: f"select {shown} from d where {city} = ? and {age} >= 20 and {age} < 30 "
            f"order by {score} limit {LIMIT}",
            COUNT: f"select count(*) from d where {city} = ?",
            SCAN: f"select {shown} from d where {field('active')} and {score} >= ? "
            f"order by {score} desc limit {LIMIT}",
            GROUP: f"select {city}, count(*), avg({score}) from d group by {city} order by 1",
        }
        self.asks = {
            **{question: self._asking(text) for question, text in self._texts.items()},
            COUNT: lambda city: next(iter(self.execute(self._texts[COUNT], (city,))))[0],
            GROUP: lambda _: list(self.execute(self._texts[GROUP], ())),
        }

    def _asking(self, text: str) -> Callable[[Any], list[Document]]:
        return lambda argument: self._documents(text, (argument,))

    def _documents(self, text: str, arguments: Sequence[Any]) -> list[Document]:
        return [orjson.loads(row[0]) for row in self.execute(text, arguments)]

    def answer(self, question: str, argument: Argument) -> Answer:
        found = self.asks[question](argument)
        if question == GROUP:
            return {city: (number, mean) for city, number, mean in found}
        return found if question in (COUNT, UPDATE) else [one["id"] for one in found]


class SqliteDocuments(SqlDocuments):
    """The standard library's SQLite, JSON as text. Commits are not flushed."""

    def start(self) -> None:
        import sqlite3

        self._connection: Any = sqlite3.connect(
            self.folder / "documents.db", isolation_level=None, cached_statements=256
        )
        self.execute = self._connection.execute
        self._prepare()

    def _prepare(self) -> None:
        for pragma in ("journal_mode=wal", "synchronous=normal"):
            list(self.execute(f"pragma {pragma}"))
        list(self.execute("create table d (n integer primary key, id text unique, doc)"))
        self.queries()
        set_created = f"update d set doc = {self.setter}(doc, '$.created', ?) where id = ?"
        found = f"select {self.shown} from d where n in (select n from r where west >= ? "
        found += "and east <= ? and south >= ? and north <= ?)"
        matched = f"select {self.shown} from f join d on d.n = f.rowid where f match ? "
        matched += f"order by rank limit {LIMIT}"
        self.asks |= {
            WORDS_AND: lambda words: self._documents(matched, (" AND ".join(words),)),
            WORDS_OR: lambda words: self._documents(matched, (" OR ".join(words),)),
            # An R*Tree has 32-bit coordinates, so the documents are looked at again.
            BOX: lambda box: self._boxed(found, *box),
            NEAREST: lambda at: self._nearest(found, *at),
            UPDATE: lambda change: list(self.execute(set_created, (change[1], change[0]))),
        }

    setter = "json_set"

    def stop(self) -> None:
        self._connection.close()

    def load(self, documents: Sequence[Document]) -> None:
        text = f"insert into d values (?, ?, {self.put})"
        self.execute("begin")
        self._many(
            text,
            ((at, one["id"], orjson.dumps(one).decode()) for at, one in enumerate(documents)),
        )
        self.execute("commit")

    def _many(self, text: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._connection.executemany(text, rows)

    def index(self) -> float:
        field, run = self.field, self.execute
        run(f"create index email on d ({field('email')})")
        run(f"create index created on d ({field('created')})")
        started = perf_counter()
        run(f"create index city_age on d ({field('city')}, {field('age')})")
        took = perf_counter() - started
        run("create virtual table f using fts5(bio, content='')")
        run(f"insert into f (rowid, bio) select n, {field('bio')} from d")
        run("create virtual table r using rtree(n, west, east, south, north)")
        east, north = field("location.longitude"), field("location.latitude")
        run(f"insert into r select n, {east}, {east}, {north}, {north} from d")
        list(run("analyze"))
        return took

    def _boxed(
        self, text: str, west: float, south: float, east: float, north: float
    ) -> list[Document]:
        slack = 1e-4
        around = (west - slack, east + slack, south - slack, north + slack)
        return [
            one
            for one in self._documents(text, around)
            if west <= one["location"]["longitude"] <= east
            and south <= one["location"]["latitude"] <= north
        ]

    def _nearest(self, text: str, latitude: float, longitude: float) -> list[Document]:
        for power in count():
            half = FIRST_DEGREES * 2**power
            wide = half / math.cos(math.radians(latitude))
            around = (longitude - wide, longitude + wide, latitude - half, latitude + half)
            near = [
                (metres(latitude, longitude, place["latitude"], place["longitude"]), at, one)
                for at, one in enumerate(self._documents(text, around))
                for place in (one["location"],)
            ]
            near = [one for one in near if one[0] <= half * DEGREE_METRES * 0.9]
            if len(near) >= LIMIT:
                return [one for _, _, one in sorted(near)[:LIMIT]]
        raise AssertionError("the earth is finite")


class ApswDocuments(SqliteDocuments):
    """SQLite as apsw brings it: JSON as JSONB."""

    put, shown, setter = "jsonb(?)", "json(doc)", "jsonb_set"

    def start(self) -> None:
        apsw = driver("apsw")
        self._connection = apsw.Connection(str(self.folder / "documents.db"))
        self._connection.set_busy_timeout(1_000)
        self.execute = self._connection.execute
        self._prepare()


class DuckDocuments(SqlDocuments):
    """DuckDB: JSON in a column, read by column scans; it has no index on an expression of JSON."""

    field = staticmethod(lambda name: f"(doc->>'$.{name}')")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.field = _typed

    def start(self) -> None:
        duckdb = driver("duckdb")
        self._connection: Any = duckdb.connect(str(self.folder / "documents.duckdb"))
        self._connection.execute("set threads to 1")
        self.execute = lambda text, arguments: self._connection.execute(text, arguments).fetchall()
        self._connection.execute("create table d (n integer, id text primary key, doc json)")
        self.queries()
        east, north = _typed("location.longitude"), _typed("location.latitude")
        box = f"select doc from d where {east} between ? and ? and {north} between ? and ?"
        changed = """update d set doc = json_merge_patch(doc, json_object('created', ?::bigint))
            where id = ?"""
        self.asks |= {
            BOX: lambda at: self._documents(box, (at[0], at[2], at[1], at[3])),
            UPDATE: lambda change: self.execute(changed, (change[1], change[0])),
        }

    def stop(self) -> None:
        self._connection.close()

    def load(self, documents: Sequence[Document]) -> None:
        path = self.folder / "documents.ndjson"
        path.write_bytes(b"\n".join(map(orjson.dumps, documents)))
        self._connection.execute(
            "insert into d select row_number() over () - 1, json->>'$.id', json "
            f"from read_ndjson_objects('{path}')"
        )
        path.unlink()


#: DuckDB's JSON has texts alone until a type is named.
_TYPES = {
    "age": "bigint", "created": "bigint", "score": "double", "active": "boolean",
    "location.longitude": "double", "location.latitude": "double",
}  # fmt: skip


def _typed(name: str) -> str:
    text = f"(doc->>'$.{name}')"
    return f"{text}::{_TYPES[name]}" if name in _TYPES else text
