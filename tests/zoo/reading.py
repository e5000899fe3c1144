"""Animals that read, scan or look back wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from holdfast.contract.engine import Peeked, Snapshot
from holdfast.contract.record import Page, Range, Record
from tests.zoo.good import GoodEngine, GoodSnapshot, Rows


class ReadsOutOfOrder(GoodEngine):
    """Answers in key order instead of the order asked for."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        return await super().read(sorted(keys), at=at)


class ReadsKeysOnce(GoodEngine):
    """Answers a key asked for twice only once."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        return await super().read(list(dict.fromkeys(keys)), at=at)


class EmptyValueBecomesAbsent(GoodEngine):
    """Takes an empty value for no value."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        records = await super().read(keys, at=at)
        return [record if record and record.value else None for record in records]


class ReadingMakesRows(GoodEngine):
    """Makes an empty row of a key that was only read."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        records = await super().read(keys, at=at)
        self.rows = {key: Record(b"", 0) for key in keys} | self.rows
        return records


class StaleCache(GoodEngine):
    """Caches what was read and forgets it on puts only."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        cache: dict[bytes, Record] = self.__dict__.setdefault("cache", {})
        found = await super().read(keys, at=at)
        if at is not None:
            return found
        cache |= {key: record for key, record in zip(keys, found, strict=True) if record}
        return [cache.get(key) for key in keys]


class PeeksAtThePast(GoodEngine):
    """Answers a peek with what it answered last time."""

    def peek(self, key: bytes) -> Peeked:
        peeked: dict[bytes, Peeked] = self.__dict__.setdefault("peeked", {})
        return peeked.setdefault(key, self.rows.get(key))


class PeeksWhenClosed(GoodEngine):
    """Answers a peek although it was closed."""

    def peek(self, key: bytes) -> Peeked:
        return self.rows.get(key)


class ValuesCanBeChanged(GoodEngine):
    """Keeps the caller's buffer instead of its bytes."""

    def _validate(self, batch: object) -> None:
        pass


class HandsOutBuffers(GoodEngine):
    """Hands out a bytearray as the value."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        records = await super().read(keys, at=at)
        return [record and record._replace(value=bytearray(record.value)) for record in records]  # type: ignore[arg-type]


class UnsortedPage(GoodEngine):
    """Gives the rows of a page in the order they were written."""

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        found = [(key, record) for key, record in rows.items() if key in range]
        return found[::-1] if range.reverse else found


class OrdersKeysAsText(GoodEngine):
    """Orders keys without regard to case."""

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        return sorted(
            super().select(rows, range), key=lambda row: row[0].lower(), reverse=range.reverse
        )


class OrdersShortKeysFirst(GoodEngine):
    """Orders keys by their length, then their bytes."""

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        found = super().select(rows, range)
        return sorted(found, key=lambda row: (len(row[0]), row[0]), reverse=range.reverse)


class EndInclusive(GoodEngine):
    """Lets the end of a range belong to it."""

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        end = None if range.end is None else range.end + b"\0"
        return super().select(rows, replace(range, end=end))


class StartExclusive(GoodEngine):
    """Leaves the start of a range out."""

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        return [row for row in super().select(rows, range) if row[0] != range.start]


class ReverseOffByOne(GoodEngine):
    """Takes start and end the other way round when walking backward."""

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        found = super().select(rows, range)
        if not range.reverse:
            return found
        end = [(range.end, rows[range.end])] if range.end is not None and range.end in rows else []
        return end + [row for row in found if row[0] != range.start]


class ReverseIgnored(GoodEngine):
    """Always walks forward."""

    def select(self, rows: Rows, range: Range) -> list[tuple[bytes, Record]]:
        return super().select(rows, replace(range, reverse=False))


class PageWithoutResume(GoodEngine):
    """Says there is no more when a page is full."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return (await super().scan(range, at=at))._replace(resume=None)


class PageRepeatsRow(GoodEngine):
    """Continues at the last row instead of behind it."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await super().scan(range, at=at)
        if page.resume is None or range.reverse:
            return page
        return page._replace(resume=replace(range, start=page.rows[-1][0]))


class PageSkipsRow(GoodEngine):
    """Continues one row too far, when it walks backward."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await super().scan(range, at=at)
        if page.resume is None or not range.reverse:
            return page
        skipped = (await super().scan(replace(page.resume, limit=1), at=at)).rows
        return page._replace(resume=page.resume.after(skipped[0][0]) if skipped else page.resume)


class ResumeForgetsTheEnd(GoodEngine):
    """Continues past the end of the range."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await super().scan(range, at=at)
        return page._replace(resume=page.resume and replace(page.resume, end=None))


class ResumeCountsRows(GoodEngine):
    """Continues after as many rows as it gave, whatever was written or deleted meanwhile."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        pages: dict[bytes, int] = self.__dict__.setdefault("pages", {})
        if range.limit is None or range.reverse or at is not None:
            return await super().scan(range, at=at)
        given = pages.get(range.start or b"", 0)
        rows = self.select(self.seen(None), Range(None, range.end))[given : given + range.limit]
        if len(rows) < range.limit:
            return Page(rows, None, self.revision)
        resume = range.after(rows[-1][0])
        pages[resume.start or b""] = given + len(rows)
        return Page(rows, resume, self.revision)


