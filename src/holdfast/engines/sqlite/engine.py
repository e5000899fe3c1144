"""The SQLite engine: how its parts play together."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Concatenate, ParamSpec, TypeVar, cast

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import NOT_NOW, NotNow, Peeked, Snapshot
from holdfast.contract.errors import StoreError
from holdfast.contract.lookup import Look, LookedUp, Lookup, Sifted, Tally
from holdfast.contract.record import Counted, Page, Range, Record
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.group import Group, Work, Writer
from holdfast.engines.embedded.on_files import EngineOnFiles, is_small
from holdfast.engines.embedded.upkeep import Upkeep
from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.engines.sqlite.counting import count, tally
from holdfast.engines.sqlite.failures import DRIVER_ERRORS, told, translate
from holdfast.engines.sqlite.lookups import look_up, sifted
from holdfast.engines.sqlite.opening import Opened, keep_for_ever, open_database
from holdfast.engines.sqlite.readers import Reader, SqliteSnapshot
from holdfast.engines.sqlite.room import log_of, size_of
from holdfast.engines.sqlite.tables import FORMAT_VERSION
from holdfast.engines.sqlite.verify import what_is_wrong
from holdfast.engines.sqlite.writer import SqliteWriter

P = ParamSpec("P")
T = TypeVar("T")


class SqliteEngine(EngineOnFiles):
    """Records in a table of a SQLite file."""

    config_type = SqliteConfig

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._settings = settings = cast("SqliteConfig", config)
        self._database: Opened | None = None
        self._lineage = ""
        self._prepared: SqliteWriter | None = None
        # The key that the next transaction reads first.
        self._first: bytes | None = None
        # Whether the connections were let go of for a fork.
        self._released = False
        self._upkeep = Upkeep(
            "holdfast sqlite housekeeping",
            components.host,
            settings.flush_interval / 2 if settings.durability == "relaxed" else 0.0,
            self._keep_up,
        )
        writable = not settings.read_only
        self._capabilities = Capabilities(
            engine="sqlite",
            io=Io.BLOCKING,
            durability=settings.durability,
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

    @property
    def stored_format(self) -> int:
        return FORMAT_VERSION

    # --- Life -------------------------------------------------------------------------------

    def _open(self) -> None:
        with ExitStack() as undo:
            database = open_database(self._settings, self.components)
            undo.callback(database.close)
            undo.callback(self._retire)
            self._lineage = database.lineage
            self._database = database
            self._opened()
            undo.pop_all()

    def _close(self) -> None:
        with ExitStack() as last_first:
            # In any case, for what an interrupt leaves open would stay so.
            if self._database is not None:  # Else the opening was interrupted before that.
                last_first.callback(self._database.close)
            last_first.callback(self._upkeep.close)
            last_first.callback(self._retire)

    def _keep(self) -> None:
        log = self._open_parts().pen.log
        if self._capabilities.writable and log.dirty:
            log.flush()

    def before_fork(self) -> None:
        self._released = False
        super().before_fork()
        # SQLite counts the locks of a process by itself, and a child would inherit the count
        # without the locks. So the child inherits no connection, where that can be had.
        if self._paused and not self._over:
            # Once more without the remains of interrupted calls, which may hold a view.
            release = self._open_parts().release
            self._released = release() or (gc.collect() > 0 and release())

    def after_fork_in_parent(self) -> None:
        try:
            if self._released:
                self._open_parts().reconnect()
        finally:
            super().after_fork_in_parent()

    def _after_fork(self) -> None:
        if self._database is not None and not self._released and not self._over:
            self._database.inherit()
            keep_for_ever(self)

    def stale(self) -> bool:
        """Whether the path leads to another database by now, or to none."""
        return self._refusal is None and self._open_parts().replaced

    # --- Reading ----------------------------------------------------------------------------

    async def head(self) -> int:
        if self._refusal is not None:
            raise self._refuse()
        return self._head_now()

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        if at is not None:
            return self._at(at, lambda reader: [reader.one(key) for key in keys])
        if len(keys) == 1:
            return [self._now(Reader.one, keys[0])]
        return self._now(Reader.many, keys)

    def peek(self, key: bytes) -> Peeked:
        # Spelled out rather than by `_now`: this is what every `get` costs.
        if self._refusal is not None:
            raise self._refuse()
        readers = self._open_parts().readers
        reader = readers.take()
        try:
            found = reader.one(key)
        except BaseException as error:
            readers.discard(reader)
            self._tell(error)
            raise
        readers.give_back(reader)
        return found

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        if at is None:
            return self.peek_page(range)
        rows_max = range.rows_wanted(self._capabilities.page_rows_max)
        bytes_max = self._capabilities.page_bytes_max
        return self._at(at, lambda reader: reader.page_of_view(range, rows_max, bytes_max))

    def peek_page(self, range: Range) -> Page:
        rows_max = range.rows_wanted(self._capabilities.page_rows_max)
        return self._now(Reader.page, range, rows_max, self._capabilities.page_bytes_max)

    def peek_count(self, range: Range) -> Counted:
        if range.limit is not None:
            range.rows_wanted(range.limit)  # Refuses one below 1.
        return self._now(count, range)

    def peek_lookup(self, lookup: Lookup) -> list[LookedUp] | NotNow:
        # Spelled out like `peek`: this is what a query costs.
        if self._refusal is not None:
            raise self._refuse()
        database = self._database
        readers = (database or self._open_parts()).readers
        reader = readers.take()
        try:
            found = look_up(reader, lookup)
        except BaseException as error:
            readers.discard(reader)
            self._tell(error)
            raise
        readers.give_back(reader)
        return NOT_NOW if found is None else found

    def peek_tally(self, wanted: Tally) -> list[int] | NotNow:
        found = self._now(tally, wanted)
        return NOT_NOW if found is None else found

    def peek_sifted(self, range: Range, look: Look, at: Snapshot) -> Sifted | NotNow:
        rows_max = range.rows_wanted(self._capabilities.page_rows_max)
        bytes_max = self._capabilities.page_bytes_max
        return self._at(at, lambda reader: sifted(reader, range, rows_max, bytes_max, look))

    async def snapshot(self) -> SqliteSnapshot:
        if self._refusal is not None:
            raise self._refuse()
        try:
            snapshot = self._open_parts().snapshots.take()
        except DRIVER_ERRORS as error:
            raise translate(error, self._settings.path) from error
        self._upkeep.wake()
        return snapshot

    # --- For the common part ----------------------------------------------------------------

    def _begin(self) -> Writer:
        prepared, self._prepared = self._prepared, None
        return prepared or self._open_parts().pen.begin(first=self._first)

    def _loaded(self, head: int) -> None:
        super()._loaded(head)
        self._upkeep.wake()

    def _head_now(self) -> int:
        try:
            return self._open_parts().newest.head()
        except DRIVER_ERRORS as error:
            raise translate(error, self._settings.path) from error

    def _may_run_inline(self, work: Work) -> bool:
        return (
            self._settings.durability == "relaxed"
            and not self._open_parts().pen.room.scarce
            and is_small(work)
            and self._prepare(flushes=False)
        )

    def _may_lead_promptly(self) -> bool:
        if self._open_parts().pen.room.scarce:
            return False
        # In relaxed mode only the mark flushes, seldom, and nobody measured how long that takes.
        return self._next_are_small() and self._prepare(flushes=self._settings.durability == "full")

    def _prepare(self, *, flushes: bool) -> bool:
        """Begin the transaction that the next group uses, unless that would wait."""
        pen = self._open_parts().pen
        try:
            self._prepared = writer = pen.begin(wait=False)
        except StoreError:
            return False  # Another process writes, or worse: the writer thread will see.
        if flushes or writer.marked:
            return True
        self._let_go()  # This commit has to flush its mark.
        return False

    def _let_go(self) -> None:
        self._prepared = None
        self._open_parts().pen.roll_back()

    def _run_group(self, works: list[Work]) -> None:
        keys = works[0].keys
        self._first = keys[0] if keys else None
        super()._run_group(works)

    def _finish(self, group: Group) -> None:
        super()._finish(group)
        pen = self._open_parts().pen
        log = pen.log
        if pen.room.scarce:
            # At once, or the log takes the room that the main file needs to take it over.
            with suppress(StoreError):
                log.checkpoint()
        if log.dirty or log.full:
            self._upkeep.wake()

    # --- Inside -----------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        """Whether its connections are closed: an interrupted close may have come that far."""
        return self._database is None or self._database.closed

    def _now(self, read: Callable[Concatenate[Reader, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """What a read finds at this moment."""
        if self._refusal is not None:
            raise self._refuse()
        readers = self._open_parts().readers
        reader = readers.take()
        try:
            found = read(reader, *args, **kw)
        except BaseException as error:
            # Interrupted half-way it may hold a view for ever.
            readers.discard(reader)
            self._tell(error)
            raise
        readers.give_back(reader)
        return found

    def _tell(self, error: BaseException) -> None:
        """Raise what the contract calls the error of a read, if that is another one."""
        # In a frame of its own: an error that its own frame holds keeps all of the read alive.
        said = told(error, self._settings.path)
        if said is not error:
            raise said from error

    def _at(self, at: Snapshot, read: Callable[[Reader], T]) -> T:
        """What a read finds in a snapshot."""
        if self._refusal is not None:
            raise self._refuse()
        snapshot = self._open_parts().snapshots.own(at)
        try:
            return snapshot.reading(read)
        except DRIVER_ERRORS as error:
            raise translate(error, self._settings.path) from error

    def _open_parts(self) -> Opened:
        if self._database is None:
            raise self._refuse()
        return self._database

    def _keep_up(self) -> float | None:
        """What the housekeeping thread does."""
        database = self._open_parts()
        if self._capabilities.writable:
            # A failed flush is told to the next commit; a failed checkpoint is tried again.
            with suppress(StoreError):
                if database.pen.log.dirty:
                    database.pen.log.flush()
                if database.pen.log.full:
                    # Most of it while commits go on, the rest while none runs.
                    database.pen.log.checkpoint()
                    self._committer.exclusively(self._renew_log)
        return database.snapshots.retire_old()

    def _renew_log(self) -> None:
        database = self._open_parts()
        database.pen.log.checkpoint("RESTART")
        if self._settings.durability == "relaxed":
            database.pen.touch()

    def _make_room(self) -> bool:
        database = self._open_parts()
        database.pen.room.release()
        with suppress(StoreError):  # What could not be moved stays in the log, and is safe there.
            database.pen.log.checkpoint("TRUNCATE")
        return True

    def _check(self) -> list[str]:
        readers = self._open_parts().readers
        reader = readers.take()
        try:
            wrong = what_is_wrong(reader.connection)
        except BaseException as error:
            readers.discard(reader)
            if isinstance(error, sqlite3.DatabaseError):
                return [str(translate(error, self._settings.path))]
            raise
        readers.give_back(reader)
        return wrong

    def _compact(self) -> int:
        path = self._settings.path
        before = size_of(path) + size_of(log_of(path))
        self._committer.exclusively(self._open_parts().pen.compact)
        return max(before - size_of(path) - size_of(log_of(path)), 0)
