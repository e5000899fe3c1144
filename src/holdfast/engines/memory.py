"""`memory://`: the database in this process's memory, gone when its last handle closes.

A dict holds the records; the key order is a sorted list that the first scan builds and later
scans bring up to date, because inserting into sorted order costs several times an insert into a
dict. While snapshots are open, overwritten records are kept for them and for nobody else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sortedcontainers import SortedList

from holdfast.contract.batch import (
    NEEDS_MAX,
    Answer,
    Draft,
    Need,
    Receipt,
    append_key,
)
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Peeked, Snapshot, decided_batch
from holdfast.contract.errors import InvalidInput, StoreClosed, StoreError, WrongContext
from holdfast.contract.limits import check_draft
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Clock, Components
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.engines.embedded.group import BATCH_ID_MS, Pending, Work, Writer
from holdfast.engines.embedded.locking import let_go
from holdfast.engines.embedded.work import Raised

#: How many more new keys than keys may wait to be put into order.
UNORDERED_SPARE = 1024

#: A record without the call that its class would make.
_record: Any = tuple.__new__

#: What a key held before the revision that overwrote it: (that revision, the record or None).
_Past = tuple[int, "_Kept | None"]
#: A record as it is kept: plain tuples of plain things are nothing to the collector, which else
#: would look at all of a database again and again.
_Kept = tuple[bytes, int]


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(EngineConfig):
    """Settings of `memory://`.

    Attributes:
        name: handles of one process that give the same name share one database; without a name
            each handle has its own.
    """

    scheme: ClassVar[str] = "memory"

    name: str | None = None

    @property
    def identity(self) -> str | None:
        return f"memory:{self.name}" if self.name is not None else None


class MemoryEngine(EmbeddedEngine):
    """Records in a dict."""

    config_type = MemoryConfig

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._state = _State()
        self._lineage = ""
        self._capabilities = Capabilities(
            engine="memory",
            io=Io.INLINE,
            durability="full",
            persistent=False,
            shared=False,
            writable=not config.read_only,
            snapshots=True,
            transacts_once=True,
            waits=True,
            checks=True,
            loads=not config.read_only,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self) -> None:
        if self._lineage:
            raise self._refuse()  # What it held is gone; a new engine starts anew.
        self._lineage = self.components.ids.new().hex()
        self._opened()

    async def close(self) -> None:
        if self._refusal is None:
            self._retire()
            self._state = _State()

    async def head(self) -> int:
        if self._refusal is not None:
            raise self._refuse()
        return self._state.head

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        if self._refusal is not None:
            raise self._refuse()
        state = self._state
        if at is not None:
            revision = self._own(at).revision
            with state.lock:
                return [_shown(state.at(key, revision)) for key in keys]
        get = state.records.get
        if len(keys) == 1:
            return [_shown(get(keys[0]))]
        with state.lock:
            return [_shown(get(key)) for key in keys]

    def peek(self, key: bytes) -> Peeked:
        if self._refusal is not None:
            raise self._refuse()
        return self._state.records.get(key)

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return self._page(range, at)

    def peek_page(self, range: Range) -> Page:
        return self._page(range, None)

    def _run_group(self, works: list[Work]) -> None:
        work = works[0]
        if len(works) > 1 or work.decide is None or work.previous:
            super()._run_group(works)
            return
        try:
            self._run_alone(work)
        except BaseException:
            self._let_go()  # An interrupt may have come between the lock and what releases it.
            raise

    def _run_alone(self, work: Work) -> None:
        """Carry out one write that decides, as most come: it goes straight into the dict."""
        state = self._state
        get = state.records.get
        with state.lock:
            revision = state.head + 1
            try:
                records = [_shown(get(key)) for key in work.keys]
                answer = work.ask(records, revision)
                if type(answer) is Need:
                    answer = _see_more(work, records, answer, state)
                if self._refusal is WrongContext:
                    raise self._refuse()  # The function forked, and this is the child.
                if type(answer) is Draft:
                    check_draft(answer, self._capabilities)
                if type(answer) is Draft and _only_puts(answer) and not state.snapshots:
                    # First, so that an interrupt does not leave written what seems not to be.
                    work.receipt = _record(Receipt, (revision, None))
                    state.put_all(answer, revision)
                    self._watcher.publish(revision)
                    return
                self._run_decided(work, answer)
            except Raised as raised:
                work.error = raised.error
            except StoreError as error:
                work.error = error
            except BaseException:
                if state.head < revision:
                    work.receipt = None
                else:
                    self._watcher.publish(revision)  # An interrupt came once it was written.
                raise

    def _run_decided(self, work: Work, answer: Answer) -> None:
        """Have a group carry out what was decided just now, under the same lock."""
        if answer is None:
            work.receipt = Receipt(self._state.head)
            return
        batch = decided_batch(answer)
        if type(answer) is not Draft:
            self._validate(batch)
        decide = work.decide
        try:
            work.batch, work.decide = batch, None
            super()._run_group([work])
        except BaseException:
            # Interrupted: unless it has a receipt, it is to be decided again.
            work.batch, work.decide = None, decide
            raise

    def _page(self, range: Range, at: Snapshot | None) -> Page:
        if self._refusal is not None:
            raise self._refuse()
        rows: list[tuple[bytes, Record]] = []
        wanted = range.rows_wanted(self._capabilities.page_rows_max)
        bytes_left = self._capabilities.page_bytes_max
        state = self._state
        with state.lock:
            # A group holds the lock while it writes, so head and rows are of one moment.
            revision = state.head if at is None else self._own(at).revision
            walk = state.walk(range) if at is None else state.walk_at(range, revision)
            for key, record in walk:
                rows.append((key, _record(Record, record)))
                bytes_left -= len(key) + len(record[0])
                if len(rows) == wanted or bytes_left <= 0:
                    return Page(rows, range.after(key), revision)
        return Page(rows, None, revision)

    async def snapshot(self) -> Snapshot:
        if self._refusal is not None:
            raise self._refuse()
        return _MemorySnapshot(self._state)

    async def check(self) -> list[str]:
        if self._refusal is not None:
            raise self._refuse()
        state = self._state
        with state.lock:
            wrong = [
                f"key {key!r} has revision {revision}, above the head {state.head}"
                for key, (_, revision) in state.records.items()
                if revision > state.head
            ]
            if [key for key, _ in state.walk(Range())] != sorted(state.records):
                wrong.append("the key order does not match the keys")
        return wrong

    async def load(
        self, rows: Sequence[tuple[bytes, Record]], *, next_revision: int | None = None
    ) -> None:
        if self._refusal is not None:
            raise self._refuse()
        if not self._capabilities.writable:
            raise self._read_only()
        for key, _ in rows:
            self._check_key(key, self._capabilities.key_bytes_max)
        state = self._state
        with state.lock:
            head = max([state.head, *(record.revision for _, record in rows)])
            if next_revision is not None and next_revision <= head:
                raise InvalidInput(
                    f"the next revision lies above {head}, which a row loaded has; "
                    f"found {next_revision}"
                )
            for key, record in rows:
                state.put(key, (record.value, record.revision), record.revision)
            state.head = head if next_revision is None else next_revision - 1

    def _begin(self) -> Writer:
        return _MemoryWriter(self._state, self.components.clock)

    def _let_go(self) -> None:
        self._state.forget_order()
        let_go(self._state.lock)

    def _head_now(self) -> int:
        return self._state.head

    def _may_commit_inline(self) -> bool:
        return True

    def _own(self, at: Snapshot) -> _MemorySnapshot:
        if not isinstance(at, _MemorySnapshot) or at.state is not self._state:
            raise InvalidInput("a snapshot is read through the engine that made it")
        if at.closed:
            raise StoreClosed("the snapshot is closed; take a new one")
        return at


def _only_puts(draft: Draft) -> bool:
    """Whether the draft writes rows, and nothing but that."""
    return not (
        draft.checks
        or draft.ranges
        or draft.id is not None
        or None in draft.rows.values()
        or not (draft.rows or draft.appends)
    )


def _shown(kept: _Kept | None) -> Record | None:
    """A record as the contract has it."""
    return None if kept is None else _record(Record, kept)


def _see_more(work: Work, records: list[Record | None], need: Need, state: _State) -> Answer:
    """Show the function of a write the keys it asks for, until it decides."""
    answer: Answer = need
    for _ in range(NEEDS_MAX):
        if type(answer) is not Need:
            break
        records += [_shown(state.records.get(key)) for key in answer.keys]
        answer = work.ask(records, state.head + 1)
    return answer


class _State:
    """What the database holds.

    Attributes:
        records: by key, the newest.
        head: the newest revision.
        batch_ids: id of a batch to (revision, instant in milliseconds), the oldest first.
        snapshots: the open ones.
        lock: held while a group is written in, and by readers of more than one key.
    """

    def __init__(self) -> None:
        self.records: dict[bytes, _Kept] = {}
        self.head = 0
        self.batch_ids: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self.snapshots: set[_MemorySnapshot] = set()
        self.lock = threading.RLock()
        self._order: SortedList[Any] | None = None
        # New keys since the order was made, some of them twice or gone again.
        self._unordered: list[bytes] = []
        self._past: dict[bytes, list[_Past]] = {}

    def put(self, key: bytes, record: _Kept | None, revision: int) -> _Kept | None:
        """Write or (None) delete; what stood there before."""
        before = self.records.get(key)
        if self.snapshots:
            self._past.setdefault(key, []).append((revision, before))
        if record is not None:
            if before is None and self._order is not None:
                self._unordered.append(key)
            self.records[key] = record
        elif before is not None:
            del self.records[key]
            if self._order is not None:
                self._order.discard(key)
                if len(self._unordered) > len(self.records) + UNORDERED_SPARE:
                    self._ordered()  # Keys that come and go stand in it many times.
        return before

    def put_all(self, draft: Draft, revision: int) -> None:
        """Write the rows and appends of a draft that deletes nothing, while no snapshot is open.

        All of them, or (an interrupt, no memory) none.
        """
        new: dict[bytes, _Kept] = {}
        for key, value in draft.rows.items():
            assert value is not None
            new[key] = value, revision
        index = 0
        for prefix, value in draft.appends:
            new[append_key(prefix, revision, index)] = value, revision
            index += 1  # noqa: SIM113 - most drafts have one append
        records = self.records
        before = list(map(records.get, new))
        try:
            if self._order is not None:
                self._unordered += [key for key in new if key not in records]
            records.update(new)
            self.head = revision
        except BaseException:
            self.head = revision - 1
            for key, record in zip(new, before, strict=True):
                if record is not None:
                    records[key] = record
                else:
                    records.pop(key, None)
            raise

    def walk(self, range: Range) -> Iterator[tuple[bytes, _Kept]]:
        """The rows of the range, in its order."""
        if range.empty:
            return
        records = self.records
        for key in self._ordered().irange(
            range.start, range.end, inclusive=(True, False), reverse=range.reverse
        ):
            yield key, records[key]

    def walk_at(self, range: Range, revision: int) -> Iterator[tuple[bytes, _Kept]]:
        """The same as of a revision that a snapshot holds."""
        keys = {key for key, _ in self.walk(range)}
        keys.update(key for key in self._past if key in range)
        for key in sorted(keys, reverse=range.reverse):
            record = self.at(key, revision)
            if record is not None:
                yield key, record

    def at(self, key: bytes, revision: int) -> _Kept | None:
        """The record as of a revision that a snapshot holds."""
        for overwritten, before in self._past.get(key, ()):
            if overwritten > revision:
                return before
        return self.records.get(key)

    def release(self, snapshot: _MemorySnapshot) -> None:
        """A snapshot is closed; with the last one the past goes."""
        with self.lock:
            self.snapshots.discard(snapshot)
            if not self.snapshots:
                self._past.clear()

    def forget_order(self) -> None:
        """Make the key order anew, after an interrupt that may have come while it was made."""
        self._order = None
        self._unordered.clear()

    def _ordered(self) -> SortedList[Any]:
        try:
            if self._order is None:
                self._order = SortedList(self.records)
            elif self._unordered:
                self._order.update(self.records.keys() & self._unordered)
            self._unordered.clear()
        except BaseException:
            self.forget_order()
            raise
        return self._order


class _MemorySnapshot(Snapshot):
    def __init__(self, state: _State) -> None:
        self.state = state
        self.closed = False
        with state.lock:
            self.revision = state.head
            state.snapshots.add(self)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.state.release(self)


class _MemoryWriter(Writer):
    """Writes in place, and knows how to undo it. Holds readers of several keys off meanwhile."""

    def __init__(self, state: _State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._undo: list[tuple[bytes, _Kept | None]] = []
        self._ids: dict[bytes, tuple[int, int]] = {}
        self._open = True
        state.lock.acquire()
        self.head = state.head

    def read(self, key: bytes) -> Record | None:
        return _shown(self._state.records.get(key))

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        for key, kept in self._state.walk(range):
            yield key, _record(Record, kept)

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        put = self._state.put
        for key, (value, revision) in rows:
            record = None if value is None else (value, revision)
            # Noted first: an interrupt may come in between.
            self._undo.append((key, self._state.records.get(key)))
            put(key, record, revision)

    def recall(self, id: bytes) -> int | None:
        known = self._ids.get(id) or self._state.batch_ids.get(id)
        if known is None or known[1] < self._clock.now_ms() - BATCH_ID_MS:
            return None
        return known[0]

    def remember(self, id: bytes, revision: int) -> None:
        self._ids[id] = (revision, self._clock.now_ms())

    def finish(self, head: int) -> None:
        state = self._state
        state.head = head
        if self._ids:
            ids, oldest = state.batch_ids, self._clock.now_ms() - BATCH_ID_MS
            for id, known in self._ids.items():
                ids[id] = known
                ids.move_to_end(id)
            while ids and next(iter(ids.values()))[1] < oldest:
                ids.popitem(last=False)
        self._release()

    def abandon(self) -> None:
        if self._open:
            for key, before in reversed(self._undo):
                self._state.put(key, before, self.head)
            self._release()

    def _release(self) -> None:
        self._open = False
        self._state.lock.release()
