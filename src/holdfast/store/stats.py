"""What a database holds: how many rows, and how many bytes, of which keyspace and for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.store import layout
from holdfast.store.keyspaces import Keyspaces
from holdfast.store.snapshot import SnapshotEngine

#: What the rows of a region are for; the rows of others are the view's own.
_REGIONS: Final = {
    layout.DATA: "values",
    layout.GRAVE: "graves",
    layout.HISTORY: "history",
    layout.MOVE: "history",
    layout.BLOB: "chunks",
    layout.TAG: "tags",
    layout.PENDING: "saved versions",
    layout.SAVED: "saved versions",
    b"C": "indexes",
    b"I": "indexes",
}
_OTHER: Final = "other"

#: Called with how many rows were counted.
Progress = Callable[[int], None]


class Size(msgspec.Struct):
    """How much of something there is.

    Attributes:
        rows: how many.
        size: bytes of their keys and values, as stored.
    """

    rows: int = 0
    size: int = 0

    def add(self, key: bytes, value: bytes) -> None:
        """Count a row."""
        self.rows += 1
        self.size += len(key) + len(value)


class KeyspaceStats(msgspec.Struct):
    """What one keyspace holds.

    Attributes:
        view, name: of the keyspace.
        parts: by what the rows are for: `values`, `history`, `chunks`, `tags`, `indexes`, ...
    """

    view: str
    name: str
    parts: dict[str, Size]


class Stats(msgspec.Struct):
    """What a database holds at one moment.

    Attributes:
        revision: of the moment.
        total_rows, total_size: all rows; bytes of their keys and values. What an engine keeps
            beside them (pages, logs) is not counted.
        feed, expiries, system: the rows of changes, of what expires, of the system.
        keyspaces: by view and name.
    """

    revision: int
    total_rows: int
    total_size: int
    feed: Size
    expiries: Size
    system: Size
    keyspaces: list[KeyspaceStats]


async def stats_of(engine: Engine, progress: Progress | None = None) -> Stats:
    """Count the rows of a database, page by page.

    Without snapshots there must be no writes meanwhile, or some are counted and some are not.
    """
    if not engine.capabilities.snapshots:
        return await _counted(engine, await engine.head(), progress)
    with await engine.snapshot() as moment:
        return await _counted(SnapshotEngine(engine, moment), moment.revision, progress)


async def _counted(engine: Engine, revision: int, progress: Progress | None) -> Stats:
    tops = {layout.FEED: Size(), layout.EXPIRY: Size(), layout.SYSTEM: Size()}
    keyspaces: dict[int, dict[str, Size]] = {}
    total = Size()
    rest: Range | None = Range()
    while rest is not None:
        page = await engine.scan(rest)
        rest = page.resume
        for key, (value, _) in page.rows:
            total.add(key, value)
            top = tops.get(key[:1])
            if top is None:
                region = key[layout.REGION_BYTES - 1 : layout.REGION_BYTES]
                parts = keyspaces.setdefault(layout.keyspace_of(key), {})
                top = parts.setdefault(_REGIONS.get(region, _OTHER), Size())
            top.add(key, value)
        if progress is not None:
            progress(total.rows)
    names = {one.number: one async for one in Keyspaces(engine).list(every=True)}
    found = [
        KeyspaceStats(names[number].view, names[number].name, parts)
        for number, parts in keyspaces.items()
        if number in names
    ]
    return Stats(
        revision, total.rows, total.size, tops[layout.FEED], tops[layout.EXPIRY],
        tops[layout.SYSTEM], sorted(found, key=lambda one: (one.view, one.name)),
    )  # fmt: skip
