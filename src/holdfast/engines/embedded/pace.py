"""How long commits take here: what an event loop may run by itself, and when it needs a pause."""

from __future__ import annotations

import math

from holdfast.contract.runtime import Clock

#: How long commits hold an event loop in one of its turns. A callback may wait for three: one in
#: which its timer runs out, one in which that is noticed, one in which it is called.
HELD_MAX_S = 0.002
#: Of commits further apart than this, it is not known whether the loop went round between them:
IDLE_S = 0.001
#: it may have, or another process had the processor meanwhile. Each counts as so much.
UNKNOWN_S = 0.000_25
#: Flushes that take longer than this on average are left to the writer thread.
FLUSH_MAX_S = 0.001
#: One flush as long as this is enough: the disk is busy, and a loop does not wait to see more.
FLUSH_STALL_S = 0.01
#: How long the writer thread keeps flushes that were too long for a loop, at first and at last.
RETRY_FIRST_S, RETRY_LAST_S = 0.1, 60.0
#: How much a group counts in the average.
_WEIGHT = 0.25
#: The least that a batch is taken to cost, so that one fast group does not promise too much.
_BATCH_MIN_S = 0.00002
#: The same for a flush; an average of nothing would never grow.
_FLUSH_MIN_S = 0.00002


class Pace:
    """A running measure of the groups of one engine.

    A loop flushes by itself only once another thread has flushed fast enough: a slow disk never
    holds it. From then on the groups on the loop's own thread are measured, because on another
    one they also wait for the interpreter, which the loop holds. When flushes get too long, the
    writer thread takes over, and for ever longer where that happens again and again.

    Attributes:
        flush_s: how long the flush of a group takes, on average.
        batch_s: how long one batch takes, on average.
        tick: counts the turns of an event loop in which somebody waited for the next.
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic
        self.flush_s = math.inf
        self.batch_s = _BATCH_MIN_S
        self.tick = 0
        self._held_s = 0.0
        self._busy_s = 0.0
        self._last_at = self._short_since = self.now()
        self._retry_at = -math.inf
        self._retry_s = RETRY_FIRST_S

    @property
    def short(self) -> bool:
        """Whether a group may run on a loop's thread."""
        return self.flush_s <= FLUSH_MAX_S

    def note(self, batches: int, decided_s: float, flushed_s: float) -> None:
        """A group of that many batches was decided and flushed on a loop's thread."""
        # One slow group is the machine's mood; many are the disk.
        one = min(max(decided_s / batches, _BATCH_MIN_S), 2 * self.batch_s)
        self.batch_s += (one - self.batch_s) * _WEIGHT
        if flushed_s > FLUSH_STALL_S:
            self.flush_s = flushed_s
        else:
            self.flush_s += (min(flushed_s, 2 * self.flush_s) - self.flush_s) * _WEIGHT
            self.flush_s = max(self.flush_s, _FLUSH_MIN_S)
        if self.flush_s > FLUSH_MAX_S:
            self._retry_at = self.now() + self._retry_s
            self._retry_s = min(2 * self._retry_s, RETRY_LAST_S)
        elif self._retry_s > RETRY_FIRST_S and self.now() - self._short_since > self._retry_s:
            self._retry_s = RETRY_FIRST_S

    def note_elsewhere(self, flushed_s: float) -> None:
        """A group was flushed on a thread that may be held: a loop may lead if that was short."""
        if flushed_s <= FLUSH_MAX_S < self.flush_s:
            now = self.now()
            if now >= self._retry_at:
                self.flush_s = max(flushed_s, _FLUSH_MIN_S)
                self._short_since = now

    # --- For commits that run on a loop's thread ----------------------------------------------

    def woke(self, tick: int) -> None:
        """Somebody who waited from that tick for the next runs again: so the loop went round."""
        if tick == self.tick:
            self.tick += 1
            self._held_s = self._busy_s = 0.0
            self._last_at = self.now()

    def held(self, seconds: float) -> None:
        """The loop was held for so long."""
        self._held_s += seconds

    def batches_now(self) -> int:
        """How many batches may run before the loop goes round; 0: none."""
        left = HELD_MAX_S - self._held_s - self.flush_s
        if left <= 0:
            # A loop that was not held yet takes one in any case: flushes are short on average.
            return 0 if self._held_s else 1
        return max(1, int(left / max(self.batch_s, _BATCH_MIN_S)))

    def pause_due(self) -> bool:
        """Whether commits that never wait have gone on for long enough; one comes now."""
        now = self.now()
        since_last = now - self._last_at
        self._last_at = now
        self._busy_s += since_last if since_last <= IDLE_S else UNKNOWN_S
        return self._busy_s >= HELD_MAX_S
