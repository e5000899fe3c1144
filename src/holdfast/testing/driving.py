"""Several threads at once, each driving the engine without a loop."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.contract.engine import Engine

THREADS = 4
#: A thread that takes longer is stuck.
THREAD_TIMEOUT_S = 40.0


def in_threads(engine: Engine, work: Callable[[int], None], threads: int = THREADS) -> None:
    """Run the work in several threads, each told its number; raises what the first one raised."""
    failures: list[BaseException] = []

    def guarded(thread: int) -> None:
        try:
            work(thread)
        except BaseException as failure:  # noqa: BLE001 - raised again by the promise
            failures.append(failure)

    spawn = engine.components.host.spawn
    workers = [
        spawn(f"contract {thread}", lambda thread=thread: guarded(thread))  # type: ignore[misc]
        for thread in range(threads)
    ]
    assert all(worker.join(THREAD_TIMEOUT_S) for worker in workers), "a thread is stuck"
    if failures:
        raise failures[0]
