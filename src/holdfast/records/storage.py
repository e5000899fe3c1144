"""The default storage service: entries on an engine, in the rows of one keyspace."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from threading import get_ident
from typing import Any, Literal, TypeVar

from holdfast.codecs import envelope
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.batch import Decide, Receipt
from holdfast.contract.capability import Io
from holdfast.contract.engine import NOT_NOW, Engine, _NotNow
from holdfast.contract.errors import Conflict, IntegrityFailed, InvalidInput
from holdfast.contract.record import THIS_COMMIT, Range, Record
from holdfast.records.big_values import BigValues
from holdfast.records.deciding import SPECIAL, BigValue, Deciding, Expiry
from holdfast.records.services.protocols import Outcome, Step
from holdfast.records.walk import Walk
from holdfast.store import layout
from holdfast.store.space import Space
from holdfast.store.text_keys import RESERVED_PACKED, matching_packed, shows, shows_all
from holdfast.store.versions.chunks import CHUNK_BYTES, Serialized, Values
from holdfast.store.versions.entry import Entry, PastVersion, PayloadMissing, PendingRevision
from holdfast.store.versions.history import History
from holdfast.store.versions.plan import VersionPlanner
from holdfast.store.versions.rows import Rows

T = TypeVar("T")

_REGION_BYTES = layout.REGION_BYTES
#: How many rows the first page of a walk has, how fast pages grow, and to what.
FIRST_PAGE_ROWS = 32
PAGE_GROWTH = 4
LAST_PAGE_ROWS = 1024


class EngineEntryStorage:
    """Keeps entries as rows of a keyspace; writes each change as one commit.

    Args:
        space: the keyspace, on the engine or on one transaction's or snapshot's view of it.
        rows: where its entries stand.
        planner: what a change writes.
        values: how values are serialised.
        pending: the revision of what is written, where that is a transaction's.
    """

    def __init__(
        self,
        space: Space,
        rows: Rows,
        planner: VersionPlanner,
        values: Values,
        pending: PendingRevision | None = None,
    ) -> None:
        engine = space.engine
        self._space = space
        self._engine = engine
        self._read = engine.read
        self._peek = space.peek
        self._transact_now = engine.transact_now
        capabilities = engine.capabilities
        self._inline = capabilities.io is Io.INLINE or capabilities.durability == "relaxed"
        self._may_hold = engine.components.host.may_hold
        self._key_bytes_max = engine.capabilities.key_bytes_max
        self._rows = rows
        self._planner = planner
        self._data_key = rows.data_key
        self._values = values
        self.serialize_small = values.serialize_small  # type: ignore[method-assign]
        self._now_ms = space.clock.now_ms
        self._wrote = space.wrote
        self._gate = space.gate
        self._pending = pending
        self._deciding = Deciding(space, rows, planner, self._entry)
        self._decide_one = self._deciding.one
        self._big = BigValues(engine, rows, values, self._entry, self._expired)
        self._current = self._big.current
        self._history = History(
            engine, rows, self._big.complete, self._expired, self._entry_revision
        )

    def on(self, engine: Engine, pending: PendingRevision | None = None) -> EngineEntryStorage:
        """The same entries seen through a transaction or a snapshot."""
        return EngineEntryStorage(
            self._space.on(engine), self._rows, self._planner, self._values, pending
        )

    def now_ms(self) -> int:
        """The instant that decides what has expired."""
        return self._now_ms()

    # --- Reading ----------------------------------------------------------------------------

    def peek(self, key: str) -> Entry[Any] | Literal[_NotNow.NOT_NOW] | None:
        gate = self._gate
        if not gate.open_here() or get_ident() != gate.thread:
            gate.check()
        found = self._peek(self._data_key(key))
        if found is None or found is NOT_NOW:
            return found
        stored, revision = found
        if stored[1] & SPECIAL or self._pending is not None:
            return NOT_NOW
        return Entry(key, stored, revision)

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
        if stored[1] & SPECIAL or self._pending is not None:
            return await self._get_special(key, stored, revision)
        return Entry(key, stored, revision)

    async def get_many(self, keys: list[str]) -> list[Entry[Any] | None]:
        self._gate.check()
        records = await self._read([self._data_key(key) for key in keys])
        return [
            None if record is None else await self._get_special(key, *record)
            for key, record in zip(keys, records, strict=True)
        ]

    async def has(self, key: str) -> bool:
        self._gate.check()
        record = (await self._read((self._data_key(key),)))[0]
        return record is not None and not self._expired(record.value)

    def keys(self, pattern: Pattern, *, reverse: bool = False) -> AsyncIterator[StoreKey]:
        return Walk(self._key_pages(pattern, reverse))

    def scan(
        self, pattern: Pattern, *, reverse: bool = False, whole: bool = True
    ) -> AsyncIterator[Entry[Any]]:
        return Walk(self._pages(pattern, reverse, whole))

    async def _key_pages(
        self, pattern: Pattern, reverse: bool
    ) -> AsyncGenerator[list[StoreKey], None]:
        async for entries in self._pages(pattern, reverse, whole=False):
            yield [entry.key for entry in entries]

    async def _pages(
        self, pattern: Pattern, reverse: bool, whole: bool
    ) -> AsyncGenerator[list[Entry[Any]], None]:
        self._gate.check()
        # Many a walk ends early: the first page is short, and each one longer than the last.
        rows_wanted = FIRST_PAGE_ROWS
        rest: Range | None = self.range_of(pattern, reverse=reverse)
        while rest is not None:
            entries, rest = await self.page(replace(rest, limit=rows_wanted), pattern, whole=whole)
            rows_wanted = min(rows_wanted * PAGE_GROWTH, LAST_PAGE_ROWS)
            yield entries

    async def page(
        self, range: Range, pattern: Pattern, *, whole: bool = True
    ) -> tuple[list[Entry[Any]], Range | None]:
        """The living entries of one page that match, and what is left of the range.

        Args:
            range: of the pattern, or what was left of it.
            pattern: which keys.
            whole: with the chunks of big values.
        """
        # Most patterns are a prefix, and then the range has decided already.
        matched = shows_all(pattern)
        page = await self._engine.scan(range)
        rows = page.rows
        reserved = b"" if pattern.prefix else self._rows.data + RESERVED_PACKED
        if reserved and rows:
            ends = rows[0][0], rows[-1][0]
            if max(ends) < reserved or min(ends) > reserved + b"\xff":
                reserved = b""
        if matched and not reserved and self._pending is None:
            plain = _plain_entries(rows)
            if len(plain) == len(rows):
                return plain, page.resume
        matches = None if matched else matching_packed(pattern)
        return await self._entries_of(rows, reserved, matches, whole), page.resume

    async def _entries_of(
        self,
        rows: Sequence[tuple[bytes, Record]],
        reserved: bytes,
        matches: Callable[[bytes], bool] | None,
        whole: bool,
    ) -> list[Entry[Any]]:
        """The living entries of rows, without those of reserved names, that match."""
        entries: list[Entry[Any]] = []
        make = self._entry if self._pending is not None else Entry
        for data_key, (stored, revision) in rows:
            if reserved and data_key.startswith(reserved):
                continue
            packed = data_key[layout.REGION_BYTES :]
            if matches is not None and not matches(packed):
                continue
            entry = make(packed, stored, revision)
            if stored[1] & SPECIAL:
                if self._expired(stored):
                    continue
                if whole and stored[1] & envelope.BLOB:
                    completed = await self._current(entry)
                    if completed is None:
                        continue
                    entry = completed
            entries.append(entry)
        return entries

    def range_of(self, pattern: Pattern, *, reverse: bool = False) -> Range:
        """The rows that can hold keys of the pattern."""
        exact = pattern.exact
        if exact is not None:
            data_key = self._data_key(str(exact))
            return Range(data_key, data_key + b"\0", reverse)
        start = self._rows.prefix(pattern.prefix)
        # FF begins no packed segment: so this ends just what continues the prefix.
        return Range(start, start + b"\xff", reverse)

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
                    entry = await self._current(self._entry(key, *record))
                    if entry is not None:
                        yield entry
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
                entry = self._entry(key, record.value, record.revision)
                try:
                    return await self._big.complete(entry)
                except IntegrityFailed as missing:
                    await self._big.successor(entry, missing)
        # Between two reads it may have become past.
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

    def serialize_small(self, value: Any) -> Serialized | None:
        return self._values.serialize_small(value)

    async def transact(self, steps: Sequence[Step]) -> list[Outcome]:
        self._gate.check()
        keys = self._deciding.keys_of(steps)
        payloads: dict[bytes, list[bytes]] = {}
        if len(steps) == 1 and steps[0].new_key is None:
            make: Decide = partial(self._decide_one, steps[0], keys[0], payloads)
        else:
            make = partial(self._deciding.many, steps, keys, payloads)
        receipt = await self._commit(keys, make, payloads, sum(step.size for step in steps))
        self._wrote(receipt.revision)
        outcomes = [self._outcome(step, receipt.revision) for step in steps]
        for step, outcome in zip(steps, outcomes, strict=True):
            if outcome.after is not None and outcome.after.in_chunks:
                await self._complete_outcome(step, outcome)
        return outcomes

    @property
    def acts_now(self) -> bool:
        """Whether `transact_now` is worth a try: not on a loop that would have to wait."""
        return self._transact_now is not None and (self._inline or self._may_hold())

    def transact_now(self, step: Step) -> Outcome | None:
        transact = self._transact_now
        if transact is None or step.size > CHUNK_BYTES or step.new_key is not None:
            return None
        gate = self._gate
        if not gate.open_here() or get_ident() != gate.thread:
            gate.check()
        data_key = self._data_key(step.key)
        if len(data_key) > self._key_bytes_max and step.size:
            self._deciding.refuse_long(data_key)
        try:
            receipt = transact((data_key,), partial(self._decide_one, step, data_key, None))
        except (PayloadMissing, BigValue):
            return None  # Has to read first, or takes too long to be done here.
        except Conflict as conflict:
            current = conflict.details.get("current")
            if isinstance(current, Entry) and current.in_chunks:
                return None  # The error holds the entry with its value: that has to be read.
            raise
        if receipt is NOT_NOW:
            return None
        revision = receipt.revision
        self._wrote(revision)
        return self._outcome(step, revision)

    async def expire(self, data_keys: list[bytes]) -> int:
        """End the entries of these rows that have run out, as one commit; how many did."""
        expiry = Expiry(data_keys, self._planner, self._now_ms)
        await self._engine.transact(data_keys, expiry.decide)
        return expiry.ended

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
                    return await self._big.transact(keys, make)
                return await self._engine.transact(keys, make)
            except PayloadMissing as missing:
                stored = missing.entry.stored
                try:
                    payloads[stored] = chunks = await self._big.chunks(stored)
                except IntegrityFailed:
                    # Replaced meanwhile? Then the next attempt sees another value.
                    [record] = await self._read((self._data_key(str(missing.entry.key)),))
                    if record is not None and record.value == stored:
                        raise
                    continue
                size += sum(map(len, chunks))  # What comes of a big value is mostly big too.
            except Conflict as conflict:
                current = conflict.details.get("current")
                if isinstance(current, Entry) and await self._current(current) is not current:
                    continue  # Another one stands there by now: it is to be decided with that.
                raise

    def _expired(self, stored: bytes) -> bool:
        """Whether stored bytes are of an entry that has run out."""
        if not stored[1] & envelope.EXPIRES:
            return False
        return envelope.expires_at_ms(stored) <= self._now_ms()

    def _outcome(self, step: Step, revision: int) -> Outcome:
        """What a step came to; chunks of big values are still to be read."""
        before, after = step.before, step.after
        if before is not None:
            before = before.unread()  # A function may have changed the value it was shown.
        if not step.written:
            return Outcome(revision, before, before, written=False)
        if after is None:
            return Outcome(revision, before, None, written=True)
        known = revision if self._pending is None else self._entry_revision(revision)
        entry: Entry[Any] = Entry(step.new_key or step.key, after, known)
        if step.chunks is not None:
            entry.attach(step.chunks)
        return Outcome(revision, before, entry, written=True)

    async def _complete_outcome(self, step: Step, outcome: Outcome) -> None:
        """Read the big value of the entry that an outcome hands out."""
        after = outcome.after
        if after is None or step.chunks is not None or not after.in_chunks:
            return
        try:
            await self._big.complete(after)
        except IntegrityFailed:
            # It was replaced meanwhile, and its value is not kept: reading the value says so.
            if await self._current(after) is after:
                raise

    def _entry(self, key: StoreKey | str | bytes, stored: bytes, revision: int) -> Entry[Any]:
        """An entry; what a transaction has written gets its revision with the commit."""
        if revision == THIS_COMMIT and self._pending is not None:
            return Entry(key, stored, self._pending)
        return Entry(key, stored, revision)

    def _entry_revision(self, revision: int) -> int | PendingRevision:
        if revision == THIS_COMMIT and self._pending is not None:
            return self._pending
        return revision

    async def _get_special(self, key: str, stored: bytes, revision: int) -> Entry[Any] | None:
        if self._expired(stored):
            return None
        return await self._current(self._entry(key, stored, revision))


def _plain_entries(rows: Sequence[tuple[bytes, Record]]) -> list[Entry[Any]]:
    """The entries of those rows that need nothing but themselves."""
    return [
        Entry(data_key[_REGION_BYTES:], stored, revision)
        for data_key, (stored, revision) in rows
        if not stored[1] & SPECIAL
    ]
