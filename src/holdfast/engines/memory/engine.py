"""The engine: reads look into the dict, and most writes go straight into it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock

from holdfast.contract.batch import NEEDS_MAX, Answer, Draft, Need, Receipt
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Peeked, Snapshot, decided_batch
from holdfast.contract.errors import InvalidInput, StoreClosed, StoreError, WrongContext
from holdfast.contract.limits import check_draft
from holdfast.contract.memory import no_memory
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.engines.embedded.group import Work, Writer
from holdfast.engines.embedded.locking import let_go
from holdfast.engines.embedded.puts import puts_of
from holdfast.engines.embedded.work import Raised
from holdfast.engines.memory.config import MemoryConfig
from holdfast.engines.memory.state import MemorySnapshot, State, make, shown, size_of
from holdfast.engines.memory.writer import MemoryWriter


class MemoryEngine(EmbeddedEngine):
    """Records in a dict."""

    config_type = MemoryConfig

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._state = State(config.size_max if isinstance(config, MemoryConfig) else 0)
        self._lineage = ""
        self._emptied = False
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
        # Until all of it is done: an interrupted close is repeated.
        if self._lineage and not self._emptied and self._refusal is not WrongContext:
            self._retire()
            self._state = State()
            self._emptied = True

    def _after_fork(self) -> None:
        # A thread that is gone may hold it; the snapshots of the parent are let go of here, too.
        self._state.lock = RLock()

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
                return [shown(state.at(key, revision)) for key in keys]
        get = state.records.get
        if len(keys) == 1:
            return [shown(get(keys[0]))]
        with state.lock:
            return [shown(get(key)) for key in keys]

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
        lock = self._state.lock
        try:
            lock.acquire()
            self._run_alone(work)
            lock.release()
        except BaseException:
            self._let_go()  # Not by `with`: what is done about an interrupt inside lets go of it.
            raise

    def _run_alone(self, work: Work) -> None:
        """Carry out one write that decides, as most come: it goes straight into the dict.

        The caller holds the lock.
        """
        state = self._state
        get = state.records.get
        revision = state.head + 1
        try:
            records = [*map(shown, map(get, work.keys))]
            answer = work.ask(records, revision)
            if type(answer) is Need:
                answer = _see_more(work, records, answer, state)
            if self._refusal is WrongContext:
                raise self._refuse()  # The function forked, and this is the child.
            new = None
            if type(answer) is Draft and not (state.past.tokens or state.size_max):
                new = puts_of(answer, revision, self._capabilities, deletes=False)
            if new is None:
                self._run_decided(work, answer)
                return
            # First, so that an interrupt does not leave written what seems not to be.
            work.receipt = make(Receipt, (revision, None))
            state.put_all(new, revision)
            self._watcher.publish(revision)
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
        if type(answer) is Draft:
            check_draft(answer, self._capabilities)
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
        try:
            return self._gathered(range, at)
        except MemoryError as error:
            raise no_memory("read", lighter="read less at once") from error

    def _gathered(self, range: Range, at: Snapshot | None) -> Page:
        rows: list[tuple[bytes, Record]] = []
        wanted = range.rows_wanted(self._capabilities.page_rows_max)
        bytes_left = self._capabilities.page_bytes_max
        state = self._state
        with state.lock:
            # A group holds the lock while it writes, so head and rows are of one moment.
            revision = state.head if at is None else self._own(at).revision
            walk = state.walk(range) if at is None else state.walk_at(range, revision)
            for key, record in walk:
                rows.append((key, make(Record, record)))
                bytes_left -= len(key) + len(record[0])
                if len(rows) == wanted or bytes_left <= 0:
                    return Page(rows, range.after(key), revision)
        return Page(rows, None, revision)

    async def snapshot(self) -> Snapshot:
        if self._refusal is not None:
            raise self._refuse()
        return MemorySnapshot(self._state)

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
            held = sum(size_of(key, kept) for key, kept in state.records.items())
            if state.size_max and held != state.size:
                wrong.append(f"the rows take {held} bytes; {state.size} were counted")
        return wrong

    async def load(
        self, rows: Sequence[tuple[bytes, Record | None]], *, next_revision: int | None = None
    ) -> None:
        if self._refusal is not None:
            raise self._refuse()
        if not self._capabilities.writable:
            raise self._read_only()
        for key, _ in rows:
            self._check_key(key, self._capabilities.key_bytes_max)
        state = self._state
        with state.lock:
            head = max([state.head, *(one.revision for _, one in rows if one is not None)])
            if next_revision is not None and next_revision <= head:
                raise InvalidInput(
                    f"the next revision lies above {head}, which a row loaded has; "
                    f"found {next_revision}"
                )
            state.require_room([(key, one and one.value) for key, one in rows])
            for key, record in rows:
                kept = None if record is None else (record.value, record.revision)
                state.put(key, kept, head)
            state.head = head if next_revision is None else next_revision - 1

    def _begin(self) -> Writer:
        return MemoryWriter(self._state, self.components.clock)

    def _let_go(self) -> None:
        self._state.forget_order()
        let_go(self._state.lock)

    def _head_now(self) -> int:
        return self._state.head

    def _may_commit_inline(self) -> bool:
        return True

    def _own(self, at: Snapshot) -> MemorySnapshot:
        if not isinstance(at, MemorySnapshot) or at.state is not self._state:
            raise InvalidInput("a snapshot is read through the engine that made it")
        if at.closed:
            raise StoreClosed("the snapshot is closed; take a new one")
        return at


def _see_more(work: Work, records: list[Record | None], need: Need, state: State) -> Answer:
    """Show the function of a write the keys it asks for, until it decides."""
    answer: Answer = need
    for _ in range(NEEDS_MAX):
        if type(answer) is not Need:
            break
        records += [shown(state.records.get(key)) for key in answer.keys]
        answer = work.ask(records, state.head + 1)
    return answer
