"""How callers wait: on an event loop, or driven in their own thread without one.

The whole library is written as coroutines that wait only through a `Runtime`. Awaited on a loop,
they suspend; driven by `drive`, their waits hold the thread and the coroutine runs through in one
step, which costs well under a microsecond where a hop to another thread costs thirty.

This is the one module below the views that knows an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar, cast

from holdfast.contract.errors import TimedOut, WrongContext
from holdfast.contract.memory import no_thread, thread_fits
from holdfast.contract.runtime import (
    Background,
    Completion,
    Components,
    Host,
    Runtime,
    SystemClock,
    SystemIds,
    Worker,
)
from holdfast.runtime.drive import (
    DrivenIterator,
    Hold,
    Limited,
    ThreadCompletion,
    drive,
    driving,
)

__all__ = ["LoopRuntime", "SystemHost", "ThreadRuntime", "drive", "system_components"]

T = TypeVar("T")


# --- Waiting by holding the thread ----------------------------------------------------------


class ThreadRuntime(Runtime):
    """Waits hold the calling thread."""

    blocking = True

    def completion(self) -> Completion[Any]:
        return ThreadCompletion()

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            # Held at a gate, which who stops the work opens; nothing ends a plain sleep.
            await Hold(ThreadCompletion(), seconds)
        else:
            time.sleep(0)  # noqa: ASYNC251 - another thread may go on

    async def offload(self, work: Callable[[], T]) -> T:
        return work()

    async def timeout(self, awaitable: Awaitable[T], seconds: float) -> T:
        return await Limited(awaitable, seconds)

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> Background:
        return _DrivenBackground(name, work)

    async def shielded(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # Nobody cancels what is driven; an interrupt comes to the work itself.
        return await work()

    @property
    def runs(self) -> Callable[[], bool]:
        return True.__bool__  # Always, and in any thread.

    def caller(self) -> object:
        return threading.current_thread()

    def check(self) -> None:
        pass


class _DrivenBackground(Background):
    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # As an iterator of one item, because the wait of one can be ended by another thread.
        self._end: DrivenIterator[None] = DrivenIterator(_item_of(work))
        self._thread = _Thread(name, self._run)

    def stop(self) -> None:
        self._end.close()

    async def wait(self, timeout_s: float) -> bool:
        return self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._end.take()
        except StopIteration:
            return  # Stopped.
        finally:
            self._end.close()


async def _item_of(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    await work()
    yield


# --- Waiting on an event loop ---------------------------------------------------------------


class _LoopCompletion(Completion[T]):
    """A result that tasks of one loop wait for, each by a future of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._settled = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._waiting: dict[asyncio.Future[None], None] = {}

    async def wait(self, timeout_s: float | None = None) -> T:
        if not self._settled:
            future: asyncio.Future[None] = self.loop.create_future()
            self._waiting[future] = None
            try:
                if timeout_s is None:
                    await future
                else:
                    async with asyncio.timeout(timeout_s):
                        await future
            except TimeoutError:
                if not self._settled:
                    raise TimedOut(f"no answer within {timeout_s} s", timeout_s=timeout_s) from None
            finally:
                self._waiting.pop(future, None)
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def settle(self, result: T | None = None, error: BaseException | None = None) -> None:
        if asyncio._get_running_loop() is self.loop:  # noqa: SLF001 - the public one raises
            self.settle_here(result, error)
            return
        try:
            self.loop.call_soon_threadsafe(self.settle_here, result, error)
        except RuntimeError:
            # The loop is closed, and its waiters with it.
            return

    def settle_here(self, result: T | None, error: BaseException | None) -> None:
        """Settle from the loop's own thread."""
        if self._settled:
            return
        self._result, self._error = result, error
        self._settled = True
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


class _Task(Background):
    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def stop(self) -> None:
        loop = self._task.get_loop()
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the public one raises
            self._task.cancel()
            return
        with contextlib.suppress(RuntimeError):  # The loop is closed, and the task with it.
            loop.call_soon_threadsafe(self._task.cancel)

    async def wait(self, timeout_s: float) -> bool:
        if asyncio.current_task() is self._task:
            return False
        done, _ = await asyncio.wait([self._task], timeout=timeout_s)
        return bool(done)


