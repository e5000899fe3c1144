"""The LMDB environment of one database: opening, transactions, growth, room."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

import lmdb

from holdfast.contract.errors import StoreLocked, StoreNotFound, WrongContext
from holdfast.contract.files import flush_directory
from holdfast.contract.memory import largest_left, no_memory
from holdfast.contract.record import Record
from holdfast.contract.runtime import Clock, Ids
from holdfast.engines.embedded.locking import holding, pause
from holdfast.engines.embedded.network import refuse_network
from holdfast.engines.lmdb import facts, header
from holdfast.engines.lmdb.config import MAP_MIN, LmdbConfig
from holdfast.engines.lmdb.driver import driver
from holdfast.engines.lmdb.failures import translate
from holdfast.engines.lmdb.locks import ProcessLocks, home_of_this_process
from holdfast.engines.lmdb.long_keys import STORED_KEY_BYTES_MAX, Tree
from holdfast.engines.lmdb.place import Place
from holdfast.engines.lmdb.records import unpack
from holdfast.engines.lmdb.room import MAP_STEP, Room
from holdfast.engines.lmdb.watched import Watched

T = TypeVar("T")

#: After how many commits readers of dead processes are looked for.
READER_CHECK_COMMITS = 64
#: How often a read tries again that met a change of the memory map in another thread.
READ_ATTEMPTS_MAX = 16
#: What a read meets that began while the map or the environment changed: the binding's own refusal,
#: and that of LMDB where a transaction is older than the trees that were opened since.
_OF_ANOTHER_MOMENT = (lmdb.Error, lmdb.InvalidParameterError)
#: How often, and how far apart, a fork looks whether a read is under way.
PARK_ATTEMPTS_MAX = 1000
_PARK_PAUSE_S = 0.0005
_NAMED_TREES = (b"rows", b"long", b"batches")
_OWNER_BYTES = 6


class Medium:
    """Everything between the engine and its driver.

    Attributes:
        place: the directory.
        room: how much may still be written.
        locks: what processes agree on.
        owner: the number of this engine among those that acknowledge before they flush.
        env, rows, long, batches: LMDB's environment and the named trees.
    """

    def __init__(self, config: LmdbConfig, ids: Ids, clock: Clock) -> None:
        self.config = config
        self.url = config.url
        self.place = Place(config.path)
        self.owner = int.from_bytes(hashlib.blake2b(ids.new(), digest_size=_OWNER_BYTES).digest())
        self._ids = ids
        self._remapping = threading.RLock()
        self._commits = 0
        self.room = Room(config, self.place, lambda: self.env, self._remap)
        self.locks: ProcessLocks
        self.env: lmdb.Environment
        self._watched = Watched(self.place, clock)
        self._parked: lmdb.Transaction[bytes] | None = None
        self._references = 0

    # --- Opening and closing ----------------------------------------------------------------

    def open(self, settle: Callable[[bool], None]) -> None:
        """Open or create the database. Holds the thread.

        Args:
            settle: called when it is open, before anybody else can open it, with whether nobody
                else has.
        """
        place, config = self.place, self.config
        refuse_network(place.directory)
        place.refuse_foreign()
        if not place.file.exists():
            if config.read_only or not config.create:
                self._not_found()
            place.make()
        try:
            self.locks = ProcessLocks(place.lock_file, self.url)
            self.locks.open()
            with self.locks.door(config.lock_timeout):
                alone = self.locks.enter(home_of_this_process(), config.lock_timeout)
                if alone and not config.read_only:
                    place.compacting.unlink(missing_ok=True)
                if not header.examine(place.file) and (config.read_only or not config.create):
                    self._not_found()
                self._make_environment()
                self._prepare()
                self._identify()
                settle(alone)
        except lmdb.Error as error:
            self.close()
            if driver.inherited and "already open" in str(error):
                raise WrongContext(
                    f"this process was forked while another thread of its parent read from "
                    f"{self.url}, so it cannot open that database; fork again, or fork first and "
                    "open then"
                ) from error
            raise translate(error, self.url) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of what is open, also after an open that failed half-way; twice does nothing.

        Reads under way in other threads end first.
        """
        if hasattr(self, "env"):
            holding(driver.lock, self.env.close)
        self._watched.close()
        if hasattr(self, "locks"):
            self.locks.close()

    def reopen(self) -> lmdb.Environment:
        """Open the file that was put in the place of the old one, which is returned still open."""
        old = self.env

        def reopen() -> None:
            self._make_environment()
            self._open_trees()
            self._identify()

        holding(self._remapping, reopen)
        return old

    # --- Forks ------------------------------------------------------------------------------

    def park(self, views: int) -> None:
        """Before a fork: no read is under way, and the driver's spare one is out of its hands.

        A child that ends a read that was its parent's frees the parent's place among the readers.
        The driver knows that of each transaction object, but not of the spare it keeps.

        Args:
            views: how many snapshots are open, each with a transaction and the environment.
        """
        for attempt in range(PARK_ATTEMPTS_MAX):
            if not self._reading(2 * views + 1):
                break
            if attempt == 1:
                gc.collect()  # The remains of an interrupted read may hold its transaction.
            pause(_PARK_PAUSE_S)
        with suppress(lmdb.Error):
            self._parked = self.env.begin()

    def unpark(self) -> None:
        """After it, in the parent."""
        self._parked = None

    def disown(self) -> None:
        """In the child: close what is the parent's, so that the child can open its own.

        It stays open, and the child cannot open that database, where a read of another thread was
        under way at the fork after all.
        """
        self._parked = None
        if hasattr(self, "env"):
            if self._reading(0):
                driver.inherited = True
            else:
                self.env.close()
        self._watched.close()
        self.locks.close()

    def _reading(self, known: int) -> bool:
        """Whether there are transactions beside what is known: each holds the environment."""
        return sys.getrefcount(self.env) > self._references + known

    # --- Identity ---------------------------------------------------------------------------

    @property
    def replaced(self) -> bool:
        """Whether the path leads to another file by now, or to none."""
        return self._watched.replaced

    @property
    def alone(self) -> bool:
        """Whether no other process has the database open, with Holdfast or without."""
        return self._watched.alone

    def check_place(self) -> None:
        """Raise StoreNotFound when the path leads elsewhere: what were written would be gone."""
        if self._watched.looks_due():
            self.room.follow_limit()

    def _identify(self) -> None:
        self._references = sys.getrefcount(self.env)
        self._watched.open(with_readers=not self.config.read_only)

    # --- Transactions -----------------------------------------------------------------------

    def tree(self, transaction: lmdb.Transaction[bytes]) -> Tree:
        """The rows as the transaction sees them."""
        return Tree(transaction, self.rows, self.long)

    def begin_read(self) -> lmdb.Transaction[bytes]:
        """A transaction that sees one moment; abort it soon.

        Raises:
            Overloaded: all readers are in use.
        """
        try:
            return self.env.begin()
        except lmdb.Error:
            pass  # Most of them pass by.
        for _ in range(READ_ATTEMPTS_MAX):
            transaction = holding(self._remapping, self._begin_read)
            if transaction is not None:
                return transaction
        raise StoreLocked(f"the map of the database {self.url} changes all the time; try again")

    def _begin_read(self) -> lmdb.Transaction[bytes] | None:
        """One attempt, while the map does not change."""
        try:
            return self.env.begin()
        except lmdb.MapResizedError:
            self.room.follow_growth()
        except lmdb.BadRslotError:
            pass  # A child took the driver's spare for its own; there is another.
        except lmdb.ReadersFullError as error:
            if not self.env.reader_check():
                raise translate(error, self.url) from error
        except lmdb.Error as error:
            raise translate(error, self.url) from error
        return None

    def reading(self, action: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """What `action` reads in one transaction; repeated when the map changed under it."""
        for _ in range(READ_ATTEMPTS_MAX):
            transaction = self.begin_read()
            try:
                return action(transaction)
            except lmdb.Error as error:
                if type(error) not in _OF_ANOTHER_MOMENT:
                    raise translate(error, self.url) from error
                failure = error
            except MemoryError as error:
                raise no_memory("read", lighter="read less at once") from error
            finally:
                transaction.abort()
                del transaction  # Its place among the readers is free once the object is gone.
            with self._remapping:
                pass  # Not before the map, or environment and trees together, are the new ones.
        raise translate(failure, self.url) from failure

    def record(self, key: bytes) -> Record | None:
        """The record of one key."""
        if 0 < len(key) <= STORED_KEY_BYTES_MAX:
            try:
                stored = self.env.begin(self.rows).get(key)
            except lmdb.Error:
                pass  # The long way tries again, or tells what is wrong.
            else:
                return None if stored is None else unpack(stored)
        (record,) = self.reading(lambda transaction: self.tree(transaction).records([key]))
        return record

    def last_transaction_id(self) -> int:
        """The number of the newest commit of any process; -1 while it cannot be asked."""
        try:
            return self.env.info()["last_txnid"]
        except lmdb.Error:
            return -1

    def begin_write(self) -> lmdb.Transaction[bytes]:
        """The write transaction; waits while another program writes."""
        self.check_place()
        self._commits += 1
        if self._commits % READER_CHECK_COMMITS == 0:
            self.env.reader_check()
            self.room.set_aside()
        try:
            return self.env.begin(None, None, True)
        except lmdb.MapResizedError:
            self.room.follow_growth()
            return self.env.begin(write=True)

    def pause(self, seconds: float) -> None:
        """Hold this thread for a moment."""
        pause(seconds)

    # --- Inside -----------------------------------------------------------------------------

    def _remap(self, size: int) -> None:
        # Snapshots end here, reads of other threads are repeated.
        holding(self._remapping, lambda: self.env.set_mapsize(size))

    def new_lineage(self) -> str:
        """A line of history nobody has seen."""
        return self._ids.new().hex()

    def settle_owners(self, transaction: lmdb.Transaction[bytes]) -> bool:
        """Start another lineage if a process died with acknowledged writes."""
        dead = self._dead_owners(transaction)
        for owner in dead:
            facts.remove_owner(transaction, owner)
        if dead:
            facts.write_lineage(transaction, self.new_lineage())
        return bool(dead)

    def read_lineage(self, transaction: lmdb.Transaction[bytes]) -> str:
        """The lineage. Until the death of a process is noted, another one than before it."""
        lineage = facts.read_lineage(transaction)
        return lineage + "-unclean" if self._dead_owners(transaction) else lineage

    def _dead_owners(self, transaction: lmdb.Transaction[bytes]) -> list[int]:
        """Processes that died with acknowledged writes."""
        if not facts.read_head(transaction).owners:
            return []
        return [
            owner
            for owner in facts.owners(transaction)
            if owner != self.owner and not self.locks.lives(owner)
        ]

    def _make_environment(self) -> None:
        # Kept at once, so that an interrupt finds it to close.
        holding(driver.lock, self._open_environment)

    def _open_environment(self) -> None:
        config = self.config
        self.env = lmdb.open(
            os.fsencode(self.place.directory),  # a name of a file need not be Unicode
            map_size=self._map_size() // MAP_STEP * MAP_STEP,
            readonly=config.read_only,
            create=False,
            mode=0o600,
            max_readers=config.readers_max,
            max_dbs=len(_NAMED_TREES),
            # What flushes and what is written must never be left to chance.
            sync=True,
            metasync=True,
            writemap=False,
        )

    def _map_size(self) -> int:
        wanted = max(min(self.config.map_size, self.room.limit()), MAP_MIN)
        return largest_left(wanted, MAP_MIN)

    def _prepare(self) -> None:
        with self.env.begin() as transaction:
            exists = facts.recognise(transaction, self.url)
        if exists:
            self._open_trees()
        elif self.config.read_only or not self.config.create:
            self._not_found()
        else:
            self._create()
        self.env.reader_check()
        if not self.config.read_only:
            self.room.set_aside()

    def _create(self) -> None:
        # In one transaction, so that a crash leaves a database or an empty file.
        with self.env.begin(write=True) as transaction:
            for name in _NAMED_TREES:
                self.env.open_db(name, txn=transaction)
            facts.create(transaction, self.new_lineage())
        self._open_trees()
        flush_directory(self.place.directory)

    def _open_trees(self) -> None:
        if self.config.read_only:
            self.rows, self.long, self.batches = map(self._open_tree, _NAMED_TREES)
            return
        # LMDB names trees to the process in a transaction that writes. Begun by the driver itself
        # it would wait for other processes without a limit and hold up all threads meanwhile.
        self.locks.take_turn(self.config.lock_timeout)
        try:
            with self.env.begin(write=True) as transaction:
                self.rows, self.long, self.batches = (
                    self._open_tree(name, transaction) for name in _NAMED_TREES
                )
                self.settle_owners(transaction)
        finally:
            self.locks.end_turn()

    def _open_tree(
        self, name: bytes, transaction: lmdb.Transaction[bytes] | None = None
    ) -> lmdb._Database:
        return self.env.open_db(name, transaction, create=False)

    def _not_found(self) -> NoReturn:
        raise StoreNotFound(
            f"there is no database at {self.place.directory}; open it without create=false and "
            "read_only to make one",
            path=str(self.place.directory),
        )
