"""The walk of a backup: every row of one moment, or those that are newer than another backup.

It reads the rows of a snapshot page by page, so writes go on meanwhile and memory stays flat. Where
a walk was broken off, the next one goes on there: what changed meanwhile follows as a second layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from holdfast.backups.framing import FRAME_BYTES, FrameWriter, Head, Item, Layer
from holdfast.contract.engine import Engine, Snapshot
from holdfast.contract.errors import StoreClosed, Unsupported
from holdfast.contract.record import Range
from holdfast.store import layout

#: Who holds a lock or keeps house is true of running processes, not of what is stored.
PASSING = (layout.SYSTEM_LEASES, layout.SYSTEM_WAITS, layout.SYSTEM_HOUSEKEEPER)
#: A snapshot may be closed for its age; so often another one is taken in one backup.
SNAPSHOTS_MAX = 100

#: Called with (rows looked at, bytes written).
Progress = Callable[[int, int], None]


class Border(NamedTuple):
    """Where an earlier walk ended: in this layer, before this key, with so many rows written."""

    layer: Layer
    key: bytes
    written: int


class Stopped(Exception):
    """The caller of a backup has gone."""


class BackupWalk:
    """Writes the rows of a database: one layer, or several where a snapshot ended too early.

    Args:
        engine: of the database.
        writer: its head is written.
        head: says which rows an earlier backup has.
        progress: called after each page.
        stopped: asked after each page; True ends the walk.

    Attributes:
        revision: of the last layer.
        rows: how many the database had then.
        written: how many of them the file holds.
    """

    def __init__(
        self,
        engine: Engine,
        writer: FrameWriter,
        head: Head,
        progress: Progress | None,
        stopped: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._head = head
        self._progress = progress
        self._stopped = stopped
        self._layer: Layer | None = None
        #: Everything before this key is written.
        self._key = b""
        self._gathered: list[Item] = []
        self._gathered_bytes = 0
        self._bytes = 0
        self.revision = self.rows = self.written = 0

    def resume(self, border: Border) -> None:
        """Go on where another walk ended."""
        self._layer, self._key, self.written = border

    async def run(self) -> None:
        """Write layers until one of them spoke of every key."""
        engine = self._engine
        if not engine.capabilities.snapshots:
            raise Unsupported(
                f"a backup needs snapshots, which the engine {engine.capabilities.engine} does not "
                "have; use `holdfast export`, or the backup of the server itself"
            )
        for _ in range(SNAPSHOTS_MAX):
            with await engine.snapshot() as moment:
                try:
                    self._begin(moment.revision, await self._keys_changed(moment))
                    await self._walk(moment)
                except StoreClosed:
                    # Too old, unless it was the database that closed: then this raises it again.
                    await engine.head()
                    continue
            self._flush()
            self._writer.end(self.revision, self.rows, self.written)
            return
        raise Unsupported(
            f"the engine closed {SNAPSHOTS_MAX} snapshots before a backup was done; make "
            "`snapshot_age_max` longer"
        )

    async def _keys_changed(self, moment: Snapshot) -> int:
        """The revision at which the keys of an encrypted database last changed; 0: it is none."""
        newest = 0
        rest: Range | None = Range.prefix(layout.SYSTEM_ENCRYPTION)
        while rest is not None:
            page = await self._engine.scan(rest, at=moment)
            rest = page.resume
            newest = max([newest, *(record.revision for _, record in page.rows)])
        return newest

    def _begin(self, revision: int, keys_changed: int) -> None:
        # A rotation changes the values of rows, and leaves their revisions as they are. What was
        # backed up before it is under keys that may be destroyed by now: all rows are written.
        since = 0 if keys_changed > self._head.since else self._head.since
        before = self._layer
        if before is None:
            layer = Layer(revision, since)
        else:
            known = 0 if keys_changed > before.revision else before.revision
            layer = Layer(revision, since, self._key, known)
        self._layer, self.revision, self.rows = layer, revision, 0
        self._gathered, self._gathered_bytes = [], 0
        self._writer.layer(layer)

    async def _walk(self, moment: Snapshot) -> None:
        layer = self._layer
        assert layer is not None
        # What an earlier layer of this file has already spoken of; see `Layer`.
        since, border, border_since = layer.since, layer.border, layer.border_since
        reached = b""
        rest: Range | None = Range()
        try:
            while rest is not None:
                page = await self._engine.scan(rest, at=moment)
                rest = page.resume
                for key, (value, revision) in page.rows:
                    if key.startswith(PASSING):
                        continue
                    known = border_since if key < border else since
                    self._gather((key, revision, value if revision > known else None))
                    self.rows += 1
                if page.rows:
                    reached = page.rows[-1][0] + b"\0"
                if self._progress is not None:
                    self._progress(self.rows, self._bytes)
                if self._stopped():
                    raise Stopped
        finally:
            # Whatever ends the walk: what was gathered is written, and its border is known. Where
            # that is before the last one, rows in between are written once more.
            self._flush()
            self._key = reached

    def _gather(self, item: Item) -> None:
        self._gathered.append(item)
        self._gathered_bytes += len(item[0]) + 16
        if item[2] is not None:
            self._gathered_bytes += len(item[2])
            self.written += 1
        if self._gathered_bytes >= FRAME_BYTES:
            self._flush()

    def _flush(self) -> None:
        items, self._gathered = self._gathered, []
        if items:
            self._bytes += self._gathered_bytes
            self._gathered_bytes = 0
            self._writer.rows(items)
