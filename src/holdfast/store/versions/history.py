"""Reading the past of a key: its versions in order, one of them, or the one of a moment.

The versions of a key stand behind each other under its identity, by incarnation and version, so
walking them is a scan and finding one is a look-up or a binary search, however many there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from holdfast.codecs import envelope
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, VersionNotFound
from holdfast.contract.record import Range
from holdfast.store.versions.entry import Entry, PastVersion, PendingRevision, metadata_of
from holdfast.store.versions.moves import Stay, stays
from holdfast.store.versions.past_rows import END_EXPIRED, past_version, read_grave
from holdfast.store.versions.rows import Rows

_LIFE_MAX = 0xFFFFFFFF
_VERSION_MAX = 0xFFFFFFFFFFFFFFFF


class History:
    """The past of the keys of one keyspace.

    Args:
        complete: reads the chunks of an entry's big value.
        expired: whether stored bytes are of an entry that has run out. Until it is swept it still
            has the place of the living, and is past all the same.
    """

    def __init__(
        self,
        engine: Engine,
        rows: Rows,
        complete: Callable[[Entry[Any]], Awaitable[Entry[Any]]],
        expired: Callable[[bytes], bool],
        revision: Callable[[int], int | PendingRevision],
    ) -> None:
        self._engine = engine
        self._rows = rows
        self._complete = complete
        self._expired = expired
        self._revision = revision

    async def versions(
        self,
        key: str,
        *,
        reverse: bool = False,
        rows: int | None = None,
        after: tuple[int, int] | None = None,
    ) -> AsyncIterator[PastVersion[Any]]:
        """Every past version, oldest first or newest first.

        Args:
            key: whose.
            reverse: newest first.
            rows: how many are read at a time; None: what the engine gives.
            after: only those behind this (incarnation, version).
        """
        identity = await self._identity(key)
        if identity is None:
            return
        store_key = StoreKey.parse(key)
        last = await self._run_out(store_key)
        if last is not None and _passed(last, after, reverse=reverse):
            last = None
        if last is not None and reverse:
            yield last
        whole = Range.prefix(self._rows.past + identity, reverse=reverse, limit=rows)
        rest: Range | None = whole
        if after is not None:
            rest = whole.after(self._rows.past_key(identity, *after))
        while rest is not None:
            page = await self._engine.scan(rest)
            for _, record in page.rows:
                past = past_version(store_key, record, self._revision)
                if last is not None and past.known_revision == last.known_revision:
                    last = None  # It was swept meanwhile.
                    if reverse:
                        continue
                await self._complete(past)
                yield past
            rest = page.resume
        if last is not None and not reverse:
            yield last

    async def version(
        self, key: str, living: Entry[Any] | None, incarnation: int | None, version: int
    ) -> Entry[Any] | None:
        """One version, living or past; without an incarnation, of the latest there was."""
        if living is not None:
            metadata = living.metadata
            if incarnation in (None, metadata.incarnation) and metadata.version == version:
                return living
            incarnation = incarnation if incarnation is not None else metadata.incarnation
            identity: bytes | None = metadata.identity
        else:
            last = await self._run_out(StoreKey.parse(key))
            if last is not None:
                metadata = last.metadata
                if incarnation in (None, metadata.incarnation) and metadata.version == version:
                    return last
                incarnation = incarnation if incarnation is not None else metadata.incarnation
            identity = await self._identity(key)
            if identity is not None and incarnation is None:
                incarnation = await self._last_incarnation(identity)
        if identity is None or incarnation is None:
            return None
        return await self.by_place(key, identity, incarnation, version)

    async def at(
        self, key: str, *, revision: int | None, instant_ms: int | None
    ) -> Entry[Any] | None:
        """The entry as it stood at a revision or instant; None when there was none.

        Raises:
            VersionNotFound: what stood there then is no longer kept.
        """
        moment = _Moment(revision, instant_ms)
        data_key = self._rows.data_key(key)
        row, grave = await self._engine.read([data_key, self._rows.grave_key(data_key)])
        living: Entry[Any] | None = None
        identity: bytes | None = None
        if row is not None:
            living = Entry(key, row.value, self._revision(row.revision))
            if moment.saw_begin(living):
                return await self._alive(living, instant_ms)
            identity = living.metadata.identity
        elif grave is not None:
            if revision is not None and grave.revision <= revision:
                return None
            identity = read_grave(grave).identity
        for stay in await stays(self._engine, self._rows, data_key, identity):
            if stay.until is not None and moment.saw(*stay.until):
                return None  # It had left, and nothing had come yet.
            if moment.saw(*stay.since):
                found = await self._past_at(key, stay, living, moment)
                if found is not None:
                    return await self._standing(found, revision, instant_ms)
            living = None
        return None

    # --- Inside -----------------------------------------------------------------------------

    async def _past_at(
        self, key: str, stay: Stay, living: Entry[Any] | None, moment: _Moment
    ) -> PastVersion[Any] | None:
        """The last past version that had begun at a moment before the living one did."""
        identity = stay.identity
        later = living
        incarnation = (
            living.metadata.incarnation
            if living is not None
            else await self._last_incarnation(identity)
        )
        while incarnation is not None and incarnation > 0:
            found, follows = await self._search(key, identity, incarnation, moment)
            after: Entry[Any] | None = follows
            if after is None and later is not None and later.metadata.incarnation == incarnation:
                after = later
            if found is not None:
                place = found.metadata.incarnation, found.metadata.version
                if place != stay.last and not _stood(found, after, later, moment):
                    raise _gone(key)
                return found
            if after is not None:
                if not _is_first(after, moment):
                    raise _gone(key)  # It had earlier versions.
                later = after
            incarnation = await self._last_incarnation(identity, before=incarnation)
        if later is None or later.metadata.incarnation > 1:
            raise _gone(key)  # The key had lives before.
        return None

    async def _search(
        self, key: str, identity: bytes, incarnation: int, moment: _Moment
    ) -> tuple[PastVersion[Any] | None, PastVersion[Any] | None]:
        """The last version of an incarnation that had begun, and the next one that is kept.

        By halving. Retention leaves gaps, so a probe is the first version that is kept from its
        place on.
        """
        first = await self._edge(key, identity, incarnation)
        last = await self._edge(key, identity, incarnation, reverse=True)
        if first is None or last is None:
            return None, None
        if not moment.saw_begin(first):
            return None, first
        if moment.saw_begin(last):
            return last, None
        found, follows = first, last
        low, high = first.metadata.version, last.metadata.version
        while high - low > 1:
            middle = (low + high) // 2
            probe = await self._edge(key, identity, incarnation, middle, high)
            if probe is None:
                high = middle  # Nothing is kept between here and what follows.
            elif moment.saw_begin(probe):
                low, found = probe.metadata.version, probe
            else:
                high, follows = middle, probe
        return found, follows

    async def _standing(
        self, found: PastVersion[Any], revision: int | None, instant_ms: int | None
    ) -> Entry[Any] | None:
        """The version, unless it had ended by then without another taking its place."""
        if found.end_cause != "set":
            if instant_ms is not None and found.end_at_ms <= instant_ms:
                return None
            if revision is not None and found.ended_at_revision <= revision:
                return None
        return await self._alive(found, instant_ms)

    async def _alive(self, entry: Entry[Any], instant_ms: int | None) -> Entry[Any] | None:
        expires = entry.metadata.expires_at_ms
        if instant_ms is not None and 0 < expires <= instant_ms:
            return None
        return await self._complete(entry)

    async def by_place(
        self, key: str, identity: bytes, incarnation: int, version: int
    ) -> PastVersion[Any] | None:
        """One past version by its place."""
        if not 0 < version <= _VERSION_MAX or not 0 < incarnation <= _LIFE_MAX:
            return None
        past_key = self._rows.past_key(identity, incarnation, version)
        [record] = await self._engine.read([past_key])
        if record is None:
            return None
        past = past_version(key, record, self._revision)
        try:
            await self._complete(past)
        except IntegrityFailed:
            # Unless its chunks are missing, retention gave it up, or its value alone, meanwhile.
            [again] = await self._engine.read([past_key])
            if again == record:
                raise
            return None if again is None else past_version(key, again, self._revision)
        return past

    async def _edge(
        self,
        key: str,
        identity: bytes,
        incarnation: int,
        start: int = 0,
        end: int = _VERSION_MAX,
        *,
        reverse: bool = False,
    ) -> PastVersion[Any] | None:
        """The first version that is kept with `start <= version < end`, or the last one."""
        range = Range(
            self._rows.past_key(identity, incarnation, start),
            self._rows.past_key(identity, incarnation, end),
            reverse,
            limit=1,
        )
        page = await self._engine.scan(range)
        if not page.rows:
            return None
        return past_version(key, page.rows[0][1], self._revision)

    async def _last_incarnation(self, identity: bytes, before: int = _LIFE_MAX) -> int | None:
        range = Range(
            self._rows.past_key(identity, 0, 0),
            self._rows.past_key(identity, before, 0),
            reverse=True,
            limit=1,
        )
        page = await self._engine.scan(range)
        return self._rows.past_position(page.rows[0][0])[0] if page.rows else None

    async def _run_out(self, key: StoreKey) -> PastVersion[Any] | None:
        """The last version of a key that has run out and was not swept yet."""
        [row] = await self._engine.read([self._rows.data_key(str(key))])
        if row is None or not self._expired(row.value):
            return None
        past: PastVersion[Any] = PastVersion(
            key, row.value, self._revision(row.revision), end_cause=END_EXPIRED,
            end_at_ms=envelope.expires_at_ms(row.value),
        )  # fmt: skip
        await self._complete(past)
        return past

    async def _identity(self, key: str) -> bytes | None:
        data_key = self._rows.data_key(key)
        row, grave = await self._engine.read([data_key, self._rows.grave_key(data_key)])
        if row is not None:
            return metadata_of(row.value, row.revision).identity
        return read_grave(grave).identity if grave is not None else None


def _passed(past: PastVersion[Any], after: tuple[int, int] | None, *, reverse: bool) -> bool:
    """Whether a walk that begins behind a place has passed a version."""
    place = past.metadata.incarnation, past.metadata.version
    return after is not None and (place >= after if reverse else place <= after)


class _Moment(NamedTuple):
    """A revision or an instant of the past."""

    revision: int | None
    instant_ms: int | None

    def saw_begin(self, entry: Entry[Any]) -> bool:
        """Whether a version had begun by then."""
        if self.revision is not None:
            known = entry.known_revision
            return known is not None and known <= self.revision
        assert self.instant_ms is not None
        return entry.metadata.updated_at_ms <= self.instant_ms

    def saw(self, revision: int, at_ms: int) -> bool:
        """Whether a commit had happened by then."""
        if self.revision is not None:
            return revision <= self.revision
        assert self.instant_ms is not None
        return at_ms <= self.instant_ms

    def saw_end(self, past: PastVersion[Any]) -> bool | None:
        """Whether a version had ended by then; None: nothing tells."""
        if self.revision is not None:
            return past.ended_at_revision <= self.revision
        assert self.instant_ms is not None
        return past.end_at_ms <= self.instant_ms if past.end_at_ms else None


def _is_first(version: Entry[Any], moment: _Moment) -> bool:
    """Whether nothing of its incarnation stood there at a moment before this version began."""
    metadata = version.metadata
    if metadata.version == 1:
        return True
    return moment.instant_ms is not None and moment.instant_ms < metadata.created_at_ms


def _stood(
    found: PastVersion[Any],
    follows: Entry[Any] | None,
    later: Entry[Any] | None,
    moment: _Moment,
) -> bool:
    """Whether it is sure what a moment saw, when this was the last version kept of what began.

    Args:
        follows: the next version of the same incarnation that is kept; None: there is none.
        later: the next version of any incarnation.
    """
    metadata = found.metadata
    ended = moment.saw_end(found)
    if found.end_cause == "set":
        if follows is not None and follows.metadata.version == metadata.version + 1:
            return True
        return ended is False  # Versions behind it are missing, and it may have been one of them.
    # It ended its incarnation. Was there a life between it and the next one that is kept?
    return later is None or ended is False or later.metadata.incarnation == metadata.incarnation + 1


def _gone(key: str) -> VersionNotFound:
    return VersionNotFound(
        f"what {key!r} was at that moment is no longer kept; history(key) tells what is. Raise "
        "the retention of versions to keep more"
    )
