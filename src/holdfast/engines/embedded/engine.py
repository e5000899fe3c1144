"""The common part of embedded engines: checked input, group commit, waiting, the fork guard."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from holdfast.contract.batch import Batch, Decide, Draft, Receipt
from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.engine import Engine, NotNow
from holdfast.contract.errors import (
    OutcomeUnknown,
    ReadOnly,
    StorageFull,
    StoreClosed,
    StoreError,
    WrongContext,
)
from holdfast.contract.limits import check_batch, check_draft, check_key
from holdfast.contract.memory import no_memory
from holdfast.contract.runtime import Components
from holdfast.engines.embedded import life
from holdfast.engines.embedded.committer import Committer
from holdfast.engines.embedded.group import Group, Work, Writer
from holdfast.engines.embedded.life import Ownership
from holdfast.engines.embedded.pace import FLUSH_MAX_S, Pace
from holdfast.engines.embedded.watcher import Watcher

#: How long a fork waits for a commit under way.
FORK_WAIT_S = 5.0


class EmbeddedEngine(Engine):
    """An engine whose driver runs in this process.

    A subclass gives a `Writer` (`_begin`), reads and scans by itself, says what it can
    (`capabilities`), and calls `_opened` once it is usable and `_retire` before it lets go.
    """

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        #: Why the engine cannot be used, or None while it can: read on every call.
        self._refusal: type[StoreError] | None = StoreClosed
        self._pace = Pace(components.clock)
        self._committer = Committer(
            f"holdfast {config.scheme}",
            components.host,
            self._run_group,
            self._may_run_inline,
            self._may_lead_promptly,
            self._let_go,
            self._pace,
        )
        #: The group under way, for whoever has to put right what an interrupt left of it.
        self._group_now: Group | None = None
        self._owner = Ownership(components.host, config.url, self._close)
        self._paused = False
        self._may_hold = components.host.may_hold
        #: From when it is usable.
        self._limits: Capabilities
        self._writable = False
        self._watcher = Watcher(components.host, self._head_now, lambda: self.capabilities.shared)

    # --- For subclasses ---------------------------------------------------------------------

    @abstractmethod
    def _begin(self) -> Writer:
        """A write transaction; waits for other processes' ones. Raises StoreLocked if too long."""

    @abstractmethod
    def _head_now(self) -> int:
        """The newest revision in the medium, of any process. Cheap and never blocks."""

    def _close(self) -> None:
        """Let go of everything; can be repeated after an interrupt. Holds the thread."""

    def _may_commit_inline(self) -> bool:
        """Whether a commit here and now would neither flush nor wait."""
        return False

    def _may_run_inline(self, work: Work) -> bool:
        """The same for a certain batch; `_begin` follows at once when the answer is yes."""
        return self._may_commit_inline()

    def _may_lead_promptly(self) -> bool:
        """Whether a group here and now would wait for nothing but its flush; `_begin` follows."""
        return False

    def _let_go(self) -> None:
        """After an interrupt: end what a write of this thread began and did not end.

        Nothing may have been begun, or the engine be closed by now.
        """

    def _opened(self) -> None:
        self._limits = self.capabilities
        self._writable = self._limits.writable
        self._committer.flushes = (
            self._limits.io is not Io.INLINE and self._limits.durability == "full"
        )
        self._refusal = None
        life.born(self)

    def _retire(self) -> None:
        """Commit what was handed over, wake the waiting; afterwards every verb refuses."""
        self._committer.close()
        self._refusal = StoreClosed
        self._watcher.close()
        life.died(self)

    def _refuse(self) -> StoreError:
        """The error for a call on an engine that cannot be used."""
        if self._refusal is WrongContext:
            return WrongContext(
                f"the database {self.config.url} was opened before a fork; the child must open "
                "its own. Fork first, open then"
            )
        return StoreClosed(f"the database {self.config.url} is closed; open it again")

    def stale(self) -> bool:
        """Whether the path leads to another database by now, or to none.

        Whoever opens it then needs an engine of its own. Takes one look at the file system.
        """
        return False

    # --- The verbs --------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Receipt:
        if self._refusal is not None:
            raise self._refuse()
        self._validate(batch)
        return await self._committer.commit(Work(batch))

    async def transact(
        self, keys: Sequence[bytes], decide: Decide, *, previous: bool = False
    ) -> Receipt:
        if self._refusal is not None:
            raise self._refuse()
        if not self._writable:
            raise self._read_only()
        return await self._committer.commit(Work(None, keys, decide, previous=previous))

    def transact_now(self, keys: Sequence[bytes], decide: Decide) -> Receipt | NotNow:
        if self._refusal is not None:
            raise self._refuse()
        if not self._writable:
            raise self._read_only()
        work = Work(None, keys, decide)
        if self._may_hold():
            return self._committer.commit_here(work)
        return self._committer.commit_now(work)

    async def wait(self, after_revision: int) -> int:
        if self._refusal is not None:
            raise self._refuse()
        head = await self.head()
        if head > after_revision:
            return head
        return await self._watcher.wait(after_revision)

    # --- Inside -----------------------------------------------------------------------------

    def _run_group(self, works: list[Work]) -> None:
        """Commit several batches in one engine transaction."""
        try:
            refused = self._decide_group(works)
        except BaseException as error:
            landed = self._undone(works)
            if isinstance(error, MemoryError):
                # Refused like a medium without room; what is written all the same is told so.
                refused = None if landed else no_memory("write", lighter="write less at once")
            elif not landed and isinstance(error, Exception):
                _fail(works, error)
                raise
            else:
                if not landed:
                    # An interrupt of who leads. The batches are still to be decided.
                    for work in works:
                        work.receipt = work.error = None
                raise
        if refused is not None:
            _fail(works, refused)
            if len(works) > 1:
                # One batch found no room, say; alone, the others may (deletes do).
                for work in works:
                    work.receipt = work.error = None
                    self._run_group([work])

    def _decide_group(self, works: list[Work]) -> BaseException | None:
        """Decide the batches and commit them. What the driver had against one of them, if so."""
        try:
            self._group_now = group = self._group()
        except StoreError as error:
            for work in works:
                work.error = error
            return None
        # Not timed where flushes are known to be short, and the thread is not a loop's.
        pace, on_loop = self._pace, self._committer.on_loop
        now = pace.now if on_loop or pace.flush_s > FLUSH_MAX_S else None
        begun = decided = 0.0 if now is None else now()
        try:
            for work in works:
                group.run(work)
                if group.broken:
                    self._abandon(group)
                    self._group_now = None
                    return work.error
            if self._refusal is WrongContext:
                raise self._refuse()  # A function forked, and this is the child.
            group.push()
            if now is not None:
                decided = now()
            self._finish(group)
        except StorageFull as error:
            self._abandon(group)
            self._group_now = None
            return error
        self._group_now = None
        if on_loop:
            pace.note(len(works), decided - begun, pace.now() - decided)
        elif now is not None and group.changed:
            pace.note_elsewhere(now() - decided)
        return None

    def _undone(self, works: list[Work]) -> bool:
        """Recover from what broke a group; whether it is committed all the same."""
        try:
            return self._recover()
        except BaseException as failure:
            # Nothing tells what became of the group, so none of it may look acknowledged.
            unknown = OutcomeUnknown(
                "a commit broke off, and undoing it failed as well; read what stands there, then "
                "decide"
            )
            unknown.__cause__ = failure
            _fail(works, unknown)
            raise

    def _recover(self) -> bool:
        """After a bug or an interrupt: nothing stays open. Whether the group is committed."""
        group, self._group_now = self._group_now, None
        landed = group is not None and group.finishing and self._head_now() >= group.revision
        if group is not None and not landed:
            self._abandon(group)
        self._let_go()
        if group is not None and landed:
            self._watcher.publish(group.revision)
        return landed

    def _group(self) -> Group:
        """The group that the next batches join."""
        return Group(self._begin(), self._validate, self._limits)

    def _finish(self, group: Group) -> None:
        """Commit the group and tell who waits."""
        group.finish()
        if group.changed:
            self._watcher.publish(group.revision)

    def _abandon(self, group: Group) -> None:
        group.writer.abandon()

    def _validate(self, batch: Batch | Draft) -> None:
        """Refuse a batch that breaks a limit, before anything is written."""
        limits = self._limits
        if not limits.writable:
            raise self._read_only()
        if type(batch) is Draft:
            check_draft(batch, limits)
        else:
            assert isinstance(batch, Batch)
            check_batch(batch, limits)

    _check_key = staticmethod(check_key)

    def _read_only(self) -> ReadOnly:
        return ReadOnly(
            f"the database {self.config.url} was opened for reading only; "
            "open it without read_only to write"
        )

    # --- The process forks, or ends -----------------------------------------------------------

    def before_fork(self) -> None:
        """No commit is under way in the child, whose threads are gone: it would never end."""
        self._paused = self._committer.pause(FORK_WAIT_S)

    def after_fork_in_parent(self) -> None:
        """Commits go on."""
        if self._paused:
            self._paused = False
            self._committer.resume()

    def after_fork_in_child(self) -> None:
        """The child opens its own."""
        self._refusal = WrongContext
        self._owner.forget()
        self._after_fork()

    def _after_fork(self) -> None:
        """In a child: let go of what it shares with its parent."""

    def abandoned(self) -> None:
        """The process ends and nobody closed the engine: flush what was acknowledged.

        Whoever still waits in a thread of the daemon kind is left in peace.
        """
        if self._refusal is None:
            self._keep()

    def _keep(self) -> None:
        """Flush what was acknowledged and is not flushed."""

    def __del__(self) -> None:
        owner = getattr(self, "_owner", None)
        if owner is not None and self._refusal is not WrongContext:
            owner.close_unclosed()


def _fail(works: list[Work], error: BaseException) -> None:
    for work in works:
        if work.error is None:
            work.receipt = None
            work.error = error
