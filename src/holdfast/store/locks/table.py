"""The queues of one process: who holds which lock, and who waits for it, first come first served.

A lock that is neither held nor wanted leaves nothing in the table. A caller that would wait for
itself, over however many others, is refused before it waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from holdfast.contract.errors import DeadlockDetected
from holdfast.contract.runtime import Completion, Host

#: How far a chain of callers that wait for each other is followed.
CHAIN_MAX = 1_000


class Claim:
    """One caller's wish for one lock, until it is let go.

    Attributes:
        name: of the lock.
        caller: the task or thread.
        number: of the caller, as other processes know it.
        granted: settled when its turn comes; None: it came at once.
    """

    def __init__(self, name: str, caller: object, number: int) -> None:
        self.name = name
        self.caller = caller
        self.number = number
        self.granted: Completion[None] | None = None


class _Caller:
    """What the table knows of a task or thread that holds or waits for something."""

    def __init__(self, caller: object, number: int) -> None:
        self.caller = caller  # Kept alive, so that no other object can get its identity.
        self.number = number
        self.held = 0
        self.waits_for: str | None = None


class LockTable:
    """Who holds what and who waits for it, among the callers of one process.

    Args:
        host: wakes who waits.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        # The first claim of a queue holds the lock.
        self._queues: dict[str, deque[Claim]] = {}
        self._callers: dict[int, _Caller] = {}
        self._numbers = 0

    def __len__(self) -> int:
        """How many locks are held or wanted."""
        return len(self._queues)

    @property
    def callers(self) -> int:
        """How many callers hold or want one."""
        return len(self._callers)

    def claim(self, name: str, caller: object, completion: Callable[[], Completion[None]]) -> Claim:
        """Stand in line for a lock; it is granted at once when it is free.

        Raises:
            DeadlockDetected: the caller holds it, or its holder waits for the caller.
        """
        with self._lock:
            known = self._callers.get(id(caller))
            queue = self._queues.get(name)
            if queue is not None:
                self._refuse_cycle(name, caller)
            if known is None:
                self._numbers += 1
                known = self._callers[id(caller)] = _Caller(caller, self._numbers)
            claim = Claim(name, caller, known.number)
            if queue is None:
                self._queues[name] = deque((claim,))
                known.held += 1
            else:
                claim.granted = completion()
                queue.append(claim)
                known.waits_for = name
            return claim

    def holds(self, name: str, caller: object) -> bool:
        """Whether the caller has the lock."""
        with self._lock:
            queue = self._queues.get(name)
            return queue is not None and queue[0].caller is caller

    def holds_others(self, claim: Claim) -> bool:
        """Whether the caller of a claim has got another lock, so that others may wait for it."""
        with self._lock:
            known = self._callers[id(claim.caller)]
            return known.held > (self._queues[claim.name][0] is claim)

    def let_go(self, claim: Claim) -> None:
        """Leave the line, from wherever in it; who comes next is woken."""
        woken: Completion[None] | None = None
        with self._lock:
            queue = self._queues[claim.name]
            known = self._callers[id(claim.caller)]
            if queue[0] is claim:
                queue.popleft()
                known.held -= 1
                if queue:
                    following = queue[0]
                    waiter = self._callers[id(following.caller)]
                    waiter.held += 1
                    waiter.waits_for = None
                    woken = following.granted
                else:
                    del self._queues[claim.name]
            else:
                queue.remove(claim)
                known.waits_for = None
            if not known.held and known.waits_for is None:
                del self._callers[id(claim.caller)]
        if woken is not None:
            self._host.settle(((woken, None, None),))

    def _refuse_cycle(self, name: str, caller: object) -> None:
        """Raise when the holder of the lock waits, directly or over others, for the caller."""
        chain = [name]
        for _ in range(CHAIN_MAX):
            holder = self._queues[chain[-1]][0].caller
            if holder is caller:
                raise deadlock(chain)
            wanted = self._callers[id(holder)].waits_for
            if wanted is None:
                return
            chain.append(wanted)


def deadlock(chain: list[str]) -> DeadlockDetected:
    """The error for a chain of locks, each wanted by the holder of the one before it."""
    shown = " -> ".join(repr(name) for name in chain)
    if len(chain) == 1:
        said = f"the lock of {shown} was wanted by the caller that holds it"
        step = "A lock is not re-entrant: take it once, around everything that needs it"
    else:
        said = f"the locks {shown} are each held by who waits for the next, the last by this caller"
        step = "Let go what you hold and try again; take several locks in one order everywhere"
    return DeadlockDetected(f"{said}. {step}", locks=chain)
