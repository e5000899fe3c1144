"""Reading the past of a key: its versions in order, one of them, or the one of a moment.

The versions of a key stand behind each other under its identity, by incarnation and version, so
walking them is a scan and finding one is a look-up or a binary search, however many there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from holdfast.codecs import envelope
from holdfast.codecs.text import StoreKey
from holdfast.contract.engine import Engine
from holdfast.contract.record import Range
from holdfast.store.versions.entry import Entry, PastVersion, PendingRevision, metadata_of
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

    async def versions(self, key: str, *, reverse: bool = False) -> AsyncIterator[PastVersion[Any]]:
        """Every past version, oldest first or newest first."""
        identity = await self._identity(key)
        if identity is None:
            return
        store_key = StoreKey.parse(key)
        last = await self._run_out(store_key)
        if last is not None and reverse:
            yield last
        rest: Range | None = Range.prefix(self._rows.past + identity, reverse=reverse)
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
        """The entry as it stood at a revision or instant; None when there was none."""

        def began(entry: Entry[Any]) -> bool:
            if revision is not None:
                known = entry.known_revision
                return known is not None and known <= revision
            assert instant_ms is not None
            return entry.metadata.updated_at_ms <= instant_ms

        data_key = self._rows.data_key(key)
        [row] = await self._engine.read([data_key])
        living: Entry[Any] | None = None
        if row is not None:
            living = Entry(key, row.value, self._revision(row.revision))
            if began(living):
                return await self._alive(living, instant_ms)
        identity = await self._identity(key)
        if identity is None:
            return None
        incarnation = (
            living.metadata.incarnation
            if living is not None
            else await self._last_incarnation(identity)
        )
        while incarnation is not None and incarnation > 0:
            found = await self._search(key, identity, incarnation, began)
            if found is not None:
                return await self._standing(found, revision, instant_ms)
            incarnation = await self._last_incarnation(identity, before=incarnation)
        return None

    # --- Inside -----------------------------------------------------------------------------

    async def _search(
        self,
        key: str,
        identity: bytes,
        incarnation: int,
        began: Callable[[Entry[Any]], bool],
    ) -> PastVersion[Any] | None:
        """The last version of an incarnation that had begun, by halving."""
        first = await self._edge(key, identity, incarnation, reverse=False)
        last = await self._edge(key, identity, incarnation, reverse=True)
        if first is None or last is None or not began(first):
            return None
        if began(last):
            return last
        low, high = first.metadata.version, last.metadata.version
        found = first
        while high - low > 1:
            middle = (low + high) // 2
            probe = await self.by_place(key, identity, incarnation, middle)
            if probe is not None and began(probe):
                low, found = middle, probe
            else:
                high = middle
        return found

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
        await self._complete(past)
        return past

    async def _edge(
        self, key: str, identity: bytes, incarnation: int, *, reverse: bool
    ) -> PastVersion[Any] | None:
        range = Range(
            self._rows.past_key(identity, incarnation, 0),
            self._rows.past_key(identity, incarnation, _VERSION_MAX),
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
