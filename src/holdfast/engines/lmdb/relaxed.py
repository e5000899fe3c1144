"""`durability=relaxed`: commits are acknowledged at once and flushed within the interval.

One thread begins LMDB's write transaction (whose lock belongs to the thread that took it) and
ends it. In between, commits are decided on the caller's own thread and written to an overlay in
memory, which every read of this engine sees; other processes are kept out, so what is decided
holds. After the interval the thread writes the overlay into its transaction and commits.

Where room is short nothing is acknowledged early: each group is flushed before its callers are
answered, as in `full` mode, because what was acknowledged could not be taken back.

Whoever dies in between loses what was acknowledged and not flushed, never more, never a part of a
batch. A note in the file says that such a process exists; whoever next writes after its death
starts a new lineage, so that cursors of the lost revisions are refused instead of misread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from holdfast.contract.batch import Batch, Delete, DeleteRange, Draft, Put
from holdfast.contract.errors import IntegrityFailed, StoreError
from holdfast.contract.record import Page, Range, Record
from holdfast.contract.runtime import Components, Worker
from holdfast.engines.embedded.group import Group, Work
from holdfast.engines.lmdb import facts
from holdfast.engines.lmdb.long_keys import Tree, page_of
from holdfast.engines.lmdb.medium import Medium
from holdfast.engines.lmdb.overlay import Overlay, OverlayWriter
from holdfast.engines.lmdb.writer import RESERVE_BYTES_MAX, LmdbWriter

#: Room that a group may want: its rows, the pages they leave half full, the trees above.
ROOM_FACTOR = 2
ROOM_MARGIN_BYTES = 4 * 1024 * 1024


class Relaxed:
    """The overlay of one engine, and the thread that flushes it.

    Args:
        medium: the environment, open.
        components: clock and threads.
        validate: raises for a batch that breaks a limit.
        publish: told the newest revision after each commit.

    Attributes:
        overlay: what is acknowledged and not flushed; replaced, never emptied, by a flush.
            Empty while room is short.
    """

    def __init__(
        self,
        medium: Medium,
        components: Components,
        validate: Callable[[Batch | Draft], None],
        publish: Callable[[int], None],
    ) -> None:
        self.overlay = Overlay()
        self._draft = self.overlay
        self._medium = medium
        self._components = components
        self._validate = validate
        self._publish = publish
        # Guards everything below, and is waited on for each change of it.
        self._changed = threading.Condition()
        self._thread: Worker | None = None
        self._group: Group | None = None
        self._writer: LmdbWriter | None = None
        self._wanted = self._due = self._flushing = self._pinned = self._closing = False
        self._noted = self._tight = False
        self._flushes = 0
        self._refusal: StoreError | None = None
        self._failure: StoreError | None = None
        self._dropped: StoreError | None = None
        self._room_wanted = ROOM_FACTOR * medium.config.relaxed_bytes_max + ROOM_MARGIN_BYTES
        medium.locks.own(medium.owner)

    # --- Commits ----------------------------------------------------------------------------

    def pin(self) -> bool:
        """Whether a commit can run here and now; then no flush begins before it has run."""
        with self._changed:
            self._pinned = self._group is not None and not (
                self._flushing or self._due or self._tight
            )
            return self._pinned

    def run(self, works: Sequence[Work]) -> None:
        """Decide the batches and acknowledge them. Waits for a flush, unless pinned."""
        with self._changed:
            try:
                group = self._ready()
                before = group.revision
                for work in works:
                    self._decide(group, work)
            except StoreError as error:
                for work in works:
                    work.error = error
                return
            finally:
                self._pinned = False
                if self._draft.bytes >= self._medium.config.relaxed_bytes_max:
                    self._due = True
                self._changed.notify_all()
            head = group.revision
            refused = self._flush_tight() if self._tight and group.changed else None
        if refused is not None:
            self._refuse_works(works, refused)
        elif head > before:
            self._publish(head)

    def flush(self) -> None:
        """Flush what is acknowledged, and wait until it is. Raises what the flush met."""
        with self._changed:
            if self._group is not None:
                awaited = self._flushes + 1
                self._due = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._flushes >= awaited)
                if self._failure is not None:
                    raise self._failure

    def close(self) -> None:
        """Flush, note that nothing is lost, end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    # --- Reads ------------------------------------------------------------------------------

    def head(self) -> int:
        """The newest revision, acknowledged or of another process."""
        with self._changed:
            if self._group is not None and not self._tight:
                return self._group.revision
        return self._medium.reading(facts.read_head).revision

    def read(self, keys: Sequence[bytes]) -> list[Record | None]:
        """The records of the keys, of one moment."""
        if len(keys) == 1:
            # One key is of one moment by itself.
            pending = self.overlay.rows.get(keys[0])
            return [_record(*pending)] if pending is not None else self._read_below(keys)
        with self._changed:
            rows = self.overlay.rows
            below = [key for key in keys if key not in rows]
            stored = dict(zip(below, self._read_below(below), strict=True))
            return [stored[key] if key in stored else _record(*rows[key]) for key in keys]

    def scan(self, range: Range, rows_max: int, bytes_max: int) -> Page:
        """A page of the range, of one moment."""
        with self._changed:
            overlay = self.overlay
            group = self._group

            def page(tree: Tree) -> Page:
                if group is None or self._tight:
                    return tree.page(range, rows_max, bytes_max)
                if not overlay.rows:
                    return tree.page(range, rows_max, bytes_max)._replace(revision=group.revision)
                rows = overlay.over(range, tree.walk_range(range))
                return page_of(rows, range, rows_max, bytes_max, group.revision)

            tree = self._medium.tree
            return self._medium.reading(lambda transaction: page(tree(transaction)))

    # --- Inside: on the caller's thread -------------------------------------------------------

    def _ready(self) -> Group:
        """The open group, once there is one and no flush is due."""
        while True:
            if self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                raise refusal
            if self._group is None:
                self._wanted = True
                if self._thread is None:
                    spawn = self._components.host.spawn
                    self._thread = spawn("holdfast lmdb flush", self._run_thread)
                self._changed.notify_all()
            elif self._pinned or not (self._flushing or self._due):
                return self._group
            self._changed.wait()

    def _flush_tight(self) -> StoreError | None:
        """Flush before anybody is answered; why that failed."""
        awaited = self._flushes + 1
        self._due = True
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._flushes >= awaited)
        refused, self._dropped = self._dropped, None
        return refused

    def _refuse_works(self, works: Sequence[Work], error: StoreError) -> None:
        """Tell what a group met that was dropped whole; alone, some of it may pass."""
        for work in works:
            if len(works) > 1:
                work.receipt = work.error = None
                self.run([work])
            elif work.error is None:
                work.receipt, work.error = None, error

    def _decide(self, group: Group, work: Work) -> None:
        try:
            if work.batch is not None:
                self._refuse_growth(work.batch)
            group.run(work)
            group.push()
        except StoreError as error:
            work.error = error
        finally:
            group.pending.clear()

    def _check(self, batch: Batch | Draft) -> None:
        """What a group asks of a batch that was decided inside it."""
        self._validate(batch)
        self._refuse_growth(batch)

    def _refuse_growth(self, batch: Batch | Draft) -> None:
        """While a flush finds no room, take only batches that may make some."""
        if self._failure is None:
            return
        if type(batch) is Draft:
            batch = batch.batch()
        assert isinstance(batch, Batch)
        puts = sum(len(step.value) for step in batch.operations if type(step) is Put)
        deletes = any(type(step) in (Delete, DeleteRange) for step in batch.operations)
        limit = self._medium.config.relaxed_bytes_max + RESERVE_BYTES_MAX
        if not deletes or puts > RESERVE_BYTES_MAX or self._draft.bytes > limit:
            raise self._failure

    def _read_below(self, keys: Sequence[bytes]) -> list[Record | None]:
        if not keys:
            return []
        tree = self._medium.tree
        return self._medium.reading(lambda transaction: tree(transaction).records(keys))

    # --- Inside: on the thread that flushes ---------------------------------------------------

    def _run_thread(self) -> None:
        locks = self._medium.locks
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closing)
                if not self._wanted:
                    break
                self._wanted = False
            try:
                locks.take_turn(self._medium.config.lock_timeout)
            except StoreError as error:
                self._refuse(error)
                continue
            try:
                if self._start():
                    while not self._flush() and not self._closing:
                        pass
            finally:
                locks.end_turn()
        if self._noted and self._failure is None:
            self._note(facts.remove_owner)

    def _start(self) -> bool:
        """Open a group, with the turn taken."""
        try:
            if not self._noted:
                # Durable before the first acknowledgement, so that a loss shows.
                self._note(facts.add_owner, turn_taken=True)
                self._noted = True
            self._writer = self._begin_writer()
            self._draft = Overlay()
            overlay = OverlayWriter(self._medium, self._components.clock, self._draft)
            tight = self._medium.room_left() < self._room_wanted
        except StoreError as error:
            if self._writer is not None:
                self._writer.abandon()
                self._writer = None
            self._refuse(error)
            return False
        with self._changed:
            self._tight = tight
            if not tight:
                self.overlay = self._draft
            self._group = Group(overlay, self._check)
            self._changed.notify_all()
        return True

    def _flush(self) -> bool:
        """Flush the group when it is due; whether all is flushed."""
        interval = self._medium.config.flush_interval
        with self._changed:
            self._changed.wait_for(lambda: self._due or self._closing, interval)
            self._changed.wait_for(lambda: not self._pinned)
            self._flushing = True
            group = self._group
        assert group is not None
        failure: StoreError | None = None
        try:
            self._write(group)
        except StoreError as error:
            failure = error
        with self._changed:
            if self._tight:
                self._dropped, failure = failure, None
            if failure is None:
                group.writer.abandon()
                self._group = None
                self.overlay = Overlay()
            self._failure = failure
            self._flushing = self._due = False
            self._flushes += 1
            self._changed.notify_all()
        return failure is None

    def _write(self, group: Group) -> None:
        writer, self._writer = self._writer, None
        if writer is None:  # The flush before this one failed.
            writer = self._begin_writer()
        try:
            if writer.head != group.writer.head:
                raise IntegrityFailed(
                    f"another program wrote to the database {self._medium.url} between two "
                    "flushes and took no turn; what was acknowledged since the last is lost"
                )
            if group.changed:
                if self._draft.rows:
                    writer.apply(sorted(self._draft.rows.items()))
                assert isinstance(group.writer, OverlayWriter)
                for id, revision in group.writer.ids.items():
                    writer.remember(id, revision)
                writer.finish(group.revision)
        finally:
            writer.abandon()

    def _begin_writer(self) -> LmdbWriter:
        return LmdbWriter(self._medium, self._components.clock, turn_taken=True)

    def _note(self, note: Callable[..., None], *, turn_taken: bool = False) -> None:
        clock, owner = self._components.clock, self._medium.owner
        writer = LmdbWriter(self._medium, clock, turn_taken=turn_taken)
        try:
            writer.run(lambda transaction: note(transaction, owner))
            writer.finish(writer.head)
        finally:
            writer.abandon()

    def _refuse(self, error: StoreError) -> None:
        with self._changed:
            self._refusal = error
            self._changed.notify_all()


def _record(value: bytes | None, revision: int) -> Record | None:
    return None if value is None else Record(value, revision)