class LoopRuntime(Runtime):
    """Waits suspend the calling task."""

    blocking = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Weak, because the map below holds a runtime as long as its loop lives.
        self._loop = weakref.ref(loop)

    @property
    def runs(self) -> Callable[[], bool]:
        loop = self._loop()
        return bool if loop is None else loop.is_running  # Gone: never again.

    def completion(self) -> Completion[Any]:
        return _LoopCompletion(asyncio.get_running_loop())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def offload(self, work: Callable[[], T]) -> T:
        def outcome() -> tuple[T | None, BaseException | None]:
            # As a result, also a failure: a loop takes some of what user code can raise
            # (StopIteration, GeneratorExit) for something else.
            try:
                return work(), None
            except BaseException as error:  # noqa: BLE001 - raised where the work is waited for
                return None, error

        try:
            working = asyncio.get_running_loop().run_in_executor(None, outcome)
        except RuntimeError as refused:
            if "start new thread" in str(refused):
                raise no_thread("a worker of the event loop") from refused
            raise
        result, error = await working
        if error is not None:
            raise error
        return cast("T", result)

    async def timeout(self, awaitable: Awaitable[T], seconds: float) -> T:
        own: Any = None
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await awaitable
                except TimeoutError as error:
                    # Of the awaitable, not of the limit around it.
                    own = error
        except TimeoutError:
            raise TimedOut(f"not done within {seconds} s", timeout_s=seconds) from None
        try:
            raise own
        finally:
            own = None  # An error and a frame that hold each other are found late.

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> Background:
        return _Task(asyncio.get_running_loop().create_task(work(), name=name))

    async def shielded(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        completion: Completion[T] = self.completion()

        async def settle() -> None:
            try:
                completion.settle(await work())
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller that waits
                completion.settle(error=error)

        task = self.start(name, settle)
        result = await completion.wait()
        del task  # Held until here, so that the loop cannot lose it.
        return result

    def caller(self) -> object:
        # A callback of the loop belongs to no task: all of them are the loop.
        return asyncio.current_task() or asyncio.get_running_loop()

    def check(self) -> None:
        running = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        if running is None or running is not self._loop():
            raise WrongContext(
                "the handle belongs to the event loop that opened it; found another one, or "
                "none. Open the database again there (the engine is shared), or use holdfast.sync"
            )


# --- Who is calling -------------------------------------------------------------------------


class _Thread(Worker):
    def __init__(self, name: str, work: Callable[[], None]) -> None:
        if not thread_fits():
            raise no_thread(name)
        self._thread = threading.Thread(target=work, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            # What the standard library makes of an interrupt while it waits for the start.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None
            raise no_thread(name) from error

    def join(self, timeout_s: float | None = None) -> bool:
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()


class SystemHost(Host):
    """Tells loop and thread callers apart, and runs threads."""

    def __init__(self) -> None:
        self._thread_runtime = ThreadRuntime()
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopRuntime] = (
            weakref.WeakKeyDictionary()
        )

    def runtime(self) -> Runtime:
        # Driving wins over a running loop: in a notebook a cell drives inside the kernel's loop.
        if driving.now:
            return self._thread_runtime
        loop = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        if loop is None:
            raise WrongContext(
                "this coroutine is neither awaited on an event loop nor driven; await it inside "
                "asyncio.run(...), or use holdfast.sync"
            )
        runtime = self._loops.get(loop)
        if runtime is None:
            runtime = self._loops[loop] = LoopRuntime(loop)
        return runtime

    def may_hold(self) -> bool:
        return driving.now or asyncio._get_running_loop() is None  # noqa: SLF001 - see above

    def spawn(self, name: str, work: Callable[[], None]) -> Worker:
        return _Thread(name, work)

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> Background:
        return self._thread_runtime.start(name, work)

    def settle(
        self, results: Iterable[tuple[Completion[T], T | None, BaseException | None]]
    ) -> None:
        here = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        elsewhere: dict[asyncio.AbstractEventLoop, list[tuple[_LoopCompletion[T], Any, Any]]] = {}
        for completion, result, error in results:
            if isinstance(completion, _LoopCompletion) and completion.loop is not here:
                elsewhere.setdefault(completion.loop, []).append((completion, result, error))
            else:
                completion.settle(result, error)
        for loop, settled in elsewhere.items():
            try:
                loop.call_soon_threadsafe(_settle_here, settled)
            except RuntimeError:
                # The loop is closed, and its waiters with it.
                continue


def _settle_here(settled: list[tuple[_LoopCompletion[T], Any, Any]]) -> None:
    for completion, result, error in settled:
        completion.settle_here(result, error)


def system_components() -> Components:
    """The machine's clock and randomness, and the callers' own ways to wait."""
    clock = SystemClock()
    return Components(host=SystemHost(), clock=clock, ids=SystemIds(clock))
