"""What stands there when a watch begins, told as changes, page by page; then a marker.

On an engine with snapshots all of it is of one moment, that of the marker. Without them each page
is of a moment of its own, and the marker names one before the first: the feed is told from there
on, but for what a page has shown already. So nothing is missed, and nothing told twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable

from holdfast.codecs.pattern import Pattern
from holdfast.contract.engine import Engine, Layer, Snapshot
from holdfast.contract.record import Page, Range
from holdfast.store import layout
from holdfast.store.change import Change
from holdfast.store.feed_row import FeedPosition
from holdfast.store.instants import instant
from holdfast.store.keyspaces import Keyspace
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.views import ChangeReader

#: The keyspaces of a view, each with what tells its changes.
Readers = Callable[[str], Awaitable[list[tuple[Keyspace, ChangeReader]]]]


class Shown:
    """What pages of different moments have shown: up to which key, as of which revision.

    Attributes:
        newest: the highest revision of a page.
    """

    def __init__(self) -> None:
        self.newest = 0
        self._ends: dict[int, list[bytes]] = {}
        self._revisions: dict[int, list[int]] = {}

    def add(self, keyspace: int, end: bytes | None, revision: int) -> None:
        """Note a page, in the order of its keyspace."""
        ends = self._ends.setdefault(keyspace, [])
        revisions = self._revisions.setdefault(keyspace, [])
        last = layout.region(keyspace, bytes((layout.DATA[0] + 1,))) if end is None else end
        if revisions and revisions[-1] == revision:
            ends[-1] = last  # Nothing was committed in between.
        else:
            ends.append(last)
            revisions.append(revision)
        self.newest = max(self.newest, revision)

    def holds(self, position: FeedPosition) -> bool:
        """Whether a page has shown what this change did."""
        number = position.row.keyspace
        ends = self._ends.get(number)
        if position.revision > self.newest or not ends or not position.row.key:
            return False
        place = bisect_right(ends, layout.region(number, layout.DATA) + position.row.key)
        return place < len(ends) and position.revision <= self._revisions[number][place]


class Standing:
    """The values that stand there.

    Args:
        engine: of the database.
        readers: of its keyspaces.
        view, pattern: what is wanted.

    Attributes:
        shown: what the pages have shown, where they are not of one moment.
    """

    def __init__(self, engine: Engine, readers: Readers, view: str, pattern: Pattern) -> None:
        self.shown = Shown()
        self._engine = engine
        self._readers = readers
        self._view = view
        self._pattern = pattern
        self._moment: Snapshot | None = None
        self._begun: int | None = None
        self._todo: deque[tuple[Keyspace, ChangeReader, Range]] | None = None

    async def page(self) -> tuple[list[Change], int | None]:
        """Some changes; with the last ones the revision that the feed is told from."""
        engine, pages = self._engine, None
        if self._begun is None:
            self._begun = await self._begin()
        if self._moment is None:
            engine = pages = _Pages(engine)
        else:
            engine = SnapshotEngine(engine, self._moment)
        if self._todo is None:
            self._todo = deque(
                (keyspace, reader, reader.standing_range(self._pattern))
                for keyspace, reader in await self._readers(self._view)
            )
        if self._todo:
            keyspace, reader, range = self._todo[0]
            rows, rest = await reader.on(engine).standing(range, self._pattern)
            self._todo.popleft()
            if pages is not None and pages.revision is not None:
                end = range.end if rest is None else rest.start
                self.shown.add(keyspace.number, end, pages.revision)
            if rest is not None:
                self._todo.appendleft((keyspace, reader, rest))
            return rows, None
        now = instant(engine.components.clock.now_ms())
        end_mark = Change(
            self._begun, 0, "snapshot_end", None, None, None, now, "snapshot",
            view=self._view, keyspace="", lineage=engine.lineage,
        )  # fmt: skip
        return [end_mark], self._begun

    def close(self) -> None:
        """Let go of the moment."""
        if self._moment is not None:
            self._moment.close()
            self._moment = None

    async def _begin(self) -> int:
        """The revision from which the feed is told."""
        if not self._engine.capabilities.snapshots:
            return await self._engine.head()
        self._moment = await self._engine.snapshot()
        return self._moment.revision

    def __del__(self) -> None:
        self.close()


class _Pages(Layer):
    """The engine, with the lowest revision that a page read through it shows."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self.revision: int | None = None

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await self.inner.scan(range, at=at)
        if self.revision is None or page.revision < self.revision:
            self.revision = page.revision
        return page
