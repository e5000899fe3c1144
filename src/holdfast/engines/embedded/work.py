"""A batch on its way through a commit, and the user's function that may decide it.

The function runs inside the commit, so whatever it raises must concern its caller alone, and a
write that it makes to the same database could never be done.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import ContextVar

import msgspec

from holdfast.contract.batch import Answer, Batch, Decide, Receipt
from holdfast.contract.errors import WrongContext
from holdfast.contract.record import Record
from holdfast.contract.runtime import Completion


class Raised(Exception):
    """The function of a batch raised something."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Work(msgspec.Struct, eq=False):
    """A batch, or the keys and function that make one, on its way through a commit.

    Attributes:
        done: it has a receipt or an error and nobody will look at it again; or it was withdrawn.
        queued: it waits for the leader.
        deciding: its function runs now.
        committer: of its database, by which alone two databases are told apart.
        inside: the batch whose function this one's was called from, of another engine.
        thread: whose call it is.
    """

    batch: Batch | None
    keys: Sequence[bytes] = ()
    decide: Decide | None = None
    previous: bool = False
    done: bool = False
    queued: bool = False
    deciding: bool = False
    receipt: Receipt | None = None
    error: BaseException | None = None
    completion: Completion[Receipt] | None = None
    committer: object | None = None
    inside: Work | None = None
    thread: int = msgspec.field(default_factory=threading.get_ident)

    def outcome(self) -> Receipt:
        """The receipt, or the error raised."""
        if self.error is not None:
            raise self.error
        assert self.receipt is not None
        return self.receipt

    def withdraw(self) -> None:
        """Nobody waits for it any more: the next leader passes it by."""
        self.done = True
        self.deciding = False

    def ask(self, records: list[Record | None], revision: int) -> Answer:
        """What the function answers.

        Raises:
            Raised: whatever the function raised, which belongs to its caller alone.
        """
        assert self.decide is not None
        outer = _deciding.get()
        self.inside = None
        if outer is not None and outer is not self and outer.deciding and not outer.done:
            self.inside = outer  # Else an interrupt left it there.
        token = _deciding.set(self)
        self.deciding = True
        try:
            return self.decide(records, revision)
        except StopIteration as error:
            # It would end the coroutines that it passes, instead of failing them.
            stopped = RuntimeError("the function of a write raised StopIteration")
            stopped.__cause__ = error
            raise Raised(stopped) from None
        except KeyboardInterrupt as error:
            # Signals reach the main thread, and another thread's call is not the interrupted one.
            here = threading.current_thread()
            if here is threading.main_thread() and self.thread != here.ident:
                raise
            raise Raised(error) from None
        except BaseException as error:  # noqa: BLE001 - that is what user code can do
            raise Raised(error) from None
        finally:
            self.deciding = False
            _deciding.reset(token)


#: The batch whose function runs in this context; contexts are copied to tasks and some threads.
_deciding: ContextVar[Work | None] = ContextVar("deciding", default=None)


#: The batch whose function called, which makes most calls of `refuse_inside` unnecessary.
deciding_now = _deciding.get


def refuse_inside(committer: object) -> None:
    """Raise WrongContext in a function that decides a commit of the same database."""
    work = _deciding.get()
    while work is not None:
        # A task that the function only started may write once the function has returned.
        if work.deciding and not work.done and work.committer is committer:
            raise WrongContext(
                "a function that decides a write (of modify or transact) cannot write to the same "
                "database itself: that write would wait for the commit that it is a part of. "
                "Return what to write, or write after the call"
            )
        work = work.inside


def leave_interrupted(committer: object) -> None:
    """After an interrupt: this context no longer decides anything for the committer.

    What it decided last may be another caller's, who decides it again meanwhile.
    """
    work = left = _deciding.get()
    while left is not None and left.committer is committer:
        left = left.inside
    if left is not work:
        _deciding.set(left)
