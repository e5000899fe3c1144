"""One word for each thing, and seconds for every duration, in signatures and attributes."""

import inspect
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

import holdfast
import holdfast.sync
from tests.store.scene import Scene, listed

#: Words that mean what another one means, and that one.
OTHERS = {
    "actor": "modified_by", "author": "modified_by", "user": "modified_by",
    "hash": "data_hash", "etag": "data_hash", "value_hash": "data_hash",
    "expiry": "ttl", "expire": "ttl", "ex": "ttl", "px": "ttl", "rev": "revision",
}  # fmt: skip
#: Units that durations are not in. Instants of the contract are milliseconds since 1970.
UNITS = re.compile(r"_(ms|us|ns|millis|milliseconds|minutes|mins|hours|days)$")
INSTANTS = re.compile(r"^(now|\w+_at)_ms$")


def parameters() -> Iterator[tuple[str, str]]:
    """(where, name) of every parameter of what `holdfast` and its twins hand out."""
    for module in (holdfast, holdfast.sync):
        for name in module.__all__:
            thing: Any = getattr(module, name)
            members = [(name, thing)]
            if inspect.isclass(thing):
                members = [
                    (f"{name}.{member}", function)
                    for member, function in inspect.getmembers(thing, inspect.isfunction)
                    if not member.startswith("_")
                ]
            for place, function in members:
                if inspect.isfunction(function):
                    for parameter in inspect.signature(function).parameters:
                        yield f"{module.__name__}.{place}", parameter


def attributes() -> Iterator[tuple[str, str]]:
    """(where, name) of every public attribute of the values that calls hand out."""
    for kind in (holdfast.Change, holdfast.Entry, holdfast.PastVersion, holdfast.Metadata):
        for name in dir(kind):
            if not name.startswith("_"):
                yield kind.__name__, name


def test_nothing_has_two_names() -> None:
    found = [*parameters(), *attributes()]
    assert len(found) > 500
    others = [f"{where}: {name}" for where, name in found if name in OTHERS or "actor" in name]
    assert not others, f"say {OTHERS} instead: {others}"


def test_durations_are_seconds() -> None:
    other = [
        f"{where}: {name}"
        for where, name in [*parameters(), *attributes()]
        if UNITS.search(name) and not INSTANTS.match(name)
    ]
    assert not other, f"durations are seconds or timedelta: {other}"


@pytest.mark.row("K-061")
async def test_who_is_modified_by_wherever_it_is_told(scene: Scene) -> None:
    async with scene.open() as db:
        begin = db.cursor
        entry = await db.entries.set("a", 1, modified_by="ada")
        await db.entries.delete("a", modified_by="eve", comment="gone")
        assert entry.metadata.modified_by == "ada"
        changes = [change async for change in db.watch(since=begin, limit=2)]
        assert [change.modified_by for change in changes] == ["ada", "eve"]
        [past] = await listed(db.entries.history("a"))
        assert (past.metadata.modified_by, past.end_modified_by) == ("ada", "eve")
        assert isinstance(past.end_at, datetime)
        assert holdfast.data_hash(1) == entry.metadata.data_hash == holdfast.digest(1).hex
        assert await db.entries.set("b", 1, modified_by="ada")
        await db.entries.set("b", 2, if_hash=holdfast.data_hash(1))
