"""The hub: one reader of a collection's changes, however many live queries there are on it.

It is woken by the tail of the database when the collection changes. Then it takes a moment, reads
which documents changed up to there, reads each of them once, and hands it to the queries that hold
it and to those it leads to (`routing.py`), and to no others. All results are of that moment before
any is told, so nobody sees half of a commit.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from holdfast.codecs import envelope
from holdfast.codecs.keys import unpack_text
from holdfast.contract.engine import Engine
from holdfast.contract.errors import Compacted, QuotaExceeded, StoreClosed, StoreError
from holdfast.contract.forks import renewed_lock
from holdfast.contract.runtime import Background, Completion, Runtime
from holdfast.documents.live.result import LiveResult, State
from holdfast.documents.live.routing import Routes
from holdfast.documents.planner.execute import Run
from holdfast.documents.planner.found import Examined, Found
from holdfast.documents.planner.plan import plan_query
from holdfast.documents.storage import DocumentStorage
from holdfast.documents.walking import Moment
from holdfast.runtime.gate import Gate
from holdfast.store.feed.feed import Feed
from holdfast.store.feed.tail import Waiter
from holdfast.store.versions.entry import Entry

_log = logging.getLogger("holdfast")

#: How many live queries there may be on one collection of one handle.
LIVE_QUERIES_MAX: Final = 100_000
#: How many changed documents are read at once.
READ_DOCUMENTS: Final = 256
#: The pause after the feed could not be read, in seconds.
RETRY_S: Final = 0.5
#: How long a close waits, in seconds, for what is under way.
CLOSE_WAIT_S: Final = 1.0


class LiveHub:
    """Keeps the live queries of one collection current.

    Args:
        find: the documents of the collection; None where there is none.
        lost: told that the collection was dropped, so that it is looked for again.
        join: has a waiter for the collection's changes.
        gate: of the handle.
        engine: of the database.

    Attributes:
        evaluations: how many conditions were tried on documents that changed.
        position: everything up to this revision is in the results.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[DocumentStorage | None]],
        lost: Callable[[], Awaitable[None]],
        join: Callable[[], Waiter],
        gate: Gate,
        engine: Engine,
    ) -> None:
        self._find = find
        self._lost = lost
        self._join = join
        self._gate = gate
        self._engine = engine
        self._host = engine.components.host
        self.evaluations = 0
        self.position = 0
        self._number: int | None = None
        self._routes: Routes[LiveResult] = Routes()
        self.holders: dict[str, dict[LiveResult, None]] = {}
        #: Guards what follows, and every result: readers take from them in threads of their own.
        self._lock = renewed_lock(self, "_lock")
        self._results: dict[LiveResult, list[Completion[None]]] = {}
        #: Those that have to be read as a whole: the joined ones at a moment that begins after they
        #: joined, so that they have what was written before.
        self._joined: dict[LiveResult, None] = {}
        self._unread: dict[LiveResult, None] = {}
        #: Those that this moment may have changed.
        self._touched: dict[LiveResult, None] = {}
        self._abandoned: deque[LiveResult] = deque()
        self._settled = True
        self._background: Background | None = None
        self._waiter: Waiter | None = None

    # --- Joining ----------------------------------------------------------------------------

    def join(self, result: LiveResult) -> None:
        """Keep a result current. Raises QuotaExceeded."""
        with self._lock:
            self._gate.check()
            if len(self._results) >= LIVE_QUERIES_MAX:
                raise QuotaExceeded(
                    f"a collection has at most {LIVE_QUERIES_MAX} live queries on one handle; "
                    "end some of them",
                    limit=LIVE_QUERIES_MAX,
                )
            self._results[result] = []
            self._joined[result] = None
            if result.query.limit != 0:
                self._routes.add(result, result.query.where)
            waiter = self._waiter
            if self._background is None:
                runtime = self._gate.runtime
                self._background = runtime.start(
                    "holdfast live queries", lambda: self._run(runtime)
                )
        if waiter is not None:
            waiter.wake()

    def wake(self) -> None:
        """A writer of this handle has committed: look at once, before the tail has."""
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    def leave(self, result: LiveResult) -> None:
        """Keep it no more; leaving twice does nothing."""
        with self._lock:
            waiters = self._drop(result)
            waiter = self._waiter if not self._results else None
        self._host.settle((one, None, None) for one in waiters)
        if waiter is not None:
            waiter.wake()  # Nobody is left: the reader ends.

    def abandon(self, result: LiveResult) -> None:
        """The same for a collector of garbage, which may run in the middle of anything here."""
        if not self._lock.acquire(blocking=False):
            self._abandoned.append(result)
            return
        try:
            self._drop(result)
            waiter = self._waiter if not self._results else None
        finally:
            self._lock.release()
        if waiter is not None:
            waiter.wake()

    async def wait(self, result: LiveResult) -> None:
        """Wait until a result is loaded, differs from what was told, or failed."""
        await self._engine.head()  # A process that was forked is told so, and does not wait.
        completion: Completion[None] = self._host.runtime().completion()
        with self._lock:
            waiting = self._results.get(result)
            if waiting is None or self._is_ready(result):
                return
            waiting.append(completion)
            if not self._settled:
                self._touched[result] = None  # It may have been ready before this moment.
        try:
            await completion.wait()
        finally:
            with self._lock:
                if completion in waiting:
                    waiting.remove(completion)

    def take(self, result: LiveResult) -> list[State] | None:
        """What of a result may have changed; None: it is being read, or brought to a new moment.

        Raises:
            StoreClosed: of a handle that is closed.
            StoreError: what ended the live query.
        """
        with self._lock:
            if result.failure is not None:
                raise result.failure
            self._gate.check()
            return result.take() if self._settled and result.loaded else None

    async def close(self) -> None:
        """Keep nothing any more, and leave nothing behind."""
        self._fail_all(StoreClosed("the handle was closed while a live query was read"))
        with self._lock:
            background, self._background = self._background, None
        if background is not None:
            background.stop()
            await background.wait(CLOSE_WAIT_S)

    # --- Inside: going on -------------------------------------------------------------------

    def _is_ready(self, result: LiveResult) -> bool:
        return result.failure is not None or (self._settled and result.loaded and result.ready)

    def _drop(self, result: LiveResult) -> list[Completion[None]]:
        """Forget a result; who waits for it. The caller holds the lock."""
        waiters = self._results.get(result)
        if waiters is None:
            return []
        self._joined.pop(result, None)
        self._unread.pop(result, None)
        if result.query.limit != 0:
            self._routes.remove(result)
        result.forget()
        del self._results[result]  # At last: who was interrupted forgets it again.
        return waiters

    def _fail(self, result: LiveResult, error: BaseException) -> None:
        with self._lock:
            result.fail(error)
            waiters = self._drop(result)
        self._host.settle((one, None, None) for one in waiters)

    def _fail_all(self, error: BaseException) -> None:
        for result in list(self._results):
            self._fail(result, error)

    def _tell(self) -> None:
        """Wake those whose results are others now."""
        ready: list[Completion[None]] = []
        with self._lock:
            self._settled = True
            for result in self._touched:
                waiters = self._results.get(result)
                if waiters and self._is_ready(result):
                    ready += waiters
                    waiters.clear()
            self._touched = {}
        self._host.settle((one, None, None) for one in ready)

    async def _run(self, runtime: Runtime) -> None:
        waiter: Waiter | None = None
        try:
            waiter = self._waiter = self._join()
            await self._go_on(runtime, waiter)
        except BaseException:
            # The loop ends, or an interrupt: nobody keeps the results any more.
            self._fail_all(StoreClosed("what kept the live queries current was ended"))
            raise
        finally:
            if waiter is not None:
                waiter.leave()
            with self._lock:
                if self._waiter is waiter:
                    self._background = self._waiter = None

    async def _go_on(self, runtime: Runtime, waiter: Waiter) -> None:
        while True:
            with self._lock:
                while self._abandoned:
                    self._drop(self._abandoned.popleft())
                if not self._results:
                    self._background = self._waiter = None
                    return
            try:
                self._gate.check()
                await self._advance(runtime)
                await waiter.wait(self.position)
            except Compacted as gone:
                _log.warning("live queries are asked again: %s", gone)
                self._reload()
            except StoreError as error:
                if not error.retryable:
                    self._fail_all(error)
                    continue
                _log.warning("changes for live queries are read again: %s", error)
                await runtime.sleep(RETRY_S)
            except Exception as error:  # noqa: BLE001 - whoever reads the results is told
                self._fail_all(error)

    def _reload(self) -> None:
        self._number, self.position = None, 0
        with self._lock:
            for result in self._results:
                result.loaded = False
            self._unread = {one: None for one in self._results if one not in self._joined}

    # --- Inside: one moment after the other -------------------------------------------------

    async def _advance(self, runtime: Runtime) -> None:
        """Bring every result to what is now."""
        with self._lock:
            self._unread |= self._joined
            self._joined = {}
        moment = Moment(self._engine)
        try:
            view = await moment.begin()
            head = await view.head()
            keys = await self._changed(view, head)
            storage = await self._find()
            number = None if storage is None else storage.number
            if number != self._number:
                self._reload()
                keys, self._number = [], number
            self._settled = False
            if storage is not None:
                for start in range(0, len(keys), READ_DOCUMENTS):
                    if start:
                        await runtime.sleep(0)
                    await self._apply(storage, view, keys[start : start + READ_DOCUMENTS])
            for result in list(self._unread):
                await self._load(storage, view, result)
            self.position = head
        finally:
            moment.end()
        self._tell()

    async def _changed(self, view: Engine, head: int) -> list[bytes]:
        """The packed keys of the documents that changed up to the moment, each once."""
        number, position = self._number, self.position
        if not position or head <= position:
            return []
        keys: dict[bytes, None] = {}
        async for positions in Feed(view).after(position):
            for one in positions:
                row = one.row
                if one.revision > head:
                    return list(keys)
                if row.keyspace == number and row.key:
                    keys[row.key] = None
                elif row.keyspace == number:
                    # The whole collection was dropped or put back.
                    await self._lost()
                    self._reload()
                    return []
        return list(keys)

    async def _apply(self, storage: DocumentStorage, view: Engine, keys: list[bytes]) -> None:
        found = await self._read(storage, view, keys)
        failed: list[tuple[LiveResult, StoreError]] = []
        with self._lock:
            for name, document, entry in found:
                concerned = dict(self.holders.get(name, ()))
                if entry is not None:
                    concerned |= self._routes.concerned(document)
                for result in concerned:
                    if not result.loaded:
                        continue  # It is read as a whole.
                    self._touched[result] = None
                    try:
                        self.evaluations += result.apply(name, document, entry)
                        if result.lacks:
                            self._unread[result] = None
                    except QuotaExceeded as error:
                        failed.append((result, error))
        for result, refusal in failed:
            self._fail(result, refusal)

    @staticmethod
    async def _read(
        storage: DocumentStorage, view: Engine, keys: list[bytes]
    ) -> list[tuple[str, Any, Entry[Any] | None]]:
        """The documents under the keys, with the entries of those that there are."""
        data = storage.rows.data
        records = await view.read([data + key for key in keys])
        found: list[tuple[str, Any, Entry[Any] | None]] = []
        for key, record in zip(keys, records, strict=True):
            if record is None or storage.expired(record.value):
                found.append((unpack_text(key), None, None))
                continue
            entry = storage.entry(data + key, *record)
            if record.value[1] & envelope.BLOB:
                await storage.complete(entry, view)
            found.append((unpack_text(key), entry.value, entry))
        return found

    async def _load(
        self, storage: DocumentStorage | None, view: Engine, result: LiveResult
    ) -> None:
        """Read a result from the collection as it is at the moment."""
        rows: list[Found] = []
        text = None
        try:
            if storage is not None and result.query.limit != 0:
                wanted = replace(result.query, limit=result.wanted, offset=0)
                catalogue = await storage.catalogue_at(view)
                plan = plan_query(wanted, storage.number, catalogue, result.hint)
                text = plan.text
                async with aclosing(Run(storage, view, plan, Examined()).results()) as results:
                    async for row in results:
                        rows.append(row)
                        result.require_room(len(rows))
        except StoreError as error:
            if error.retryable:
                raise
            self._fail(result, error)
            return
        with self._lock:
            self._unread.pop(result, None)
            if result in self._results:
                result.load(rows, text)
                self._touched[result] = None
