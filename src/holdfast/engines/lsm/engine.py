"""An engine on a log-structured merge tree: how its parts play together."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar, cast
from weakref import ref

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Peeked, Snapshot
from holdfast.contract.errors import StoreError
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.group import Group, Work, Writer
from holdfast.engines.embedded.locking import let_go
from holdfast.engines.embedded.on_files import EngineOnFiles, is_small
from holdfast.engines.embedded.upkeep import Upkeep
from holdfast.engines.lsm import layout
from holdfast.engines.lsm.checking import what_is_wrong
from holdfast.engines.lsm.config import LsmConfig
from holdfast.engines.lsm.driver import Driver, Walk
from holdfast.engines.lsm.opened import Now, Opened
from holdfast.engines.lsm.place import Place
from holdfast.engines.lsm.writer import LsmWriter

T = TypeVar("T")

_log = logging.getLogger("holdfast")


_make = tuple.__new__


class LsmEngine(EngineOnFiles):
    """Records in sorted tables. A subclass says how its driver is opened."""

    config_type: ClassVar[type[LsmConfig]]

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._settings = settings = cast("LsmConfig", config)
        self._opened_now = self._new()
        self._lineage = ""
        self._upkeep = Upkeep(
            f"holdfast {settings.scheme} housekeeping",
            components.host,
            settings.flush_interval / 2 if settings.durability == "relaxed" else 0.0,
            self._keep_up,
        )
        writable = not settings.read_only
        self._capabilities = Capabilities(
            engine=settings.scheme,
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
            snapshot_age_max_s=settings.snapshot_age_max,
        )

    # --- Life -------------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def _open_driver(config: LsmConfig, place: Place, monotonic: Callable[[], float]) -> Driver:
        """Open or make the driver's directory; see `OpenDriver`."""

    def _new(self) -> Opened:
        return Opened(self._settings, self.components, self._open_driver)

    def _open(self) -> None:
        opened = self._opened_now
        try:
            opened.open()
            self._lineage = opened.lineage
            self._opened()
        except BaseException:
            # An interrupt may come anywhere; the next opening finds nothing open.
            self._lineage = ""
            self._opened_now = self._new()
            opened.release()
            raise

    def _close(self) -> None:
        try:
            self._retire()
            self._upkeep.close()
        except Exception:
            self._opened_now.release()
            raise
        self._opened_now.close()

    def _keep(self) -> None:
        self._opened_now.flush()

    def _after_fork(self) -> None:
        self._opened_now.disown()

    def stale(self) -> bool:
        return self._refusal is None and self._opened_now.replaced

    # --- Reading ----------------------------------------------------------------------------

    async def head(self) -> int:
        if self._refusal is not None:
            raise self._refuse()
        return self._opened_now.head

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        if self._refusal is not None:
            raise self._refuse()
        if at is None and len(keys) == 1:
            found = cast("tuple[bytes, int] | None", self.peek(keys[0]))
            return [None if found is None else _make(Record, found)]
        stored = [layout.ROWS + key for key in keys]
        values = self._reading(at, lambda now: now.view.get_many(stored))
        return [None if value is None else layout.record_of(value) for value in values]

    def peek(self, key: bytes) -> Peeked:
        if self._refusal is not None:
            raise self._refuse()
        opened = self._opened_now
        now = opened.now
        try:
            found = now.view.get(layout.ROWS + key)
        except StoreError:
            stood = False
        else:
            # Else a commit came in between, and may have shown too early.
            stood = opened.now is now
        if not stood:
            del now  # It may hold open what is opened anew, which this waits for.
            found = self._reading(None, lambda now: now.view.get(layout.ROWS + key))
        return None if found is None else layout.decode_row(found)

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        return self._page(range, at)

    def peek_page(self, range: Range) -> Page:
        return self._page(range, None)

    async def snapshot(self) -> Snapshot:
        if self._refusal is not None:
            raise self._refuse()
        opened = self._opened_now
        return self._reading(None, lambda now: opened.snapshots.take(now.view, now.head))

    # --- For the common part ----------------------------------------------------------------

    def _begin(self) -> Writer:
        opened = self._opened_now
        opened.snapshots.end_old()
        opened.ready()
        return LsmWriter(opened, self.components.clock.now_ms())

    def _loaded(self, head: int) -> None:
        super()._loaded(head)
        self._upkeep.wake()

    def _head_now(self) -> int:
        return self._opened_now.head

    def _may_run_inline(self, work: Work) -> bool:
        opened = self._opened_now
        return opened.relaxed and not opened.room.scarce and is_small(work)

    def _may_lead_promptly(self) -> bool:
        opened = self._opened_now
        if opened.relaxed or opened.room.scarce:
            return False
        return self._next_are_small()

    def _recover(self) -> bool:
        self._opened_now.settle()
        return super()._recover()

    def _let_go(self) -> None:
        let_go(self._opened_now.busy)

    def _finish(self, group: Group) -> None:
        super()._finish(group)
        opened = self._opened_now
        if opened.room.scarce:
            opened.room.restored()
        if opened.dirty or opened.snapshots:
            self._upkeep.wake()

    # --- Inside -----------------------------------------------------------------------------

    def _reading(self, at: Snapshot | None, read: Callable[[Now], T]) -> T:
        """What `read` finds in a view that stands still."""
        opened = self._opened_now
        if at is None:
            return self._retried(lambda: read(opened.fixed()))
        view, revision = opened.snapshots.view_of(at)
        try:
            return read(Now(view, revision))
        except StoreError:
            if self._refusal is not None:
                raise self._refuse() from None  # Closed by another thread meanwhile.
            opened.snapshots.view_of(at)
            raise

    def _retried(self, read: Callable[[], T]) -> T:
        """What `read` finds, once more where the database was opened anew meanwhile."""
        opened = self._opened_now
        while True:
            # A strong one would hold open what is opened anew, which the read waits for.
            openings, seen = opened.openings, ref(opened.now.view)
            try:
                return read()
            except StoreError:
                if self._refusal is not None:
                    raise self._refuse() from None
                anew = opened.openings != openings
                # A driver that is being closed says anything; the next read waits for another.
                view = opened.now.view
                if not anew and (view is seen() or not view.soon):
                    raise

    def _page(self, range: Range, at: Snapshot | None) -> Page:
        if self._refusal is not None:
            raise self._refuse()
        limits = self._capabilities
        rows_max = range.rows_wanted(limits.page_rows_max)
        start, end = layout.bounds(range)

        def look(walk: Walk, revision: int) -> Page:
            found = walk.rows(
                start, reverse=range.reverse, rows_max=rows_max, bytes_max=limits.page_bytes_max
            )
            rows = [(key[1:], layout.record_of(value)) for key, value in found.rows]
            return Page(rows, range.after(rows[-1][0]) if found.more else None, revision)

        opened = self._opened_now
        if at is None:
            return self._retried(lambda: look(*opened.walk(end)))
        return self._reading(at, lambda now: look(now.view.walk(end), now.head))

    def _keep_up(self) -> float | None:
        """What the housekeeping thread does."""
        opened = self._opened_now
        opened.snapshots.end_old()
        again_s = self._settings.snapshot_age_max if opened.snapshots else None
        if self._capabilities.writable and self._refusal is None:
            try:
                opened.flush()
            except StoreError as error:  # The next commit meets it too.
                _log.warning("looking after %s failed: %s", self.config.url, error)
        return again_s

    def _make_room(self) -> bool:
        """Find room after a write found none; whether it may be tried again. The leader does."""
        try:
            self._opened_now.make_room()
        except (StoreError, OSError) as error:
            _log.warning("making room for %s failed: %s", self.config.url, error)
            return False
        return True

    def _check(self) -> list[str]:
        return self._reading(None, what_is_wrong)

    def _compact(self) -> int:
        return self._opened_now.compact()
