"""The table of libraries on the page about migration: each call is made before, and after."""

from __future__ import annotations

import re
import shelve
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import diskcache
import plyvel
import pytest
import sqlitedict
import tinydb

from holdfast.documents import F
from holdfast.stores.migration.importing import (
    import_documents,
    import_entries,
    import_pairs,
    open_source,
)
from tests.stores.migration import legacy
from tests.stores.migration.test_importing import opened
from tests.tidy import repository

PAGE = (repository.ROOT / "docs" / "how-to" / "migrating.md").read_text()
CALLS = re.findall(r"^\| (\w+) \| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)
VALUES = {"ada": {"age": 36}, "bob": [1, 2]}
PEOPLE = [{"name": "ada", "age": 36}, {"name": "bob", "age": 40}]


@contextmanager
def before(library: str, place: Path) -> Iterator[Any]:
    """What the library itself opens, with data in it."""
    if library == "shelve":
        legacy.shelf(place, VALUES)
        with shelve.open(str(place), "r") as shelf:
            yield shelf
    elif library == "diskcache":
        with diskcache.Cache(str(place)) as cache:
            for key, value in VALUES.items():
                cache.set(key, value)
            yield cache
    elif library == "sqlitedict":
        legacy.sqlite_dict(place, unnamed=VALUES)
        with sqlitedict.SqliteDict(str(place), flag="r") as table:
            yield table
    elif library == "TinyDB":
        legacy.tiny(place, _default=PEOPLE)
        with tinydb.TinyDB(str(place)) as db:
            yield db
    else:
        legacy.level(place, {b"ada": b"36", b"al": b"1", b"bob": b"2"})
        with closing(plyvel.DB(str(place))) as level:
            yield level


def test_the_table_names_the_libraries() -> None:
    assert {library for library, _, _ in CALLS} == {
        "shelve", "diskcache", "sqlitedict", "TinyDB", "LevelDB",
    }  # fmt: skip


@pytest.mark.row("E-090")
@pytest.mark.parametrize(("library", "old_call", "new_call"), CALLS)
async def test_a_call_before_and_after(
    tmp_path: Path, library: str, old_call: str, new_call: str
) -> None:
    place = tmp_path / "old.json"
    with before(library, place) as old:
        # Both come from our own page.
        wanted = eval(old_call, {"old": old, "where": tinydb.where})
    async with opened(tmp_path) as db:
        store, people = await db.stores.open("old"), db.collection("people")
        pickled = library in ("shelve", "diskcache", "sqlitedict")
        kind = library.lower()
        with open_source(place, kind, unpickle=pickled) as source:
            if library == "LevelDB":
                await import_pairs(source, store)
            elif library == "TinyDB":
                await import_documents(source, people)
            else:
                await import_entries(source, db.entries, ["old"])
        names: dict[str, Any] = {"db": db, "store": store, "people": people, "F": F}
        exec(f"async def now():\n    return {new_call}", names)
        assert await names["now"]() == wanted
