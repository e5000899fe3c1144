"""Data as other libraries write it: each function makes some, and tells what it holds."""

from __future__ import annotations

import shelve
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import diskcache
import plyvel
import sqlitedict
import tinydb
import transaction
import ZODB
import ZODB.FileStorage
from BTrees.OOBTree import OOBTree
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping

#: Plain values of every kind, of which one is in a file of its own in diskcache.
VALUES: dict[str, Any] = {
    "text": "héllo",
    "bytes": b"\x00\xff",
    "number": 7,
    "flag": True,
    "nothing": None,
    "nested": {"list": [1, 2.5, {"a": (1, 2)}]},
    "big": b"x" * 100_000,
    "long text": "y" * 100_000,
}
UUID_OF_DOCUMENT = UUID(int=5)
WHEN = datetime(2020, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def shelf(path: Path, values: dict[str, Any] | None = None) -> dict[str, Any]:
    given = VALUES if values is None else values
    with shelve.open(str(path)) as table:
        table.update(given)
    return given


def cache(folder: Path) -> dict[str, Any]:
    with diskcache.Cache(str(folder)) as table:
        for key, value in VALUES.items():
            table.set(key, value)
    return VALUES


def sqlite_dict(path: Path, **tables: dict[str, Any]) -> None:
    for name, values in tables.items():
        with sqlitedict.SqliteDict(str(path), tablename=name, autocommit=False) as table:
            table.update(values)
            table.commit()


def tiny(path: Path, **tables: list[dict[str, Any]]) -> None:
    with tinydb.TinyDB(str(path)) as db:
        for name, documents in tables.items():
            (db if name == "_default" else db.table(name)).insert_multiple(documents)


def level(folder: Path, pairs: dict[bytes, bytes]) -> None:
    with plyvel.DB(str(folder), create_if_missing=True, write_buffer_size=65536) as db:
        for key, value in pairs.items():
            db.put(key, value)


def dump(path: Path, documents: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(
        uuid_representation=bson.binary.UuidRepresentation.STANDARD
    )
    path.write_bytes(b"".join(bson.encode(one, codec_options=options) for one in documents))


def zodb(path: Path) -> None:
    storage = ZODB.FileStorage.FileStorage(str(path))
    database = ZODB.DB(storage)
    with database.transaction() as connection:
        root = connection.root()
        root["motto"] = "hold fast"
        root["settings"] = PersistentMapping({"depth": 3, "of": PersistentList([1, b"2"])})
        root["people"] = OOBTree({f"p{number}": {"n": number} for number in range(1500)})
    database.close()
    transaction.abort()


def documents_of_a_dump() -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Documents with every type of BSON, and what they are as plain values."""
    identity = bson.ObjectId("0123456789abcdef01234567")
    written: list[dict[str, Any]] = [
        {
            "_id": identity, "name": "ada", "n": bson.Int64(2**40), "at": WHEN, "raw": b"\x01",
            "price": bson.Decimal128("1.50"), "u": UUID_OF_DOCUMENT, "re": bson.Regex("^a", "i"),
            "ts": bson.Timestamp(5, 6), "least": bson.MinKey(), "in": [{"id": identity}],
            "far": bson.DatetimeMS(2**52), "none": None,
        },
        {"_id": 5, "x": 1.5},
        {"_id": {"a": 1, "b": "c"}, "x": True},
    ]  # fmt: skip
    wanted: dict[str, dict[str, Any]] = {
        str(identity): {
            "_id": str(identity), "name": "ada", "n": 2**40, "at": WHEN, "raw": b"\x01",
            "price": Decimal("1.50"), "u": UUID_OF_DOCUMENT,
            "re": {"$regularExpression": {"pattern": "^a", "options": "i"}},
            "ts": {"$timestamp": {"t": 5, "i": 6}}, "least": {"$minKey": 1},
            "in": [{"id": str(identity)}], "far": {"$date": {"$numberLong": str(2**52)}},
            "none": None,
        },
        "5": {"_id": 5, "x": 1.5},
        '{"a":1,"b":"c"}': {"_id": {"a": 1, "b": "c"}, "x": True},
    }  # fmt: skip
    return written, wanted
