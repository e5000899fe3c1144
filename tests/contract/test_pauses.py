"""Rests between tries: bounded, growing, and different for those who lost together."""

from __future__ import annotations

from holdfast.contract.pauses import DOUBLINGS_MAX, pause_s
from holdfast.contract.runtime import ManualClock, SystemIds

SHORTEST_S, LONGEST_S = 0.001, 0.1


def test_a_pause_is_from_a_half_to_all_of_a_time_that_doubles() -> None:
    ids = SystemIds(ManualClock())
    for failed in range(1, 20):
        whole = min(SHORTEST_S * 2 ** (failed - 1), LONGEST_S)
        assert whole / 2 <= pause_s(ids, failed, SHORTEST_S, LONGEST_S) <= whole


def test_calls_of_one_process_at_one_moment_rest_differently() -> None:
    """Identities given out one after the other differ in their counter alone."""
    ids = SystemIds(ManualClock())
    pauses = [pause_s(ids, 1, SHORTEST_S, LONGEST_S) for _ in range(64)]
    assert len({round(pause, 6) for pause in pauses}) > 48


def test_endless_failures_stay_within_the_bound() -> None:
    ids = SystemIds(ManualClock())
    assert pause_s(ids, 10**9, SHORTEST_S, LONGEST_S) <= LONGEST_S
    assert SHORTEST_S * 2.0**DOUBLINGS_MAX > LONGEST_S
