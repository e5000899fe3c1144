"""How long commits take here: what an event loop may run by itself, and when it needs a pause."""

from __future__ import annotations

from holdfast.contract.runtime import Clock

#: How long commits hold an event loop in one of its turns. A callback may wait for three: one in
#: which its timer runs out, one in which that is noticed, one in which it is called.
HELD_MAX_S = 0.002
#: Commits this far apart do not hold a loop: something else runs between them.
IDLE_S = 0.001
#: Flushes that take longer than this on average are left to the writer thread.
FLUSH_MAX_S = 0.001
#: After how long a flush is tried on a loop again, at first and at last.
PROBE_FIRST_S, PROBE_LAST_S = 0.1, 60.0
#: How much a group counts in the average.
_WEIGHT = 0.25
#: The least that a batch is taken to cost, so that one fast group does not promise too much.
_BATCH_MIN_S = 0.00002


class Pace:
    """A running measure of the groups of one engine.

    Only groups on a loop's own thread are measured: on another one they also wait for the
    interpreter, which the loop holds. While flushes are too long for a loop, one is tried there
    from time to time, and ever more rarely.

    Attributes:
        flush_s: how long the flush of a group takes, on average.
        batch_s: how long one batch takes, on average.
        tick: counts the turns of an event loop in which somebody waited for the next.
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic
        self.flush_s = 0.0
        self.batch_s = _BATCH_MIN_S
        self.tick = 0
        self._measured = False
        self._held_s = 0.0
        self._went_round_at = self._last_at = self.now()
        self._probe_at = 0.0
        self._probe_interval_s = PROBE_FIRST_S

    @property
    def short(self) -> bool:
        """Whether a group may run on a loop's thread."""
        return self.flush_s <= FLUSH_MAX_S or self.now() >= self._probe_at

    def note(self, batches: int, decided_s: float, flushed_s: float) -> None:
        """A group of that many batches was decided and flushed on a loop's thread."""
        one = max(decided_s / batches, _BATCH_MIN_S)
        if self.flush_s > FLUSH_MAX_S or not self._measured:
            self._measured = True
            self.flush_s, self.batch_s = flushed_s, one
        else:
            # One slow group is the machine's mood; many are the disk.
            self.flush_s += (min(flushed_s, 2 * self.flush_s) - self.flush_s) * _WEIGHT
            self.batch_s += (min(one, 2 * self.batch_s) - self.batch_s) * _WEIGHT
        if self.flush_s > FLUSH_MAX_S:
            self._probe_at = self.now() + self._probe_interval_s
            self._probe_interval_s = min(2 * self._probe_interval_s, PROBE_LAST_S)
        else:
            self._probe_interval_s = PROBE_FIRST_S

    # --- For commits that run on a loop's thread ----------------------------------------------

    def woke(self, tick: int) -> None:
        """Somebody who waited from that tick for the next runs again: so the loop went round."""
        if tick == self.tick:
            self.tick += 1
            self._held_s = 0.0
            self._went_round_at = self.now()

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
        if now - self._last_at > IDLE_S:
            self._went_round_at = now
        self._last_at = now
        return now - self._went_round_at >= HELD_MAX_S
