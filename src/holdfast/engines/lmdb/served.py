"""Layers with a thread of their own that writes them to the file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from queue import SimpleQueue
from weakref import ref

from holdfast.contract.runtime import Components, Worker
from holdfast.engines.embedded.committer import Committer
from holdfast.engines.lmdb.flushing import Bell, flush_when_rung
from holdfast.engines.lmdb.layered import Layered
from holdfast.engines.lmdb.medium import Medium

#: How long the thread waits for a leader before it looks whether that one waits for it.
_LEAD_PAUSE_S = 0.005


class Served(Layered):
    """What lies over the file of one engine, and the thread that writes it there.

    Args:
        medium: the environment, open.
        components: clock, ids and threads.
        committer: of the engine.

    Attributes:
        ended: the thread has to end.
        turn: which thread it is that works; an interrupt may leave another one.
        worker: its number.
    """

    def __init__(self, medium: Medium, components: Components, committer: Committer) -> None:
        super().__init__(medium)
        self.ended = False
        self.turn: object = None
        self.worker = 0
        self._components = components
        self._committer = committer
        self._thread: Worker | None = None
        self._bell: Bell = SimpleQueue()

    @abstractmethod
    def look(self, *, due: bool) -> float | None:
        """Do what there is to do; seconds until the next look, None: when the bell rings."""

    def _start_thread(self, name: str) -> None:
        if self._thread is None:
            me, bell = ref(self), self._bell
            turn = self.turn = object()  # An interrupt may leave a thread that nothing knows of.
            self._thread = self._components.host.spawn(
                name, lambda: flush_when_rung(me, bell, turn)
            )

    def _end_thread(self) -> None:
        self.ended = True
        if self._thread is not None:
            self._ring()
            self._thread.join()

    def _ring(self) -> None:
        """Have the thread look."""
        self._bell.put(self)

    def _lead(self, action: Callable[[], None]) -> None:
        """On the thread: do something between two groups; not while a leader waits for it."""
        while not self._committer.pause(_LEAD_PAUSE_S):
            if self.layers.older is not None:
                return
        try:
            action()
        finally:
            self._committer.resume()
