"""Whether everything that is stored about entries agrees: values, past, feed, expiry, tags, graves.

Rows that belong together are written in one batch, so they can only disagree after a bug, damage,
or a batch that was torn. All is read in one moment, page by page; the memory needed does not grow
with the database. That no row is left over is found by counting: every row of the past, of tags,
of expiry and of big values is reached from exactly one key, and every change of the feed from one
version.

Where retention was ever set (`db.retention`), versions may be missing rightly: then what is there
is checked, and gaps are not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

from holdfast.codecs import envelope, header
from holdfast.codecs.digest import digest
from holdfast.codecs.envelope import Header
from holdfast.codecs.serializers import EXTENDED, MESSAGE_PACK, registry
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, SerializationFailed, StoreError
from holdfast.contract.record import Range, Record
from holdfast.records.big_values import CHUNKS_READ_MAX
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.feed_row import Act, Cause, FeedPosition
from holdfast.store.versions.past_rows import ended_at, past_parts, read_grave
from holdfast.store.versions.retention import was_set
from holdfast.store.versions.rows import Rows
from holdfast.store.views import KeyspaceTally, Progress, Report

#: How many entries are looked at between two calls of a progress.
PROGRESS_STEP = 200


class _Version(NamedTuple):
    """A version in the past."""

    incarnation: int
    version: int
    revision: int
    #: Of the commit that ended it; of a later compaction once the value is given up.
    ended: int
    #: An incarnation ended with it.
    last: bool
    kept: bool


class KeyspaceCheck(KeyspaceTally):
    """The check of one keyspace: `run`, then what is told of the rows that all keyspaces share.

    Args:
        view: the database at one moment.
        rows: where the entries stand.
        report: what is wrong is added here.
        progress: told how many entries were looked at.
    """

    def __init__(self, view: Engine, rows: Rows, report: Report, progress: Progress | None) -> None:
        self._progress = progress
        self._entries = 0
        self._view = view
        self._rows = rows
        self._report = report
        #: No version may be missing.
        self._whole = True
        self._feed = Feed(view)
        self._oldest = 1
        # Rows that a key leads to, by region.
        self._past = self._tags = self._blobs = self._expiring = 0
        # What the feed has to tell of.
        self._recent = self._ends = 0
        #: How many living entries are as young as the feed.
        self._living = 0
        # What the feed tells of.
        self._told_sets = self._told_living = self._told_ends = 0

    async def run(self) -> None:
        """Walk the keyspace."""
        rows = self._rows
        self._oldest = await self._feed.oldest()
        # Once anything of the past was given up, what is missing is missing rightly.
        kept = rows.keyspace.settings.history == "values" and self._oldest == 1
        self._whole = kept and not await was_set(self._view)
        async for data_key, record in self._walk(Range.prefix(rows.data)):
            await self._check_living(data_key, record)
            self._entries += 1
            if self._progress is not None and self._entries % PROGRESS_STEP == 0:
                self._progress(self._entries)
        self._living = self._recent
        async for grave_key, record in self._walk(Range.prefix(rows.graves)):
            await self._check_grave(grave_key, record)
        if not self._whole and await self._count(Range.prefix(rows.past)) != self._past:
            with suppress(IntegrityFailed):  # Of feed and graves, which are told of elsewhere.
                await self._reach_leaving()
        for region, reached, what in (
            (rows.past, self._past, "past versions"),
            (rows.tags, self._tags, "tags"),
            (rows.blobs, self._blobs, "chunks of big values"),
        ):
            there = await self._count(Range.prefix(region))
            if there != reached:
                self._wrong(f"keys lead to {reached} rows of {what}; found {there}")

    # --- What is told of the rows that all keyspaces share ------------------------------------

    def expiring(self, rows: int) -> None:
        if rows != self._expiring:
            self._wrong(f"{self._expiring} entries expire; found {rows} rows of expiry")

    async def change(self, position: FeedPosition) -> None:
        try:
            if position.row.act == Act.DELETE:
                self._told_ends += await self._check_end(position)
            else:
                self._told_sets += 1
                self._told_living += await self._check_set(position)
        except IntegrityFailed as error:
            self._wrong(f"{_what(position)}, which cannot be read: {error}")

    def told(self) -> None:
        """Check that the feed tells of every version and end that there is, and of nothing else."""
        living = self._living
        if self._told_living != living:
            self._wrong(
                f"the feed tells of {self._told_living} of {living} entries that it reaches"
            )
        if self._whole and self._oldest == 1:
            versions = self._past + living
            if self._told_sets != versions:
                self._wrong(f"the feed tells of {self._told_sets} versions; found {versions}")
            if self._told_ends != self._ends:
                self._wrong(f"the feed tells of {self._told_ends} deletions; found {self._ends}")

    # --- Keys -------------------------------------------------------------------------------

    async def _check_living(self, data_key: bytes, record: Record) -> None:
        rows, stored = self._rows, record.value
        try:
            name = str(rows.store_key(data_key))
            head = envelope.header_of(stored)
            tags = envelope.extras_of(stored, head.extras_length).tags
        except StoreError as error:
            self._wrong(f"the entry of row {data_key.hex()} cannot be read: {error}")
            return
        await self._check_value(f"{name!r} version {head.version}", head, stored)
        linked = [rows.tag_key(tag, data_key) for tag in tags]
        self._tags += len(linked)
        if head.expires_at_ms:
            linked.append(layout.expiry_key(head.expires_at_ms, data_key))
            self._expiring += 1
        grave, *there = await self._view.read([rows.grave_key(data_key), *linked])
        if grave is not None:
            self._wrong(f"{name!r} lives and has a grave")
        if None in there:
            self._wrong(f"a row of the tags or the expiry of {name!r} is missing")
        if record.revision >= self._oldest:
            self._recent += 1
        last = await self._check_past(name, head.identity)
        this = _Version(
            head.incarnation, head.version, record.revision, record.revision, last=False, kept=True
        )
        self._follows(name, last, this)

    async def _check_grave(self, grave_key: bytes, record: Record) -> None:
        rows = self._rows
        data_key = rows.data + grave_key[layout.REGION_BYTES :]
        try:
            name = str(rows.store_key(data_key))
            grave = read_grave(record)
        except StoreError as error:
            self._wrong(f"the grave of row {grave_key.hex()} cannot be read: {error}")
            return
        last = await self._check_past(name, grave.identity)
        if last is None:
            if self._whole:
                self._wrong(f"{name!r} was deleted and has no past")
        elif last.incarnation != grave.incarnation or not last.last:
            self._wrong(f"the past of {name!r} does not end with its deletion")

    async def _reach_leaving(self) -> None:
        """Reach the past of keys that ended where nothing is kept: no grave leads to it.

        It is from before that was said, or was brought along by a rename, and goes with the change
        that tells of the end.
        """
        rows = self._rows
        ended: dict[bytes, bytes] = {}
        async for positions in self._feed.after(self._oldest - 1):
            for row in (one.row for one in positions):
                if row.keyspace != rows.keyspace.number or not row.identity:
                    continue
                ended.pop(row.identity, None)
                if row.act == Act.DELETE and row.cause != Cause.RENAMED:
                    ended[row.identity] = row.key
        for identity, key in ended.items():
            [grave] = await self._view.read([rows.graves + key])
            if grave is None or read_grave(grave).identity != identity:
                self._past += await self._count(Range.prefix(rows.past + identity))
                self._blobs += await self._count(Range.prefix(rows.blobs + identity))

    async def _check_past(self, name: str, identity: bytes) -> _Version | None:
        """Check the past versions of a key; the last of them."""
        rows = self._rows
        before: _Version | None = None
        async for key, record in self._walk(Range.prefix(rows.past + identity)):
            self._past += 1
            incarnation, version = rows.past_position(key)
            try:
                revision, end, stored = past_parts(record)
                head = envelope.header_of(stored)
            except StoreError as error:
                self._wrong(f"past version {version} of {name!r} cannot be read: {error}")
                continue
            if (head.identity, head.incarnation, head.version) != (identity, incarnation, version):
                self._wrong(f"past version {version} of {name!r} says it is another")
            await self._check_value(f"{name!r} past version {version}", head, stored)
            kept = not head.flags & envelope.VALUE_GONE
            this = _Version(incarnation, version, revision, record.revision, bool(end), kept)
            self._ends += this.last
            self._follows(name, before, this)
            before = this
        return before

    def _follows(self, name: str, before: _Version | None, this: _Version) -> None:
        """Check that one version begins where the one before it ended."""
        if before is None:
            if self._whole and (this.incarnation, this.version) != (1, 1):
                self._wrong(f"{name!r} has version {this.version} and none before it")
            return
        place = (before.incarnation, before.version + 1)
        if before.last:
            place = (before.incarnation + 1, 1)
        follows = place == (this.incarnation, this.version)
        if self._whole and not follows:
            self._wrong(f"version {this.version} of {name!r} does not follow the one before it")
        # Several versions of one commit end with it.
        began = (this.revision, this.ended)
        if follows and before.kept and not before.last and before.ended not in began:
            self._wrong(f"version {before.version} of {name!r} did not end when the next began")

    async def _check_value(self, name: str, head: Header, stored: bytes) -> None:
        """Recompute the digest of a value."""
        if head.flags & envelope.VALUE_GONE:
            return
        payload = stored[envelope.payload_offset(stored) :]
        if head.flags & envelope.BLOB:
            keys = self._rows.blob_keys(stored)
            self._blobs += len(keys)
            chunks = [record async for record in self._read(keys)]
            if None in chunks:
                self._wrong(f"chunks of the value of {name} are missing")
                return
            payload = b"".join(chunk.value for chunk in chunks if chunk is not None)
        try:
            code, packed = header.unwrap(payload)
            if code in (MESSAGE_PACK.code, EXTENDED.code):
                found = sha256(packed).digest()
            elif registry.coded(code) is not None:
                found = _digest_of(header.unpack(payload), packed)
            else:
                return  # Only the program that registered its serializer can read it.
        except StoreError as error:
            self._wrong(f"the value of {name} cannot be read: {error}")
            return
        if found != head.digest:
            self._wrong(f"the value of {name} does not match its digest")

    # --- The feed ---------------------------------------------------------------------------

    async def _check_set(self, position: FeedPosition) -> bool:
        """Check a change that made a version; whether that version lives."""
        row, rows = position.row, self._rows
        past_key = rows.past_key(row.identity, row.incarnation, row.version)
        before_key = rows.past_key(row.identity, row.incarnation, row.version - 1)
        living, past, before = await self._view.read([rows.data + row.key, past_key, before_key])
        lives = False
        if living is not None:
            head = envelope.header_of(living.value)
            place = (head.identity, head.incarnation, head.version, living.revision)
            lives = place == (row.identity, row.incarnation, row.version, position.revision)
        if past is not None:
            if position.revision != past_parts(past).revision:
                self._wrong(f"{_what(position)}, which was written by another commit")
        elif self._whole and not lives:
            self._wrong(f"{_what(position)}, which is neither living nor past")
        if row.version == 1:
            known = row.previous == 0
        else:
            known = before is None or position.previous == past_parts(before).revision
        if not known:
            self._wrong(f"{_what(position)} in the place of a revision that was never there")
        return lives

    async def _check_end(self, position: FeedPosition) -> bool:
        """Check a change that ended an entry; whether the key was left without one."""
        row = position.row
        past_key = self._rows.past_key(row.identity, row.incarnation, row.version)
        [past] = await self._view.read([past_key])
        if past is None:
            if self._whole:
                self._wrong(f"{_what(position)}, which is not past")
            return False
        revision, end, _ = past_parts(past)
        if (revision, ended_at(past)) != (position.previous, position.revision):
            self._wrong(f"{_what(position)}, which ended with another commit")
        return bool(end)  # Without one the entry was renamed.

    # --- Inside -----------------------------------------------------------------------------

    async def _walk(self, range: Range) -> AsyncIterator[tuple[bytes, Record]]:
        rest: Range | None = range
        while rest is not None:
            page = await self._view.scan(rest)
            for row in page.rows:
                yield row
            rest = page.resume

    async def _read(self, keys: list[bytes]) -> AsyncIterator[Record | None]:
        for start in range(0, len(keys), CHUNKS_READ_MAX):
            for record in await self._view.read(keys[start : start + CHUNKS_READ_MAX]):
                yield record

    async def _count(self, range: Range) -> int:
        """How many rows the range holds."""
        count = 0
        async for _ in self._walk(range):
            count += 1
        return count

    def _wrong(self, fault: str) -> None:
        self._report.wrong(fault)


def _what(position: FeedPosition) -> str:
    did = "the end of" if position.row.act == Act.DELETE else "a"
    return f"the feed tells at revision {position.revision} of {did} version {position.row.version}"


def _digest_of(value: Any, packed: bytes) -> bytes:
    """The digest of a value: of what MessagePack cannot hold, that of the stored bytes."""
    try:
        return digest(value).raw
    except SerializationFailed:
        return sha256(packed).digest()
