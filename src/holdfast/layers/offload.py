"""A blocking engine's calls run in worker threads, so that no event loop stands still for a disk.

    holdfast.open("sqlite:///app.db?layers=offload")

A hop to a thread costs some tens of microseconds, more than a warm read: worth it where reads
find a slow disk, or one that other programs keep busy. Callers without a loop are not concerned;
their thread is theirs to be held. Engines that hold no thread while they wait are refused: those
with a server, and memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

from holdfast.contract.capability import Io
from holdfast.contract.engine import NOT_NOW, Engine, NotNow, Snapshot
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.layering import CallLayer, LayerSettings, Verb
from holdfast.runtime.drive import drive

T = TypeVar("T")

#: What stays on the loop: it waits without holding it, perhaps for ever, and would keep a worker.
STAYING: Final[frozenset[Verb]] = frozenset(("open", "close", "wait"))


@dataclass(frozen=True, kw_only=True)
class Offload(LayerSettings):
    """Runs calls of a blocking engine off the loop."""

    layer: ClassVar[str] = "offload"

    def __call__(self, engine: Engine) -> OffloadLayer:
        if engine.capabilities.io is not Io.BLOCKING:
            raise ConfigInvalid(
                "the layer offload is for engines that hold a thread while a disk answers; "
                f"{engine.capabilities.engine} holds none. Leave it out",
                parameter="layers",
            )
        return OffloadLayer(engine)


class OffloadLayer(CallLayer):
    """An engine that holds no loop."""

    async def through(self, verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        runtime = self.components.host.runtime()
        if runtime.blocking or verb in STAYING:
            return await call()
        return await runtime.offload(lambda: drive(_called(call)))

    def now(self, verb: Verb, call: Callable[[], T | NotNow]) -> T | NotNow:
        return call() if self.components.host.may_hold() else NOT_NOW

    async def snapshot(self) -> Snapshot:
        runtime = self.components.host.runtime()
        if runtime.blocking:
            return await self.inner.snapshot()
        made: list[Snapshot] = []
        left = False

        def work() -> Snapshot:
            snapshot = drive(_called(self.inner.snapshot))
            made.append(snapshot)
            if left:
                snapshot.close()  # Nobody waits for it any more.
            return snapshot

        try:
            return await runtime.offload(work)
        except BaseException:
            left = True
            for snapshot in made:
                snapshot.close()
            raise


def _called(call: Callable[[], Awaitable[T]]) -> Coroutine[Any, Any, T]:
    """The call as a coroutine, begun where it is driven."""

    async def called() -> T:
        return await call()

    return called()
