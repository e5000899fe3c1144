"""Waiting for an item of a queue ends, however short the time is."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue

import pytest

from holdfast.contract.queues import next_of
from holdfast.engines.embedded.locking import pause

#: Times that are over before a queue has looked at its lock twice.
SHORT_S = (1e-9, 1e-6, 2e-6, 5e-6)
FOR_S = 0.3


def _ends(action: object) -> None:
    """Run it again and again in a thread, which must not be held for ever."""
    assert callable(action)
    count = 0
    end = time.monotonic() + FOR_S

    def run() -> None:
        nonlocal count
        while time.monotonic() < end:
            for short in SHORT_S:
                action(short)
                count += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(FOR_S + 20)
    assert not thread.is_alive(), f"it waits for ever, the {count}-th time"
    assert count > 100


def test_a_wait_for_an_item_ends() -> None:
    def wait(short: float) -> None:
        with pytest.raises(Empty):
            next_of(SimpleQueue[None](), short)

    _ends(wait)


def test_a_wait_behind_an_item_ends() -> None:
    """An item that came and went leaves the queue's lock free."""
    queue: SimpleQueue[int] = SimpleQueue()

    def wait(short: float) -> None:
        queue.put(1)
        assert next_of(queue, None) == 1
        with pytest.raises(Empty):
            next_of(queue, short)

    _ends(wait)


def test_a_pause_ends() -> None:
    _ends(pause)
    before = time.monotonic()
    pause(0.02)
    assert time.monotonic() - before >= 0.02