class LimitIgnored(GoodEngine):
    """Fills the page whatever limit the range sets."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        range.rows_wanted(1)
        return await super().scan(replace(range, limit=None), at=at)


class PageWithoutBound(GoodEngine):
    """Puts the whole range into one page."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        if range.limit is not None:
            return await super().scan(range, at=at)
        return Page(self.select(self.seen(at), range), None, _revision(self, at))


class PageWithoutByteBound(GoodEngine):
    """Counts the rows of a page and not their bytes."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        wanted = range.rows_wanted(self.capabilities.page_rows_max)
        rows = self.select(self.seen(at), range)
        resume = range.after(rows[wanted - 1][0]) if len(rows) > wanted else None
        return Page(rows[:wanted], resume, _revision(self, at))


class PageCarriesItsNewestRow(GoodEngine):
    """Takes the newest row of a page for the newest commit that it shows."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await super().scan(range, at=at)
        return page._replace(revision=max((row.revision for _, row in page.rows), default=0))


class PageCarriesTheHeadBefore(GoodEngine):
    """Asks for the head before it scans, and lets others commit in between."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        head = self.revision
        if not self.components.host.runtime().blocking:
            await asyncio.sleep(0)
        page = await super().scan(range, at=at)
        return page._replace(revision=head) if at is None else page


class PageCarriesTheHeadAfter(GoodEngine):
    """Asks for the head once it has scanned, when others have committed."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await super().scan(range, at=at)
        if not self.components.host.runtime().blocking:
            await asyncio.sleep(0)
        return page._replace(revision=self.revision) if at is None else page


class EmptyPageWithoutRevision(GoodEngine):
    """Names no revision where there is nothing to show."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        page = await super().scan(range, at=at)
        return page if page.rows else page._replace(revision=0)


class SnapshotPageCarriesTheHead(GoodEngine):
    """Names the newest commit on the pages of an old snapshot."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return (await super().scan(range, at=at))._replace(revision=self.revision)


class ScansAnotherMoment(GoodEngine):
    """Scans what stood there one commit earlier."""

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        before = self.__dict__.get("before", (0, {}, {}))
        if before[0] != self.revision:
            self.before = before = (self.revision, before[2], self.rows)
        return await super().scan(range, at=at or GoodSnapshot(before[1], 0))


def _revision(engine: GoodEngine, at: Snapshot | None) -> int:
    return engine.revision if at is None else at.revision


class SnapshotShowsLaterWrites(GoodEngine):
    """Reads the present through every snapshot."""

    async def snapshot(self) -> Snapshot:
        taken = await super().snapshot()
        assert isinstance(taken, GoodSnapshot)
        taken.rows = _Present(self)  # type: ignore[assignment]
        return taken


class _Present:
    """What the engine holds now, wherever it is asked."""

    def __init__(self, engine: GoodEngine) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine.rows, name)

    def __iter__(self) -> object:
        return iter(self.engine.rows)

    def __getitem__(self, key: bytes) -> Record:
        return self.engine.rows[key]


class SnapshotReadsThePresent(GoodEngine):
    """Scans the snapshot, and reads single keys from the present."""

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self.seen(at)
        return await super().read(keys)


class SnapshotForgetsDeletedRows(GoodEngine):
    """Keeps overwritten rows for a snapshot, and not deleted ones."""

    def seen(self, at: Snapshot | None) -> Rows:
        rows = super().seen(at)
        return {key: rows[key] for key in rows if key in self.rows}


class StaleSnapshot(GoodEngine):
    """Takes a snapshot that lacks the newest commit."""

    async def snapshot(self) -> Snapshot:
        taken = await super().snapshot()
        newest = {key: r for key, r in self.rows.items() if r.revision < self.revision}
        return GoodSnapshot(newest, max(0, taken.revision - 1))


class SnapshotWithoutItsRevision(GoodEngine):
    """Takes the right view and names another revision."""

    async def snapshot(self) -> Snapshot:
        return GoodSnapshot(self.seen(None), self.revision + 1)


class SnapshotClosedEarly(GoodEngine):
    """Closes snapshots after an hour, and says it never does."""

    async def snapshot(self) -> Snapshot:
        taken = await super().snapshot()
        self.taken_at = self.components.clock.monotonic()
        return taken

    def seen(self, at: Snapshot | None) -> Rows:
        if at is not None and self.components.clock.monotonic() > self.taken_at + 3600:
            at.close()
        return super().seen(at)


class ClosedSnapshotAnswers(GoodEngine):
    """Goes on reading through a closed snapshot."""

    async def snapshot(self) -> Snapshot:
        taken = await super().snapshot()
        taken.close = lambda: None  # type: ignore[method-assign]
        return taken
