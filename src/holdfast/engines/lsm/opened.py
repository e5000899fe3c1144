"""A database that is open: what reads go to, how a commit reaches it, and what a failure leaves.

Drivers show a batch as soon as it is in memory, before the log is flushed. So while a commit is
under way reads go to a snapshot of the state before it, and see the commit when it is safe.

What a failed write left is told by opening anew: the driver then reads its log and makes a table of
it, so whatever is found is on the medium, and whatever is not was never written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, TypeVar

from holdfast.contract.errors import (
    OutcomeUnknown,
    Overloaded,
    StoreClosed,
    StoreError,
    StoreLocked,
)
from holdfast.contract.runtime import Components
from holdfast.engines.embedded.file_failures import lost, translated
from holdfast.engines.embedded.group import Pending
from holdfast.engines.embedded.lock import Lock
from holdfast.engines.embedded.locking import holding, pause
from holdfast.engines.embedded.network import refuse_network
from holdfast.engines.lsm import layout
from holdfast.engines.lsm.config import LsmConfig
from holdfast.engines.lsm.driver import Change, Driver, View, Walk
from holdfast.engines.lsm.facts import read_facts, read_ids, settled
from holdfast.engines.lsm.layout import Facts
from holdfast.engines.lsm.place import Place
from holdfast.engines.lsm.room import Room
from holdfast.engines.lsm.snapshots import Snapshots
from holdfast.engines.lsm.unavailable import Unavailable

T = TypeVar("T")

#: How many more forgotten ids than new ones a commit clears away.
CLEARED_MAX = 16
#: How long an opening waits for readers of other threads to leave what was open before.
LEFT_WITHIN_S, _PAUSE_S = 5.0, 0.005
#: How long a read waits for a database that is opened anew.
REOPENED_WITHIN_S = 30.0

#: Opens the driver's directory, or makes one; takes a clock for durations as well. Raises
#: StoreLocked while this process still has it.
OpenDriver = Callable[[LsmConfig, Place, Callable[[], float]], Driver]


class Now(NamedTuple):
    """What reads see: always replaced as a whole.

    Attributes:
        view: they go there.
        head: the newest revision in it.
    """

    view: View
    head: int


class Opened:
    """The parts of a database that is, or will be, open.

    Attributes:
        now: what reads see.
        ids: of batches: revision and instant.
        relaxed: commits are acknowledged before they are flushed.
        dirty: something was written and not flushed.
        room: on the medium.
        lineage: of the revisions.
        openings: how often the driver was opened.
        busy: held by what takes long, and by whatever ends the driver.
    """

    def __init__(self, config: LsmConfig, components: Components, open_driver: OpenDriver) -> None:
        self.config = config
        self.place = Place(config.path, config.scheme)
        self.snapshots = Snapshots(config.snapshot_age_max, components.clock.monotonic)
        self.ids: dict[bytes, tuple[int, int]] = {}
        self.relaxed = config.durability == "relaxed" and not config.read_only
        self.dirty = False
        self.room = Room(self.place.ballast, config.ballast, self.place.directory)
        self.lineage = ""
        self.openings = 0
        self.now = Now(Unavailable(), 0)
        self._components = components
        self._open_driver = open_driver
        self._lock = Lock(self.place.lock, config.scheme, writes=not config.read_only)
        self._driver: Driver | None = None
        self._reader: Driver | None = None
        self._facts: Facts | None = None
        self._failure: StoreError | None = None
        self._finished = False
        self.busy = threading.RLock()

    @property
    def head(self) -> int:
        """The newest revision that is seen."""
        return self.now.head

    @property
    def driver(self) -> Driver:
        """Of the database, while it is open."""
        if self._driver is None:
            raise self._failure or self._gone()
        return self._driver

    @property
    def replaced(self) -> bool:
        """Whether the path leads to another database by now, or to none."""
        file = self._lock.file
        if file is None:
            return not self.place.holds_tables
        found = os.fstat(file.fileno())
        try:
            there = os.stat(self.place.lock)  # noqa: PTH116 - twice as quick, and of every commit
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (found.st_dev, found.st_ino)

    # --- Life -------------------------------------------------------------------------------

    def open(self) -> None:
        """Open or create the database. Holds the thread."""
        place, config = self.place, self.config
        refuse_network(place.directory)
        with translated(place.directory):
            place.refuse_foreign()
            if not place.holds_tables:
                if config.read_only or not config.create:
                    raise place.missing()
                place.make()
            self._lock.take(config.lock_timeout, self._components.clock.now_ms())
            if config.read_only and not place.holds_tables:
                raise place.missing()
            place.refuse_foreign()  # Again: whoever had it open may have gone on until now.
            self._open_now()
            if not config.read_only:
                self._settle()
                place.ballast.make(config.ballast)

    def close(self) -> None:
        """Flush, note that everything is, and let go; repeated after an interrupt."""
        try:
            if not self._finished:
                self._finish()
                self._finished = True
        except Exception:
            self.release()
            raise
        self.release()

    def release(self) -> None:
        """Let go of everything, whatever is left to do; nothing can be flushed after it."""
        self._finished = True
        self.snapshots.end_all("was closed with its database")
        try:
            self._end_driver()
        except Exception:
            self._lock.close()  # The driver has let go too, and nobody repeats a close that failed.
            raise
        self.now = Now(Unavailable(self._gone()), self.now.head)
        self._lock.close()

    def disown(self) -> None:
        """In a forked child: everything is the parent's."""
        self._finished = True
        self.snapshots.disown()
        self.now.view.disown()
        for driver in (self._driver, self._reader):
            if driver is not None:
                driver.disown()
        self._lock.close()

    # --- Reading ----------------------------------------------------------------------------

    def fixed(self) -> Now:
        """A view that stands still, with its revision."""
        view, head = self._of_one_moment(lambda view: view.snapshot())
        return Now(view, head)

    def walk(self, end: bytes) -> tuple[Walk, int]:
        """A walk through the keys below the end, with the revision that it shows."""
        return self._of_one_moment(lambda view: view.walk(end))

    # --- Writing: the leader alone ----------------------------------------------------------

    def ready(self) -> None:
        """Put right what a failure or an interrupt left, and look for files and room.

        Raises:
            StoreNotFound: the files were taken away.
        """
        if self._driver is None:
            self.reopen()
        self.settle()
        if self.replaced or not self.place.holds_tables:
            raise lost(self.place.directory, "another or no lock file lies there")
        self.room.look()

    def commit(
        self,
        rows: Mapping[bytes, Pending],
        ids: Mapping[bytes, tuple[int, int]],
        head: int,
        oldest_ms: int,
    ) -> None:
        """Write rows and ids of one group, with the head; seen once it is as safe as wanted."""
        changes: list[Change] = [
            (layout.ROWS + key, None if value is None else layout.encode_row(value, revision))
            for key, (value, revision) in rows.items()
        ]
        changes += [(layout.IDS + id, layout.encode_id(*known)) for id, known in ids.items()]
        if self.room.scarce:
            self.room.refuse(changes)
        forgotten = self._forgotten(len(ids), oldest_ms)
        changes += [(layout.IDS + id, None) for id in forgotten]
        changes.append((layout.HEAD, layout.encode_head(head)))

        def learn() -> None:
            self.ids.update(ids)
            for id in forgotten:
                self.ids.pop(id, None)

        self._write(changes, head, learn)

    def settle(self) -> None:
        """After an interrupt: publish what was written and not published."""
        driver = self._driver
        if driver is None or self.now.view is driver:
            return
        head = layout.decode_head(driver.get(layout.HEAD))
        if head != self.now.head:
            if driver.flushes_later and not self.relaxed:
                driver.flush()
            self.ids = read_ids(driver, self._components.clock.now_ms())
            self.dirty = self.relaxed
        self.now = Now(driver, head)

    def reopen(self) -> None:
        """Open the driver anew: what it then holds is what was written, and is flushed.

        Raises:
            StoreError: that failed; the next commit tries again.
        """
        before = self.now.head
        self.snapshots.end_all("was closed, because the database was opened anew after a failure")
        self.now = Now(Unavailable(), before)
        try:
            self._end_driver()
            self._open_now()
            self._failure = None
        except StoreError as error:
            self._failure = error
            self.now = self._readable() or Now(Unavailable(error), before)
            raise

    def flush(self) -> None:
        """Have the medium hold what was acknowledged. Any thread."""
        holding(self.busy, self._flush)

    def compact(self) -> int:
        """Give space back; bytes freed. Any thread."""
        return holding(self.busy, self._compact)

    def make_room(self) -> None:
        """Find room after a write found none."""
        self.room.give_up()
        if self.room.compaction_due():
            try:
                self.compact()
            except StoreError:
                self.reopen()
        self.room.restored()

    # --- Inside -----------------------------------------------------------------------------

    def _of_one_moment(self, look: Callable[[View], T]) -> tuple[T, int]:
        """What `look` makes of what reads see, with its revision."""
        waited = 0.0
        while True:
            now = self.now
            if now.view.soon and waited < REOPENED_WITHIN_S:
                pause(_PAUSE_S)
                waited += _PAUSE_S
                continue
            found = look(now.view)
            # Else a commit came in between, and may have shown too early; also one that failed,
            # whose driver is closed by now.
            if self.now is now or not isinstance(now.view, Driver):
                return found, now.head
            # It may hold open what is opened anew, and this waits for that.
            del found

    def _gone(self) -> StoreError:
        return StoreClosed(f"the database {self.place.directory} is closed; open it again")

    def _write(self, changes: list[Change], head: int, learn: Callable[[], None]) -> None:
        driver = self.driver
        self.now = Now(driver.snapshot(), self.now.head)
        try:
            driver.write(changes, flush=not self.relaxed)
        except Overloaded:
            self.now = Now(driver, self.now.head)
            raise
        except StoreError as error:
            if not self._landed(head, error):
                raise
            return
        self.dirty = self.relaxed
        self.room.wrote(changes)
        learn()
        # Last, because an interrupt before this has everything read anew.
        self.now = Now(driver, head)

    def _landed(self, head: int, error: StoreError) -> bool:
        """Whether a write that failed is there all the same."""
        try:
            self.room.give_up()
            self.reopen()
        except StoreError:
            if self._reader is not None:
                return self.head >= head  # A reader reads the log as well.
            raise OutcomeUnknown(
                f"a write to the database {self.place.directory} failed, and so did opening it "
                "anew, so nobody can tell whether it is there. Mend the cause and read what "
                "stands there, or repeat the batch with its id"
            ) from error
        return self.head >= head

    def _readable(self) -> Now | None:
        """What reads see of a database that can be read and no more, for want of room."""
        if not self.config.opens_beside_failure:
            return None
        try:
            reader = self._open_driver(
                replace(self.config, read_only=True),
                self.place,
                self._components.clock.monotonic,
            )
        except StoreError:
            return None
        self._reader = reader
        return Now(reader, layout.decode_head(reader.get(layout.HEAD)))

    def _forgotten(self, new: int, oldest_ms: int) -> list[bytes]:
        """Some ids that are too old."""
        forgotten: list[bytes] = []
        for id, (_, now_ms) in self.ids.items():
            if now_ms >= oldest_ms or len(forgotten) == CLEARED_MAX + new:
                break
            forgotten.append(id)
        return forgotten

    def _flush(self) -> None:
        driver = self._driver
        if driver is not None and self.dirty:
            self.dirty = False  # Before: what is written meanwhile is flushed the next time.
            try:
                driver.flush()
            except BaseException:
                self.dirty = True
                raise

    def _compact(self) -> int:
        with translated(self.place.directory):
            before = self.place.size
            self.driver.compact()
            return max(before - self.place.size, 0)

    def _open_now(self) -> None:
        waited = 0.0
        while True:
            try:
                driver = self._open_driver(
                    self.config, self.place, self._components.clock.monotonic
                )
                break
            except StoreLocked:
                if waited >= max(self.config.lock_timeout, LEFT_WITHIN_S):
                    raise
            # Another thread still reads from what was open before.
            pause(_PAUSE_S)
            waited += _PAUSE_S
        self._driver = driver
        self.openings += 1
        self._facts = read_facts(driver, self.place)
        self.lineage = "" if self._facts is None else self._facts.lineage
        if self._facts is None:
            self._create(driver)
        self.ids = read_ids(driver, self._components.clock.now_ms())
        self.now = Now(driver, layout.decode_head(driver.get(layout.HEAD)))

    def _create(self, driver: Driver) -> None:
        if self.config.read_only:
            raise self.place.missing()
        facts = Facts(self.config.scheme, layout.FORMAT, self._components.ids.new().hex(), None)
        self._note(driver, facts)

    def _settle(self) -> None:
        """Note a new lineage where there has to be one, and whether commits may be unflushed."""
        assert self._facts is not None
        facts = settled(self._facts, self._components.ids.new().hex(), relaxed=self.relaxed)
        if facts != self._facts:
            self._note(self.driver, facts)

    def _note(self, driver: Driver, facts: Facts) -> None:
        """Write facts; whatever was written before them is flushed with them."""
        driver.write([(layout.FACTS, facts.encode())], flush=True)
        self._facts = facts
        self.lineage = facts.lineage

    def _finish(self) -> None:
        driver = self._driver
        if driver is None or self.config.read_only or self.replaced:
            return
        self.settle()
        if self.relaxed and self._facts is not None and self._facts.unflushed is not None:
            driver.flush()
            self.dirty = False
            with suppress(StoreError):  # The mark stays, which is always true.
                self._note(driver, self._facts._replace(unflushed=None))

    def _end_driver(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            self.now = Now(Unavailable(), self.now.head)
            reader.close()
        driver = self._driver
        if driver is not None:
            self.now = Now(Unavailable(), self.now.head)
            driver.cancel()
            try:
                holding(self.busy, driver.close)
            except StoreError:
                self._driver = None  # It is closed all the same.
                raise
            self._driver = None
