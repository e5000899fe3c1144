"""The default storage service: entries on an engine, in the rows of one keyspace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from threading import get_ident
from typing import Any, TypeVar

from holdfast.codecs import envelope
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.batch import Batch, Decide, Operation, Receipt
from holdfast.contract.capability import Io
from holdfast.contract.engine import NOT_NOW, Engine, Peeked
from holdfast.contract.errors import (
    Conflict,
    DuplicateKey,
    IntegrityFailed,
    InvalidInput,
    InvalidKey,
    StoreError,
)
from holdfast.contract.record import Range, Record
from holdfast.contract.runtime import Clock
from holdfast.records.services.protocols import Outcome, Serialized, Step
from holdfast.runtime.drive import drive
from holdfast.runtime.gate import Gate
from holdfast.store import layout
from holdfast.store.feed.row import Cause
from holdfast.store.text_keys import RESERVED_PACKED, shows, shows_all
from holdfast.store.transaction import TransactionEngine
from holdfast.store.versions.chunks import CHUNK_BYTES, Values
from holdfast.store.versions.entry import Entry, PastVersion, PayloadMissing
from holdfast.store.versions.history import History
from holdfast.store.versions.past_rows import END_EXPIRED
from holdfast.store.versions.rows import Change, Rows, Seen

T = TypeVar("T")

#: Flags that need more than the row itself.
_SPECIAL = envelope.EXPIRES | envelope.BLOB
#: How many rows the first page of a walk has, how fast pages grow, and to what.
FIRST_PAGE_ROWS = 32
PAGE_GROWTH = 4
LAST_PAGE_ROWS = 1024
#: How many chunks of a big value are read at once.
_CHUNKS_READ_MAX = 64
#: A value of more chunks is read away from the loop.
_CHUNKS_INLINE_MAX = 8


class EngineEntryStorage:
    """Keeps entries as rows of a keyspace; writes each change as one batch.

    Args:
        engine: the engine, or one transaction's or snapshot's view of it.
        rows: where entries of the keyspace stand.
        values: how values are serialised.
        clock: decides what has expired.
        wrote: told the revision of each commit.
        gate: of the handle.
    """

    def __init__(
        self,
        engine: Engine,
        rows: Rows,
        values: Values,
        clock: Clock,
        wrote: Callable[[int], None],
        gate: Gate,
    ) -> None:
        self._engine = engine
        self._read = engine.read
        self._peek = engine.peek or _not_now
        self._key_bytes_max = engine.capabilities.key_bytes_max
        self._rows = rows
        self._data_key = rows.data_key
        self._values = values
        self._clock = clock
        self._wrote = wrote
        self._gate = gate
        self._history = History(engine, rows, self._complete, self._expired)

    def on(self, engine: Engine) -> EngineEntryStorage:
        """The same entries seen through a transaction or a snapshot."""
        rows = self._rows
        if isinstance(engine, TransactionEngine):
            rows = rows.within(engine.id)
        # Writes in a transaction have no revision yet; its commit tells.
        return EngineEntryStorage(
            engine, rows, self._values, self._clock, lambda _revision: None, self._gate
        )

    def now_ms(self) -> int:
        """The instant that decides what has expired."""
        return self._clock.now_ms()

    # --- Reading ----------------------------------------------------------------------------

    async def get(self, key: str) -> Entry[Any] | None:
        gate = self._gate
        if not gate.open_here() or get_ident() != gate.thread:
            gate.check()
        data_key = self._data_key(key)
        found = self._peek(data_key)
        if found is NOT_NOW:
            [found] = await self._read((data_key,))
        if found is None:
            return None
        stored, revision = found
        if stored[1] & _SPECIAL:
            return await self._get_special(key, stored, revision)
        return Entry(key, stored, revision)

    async def get_many(self, keys: list[str]) -> list[Entry[Any] | None]:
        self._gate.check()
        records = await self._read([self._data_key(key) for key in keys])
        return [
            None
            if record is None
            else await self._get_special(key, *record)
            if record.value[1] & _SPECIAL
            else Entry(key, *record)
            for key, record in zip(keys, records, strict=True)
        ]

    async def has(self, key: str) -> bool:
        self._gate.check()
        record = (await self._read((self._data_key(key),)))[0]
        return record is not None and not self._expired(record.value)

    async def keys(self, pattern: Pattern, *, reverse: bool = False) -> AsyncIterator[StoreKey]:
        async for entry in self.scan(pattern, reverse=reverse, whole=False):
            yield entry.key

    async def scan(
        self, pattern: Pattern, *, reverse: bool = False, whole: bool = True
    ) -> AsyncIterator[Entry[Any]]:
        self._gate.check()
        # Most patterns are a prefix, and then the range has decided already.
        matched = shows_all(pattern)
        reserved = b"" if pattern.prefix else self._rows.data + RESERVED_PACKED
        # Many a walk ends early: the first page is short, and each one longer than the last.
        rows_wanted = FIRST_PAGE_ROWS
        rest: Range | None = self._range(pattern, reverse=reverse)
        while rest is not None:
            page = await self._engine.scan(replace(rest, limit=rows_wanted))
            rows_wanted = min(rows_wanted * PAGE_GROWTH, LAST_PAGE_ROWS)
            for data_key, (stored, revision) in page.rows:
                if reserved and data_key.startswith(reserved):
                    continue
                entry: Entry[Any] = Entry(data_key[layout.REGION_BYTES :], stored, revision)
                if not matched and not shows(pattern, entry.key):
                    continue
                if stored[1] & _SPECIAL:
                    if self._expired(stored):
                        continue
                    if whole:
                        await self._complete(entry)
                yield entry
            rest = page.resume

    async def tagged(self, tag: str, pattern: Pattern) -> AsyncIterator[Entry[Any]]:
        self._gate.check()
        prefix = self._rows.tag_key(tag, b"")
        rest: Range | None = Range.prefix(prefix)
        while rest is not None:
            page = await self._engine.scan(rest)
            keys = [self._rows.data + tag_key[len(prefix) :] for tag_key, _ in page.rows]
            for data_key, record in zip(keys, await self._read(keys), strict=True):
                if record is None or self._expired(record.value):
                    continue
                key = self._rows.store_key(data_key)
                if shows(pattern, key):
                    yield await self._complete(Entry(key, *record))
            rest = page.resume

    def history(self, key: str, *, reverse: bool = False) -> AsyncIterator[PastVersion[Any]]:
        self._gate.check()
        return self._history.versions(key, reverse=reverse)

    async def version(self, key: str, incarnation: int | None, version: int) -> Entry[Any] | None:
        return await self._history.version(key, await self.get(key), incarnation, version)

    async def state(
        self, key: str, identity: bytes, incarnation: int, version: int
    ) -> Entry[Any] | None:
        """One version by its place, living or past; None when it is no longer kept."""
        past = await self._history.by_place(key, identity, incarnation, version)
        if past is not None:
            return past
        record = (await self._read((self._data_key(key),)))[0]
        if record is not None:
            head = envelope.header_of(record.value)
            if (head.identity, head.incarnation, head.version) == (identity, incarnation, version):
                return await self._complete(Entry(key, record.value, record.revision))
        # Between the two reads it may have become past.
        return await self._history.by_place(key, identity, incarnation, version)

    async def at(
        self, key: str, *, revision: int | None, instant_ms: int | None
    ) -> Entry[Any] | None:
        if revision is not None:
            head = await self._engine.head()
            if revision > head:
                raise InvalidInput(
                    f"the newest revision is {head}; the entry at {revision} was asked for. "
                    "The past is readable, the future is not"
                )
        return await self._history.at(key, revision=revision, instant_ms=instant_ms)

    # --- Writing ----------------------------------------------------------------------------

    async def apart(self, work: Callable[[], T]) -> T:
        return await self._values.apart(work)

    async def serialize(self, value: Any) -> Serialized:
        return await self._values.serialize(value)

    def serialize_now(self, value: Any) -> Serialized:
        return self._values.serialize_now(value)

    async def transact(self, steps: Sequence[Step]) -> list[Outcome]:
        self._gate.check()
        rows = self._rows
        places = [self._data_key(step.key) for step in steps]
        if max(map(len, places), default=0) > self._key_bytes_max:
            self._refuse_long(steps, places)
        read_keys: list[bytes] = []
        for data_key in places:
            read_keys += (data_key, rows.grave_key(data_key))
        targets = [self._data_key(step.new_key) for step in steps if step.new_key is not None]
        for data_key in targets:
            read_keys += (data_key, rows.grave_key(data_key))
        payloads: dict[bytes, list[bytes]] = {}
        changes: list[Change] = []

        def make(records: list[Record | None], _revision: int) -> Batch | None:
            now = self._clock.now_ms()
            if targets:
                _require_free(records[2 * len(steps) :])
            operations: list[Operation] = []
            changes.clear()
            for place, step in enumerate(steps):
                row, grave = records[2 * place], records[2 * place + 1]
                living = self._living(step.key, row, now, payloads)
                seen = Seen(places[place], row, grave, living)
                changes.append(rows.change(operations, step, now, seen))
            return Batch(operations) if operations else None

        size = sum(step.size for step in steps)
        receipt = await self._commit(read_keys, make, payloads, size)
        self._wrote(receipt.revision)
        return [
            await self._outcome(step, change, receipt.revision)
            for step, change in zip(steps, changes, strict=True)
        ]

    async def expire(self, data_keys: list[bytes]) -> int:
        """End the entries of these rows that have run out, as one commit; how many did."""
        rows = self._rows
        ended = 0

        def make(records: list[Record | None], _revision: int) -> Batch | None:
            nonlocal ended
            ended = 0
            now = self._clock.now_ms()
            operations: list[Operation] = []
            for data_key, row in zip(data_keys, records, strict=True):
                if row is not None and self._expired(row.value):
                    rows.end(operations, data_key, row, END_EXPIRED, Cause.EXPIRED, now)
                    rows.bury(operations, data_key, row)
                    ended += 1
            return Batch(operations) if operations else None

        await self._engine.transact(data_keys, make)
        return ended

    # --- Inside -----------------------------------------------------------------------------

    async def _commit(
        self, keys: list[bytes], make: Decide, payloads: dict[bytes, list[bytes]], size: int
    ) -> Receipt:
        """Transact; big values that the decision turns out to need are read in between.

        Args:
            payloads: chunks of big values by the stored bytes that refer to them; filled here.
            size: bytes of the values that are written, as far as that is known.
        """
        while True:
            try:
                if size > CHUNK_BYTES:
                    return await self._transact_apart(keys, make)
                return await self._engine.transact(keys, make)
            except PayloadMissing as missing:
                stored = missing.entry.stored
                payloads[stored] = chunks = await self._payload(stored)
                size += sum(map(len, chunks))  # What comes of a big value is mostly big too.
            except Conflict as conflict:
                current = conflict.details.get("current")
                if isinstance(current, Entry):
                    await self._complete(current)
                raise

    async def _transact_apart(self, keys: list[bytes], make: Decide) -> Receipt:
        """Transact away from the loop.

        An engine that need not flush commits where it is asked to, and cannot see beforehand how
        much a decision will write.
        """
        engine = self._engine
        if self._remote_or_mine():
            return await engine.transact(keys, make)  # Nothing is written here and now.
        return await self.apart(lambda: drive(engine.transact(keys, make)))

    def _remote_or_mine(self) -> bool:
        """Whether the engine has to be used where the caller is: a server's, a transaction's."""
        engine = self._engine
        return isinstance(engine, TransactionEngine) or engine.capabilities.io is Io.REMOTE

    def _refuse_long(self, steps: Sequence[Step], places: list[bytes]) -> None:
        """Refuse to set what no engine call could store; a key so long is absent otherwise."""
        limit = self._key_bytes_max
        for step, data_key in zip(steps, places, strict=True):
            if step.size and len(data_key) > limit:
                raise InvalidKey(
                    f"a key takes at most {limit} bytes here; found one of {len(data_key)}. "
                    "Use a shorter name, and keep the long one in the value",
                    limit=limit,
                    length=len(data_key),
                )

    def _expired(self, stored: bytes) -> bool:
        """Whether stored bytes are of an entry that has run out."""
        if not stored[1] & envelope.EXPIRES:
            return False
        return envelope.expires_at_ms(stored) <= self._clock.now_ms()

    async def _outcome(self, step: Step, change: Change, revision: int) -> Outcome:
        before: Entry[Any] | None = None
        if change.before is not None:
            before = Entry(step.key, *change.before)
        if not change.written:
            if before is not None:
                await self._complete(before)
            return Outcome(revision, before, before, written=False)
        after: Entry[Any] | None = None
        if change.after is not None:
            after = Entry(step.new_key or step.key, change.after, revision)
            if change.chunks is not None:
                after.attach(change.chunks)
            elif change.after[1] & envelope.BLOB:
                after = await self._complete(after)
        return Outcome(revision, before, after, written=True)

    def _living(
        self, key: str, row: Record | None, now_ms: int, payloads: dict[bytes, list[bytes]]
    ) -> Entry[Any] | None:
        if row is None:
            return None
        stored = row.value
        if stored[1] & envelope.EXPIRES and envelope.expires_at_ms(stored) <= now_ms:
            return None
        return Entry(key, stored, row.revision, payloads.get(stored) if payloads else None)

    async def _get_special(self, key: str, stored: bytes, revision: int) -> Entry[Any] | None:
        if self._expired(stored):
            return None
        return await self._complete(Entry(key, stored, revision))

    async def _complete(self, entry: Entry[Any]) -> Entry[Any]:
        """The entry with the chunks of a big value read."""
        if entry.stored[1] & envelope.BLOB:
            try:
                entry.attach(await self._payload(entry.stored))
            except StoreError as error:
                error.within(key=str(entry.key))
                raise
        return entry

    async def _payload(self, stored: bytes) -> list[bytes]:
        """The chunks of a big value."""
        keys = self._rows.blob_keys(stored)
        if len(keys) > _CHUNKS_INLINE_MAX and not self._remote_or_mine():
            return await self.apart(lambda: drive(self._chunks(keys)))
        return await self._chunks(keys)

    async def _chunks(self, keys: list[bytes]) -> list[bytes]:
        chunks: list[bytes] = []
        for start in range(0, len(keys), _CHUNKS_READ_MAX):
            for record in await self._read(keys[start : start + _CHUNKS_READ_MAX]):
                if record is None:
                    raise IntegrityFailed(
                        "a chunk of a big value is missing; run `holdfast check` on the database"
                    )
                chunks.append(record.value)
        return chunks

    def _range(self, pattern: Pattern, *, reverse: bool) -> Range:
        """The rows that can hold keys of the pattern."""
        exact = pattern.exact
        if exact is not None:
            data_key = self._data_key(str(exact))
            return Range(data_key, data_key + b"\0", reverse)
        start = self._rows.prefix(pattern.prefix)
        # FF begins no packed segment: so this ends just what continues the prefix.
        return Range(start, start + b"\xff", reverse)


def _not_now(_key: bytes) -> Peeked:
    return NOT_NOW


def _require_free(records: list[Record | None]) -> None:
    """Raise unless neither an entry nor the past of one stands where a rename leads."""
    if any(record is not None for record in records):
        raise DuplicateKey(
            "a rename leads to a key that was never used; found an entry, or the history of a "
            "deleted one. Choose another name, or delete the entry and set it anew"
        )
