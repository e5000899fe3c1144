"""Commits that are told after one flush of the journal; LMDB gets them in bulk, later.

Only while this process has the database to itself, which it tries once commits come quickly. It
then holds presence alone, and the writer's turn. What the journal has and LMDB lacks lies in two
layers, which every read of this engine sees: the newest takes commits, the older one is written to
LMDB by a thread. When somebody stands at the door, when nothing was written for a while, and when
the engine closes, everything is written to LMDB and the database is shared again, before anybody
else can look at it.

    direct   LMDB has everything; commits go there, as without a journal
    on       commits go to the journal; LMDB says which generation of it is not there yet

The leader of the committer changes from one to the other and appends; the thread alone writes the
older layer. A change in LMDB that an interrupt may have hidden is a *doubt*: the next to lead asks
LMDB itself how it ended.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import NamedTuple

from holdfast.contract.errors import StoreError
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.committer import Committer
from holdfast.engines.embedded.locking import holding, let_go
from holdfast.engines.lmdb import facts, journal_format
from holdfast.engines.lmdb.flushing import told
from holdfast.engines.lmdb.journal_bulk import Tries, rows_max, write_rows
from holdfast.engines.lmdb.journal_file import JournalFile
from holdfast.engines.lmdb.journal_writer import JournalWriter
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Layers, Overlay
from holdfast.engines.lmdb.served import Served
from holdfast.engines.lmdb.warm_up import WarmUp
from holdfast.engines.lmdb.writer import LmdbWriter

_log = logging.getLogger("holdfast")

#: How often the thread looks at the door.
TICK_S = 0.005
#: After so long without a commit the database is shared again.
IDLE_S = 0.25
#: After so long LMDB gets what the journal has, however little.
AGE_S = 2.0
#: So many rows are no longer copied for each snapshot: LMDB gets them.
COPIED_ROWS_MAX = 4096
#: How long to wait before LMDB is tried again after a failure.
RETRY_S = 0.5


class _Landing(NamedTuple):
    """Commits that show once the journal has come as far as this."""

    staged: Overlay
    at: int


class Journaled(Served):
    """The journal of one engine, and the thread that writes it to LMDB.

    Args:
        medium: the environment, open.
        components: clock, ids and threads.
        committer: of the engine.

    Attributes:
        on: commits go to the journal.
    """

    def __init__(self, medium: Medium, components: Components, committer: Committer) -> None:
        super().__init__(medium, components, committer)
        self.on = False
        self._now = components.clock.monotonic
        self._file: JournalFile | None = None
        self._head = 0
        #: LMDB's own newest revision, while `on`.
        self._applied = 0
        self._rows_max = 0
        self._landing: _Landing | None = None
        self._doubt = self._broken = False
        #: What the thread asks of the next leader, or a loop of the thread.
        self._due = self._roll_soon = self._wanted = False
        self._warm_up = WarmUp(self._now)
        self._last = self._rolled_at = self._now()
        self._tries = Tries()

    # --- For the leader --------------------------------------------------------------------

    def writer(self, *, may_begin: bool) -> JournalWriter | None:
        """What the next group writes to; None: to LMDB, directly.

        Args:
            may_begin: the journal may begin here; else the thread begins it for a later group.
        """
        if self._landing is not None or self._doubt:
            self.recover()
        if self.on and self._due and not self._committer.on_loop:
            with suppress(StoreError):  # While LMDB cannot take it, the journal still may.
                self._share()
            if self._doubt:
                self._resolve()
        if not self.on and not self._begins(here=may_begin):
            return None
        self._medium.check_place()
        return JournalWriter(self, self._commit, self._medium, self._components.clock, self._head)

    @property
    def active(self) -> bool:
        """Whether the database is not shared, or nobody knows."""
        return self.on or self._doubt

    @property
    def prompt(self) -> bool:
        """Whether a group here and now would wait for nothing but one flush."""
        if not self.on or self._due or self._doubt or self._broken or self._file is None:
            return False
        return self.layers.older is None or self._file.left >= self._file.half // 2

    def _commit(self, staged: Overlay) -> None:
        """Have the journal hold what was decided, and show it. Into LMDB where it does not fit."""
        file = self._file
        assert file is not None
        body = journal_format.pack(staged.rows, staged.ids)
        staged.bytes = body.size
        try:
            # Record 0 takes a place of its own.
            room = not self._broken and body.size <= file.half - 2 * journal_format.RECORD_BYTES
            newest = self.layers.newest
            mixed = newest.generation != file.place.generation
            many = len(newest.rows) >= self._rows_max
            if room and (body.size > file.left or self._roll_soon or mixed or many):
                room = self._roll()
            if room:
                at = file.place.at
                self._landing = _Landing(staged, at)
                file.append(body, self._head, staged.head)
        except OSError as error:
            # Whether it is there is not known. LMDB gets it, and names no journal any more.
            self._landing = None
            self._break(error)
            room = False
        if not room:
            self._drain(staged)
            return
        self._land()
        self._last = self._now()

    def recover(self) -> None:
        """After an interrupt of the leader. Raises what LMDB says when it is asked."""
        let_go(self._lock)
        self._land()
        self._landing = None
        if self._doubt:
            self._resolve()

    # --- For everybody ------------------------------------------------------------------------

    def head(self) -> int | None:
        if self._landing is not None:
            self._land()
        return self._head if self.on else None

    def flush(self) -> None:
        if self.active:
            self._committer.exclusively(self._share)

    def close(self) -> None:
        failure: StoreError | None = None
        try:
            self.flush()
        except StoreError as error:
            failure = error  # The journal keeps it; the next opening writes it to LMDB.
        self._end_thread()
        self.disown()
        if failure is not None:
            raise failure

    def disown(self) -> None:
        """Close the journal's file; in a forked child, which has it from its parent."""
        if self._file is not None:
            self._file.close()

    # --- Inside: from direct to on ------------------------------------------------------------

    def _begins(self, *, here: bool) -> bool:
        """Whether the journal begins with this group."""
        if not self._warm_up.noticed() or self._broken or self.ended:
            return False
        self._start_thread("holdfast lmdb journal")
        if self._committer.on_loop or not here:
            self._wanted = True
            self._ring()  # It takes some flushes, for which no loop waits.
            return False
        self._begin()
        return self.on

    def _begin(self) -> None:
        """Have the database to ourselves, and begin a generation, unless somebody is there."""
        locks = self._medium.locks
        self._wanted = False
        if self.on or self.ended or not locks.try_turn():
            return
        try:
            if locks.claim() and not locks.knocked and self._medium.alone:
                self._rows_max = rows_max(self._medium)
                if self._rows_max:
                    self._begin_generation()
        except OSError as error:
            self._break(error)
        except StoreError:
            # What goes to LMDB directly meets it again, and tells it.
            if self._doubt:
                self._resolve()
        finally:
            if not self.active:
                self._warm_up.denied()
                locks.unclaim()
                locks.end_turn()

    def _begin_generation(self) -> None:
        medium = self._medium
        if self._file is None:
            path, size = medium.place.journal, medium.config.journal
            self._file = JournalFile(path, size, self._components.ids)
        file = self._file
        writer = LmdbWriter(medium, self._components.clock, turn_taken=True)
        try:
            medium.env.reader_check()  # A place that is still held is a dead reader's.
            writer.begin()
            fact = writer.look(facts.read_journal)
            generation = 1 if fact is None else fact.generation + 1
            file.place = file.begin(generation, writer.head, chained=False)
            self._head = self._applied = writer.head
            self._layer(Layers(Overlay(generation)))
            self._last = self._rolled_at = self._now()
            writer.note = partial(facts.write_journal, fact=file.fact(unapplied=True))
            self._doubt = True
            writer.finish(writer.head)
            self.on = True
            self._doubt = False
        finally:
            writer.abandon()
        self._ring()

    # --- Inside: from on to direct ------------------------------------------------------------

    def _share(self) -> None:
        """Write everything to LMDB and share the database, if that is not so."""
        if self._doubt:
            self._resolve()
        if self.on:
            self._drain(None)

    def _drain(self, more: Overlay | None) -> None:
        """Write everything to LMDB in one commit, with what was just decided, and share."""
        if self.layers.older is not None:
            self._await_applied()
        rest = self.layers.newest
        if more is not None:
            together = Overlay(rest.generation)
            together.absorb(rest)
            together.absorb(more)
            rest = together
        self._doubt = True
        self._write(rest, unapplied=False)
        self._go_direct()
        self._doubt = False

    def _go_direct(self) -> None:
        """LMDB has everything and says so: let the others in. Can be repeated."""
        self._layer(Layers(Overlay()))
        self._warm_up.over()
        self._due = self._roll_soon = self.on = False
        self._tries.failure = None
        self._medium.locks.end_turn()
        self._medium.locks.unclaim()

    def _resolve(self) -> None:
        """Ask LMDB how a change ended that nobody saw the end of."""
        fact = self._medium.reading(facts.read_journal)
        if fact is not None and fact.unapplied:
            self.on = True  # Nobody else can have said so: this process is alone.
            self._ring()
        else:
            self._go_direct()
        self._doubt = False

    def _break(self, error: OSError) -> None:
        """The journal cannot be written: go on without, until the database is opened again."""
        self._broken = True
        _log.warning(
            "the journal %s cannot be used (%s); commits go to the database file until it is "
            "opened again", self._medium.place.journal, error.strerror,
        )  # fmt: skip

    # --- Inside: layers -----------------------------------------------------------------------

    def _land(self) -> None:
        """Show the commits that the journal has by now. Any thread may do it."""
        holding(self._lock, self._land_now)

    def _land_now(self) -> None:
        landing, file = self._landing, self._file
        if landing is None or file is None or file.place.at <= landing.at:
            return
        staged, newest = landing.staged, self.layers.newest
        newest.update(staged.rows)
        if staged.ids:
            newest.ids.update(staged.ids)
        newest.bytes += staged.bytes
        self._head = newest.head = staged.head
        self._landing = None

    def _roll(self) -> bool:
        """Go on in the other half; LMDB gets what is in this one. False: room is short for that."""
        file = self._file
        assert file is not None
        if self.layers.older is not None:
            self._await_applied()
        self._rows_max = rows_max(self._medium)
        if not self._rows_max:
            return False
        if self.layers.newest.generation == file.place.generation:
            generation = file.place.generation + 1
            file.place = file.begin(generation, self._head, chained=True)
        # An interrupt may come between the two: then this is done before the next append.
        self._layer(Layers(Overlay(file.place.generation), self.layers.newest))
        self._roll_soon = False
        self._rolled_at = self._now()
        self._ring()
        return True

    def _layer(self, layers: Layers) -> None:
        def layer() -> None:
            self.layers = layers
            self._held = None

        holding(self._lock, layer)

    def _frozen(self) -> Layers:
        if len(self.layers.newest.rows) > COPIED_ROWS_MAX and self.layers.older is None:
            self._roll_soon = True
        return super()._frozen()

    def _await_applied(self) -> None:
        """Wait until it was tried to write the older layer to LMDB. Raises what that met."""
        older = self.layers.older
        if older is not None and get_ident() == self.worker:
            self._apply(older)  # On the thread that would be waited for.
            return
        self._tries.wait(still=lambda: self.layers.older is not None, ring=self._ring)
        if self.layers.older is not None:
            failed = StoreError(f"writing to the database {self._medium.url} failed; try again")
            raise self._tries.failure or failed

    def _write(self, overlay: Overlay, *, unapplied: bool) -> None:
        """Write an overlay to LMDB, which then has all, or all but the generation in use."""
        assert self._file is not None
        head, fact = max(overlay.head, self._applied), self._file.fact(unapplied=unapplied)
        clock = self._components.clock
        write_rows(self._medium, clock, overlay, self._applied, head, fact, pause=unapplied)
        self._applied = head

    # --- Inside: on the thread that writes to LMDB --------------------------------------------

    def look(self, *, due: bool) -> float | None:
        try:
            return self._step()
        except Exception as error:  # noqa: BLE001 - the thread goes on, and who waits hears it
            self._tries.tried(told(error, self._medium.url))
            return RETRY_S

    def _step(self) -> float | None:
        if self._wanted:
            self._lead(self._begin)
        if not self.active:
            return None
        older = self.layers.older
        if older is not None:
            self._apply(older)
            return 0.0
        now = self._now()
        locks = self._medium.locks
        if now - self._last > IDLE_S or locks.knocked or not self._medium.alone:
            self._due = True  # Or the next leader does it.
            self._lead(self._share)
        elif self.layers.newest.head and now - self._rolled_at > AGE_S:
            self._roll_soon = True
        return TICK_S

    def _apply(self, older: Overlay) -> None:
        """Write the older layer to LMDB, and take it away."""
        self._write(older, unapplied=True)
        self._layer(Layers(self.layers.newest))
        self._tries.tried(None)
