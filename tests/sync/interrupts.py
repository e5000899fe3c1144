"""Ctrl-C at the moment that a test wants it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

PAUSE_S = 0.001
PAUSES = 20_000


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    pause = threading.Event()
    for _ in range(PAUSES):
        if condition():
            return
        pause.wait(PAUSE_S)
    raise AssertionError(f"it did not come to that within {PAUSES * PAUSE_S} s")


@contextmanager
def interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """Raise KeyboardInterrupt once in this, the main thread, when the condition holds."""
    main = threading.get_ident()
    assert main == threading.main_thread().ident
    raised = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not raised.is_set():
            raised.set()
            raise KeyboardInterrupt

    def send() -> None:
        until(when)
        while not raised.is_set():
            # Again, because one that comes just before the thread sleeps does not wake it.
            signal.pthread_kill(main, signal.SIGINT)
            raised.wait(0.02)

    before = signal.signal(signal.SIGINT, handle)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)
