"""How long commits take here: what an event loop may run by itself, and when it needs a pause."""

from __future__ import annotations

from holdfast.contract.runtime import Clock

#: The longest that commits may hold an event loop before its other callbacks run.
LAG_MAX_S = 0.005
#: Flushes that take longer than this on average are left to the writer thread.
FLUSH_MAX_S = 0.0005
#: How much a group counts in the average.
_WEIGHT = 0.25
#: The least that a batch is taken to cost, so that one fast group does not promise too much.
_BATCH_MIN_S = 0.00002


class Pace:
    """A running measure of the groups of one engine, by whichever thread runs them.

    Attributes:
        flush_s: how long the end of a group takes, on average; long until a group was measured.
        batch_s: how long one batch takes, on average.
        tick: counts the turns of an event loop in which somebody waited for the next.
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic
        self.flush_s = 1.0
        self.batch_s = _BATCH_MIN_S
        self.tick = 0
        self._measured = False
        self._held_s = 0.0
        self._paused_at = self.now()

    @property
    def short(self) -> bool:
        """Whether a group may run on a loop's thread."""
        return self.flush_s <= FLUSH_MAX_S

    def note(self, batches: int, decided_s: float, flushed_s: float) -> None:
        """A group of that many batches was decided and flushed."""
        one = decided_s / batches
        if self._measured:
            self.flush_s += (flushed_s - self.flush_s) * _WEIGHT
            self.batch_s += (one - self.batch_s) * _WEIGHT
        else:
            self._measured = True
            self.flush_s, self.batch_s = flushed_s, one

    # --- For commits that run on a loop's thread ----------------------------------------------

    def woke(self, tick: int) -> None:
        """Somebody who waited from that tick for the next runs again: so the loop went round."""
        if tick == self.tick:
            self.tick += 1
            self._held_s = 0.0

    def held(self, seconds: float) -> None:
        """The loop was held for so long."""
        self._held_s += seconds

    def batches_now(self) -> int:
        """How many batches may run before the loop goes round; 0: none."""
        left = LAG_MAX_S - self._held_s - self.flush_s
        if left <= 0:
            # A loop that was not held yet takes one in any case: flushes are short on average.
            return 0 if self._held_s else 1
        return max(1, int(left / max(self.batch_s, _BATCH_MIN_S)))

    @property
    def pause_due(self) -> bool:
        """Whether commits that never wait have gone on for long enough."""
        return self.now() - self._paused_at >= LAG_MAX_S

    def paused(self) -> None:
        """The loop went round."""
        self._paused_at = self.now()
