"""`durability=relaxed`: commits are acknowledged at once and flushed within the interval.

The leader of a commit takes the writer's turn among the processes, decides on file and overlay,
and writes to the overlay alone, which every read of this engine sees. One thread flushes: what was
written so far is frozen, a second overlay takes the commits that come meanwhile, and the turn is
kept until nothing is left or another process asks for it. So a commit wakes nobody and waits for
no flush, unless memory or another process says so.

Where room is short nothing is acknowledged early: each group is flushed before its callers are
answered, as in `full` mode, because what was acknowledged could not be taken back.

Whoever dies in between loses what was acknowledged and not flushed, never more, never a part of a
batch. A note in the file says that such a process exists; whoever next writes after its death
starts a new lineage, so that cursors of the lost revisions are refused instead of misread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import get_ident
from weakref import ref

from holdfast.contract.batch import Batch, Delete, DeleteRange, Draft, Put
from holdfast.contract.errors import StorageFull, StoreError
from holdfast.contract.runtime import Components, Worker
from holdfast.engines.embedded.committer import Committer
from holdfast.engines.embedded.locking import holding, let_go
from holdfast.engines.embedded.work import Work
from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.flushing import (
    Bell,
    flush_when_rung,
    note_owner,
    told,
    write_overlay,
)
from holdfast.engines.lmdb.layered import Layered
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Layers, Overlay
from holdfast.engines.lmdb.relaxed_group import OverlayGroup
from holdfast.engines.lmdb.writer import RESERVE_BYTES_MAX

#: Room that a group may want: its rows, the pages they leave half full, the trees above.
ROOM_FACTOR = 2
ROOM_MARGIN_BYTES = 4 * 1024 * 1024
#: How long the flushing thread waits for a leader before it looks whether that one waits for it.
_LEAD_PAUSE_S = 0.005


class Relaxed(Layered):
    """The overlays of one engine, and the thread that flushes them.

    All but `layers` belongs to the leader of the committer; the older layer to the thread.

    Args:
        medium: the environment, open.
        components: clock and threads.
        validate: raises for a batch that breaks a limit.
        committer: that runs the groups; a flush begins between two of them.

    `layers` is what is acknowledged and not flushed; `ended`, `turn`, `worker`: see `flushing.py`.
    """

    def __init__(
        self,
        medium: Medium,
        components: Components,
        validate: Callable[[Batch | Draft], None],
        committer: Committer,
    ) -> None:
        super().__init__(medium)
        self._components = components
        self._validate = validate
        self._committer = committer
        self._group: OverlayGroup | None = None
        #: The group ends with this flush: another process waits, or room is short.
        self._last = False
        self._noted = self.ended = False
        self._flushes = 0
        self._failure: StoreError | None = None
        self._thread: Worker | None = None
        self.turn: object = None
        self.worker = 0
        self._bell: Bell = SimpleQueue()
        self._waiting: list[SimpleQueue[None]] = []
        self._half = max(1, medium.config.relaxed_bytes_max // 2)  # There are two overlays.
        self._room_wanted = ROOM_FACTOR * medium.config.relaxed_bytes_max + ROOM_MARGIN_BYTES
        medium.locks.own(medium.owner)

    # --- Commits: the leader ---------------------------------------------------------------

    def pin(self) -> bool:
        """Whether a commit can run here and now, without a flush and without waiting."""
        group = self._group
        if group is None:
            if not self._noted or self._thread is None or not self._medium.locks.try_turn():
                return False
            try:
                return self._start()
            except StoreError:
                return False  # The next leader meets it again, and tells it.
            finally:
                if self._group is None:
                    self._medium.locks.end_turn()
        if self._last or self._failure is not None:
            return False
        layers = group.layers
        return layers.older is None or layers.newest.bytes < self._half

    def run(self, works: Sequence[Work]) -> int | None:
        """Decide the batches and acknowledge them.

        Returns:
            The newest revision if they wrote, 0 if not, None where room is short: then nothing
            was decided, and the group has to be committed as in `full` mode.
        """
        try:
            self._medium.check_place()
            group = self._ready()
        except StoreError as error:
            for work in works:
                work.error = error
            return 0
        if group is None:
            return None
        before = group.revision
        for work in works:
            if work.batch is not None and self._failure is not None:
                try:
                    self._refuse_growth(work.batch)
                except StoreError as error:
                    work.error = error
                    continue
            group.run(work)
        if group.layers.newest.bytes >= self._half and group.layers.older is None:
            self._freeze(group)
            self._ring()
        return group.revision if group.revision > before else 0

    def recover(self, works: Sequence[Work]) -> int:
        """After an interrupt of `run`: batches are taken in or still to decide; the revision."""
        let_go(self._lock)
        group = self._group
        if group is None:
            self._medium.locks.end_turn()
            return 0
        group.settle_interrupted()
        return group.revision if any(work.receipt is not None for work in works) else 0

    def flush(self) -> None:
        """Flush what is acknowledged, end the turn, and wait for both. Raises what it met."""
        self._committer.exclusively(self._flush_all)

    def close(self) -> None:
        """Flush, note that nothing is lost, end the thread. Can be called again."""
        failure: StoreError | None = None
        try:
            self.flush()
        except StoreError as error:
            failure = error
        self.ended = True
        # Also where there seems to be no thread: an interrupt may have come as it was started.
        self._ring()
        if self._thread is not None:
            self._thread.join()
        if failure is not None:
            raise failure
        if self._noted and not self._medium.replaced:
            self._note(facts.remove_owner)
        self._noted = False

    # --- Reads ------------------------------------------------------------------------------

    def head(self) -> int | None:
        group = self._group
        return None if group is None else group.revision

    # --- Inside: on the caller's thread -------------------------------------------------------

    def _ready(self) -> OverlayGroup | None:
        """The open group, once there is room in its overlay; None where disk room is short."""
        while True:
            group = self._group
            if group is None:
                if not self._take_turn():
                    return None
                continue
            newest, older = group.layers
            if self._failure is not None:
                self._merge(group)
                return group
            if older is not None and (self._last or newest.bytes >= self._half):
                self._await_flush(older)
            elif self._last:
                self._end(group)
            elif newest.bytes < self._half:
                return group
            else:
                self._freeze(group)
                self._ring()

    def _take_turn(self) -> bool:
        """Wait for the turn and open a group; False where room is short."""
        if self._thread is None:
            me, bell, spawn = ref(self), self._bell, self._components.host.spawn
            turn = self.turn = object()  # An interrupt may leave a thread that nothing knows of.
            self._thread = spawn("holdfast lmdb flush", lambda: flush_when_rung(me, bell, turn))
        locks = self._medium.locks
        locks.take_turn(self._medium.config.lock_timeout)
        try:
            return self._start()
        finally:
            if self._group is None:
                locks.end_turn()

    def _start(self) -> bool:
        """Open a group, with the turn taken; False where room is short."""
        medium = self._medium
        if not self._noted:
            # Durable before the first acknowledgement, so that a loss shows.
            self._note(facts.add_owner, turn_taken=True)
            self._noted = True
        if medium.room.left() < self._room_wanted:
            return False
        head = medium.reading(facts.read_head).revision
        group = OverlayGroup(medium, self._components.clock, head, self._check, self._lock)
        self._last = False
        self.layers = group.layers
        self._group = group
        self._ring()
        return True

    def _freeze(self, group: OverlayGroup) -> None:
        """Let what is written so far be flushed, and the next commits go to a new overlay."""
        frozen = group.layers.newest
        if frozen:
            frozen.head = group.revision
        holding(self._lock, lambda: self._lay(group, Layers(Overlay(), frozen)))

    def _merge(self, group: OverlayGroup) -> None:
        """After a flush that failed: one overlay again."""
        newest, older = group.layers
        if older is not None:
            merged = Overlay()  # The thread may be trying the older one again right now.
            merged.absorb(older)
            merged.absorb(newest)
            holding(self._lock, lambda: self._lay(group, Layers(merged)))

    def _lay(self, group: OverlayGroup, layers: Layers) -> None:
        group.layers = self.layers = layers
        self._held = None

    def _end(self, group: OverlayGroup) -> None:
        """End the group, of which everything is flushed, and the turn."""
        assert not group.layers.newest
        self._group = None
        self._last = False
        self._medium.locks.end_turn()

    def _flush_all(self) -> None:
        group = self._group
        if group is None:
            return
        if self._failure is not None:
            self._merge(group)
        elif group.layers.older is not None:
            self._await_flush(group.layers.older)
        if self._failure is not None:
            self._merge(group)
        if group.layers.newest:
            self._freeze(group)
            frozen = group.layers.older
            assert frozen is not None
            self._ring()
            self._await_flush(frozen)
        if self._failure is not None:
            raise self._failure
        self._end(group)

    def _await_flush(self, frozen: Overlay) -> None:
        """Wait until a flush of the overlay was tried."""
        if get_ident() == self.worker and self._group is not None:
            self._flush_older(self._group, frozen)
            return
        seen = self._flushes
        gate: SimpleQueue[None] = SimpleQueue()
        self._waiting.append(gate)
        if self._flushes == seen and self._group is not None:
            if self._group.layers.older is not frozen:
                return
            self._ring()
            gate.get()

    def _check(self, batch: Batch | Draft) -> None:
        """What a group asks of a batch that was decided inside it."""
        self._validate(batch)
        if self._failure is not None:
            self._refuse_growth(batch.batch() if isinstance(batch, Draft) else batch)

    def _refuse_growth(self, batch: Batch) -> None:
        """While a flush finds no room, take only batches that may make some.

        What fails for another reason is not helped by any, and might never be flushed.
        """
        assert self._failure is not None
        if not isinstance(self._failure, StorageFull):
            raise self._failure
        puts = sum(len(step.value) for step in batch.operations if type(step) is Put)
        deletes = any(type(step) in (Delete, DeleteRange) for step in batch.operations)
        limit = self._medium.config.relaxed_bytes_max + RESERVE_BYTES_MAX
        if not deletes or puts > RESERVE_BYTES_MAX or self.layers.newest.bytes > limit:
            raise self._failure

    # --- Inside: on the thread that flushes ---------------------------------------------------

    def _ring(self) -> None:
        self._bell.put(self)

    def look(self, *, due: bool) -> float | None:
        """Flush if it is time to; seconds until the next look, None: when the bell rings."""
        try:
            return self._step(due=due)
        except Exception as error:  # noqa: BLE001 - the thread goes on, and the next write hears it
            self._tried(told(error, self._medium.url))
            return self._medium.config.flush_interval

    def _step(self, *, due: bool) -> float | None:
        """Flush if it is time to; seconds until the next look, None: when the bell rings."""
        interval = self._medium.config.flush_interval
        group = self._group
        if group is None:
            return None
        if group.layers.older is None:
            if not due:
                return interval
            if not self._lead(group, None, lambda: self._freeze_due(group)):
                return 0.0
        older = group.layers.older
        if older is not None:
            self._flush_older(group, older)
        if self._lead(group, older, lambda: self._go_on(group)):
            return interval if self._group is group else None
        return 0.0

    def _lead(self, group: OverlayGroup, known: Overlay | None, action: Callable[[], None]) -> bool:
        """Do something between two groups; False when a leader waits for another flush."""
        while not self._committer.pause(_LEAD_PAUSE_S):
            if self._group is not group:
                return True
            if group.layers.older is not None and group.layers.older is not known:
                return False
        try:
            if self._group is group:
                action()
        finally:
            self._committer.resume()
        return True

    def _freeze_due(self, group: OverlayGroup) -> None:
        if group.layers.older is None:
            self._freeze(group)

    def _go_on(self, group: OverlayGroup) -> None:
        """After a flush: end the group, or keep the turn for what came meanwhile."""
        if self._failure is not None:
            self._merge(group)
        elif group.layers.older is None:
            if not group.layers.newest:
                self._end(group)
            elif self._medium.locks.awaited or self._medium.room.left() < self._room_wanted:
                self._last = True
                self._freeze(group)
                self._ring()

    def _flush_older(self, group: OverlayGroup, older: Overlay) -> None:
        failure = None
        try:
            self._write(group, older)
        except Exception as error:  # noqa: BLE001 - the waiters for the flush must hear of it
            failure = told(error, self._medium.url)
        else:
            holding(self._lock, lambda: self._lay(group, Layers(group.layers.newest)))
        self._tried(failure)

    def _tried(self, failure: StoreError | None) -> None:
        """A flush is over: wake its waiters."""
        self._failure = failure
        self._flushes += 1
        waiting, self._waiting = self._waiting, []
        for gate in waiting:
            gate.put(None)

    def _write(self, group: OverlayGroup, older: Overlay) -> None:
        if older:
            write_overlay(self._medium, self._components.clock, older, group.writer.head)
            group.writer.head = older.head

    def _note(self, note: Callable[..., None], *, turn_taken: bool = False) -> None:
        note_owner(self._medium, self._components.clock, note, turn_taken=turn_taken)
