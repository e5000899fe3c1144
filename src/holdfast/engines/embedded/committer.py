"""Group commit: whoever comes first leads, whoever comes meanwhile is taken along.

One transaction and one flush at a time, no fixed delay: while a flush runs, the batches of the
next group gather. Leader and followers may be any threads. A caller on an event loop leads by
itself where that neither flushes nor waits; where flushes are short, it leads after one turn of
the loop, so that the batches of its neighbours come along; else it hands its batch to one writer
thread, so that neither a flush nor another process holding the file's writer lock stands in the
loop's way.

A caller may be interrupted anywhere (Ctrl-C). So batches stay in the queue until they are done,
and the leader has one place, `_recover`, that puts right whatever it left half-way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from weakref import ref

from holdfast.contract.batch import Receipt
from holdfast.contract.engine import NOT_NOW, NotNow
from holdfast.contract.errors import StoreClosed, StoreError, StoreLocked, TimedOut
from holdfast.contract.memory import no_memory
from holdfast.contract.runtime import Completion, Host, Runtime, Worker
from holdfast.engines.embedded.locking import let_go, owns
from holdfast.engines.embedded.pace import Pace
from holdfast.engines.embedded.work import (
    Work,
    deciding_now,
    leave_interrupted,
    refuse_inside,
)

#: The most batches that share one transaction. Bounds how long the first of them waits.
GROUP_BATCHES_MAX = 1024
#: How long a function that decides may run while another write waits for it. A write that the
#: function itself waits for, in a thread that knows nothing of it, would otherwise wait for ever.
PATIENCE_S = 5.0
#: How long a caller that meets a close under way sleeps before it looks again.
_CLOSING_PAUSE_S = 0.001

#: Rung by whoever wants the writer thread: True to look at the queue, False to end.
_Bell = SimpleQueue[bool]


class Committer:
    """Takes batches from any thread or loop and runs them in groups.

    Args:
        name: for the writer thread.
        host: tells how callers wait.
        run: commits a group; must set receipt or error of each work. What it raises besides is
            a bug, or an interrupt: then works without an outcome are still to be decided.
        inline: whether this batch may be committed on an event loop's thread right now, because
            that will neither flush nor wait for another process nor take long. Asked while no
            other group runs, so it may begin the transaction that `run` then uses.
        prompt: whether `run` would wait for nothing but the flush. The same holds.
        give_up: ends what `inline` or `prompt` began, where an interrupt came before `run`.
        pace: how long groups take.

    Attributes:
        on_loop: the group under way runs on a loop's thread, and may flush there.
        flushes: every group does, so that nobody on a loop commits at once.
    """

    def __init__(
        self,
        name: str,
        host: Host,
        run: Callable[[list[Work]], None],
        inline: Callable[[Work], bool],
        prompt: Callable[[], bool],
        give_up: Callable[[], None],
        pace: Pace,
    ) -> None:
        self.pace = pace
        self.on_loop = self.flushes = False
        self._name = name
        self._host = host
        self._run = run
        self._inline = inline
        self._prompt = prompt
        self._give_up = give_up
        # Knows its thread, so that what an interrupt left locked can be let go.
        self._leading = threading.RLock()
        self._queue: deque[Work] = deque()
        self._group: list[Work] = []
        self._untold: list[Work] = []
        self._bell: _Bell = SimpleQueue()
        self._rung = False
        self._starting = threading.Lock()
        self._writer: Worker | None = None
        self._closed = False

    # --- For callers ------------------------------------------------------------------------

    def commit_here(self, work: Work) -> Receipt:
        """Have the batch committed by a caller that may hold its thread."""
        if deciding_now() is not None:
            refuse_inside(self)
        if self._closed:
            raise _closed()
        work.committer = self
        leading = self._leading
        try:
            if leading.acquire(False):
                if self._queue:
                    self._queue.append(work)
                    self._lead(work)
                else:
                    self._lead_group([work])
                    self._untold = []  # Nobody waits for it on a loop.
            else:
                self._queue.append(work)
                self._await_lead()
                if self._closed and not work.done:
                    raise _closed()
                self._lead(work)
            leading.release()
        except BaseException:
            self._recover(work)
            raise
        receipt = work.receipt
        return work.outcome() if receipt is None or work.error is not None else receipt

    def commit_now(self, work: Work) -> Receipt | NotNow:
        """The same for a caller on a loop, where it neither flushes nor waits; else NOT_NOW."""
        if deciding_now() is not None:
            refuse_inside(self)
        if self._closed:
            raise _closed()
        if self.flushes or self.pace.pause_due():
            return NOT_NOW
        work.committer = self
        leading = self._leading
        try:
            if not leading.acquire(blocking=False):
                return NOT_NOW
            if not self._inline(work):
                leading.release()
                return NOT_NOW
            if self._queue:
                self._queue.append(work)
                self._lead(work)
            else:
                self._lead_group([work])
                self._untold = []  # What it wrote is not to be held until the next.
            leading.release()
        except BaseException:
            self._recover(work, begun=True)
            raise
        return work.outcome()

    async def commit(self, work: Work) -> Receipt:
        """Have the batch committed, and wait until it is."""
        runtime = self._host.runtime()
        if runtime.blocking:
            return self.commit_here(work)
        if self.flushes:
            # It waits for a flush, and the loop goes round meanwhile.
            refuse_inside(self)
            if self._closed:
                raise _closed()
        else:
            while self.pace.pause_due():
                # Commits that never wait must let the loop's other callbacks run too.
                tick = self.pace.tick
                await runtime.sleep(0)
                self.pace.woke(tick)
            receipt = self.commit_now(work)
            if receipt is not NOT_NOW:
                return receipt
        if self.pace.short:
            try:
                await self._lead_after_a_turn(work, runtime)
            except BaseException:
                # It was handed over: whoever is cancelled does not withdraw it.
                if not work.done:
                    self._wake_writer()
                raise
            if work.done:
                return work.outcome()
        return await self._hand_over(work, runtime)

    def exclusively(self, action: Callable[[], None]) -> None:
        """Run `action` while no group runs. Holds the calling thread."""
        refuse_inside(self)
        try:
            self._leading.acquire()
            action()
            self._leading.release()
        except BaseException:
            self._recover(None)
            raise

    def close(self) -> None:
        """Commit what was handed over, refuse what comes later, end the writer thread.

        An interrupted close can be called again.
        """
        self._closed = True
        try:
            self._leading.acquire()
            while self._queue:
                self._lead_once()
                self._tell()
            self._leading.release()
        except BaseException:
            self._recover(None)
            raise
        # Also where there seems to be no thread: an interrupt may have come as it was started.
        self._bell.put(False)
        if self._writer is not None:
            self._writer.join()

    def __del__(self) -> None:
        # Not closed: its thread, which waits for the bell alone, is to end.
        bell: _Bell | None = getattr(self, "_bell", None)
        if bell is not None:
            bell.put(False)

    def pause(self, timeout_s: float) -> bool:
        """Let no group run until `resume`; False when one runs for longer than the time."""
        return self._leading.acquire(timeout=timeout_s)

    def resume(self) -> None:
        """Groups may run again."""
        self._leading.release()

    # --- Inside: on a loop --------------------------------------------------------------------

    async def _lead_after_a_turn(self, work: Work, runtime: Runtime) -> None:
        """Wait for one turn of the loop, and lead whoever came meanwhile. May end undone."""
        pace = self.pace
        work.committer, work.queued = self, True
        self._queue.append(work)
        while pace.short:
            tick = pace.tick
            await runtime.sleep(0)
            if work.done:
                return
            pace.woke(tick)
            most = pace.batches_now()
            if not most:
                continue
            try:
                if not self._leading.acquire(blocking=False):
                    return
                if not self._prompt():
                    self._leading.release()
                    return
                begun = pace.now()
                self.on_loop = True
                self._lead_once(most)
                self._tell()
                self.on_loop = False
                pace.held(pace.now() - begun)
                self._leading.release()
            except BaseException:
                self.on_loop = False
                self._recover(work, begun=True)
                raise
            if work.done:
                return

    async def _hand_over(self, work: Work, runtime: Runtime) -> Receipt:
        """Leave the batch to the writer thread."""
        completion: Completion[Receipt] = runtime.completion()
        work.completion, work.committer = completion, self
        if not work.queued:
            work.queued = True
            self._queue.append(work)
        while self._closed and not work.done:
            # The close commits what it finds; it may have looked already.
            if self._leading.acquire(blocking=False):
                done = work.done
                self._recover(work)
                if not done:
                    raise _closed()
            await runtime.sleep(_CLOSING_PAUSE_S)
        if work.done:
            return work.outcome()
        self._wake_writer()
        if not self._deciding():
            return await completion.wait()
        while True:
            known = self._deciding()
            try:
                return await completion.wait(PATIENCE_S)
            except TimedOut:
                if known is not None and known is self._deciding():
                    work.withdraw()
                    raise _impatient() from None

    # --- Inside: leading ----------------------------------------------------------------------

    def _await_lead(self) -> None:
        """Wait until nobody leads; not for ever where that one waits for user code."""
        if self._deciding() is None:
            self._leading.acquire()
            return
        known = self._deciding()
        while not self._leading.acquire(timeout=PATIENCE_S):
            if known is not None and known is self._deciding():
                raise _impatient()
            known = self._deciding()

    def _deciding(self) -> Work | None:
        """The batch whose function runs now."""
        for work in self._group:
            if work.deciding:
                return work
        return None

    def _lead(self, work: Work) -> None:
        """Run groups until `work` is done; a follower finds its work done already."""
        while not work.done:
            self._lead_once()
            self._tell()

    def _lead_once(self, most: int = GROUP_BATCHES_MAX) -> None:
        """Run the next group of the queue."""
        queue = self._queue
        waiting = queue.copy() if len(queue) > 1 else list(queue)
        group = [work for work in islice(waiting, min(most, GROUP_BATCHES_MAX)) if not work.done]
        if group:
            self._lead_group(group)
        # Only the leader takes away, and only what is done: an interrupt loses nothing.
        while queue and queue[0].done:
            queue.popleft()

    def _lead_group(self, group: list[Work]) -> None:
        """Run a group; who waits for it is still to be told."""
        self._group = group
        try:
            self._run(group)
        except Exception as failure:  # noqa: BLE001 - a bug, told to everybody it concerns
            error: Exception = failure
            if isinstance(failure, MemoryError):
                error = no_memory("write", lighter="write less at once")
                error.__cause__ = failure
            for work in group:
                if work.receipt is None and work.error is None:
                    work.error = error
        self._group = []
        self._untold = group
        for work in group:
            work.done = True

    def _tell(self) -> None:
        """Wake those who wait on loops."""
        self._settle(self._untold)
        self._untold = []

    def _settle(self, group: list[Work]) -> None:
        settled = [
            (work.completion, work.receipt, work.error)
            for work in group
            if work.completion is not None and work.done
        ]
        if settled:
            self._host.settle(settled)

    def _recover(self, work: Work | None, *, begun: bool = False) -> None:
        """Put right what an error or an interrupt of the caller left half-way."""
        if work is not None:
            work.withdraw()
        leading = self._leading
        if owns(leading):
            leave_interrupted(self)
            if begun:
                with suppress(StoreError):  # The next transaction meets it again.
                    self._give_up()
            for one in self._group:
                one.deciding = False
                # Receipt or error: its group was committed before the interrupt came.
                if one.receipt is not None or one.error is not None:
                    one.done = True
            self._untold = [*self._untold, *self._group]
            self._group = []
            self._tell()
            let_go(leading)
        if self._queue:
            self._wake_writer()

    # --- Inside: the writer thread ------------------------------------------------------------

    def _wake_writer(self) -> None:
        """Have the writer thread look at the queue; once is enough until it does."""
        if self._writer is None:
            with self._starting:
                if self._writer is None:
                    # It knows the committer only while there is work: an engine that was dropped
                    # without a close is collected.
                    me, bell = ref(self), self._bell
                    self._writer = self._host.spawn(
                        f"{self._name} writer", lambda: _write(me, bell)
                    )
        if not self._rung:
            self._rung = True
            self._bell.put(True)

    def _serve(self) -> None:
        """Lead until the queue is empty."""
        # Before the queue is looked at: who comes after this look rings again.
        self._rung = False
        while self._queue:
            try:
                self._leading.acquire()
                self._lead_once()
                group, self._untold = self._untold, []
                self._leading.release()
                # Told only now: whoever comes next right away then finds nobody leading.
                self._settle(group)
            except BaseException:
                self._recover(None)
                raise


def _write(committer: ref[Committer], bell: _Bell) -> None:
    """The writer thread: leads for the callers on loops."""
    try:
        while bell.get():
            mine = committer()
            if mine is None:
                return
            with suppress(Exception):  # Whom it concerned was told.
                mine._serve()  # noqa: SLF001 - ours
            if mine._closed:  # noqa: SLF001 - ours
                return  # Whoever met the close may have started this thread behind it.
            del mine
    finally:
        bell.put(False)  # For another one, which an interrupt started beside this one.


def _closed() -> StoreError:
    return StoreClosed("the database is closed; open it again to write")


def _impatient() -> StoreError:
    return StoreLocked(
        f"the function of another write has been deciding for {PATIENCE_S} s, and this write came "
        "after it began. Where that function waits for this very write, it never will be done: let "
        "it return what to write, and write the rest after its call; else try again",
        timeout_s=PATIENCE_S,
    )
