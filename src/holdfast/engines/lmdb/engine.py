"""The verbs of the LMDB engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar, cast

import lmdb

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import NOT_NOW, NotNow, Peeked, Snapshot
from holdfast.contract.errors import InvalidInput, Overloaded, StoreClosed, StoreError
from holdfast.contract.lookup import Look, LookedUp, Lookup, Sifted, Tally
from holdfast.contract.record import Counted, Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.group import Work, Writer
from holdfast.engines.embedded.on_files import EngineOnFiles, Loaded
from holdfast.engines.lmdb import facts, upkeep
from holdfast.engines.lmdb.config import LmdbConfig
from holdfast.engines.lmdb.journaled import Journaled
from holdfast.engines.lmdb.layered import Layered
from holdfast.engines.lmdb.long_keys import STORED_KEY_BYTES_MAX, Tree
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.opening import open_medium, refuse_unsupported
from holdfast.engines.lmdb.patience import patiently
from holdfast.engines.lmdb.relaxed import Relaxed
from holdfast.engines.lmdb.snapshot import LmdbSnapshot, Snapshots
from holdfast.engines.lmdb.stored_head import StoredHead
from holdfast.engines.lmdb.writer import LmdbWriter

T = TypeVar("T")
W = TypeVar("W")

_from_bytes = int.from_bytes
_make = tuple.__new__


class LmdbEngine(EngineOnFiles):
    """Records in an LMDB environment: revision and value per key."""

    config_type = LmdbConfig

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        assert isinstance(config, LmdbConfig)
        self._medium = Medium(config, components.ids, components.clock)
        self._snapshots = Snapshots(config.snapshot_age_max, config.relaxed_bytes_max)
        self._lineage = ""
        self._stored_head = StoredHead()
        #: What lies over the file: one of the two below, if there is one.
        self._layered: Layered | None = None
        self._relaxed: Relaxed | None = None
        self._journaled: Journaled | None = None
        self._writing: LmdbWriter | None = None
        #: The turn was taken for the group that begins next.
        self._turn_held = False
        #: What a read of one key calls; None while it has to take the long way: closed, after
        #: a fork, and while the file is compacted.
        self._begin_read: Callable[..., lmdb.Transaction[bytes]] | None = None
        self._capabilities = Capabilities(
            engine="lmdb",
            io=Io.BLOCKING,
            durability=config.durability,
            writable=not config.read_only,
            snapshots=True,
            transacts_once=True,
            waits=True,
            compacts=not config.read_only,
            checks=True,
            loads=not config.read_only,
            rewrites=not config.read_only,
            snapshot_age_max_s=config.snapshot_age_max,
        )

    @property
    def lineage(self) -> str:
        # Read each time: another process may have had to start a new one.
        if self._refusal is None:
            self._lineage = self._medium.reading(self._medium.read_lineage)
        return self._lineage

    @property
    def stored_format(self) -> int:
        return self._medium.reading(facts.read_version)

    async def open(self) -> None:
        await self._owner.open(self._open)

    async def head(self) -> int:
        if self._refusal is not None:
            raise self._refuse()
        return self._head_now()

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        if at is None and len(keys) == 1:
            found = self.peek(keys[0])
            if found is not NOT_NOW:
                return [found if found is None else _make(Record, found)]
        if self._refusal is not None:
            raise self._refuse()
        if at is not None:
            return self._own(at).reading(lambda tree: tree.records(keys))
        layered = self._layered
        if layered is not None:
            return await self._patiently(lambda: layered.read(keys))
        return await self._patiently(lambda: self._reading(lambda tree: tree.records(keys)))

    def peek(self, key: bytes) -> Peeked:
        # Most reads are of one key, and most of their time is spent here.
        layered = self._layered
        if layered is not None:
            pending = layered.layers.find(key)
            if pending is not None and self._refusal is None:
                return None if pending[0] is None else cast("tuple[bytes, int]", pending)
        begin = self._begin_read
        if begin is None or len(key) > STORED_KEY_BYTES_MAX:
            return NOT_NOW
        try:
            stored = begin(self._rows).get(key)
        except (lmdb.Error, MemoryError):
            return NOT_NOW  # `read` tries again, or tells what is wrong.
        if stored is None:
            return None
        return stored[8:], _from_bytes(stored[:8])

    def peek_page(self, range: Range) -> Page | NotNow:
        return self._unless_full(self._newest_page, range)

    def peek_count(self, range: Range) -> Counted | NotNow:
        return self._unless_full(self._newest_count, range)

    def _unless_full(self, read: Callable[[Range], T], range: Range) -> T | NotNow:
        """What is read at once, unless all places of readers are taken."""
        if self._refusal is not None:
            raise self._refuse()
        try:
            return read(range)
        except Overloaded:
            return NOT_NOW

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        return self._peeking(Tree.lookup, lookup)

    def peek_tally(self, wanted: Tally) -> list[int] | NotNow:
        return self._peeking(Tree.tally, wanted)

    def _peeking(self, read: Callable[[Tree, W], T | None], wanted: W) -> T | NotNow:
        layered, begin = self._layered, self._begin_read
        if begin is None or not (layered is None or layered.layers.hides_nothing):
            return NOT_NOW
        # What was acknowledged until that look the file has: it is read as of later.
        try:
            found = read(Tree(begin(), self._rows, self._medium.long), wanted)
        except (lmdb.Error, MemoryError):
            return NOT_NOW  # Other calls try again, or tell what is wrong.
        return NOT_NOW if found is None else found

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        if self._refusal is not None:
            raise self._refuse()
        if at is None:
            return await self._patiently(lambda: self._newest_page(range))
        rows_max = range.rows_wanted(self._capabilities.page_rows_max)
        own = self._own(at)
        if range.empty:
            return Page([], None, own.revision)
        bytes_max = self._capabilities.page_bytes_max
        return own.reading(lambda tree: tree.page(range, rows_max, bytes_max))

    def peek_sifted(self, range: Range, look: Look, at: Snapshot) -> Sifted | NotNow:
        if self._refusal is not None:
            raise self._refuse()
        rows_max = range.rows_wanted(self._capabilities.page_rows_max)
        own = self._own(at)
        if range.empty:
            return Sifted([], 0, None)
        bytes_max = self._capabilities.page_bytes_max
        sifted = own.reading(
            lambda tree: (
                tree.sifted(range, rows_max, bytes_max, look) if isinstance(tree, Tree) else None
            )
        )
        return NOT_NOW if sifted is None else sifted

    async def snapshot(self) -> LmdbSnapshot:
        if self._refusal is not None:
            raise self._refuse()
        layered = self._layered
        if layered is not None and not self._snapshots.may_hold(layered.layers):
            await self.components.host.runtime().offload(layered.flush)
            layered = None
        now = self.components.clock.monotonic()
        return await self._patiently(lambda: self._snapshots.take(self._medium, now, layered))

    def stale(self) -> bool:
        return self._refusal is None and self._medium.replaced

    # --- For the committer ------------------------------------------------------------------

    def _begin(self) -> Writer:
        if self._snapshots:
            self._snapshots.end_old(self.components.clock.monotonic())
        if self._journaled is not None:
            journal = self._journaled.writer(may_begin=not self._turn_held)
            if journal is not None:
                return journal
        self._writing = writer = LmdbWriter(self._medium, self.components.clock)
        held, self._turn_held = self._turn_held, False
        writer.begin(turn_held=held)
        return writer

    def _head_now(self) -> int:
        if self._snapshots:
            # Asked all the time while somebody waits, also where nobody commits.
            self._snapshots.end_old(self.components.clock.monotonic())
        if self._layered is not None:
            head = self._layered.head()
            if head is not None:
                return head
        return self._stored_head.read(self._medium, self._reading_raw)

    def _may_commit_inline(self) -> bool:
        return self._relaxed is not None and self._relaxed.pin()

    def _may_lead_promptly(self) -> bool:
        journaled = self._journaled
        if journaled is not None and journaled.active:
            return journaled.prompt
        if self._relaxed is None and self._medium.alone:
            self._turn_held = self._medium.locks.try_turn()
        return self._turn_held

    def _run_group(self, works: list[Work]) -> None:
        relaxed = self._relaxed
        if relaxed is None:
            super()._run_group(works)
            return
        if self._snapshots:
            self._snapshots.end_old(self.components.clock.monotonic())
        try:
            head = relaxed.run(works)
            if head:
                self._watcher.publish(head)
        except BaseException:
            self._watcher.publish(relaxed.recover(works))
            raise
        if head is None:
            super()._run_group(works)  # Room is short.

    def _recover(self) -> bool:
        if self._journaled is not None:
            with suppress(StoreError):  # The next to lead asks again.
                self._journaled.recover()
        return super()._recover()

    def _let_go(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.abandon()
        if self._turn_held:
            self._turn_held = False
            self._medium.locks.end_turn()
        if self._relaxed is not None:
            self._relaxed.recover(())

    # --- Inside -----------------------------------------------------------------------------

    def _open(self) -> None:
        if self._lineage:
            raise StoreClosed(
                f"this engine of {self.config.url} was closed and cannot be opened again; make a "
                "new one"
            )
        medium = self._medium
        refuse_unsupported(medium.config)
        try:
            open_medium(medium, self.components)
            self._rows = medium.rows
            self._lineage = medium.reading(medium.read_lineage)
            if self._capabilities.writable:
                self._lay_over(medium)
            self._begin_read = medium.env.begin
            self._opened()
        except BaseException:
            # An interrupt may come anywhere; the next opening finds nothing open.
            self._begin_read = None
            self._lineage = ""
            medium.close()
            raise

    def _lay_over(self, medium: Medium) -> None:
        """What takes commits before the file has them, if the settings say so."""
        if self.config.durability == "relaxed":
            self._relaxed = Relaxed(medium, self.components, self._validate, self._committer)
            self._layered = self._relaxed
        elif medium.config.journal:
            self._journaled = Journaled(medium, self.components, self._committer)
            self._layered = self._journaled

    def _close(self) -> None:
        self._begin_read = None
        try:
            self._retire()
            if self._layered is not None:
                self._layered.close()
        except Exception:
            self._release()
            raise
        self._release()

    def _release(self) -> None:
        self._snapshots.end_all("was closed with its database")
        self._medium.close()

    def _keep(self) -> None:
        if self._layered is not None:
            self._layered.close()

    def before_fork(self) -> None:
        with suppress(StoreError):  # The next write tells it.
            self._flush()
        super().before_fork()
        self._medium.park(len(self._snapshots))

    def after_fork_in_parent(self) -> None:
        self._medium.unpark()
        super().after_fork_in_parent()

    def _after_fork(self) -> None:
        self._begin_read = None
        self._writing = None
        self._stored_head.forget()
        self._snapshots.disown()
        if self._journaled is not None:
            self._journaled.disown()
        self._medium.disown()

    def _newest_page(self, range: Range) -> Page:
        rows_max = range.rows_wanted(self._capabilities.page_rows_max)
        if range.empty:
            return Page([], None, self._head_now())
        bytes_max = self._capabilities.page_bytes_max
        if self._layered is not None:
            return self._layered.scan(range, rows_max, bytes_max)
        return self._reading(lambda tree: tree.page(range, rows_max, bytes_max))

    def _newest_count(self, range: Range) -> Counted:
        limit = range.limit and range.rows_wanted(range.limit)  # Refuses one below 1.
        if range.empty:
            return Counted(0, self._head_now())
        if self._layered is not None:
            return self._layered.count(range)

        def count(transaction: lmdb.Transaction[bytes]) -> Counted:
            rows = self._medium.tree(transaction).count_of(range, limit)
            return Counted(rows, facts.read_head(transaction).revision)

        return self._reading_raw(count)

    async def _patiently(self, read: Callable[[], T]) -> T:
        """What `read` reads, once there is a place among the readers."""
        try:
            return read()
        except Overloaded:
            return await patiently(
                read, self.components.host.runtime, self._medium.config.reader_timeout, self._usable
            )

    def _usable(self) -> None:
        if self._refusal is not None:
            raise self._refuse()

    def _reading(self, action: Callable[[Tree], T]) -> T:
        return self._reading_raw(lambda transaction: action(self._medium.tree(transaction)))

    def _reading_raw(self, action: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        try:
            return self._medium.reading(action)
        except StoreError:
            if self._refusal is not None:
                raise self._refuse() from None  # Closed by another thread meanwhile.
            raise

    def _flush(self) -> None:
        """Have the file hold everything that is acknowledged. Holds the thread."""
        if self._layered is not None:
            self._layered.flush()

    def _own(self, at: Snapshot) -> LmdbSnapshot:
        if not isinstance(at, LmdbSnapshot) or at.snapshots is not self._snapshots:
            raise InvalidInput("a snapshot is read through the engine that made it")
        self._snapshots.end_old(self.components.clock.monotonic())
        return at

    def _check(self) -> list[str]:
        self._flush()
        return self._reading_raw(lambda transaction: upkeep.check(self._medium, transaction))

    def _compact(self) -> int:
        freed = 0

        def compact() -> None:
            nonlocal freed
            self._flush()
            self._begin_read = None  # So that no read meets one file with the trees of the other.
            try:
                freed = upkeep.compact(self._medium, self._snapshots.retire)
            finally:
                self._rows = self._medium.rows
                self._stored_head.forget()
                self._begin_read = self._medium.env.begin

        self._committer.exclusively(compact)
        return freed

    def _load(self, rows: Loaded, next_revision: int | None) -> None:
        self._flush()
        super()._load(rows, next_revision)
