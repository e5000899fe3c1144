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

    def __init__(self, name: str, caller: object) -> None:
        self.name = name
        self.caller = caller
        self.number = 0
        self.granted: Completion[None] | None = None


class _Caller:
    """What the table knows of a task or thread that holds or waits for something."""

    def __init__(self, caller: object, number: int) -> None:
        self.caller = caller  # Kept, so that nobody else can get its identity meanwhile.
        self.number = number
        self.claims: list[Claim] = []


class LockTable:
    """Who holds what and who waits for it, among the callers of one process.

    A claim stands in its queue and at its caller, and nothing is counted besides. So an interrupt
    between two steps leaves nothing that `let_go` does not put right.

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

    def stand(self, claim: Claim, completion: Callable[[], Completion[None]]) -> None:
        """Stand in line for a lock; it is granted at once when nobody is there.

        Raises:
            DeadlockDetected: the caller holds it, or whoever does waits for the caller.
        """
        caller = claim.caller
        with self._lock:
            queue = self._queues.get(claim.name)
            if queue is not None:
                self._refuse_cycle(claim.name, caller)
                claim.granted = completion()
            known = self._callers.get(id(caller))
            if known is None:
                self._numbers += 1
                known = self._callers[id(caller)] = _Caller(caller, self._numbers)
            claim.number = known.number
            known.claims.append(claim)
            if queue is None:
                self._queues[claim.name] = deque((claim,))
            else:
                queue.append(claim)

    def holds(self, name: str, caller: object) -> bool:
        """Whether the caller has the lock."""
        with self._lock:
            queue = self._queues.get(name)
            return queue is not None and queue[0].caller is caller

    def holds_others(self, claim: Claim) -> bool:
        """Whether the caller of a claim has got another lock, so that others may wait for it."""
        with self._lock:
            known = self._callers.get(id(claim.caller))
            claims = [] if known is None else known.claims
            return any(one is not claim and self._first(one) for one in claims)

    def let_go(self, claim: Claim) -> None:
        """Leave the line, from wherever in it; the next one is woken. Twice does nothing more."""
        with self._lock:
            queue = self._queues.get(claim.name)
            if queue is not None and claim in queue:
                if len(queue) == 1:
                    del self._queues[claim.name]
                else:
                    queue.remove(claim)
            # Told again and again, for the call before may have been interrupted here.
            woken = None if queue is None else queue[0].granted
            known = self._callers.get(id(claim.caller))
            if known is not None and known.caller is claim.caller:
                known.claims = [one for one in known.claims if one is not claim]
                if not known.claims:
                    del self._callers[id(claim.caller)]
        if woken is not None:
            self._host.settle(((woken, None, None),))

    def _first(self, claim: Claim) -> bool:
        """Whether a claim holds its lock."""
        queue = self._queues.get(claim.name)
        return queue is not None and queue[0] is claim

    def _refuse_cycle(self, name: str, caller: object) -> None:
        """Raise when the holder of the lock waits, directly or over others, for the caller."""
        chain = [name]
        for _ in range(CHAIN_MAX):
            holder = self._queues[chain[-1]][0].caller
            if holder is caller:
                raise deadlock(chain)
            known = self._callers.get(id(holder))
            waits = [one for one in known.claims if not self._first(one)] if known else []
            if not waits:
                return
            chain.append(waits[0].name)


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
