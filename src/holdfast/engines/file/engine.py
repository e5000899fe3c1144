"""The file engine: how its parts play together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Peeked, Snapshot
from holdfast.contract.errors import (
    IntegrityFailed,
    StorageFull,
    StoreError,
)
from holdfast.contract.memory import no_memory
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.group import Group, Work, Writer
from holdfast.engines.embedded.locking import let_go
from holdfast.engines.embedded.on_files import EngineOnFiles, is_small
from holdfast.engines.embedded.upkeep import Upkeep
from holdfast.engines.file.checking import moment_of, what_is_wrong
from holdfast.engines.file.compaction import Compaction
from holdfast.engines.file.config import FileConfig
from holdfast.engines.file.opening import Opened
from holdfast.engines.file.repair import repair as mend
from holdfast.engines.file.writer import FileWriter

T = TypeVar("T")

_log = logging.getLogger("holdfast")

#: On a full medium less than this is not worth a compaction, and so much has to be won by one.
DEAD_BYTES_LEAST = 64 * 1024
ROOM_BYTES = 256 * 1024

_make = tuple.__new__


class FileEngine(EngineOnFiles):
    """Records in the segments of a journal; their keys in memory."""

    config_type = FileConfig

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._settings = settings = cast("FileConfig", config)
        self._store = Opened(settings, components)
        self._compaction = Compaction(self._store.journal, components.clock.now_ms)
        self._lineage = ""
        self._compacts = True
        self._upkeep = Upkeep(
            "holdfast file housekeeping",
            components.host,
            settings.flush_interval / 2 if settings.durability == "relaxed" else 0.0,
            self._keep_up,
        )
        writable = not settings.read_only
        self._capabilities = Capabilities(
            engine="file",
            io=Io.BLOCKING,
            durability=settings.durability,
            shared=False,
            writable=writable,
            snapshots=True,
            transacts_once=True,
            waits=True,
            compacts=writable,
            checks=True,
            loads=writable,
            rewrites=writable,
            snapshot_age_max_s=settings.snapshot_age_max,
        )

    # --- Life -------------------------------------------------------------------------------

    def _open(self) -> None:
        store = self._store
        try:
            store.open()
            self._lineage = store.lineage
            self._opened()
        except BaseException:
            # An interrupt may come anywhere; the next opening finds nothing open.
            self._lineage = ""
            self._store = Opened(self._settings, self.components)
            self._compaction = Compaction(self._store.journal, self.components.clock.now_ms)
            store.release()
            raise
        if self._capabilities.writable and self._compaction.due:
            self._upkeep.wake()

    def _close(self) -> None:
        try:
            self._retire()
            self._upkeep.close()
        except Exception:
            self._store.release()
            raise
        self._store.close()

    def _keep(self) -> None:
        self._store.journal.flush()

    def _after_fork(self) -> None:
        self._store.disown()

    def stale(self) -> bool:
        return self._refusal is None and self._store.replaced

    # --- Reading ----------------------------------------------------------------------------

    async def head(self) -> int:
        if self._refusal is not None:
            raise self._refuse()
        return self._store.index.head

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        if self._refusal is not None:
            raise self._refuse()
        store = self._store
        if at is None and len(keys) == 1:
            found = cast("tuple[bytes, int] | None", self.peek(keys[0]))
            return [None if found is None else _make(Record, found)]
        view = None if at is None else store.snapshots.own(at).revision
        return self._reading(lambda: store.reader.records(keys, view))

    def peek(self, key: bytes) -> Peeked:
        if self._refusal is not None:
            raise self._refuse()
        store = self._store
        kept = store.index.records.get(key)
        if kept is None:
            return None
        found = store.cache.get(key, kept[1])
        if found is not None:
            return found
        return self._reading(lambda: store.reader.newest(key))

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return self._page(range, at)

    def peek_page(self, range: Range) -> Page:
        return self._page(range, None)

    async def snapshot(self) -> Snapshot:
        if self._refusal is not None:
            raise self._refuse()
        return self._store.snapshots.take()

    # --- The other verbs --------------------------------------------------------------------

    @staticmethod
    def repair(config: EngineConfig, components: Components) -> list[str]:
        """Mend a damaged database that is not open; what was done, a line each.

        `holdfast check --repair` calls it. Nothing is done where nothing is wrong.
        """
        return mend(cast("FileConfig", config), components)

    # --- For the common part ----------------------------------------------------------------

    def _begin(self) -> Writer:
        store = self._store
        if store.snapshots:
            store.snapshots.end_old()
        else:
            store.journal.forget_retired()
        store.journal.ready()
        store.journal.roll_if_full()
        return FileWriter(
            store.journal, store.reader, self.components.clock, flush=not store.relaxed
        )

    def _loaded(self, head: int) -> None:
        super()._loaded(head)
        self._upkeep.wake()

    def _head_now(self) -> int:
        return self._store.index.head

    def _may_run_inline(self, work: Work) -> bool:
        store = self._store
        return (
            store.relaxed
            and not store.journal.full
            and not store.journal.scarce
            and store.journal.failure is None
            and is_small(work)
        )

    def _may_lead_promptly(self) -> bool:
        store = self._store
        if store.relaxed or store.journal.full or store.journal.scarce:
            return False
        return self._next_are_small()

    def _recover(self) -> bool:
        self._store.journal.settle()
        return super()._recover()

    def _let_go(self) -> None:
        self._store.index.forget_order()
        let_go(self._store.index.lock)

    def _finish(self, group: Group) -> None:
        super()._finish(group)
        if self._store.journal.scarce:
            self._room_restored()
        if self._store.journal.dirty or (self._compacts and self._compaction.due):
            self._upkeep.wake()

    # --- Inside -----------------------------------------------------------------------------

    def _reading(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (StoreError, ValueError):
            if self._refusal is not None:
                raise self._refuse() from None  # Closed by another thread meanwhile.
            raise
        except MemoryError as error:
            raise no_memory("read", lighter="read less at once") from error

    def _page(self, range: Range, at: Snapshot | None) -> Page:
        if self._refusal is not None:
            raise self._refuse()
        store, limits = self._store, self._capabilities
        rows_max = range.rows_wanted(limits.page_rows_max)
        view = None if at is None else store.snapshots.own(at).revision
        return self._reading(
            lambda: store.reader.page(range, view, rows_max, limits.page_bytes_max)
        )

    def _keep_up(self) -> float | None:
        """What the housekeeping thread does."""
        store = self._store
        store.snapshots.end_old()
        again_s = self._settings.snapshot_age_max if store.snapshots else None
        if not self._capabilities.writable or self._refusal is not None:
            return again_s
        try:
            store.journal.flush()  # A failed flush is told to the next commit.
            if self._compacts and self._compaction.due:
                self._committer.exclusively(self._step)
                return 0.0
        except StorageFull:
            return again_s  # Whoever finds no room compacts, with the ballast's help.
        except IntegrityFailed as error:
            self._compacts = False
            _log.warning("%s is not compacted any more: %s", self.config.url, error)
        except StoreError as error:
            _log.warning("looking after %s failed: %s", self.config.url, error)
        return again_s

    def _step(self) -> None:
        if self._refusal is not None:
            raise self._refuse()
        self._compaction.step()

    def _make_room(self) -> bool:
        """Find room after a write found none; whether it may be tried again. The leader does.

        What is dead is compacted with the help of the ballast. If that does not bring the ballast
        back, only what deletes is written until it is.
        """
        store = self._store
        if store.journal.at_limit:
            return True  # A new segment begins.
        try:
            store.journal.ready()
            store.journal.scarce = True
            store.place.ballast.release()
            for _ in range(len(store.journal.segments) + 1):
                dead = store.journal.dead
                if self._room_restored() or not self._compacts or dead < DEAD_BYTES_LEAST:
                    return True
                while not self._compaction.step():
                    pass
        except StorageFull:
            return True
        except (StoreError, OSError) as error:
            _log.warning("making room for %s failed: %s", self.config.url, error)
            return False
        return True

    def _room_restored(self) -> bool:
        """Put the ballast back if there is room for it and more."""
        store = self._store
        if store.place.ballast.room_bytes() < self._settings.ballast + ROOM_BYTES:
            return False
        store.journal.scarce = not store.place.ballast.make(self._settings.ballast, margin=1)
        return not store.journal.scarce

    def _check(self) -> list[str]:
        moments = []
        self._committer.exclusively(lambda: moments.append(moment_of(self._store.journal)))
        return what_is_wrong(moments[0])

    def _compact(self) -> int:
        """Compact every segment that there is now; bytes freed."""
        journal = self._store.journal
        before = journal.size
        last = journal.active.number
        if journal.dead:
            while next(iter(journal.segments)) <= last:
                self._committer.exclusively(self._step)
        return max(before - journal.size, 0)
