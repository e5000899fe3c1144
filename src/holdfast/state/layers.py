"""Layers around an adapter, put there by hand so that everybody sees them: breaker and retry.

adapter = BreakerAdapter(RetryAdapter(RedisAdapter.from_url(url)))
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from holdfast.contract.errors import (
    ConnectionFailed,
    ConnectionLost,
    Overloaded,
    StoreError,
)
from holdfast.contract.pauses import pause_s
from holdfast.contract.runtime import Components
from holdfast.layers.breaker import (
    FAILURES_MAX,
    REST_MAX_S,
    REST_MIN_S,
    TROUBLE,
    Breaking,
    trouble_of,
)
from holdfast.runtime.system import system_components
from holdfast.state.adapter import VERBS, Moment, StateAdapter
from holdfast.state.bounds import Bound
from holdfast.state.checks import number_within, whole

if TYPE_CHECKING:
    # The verbs are made in a loop below; a checker is shown a class that has them all.
    from holdfast.state.mock.memory import MemoryAdapter as _Whole
else:
    _Whole = StateAdapter

#: Between two tries passes no more than this, in seconds.
PAUSE_MAX_S: Final = 30.0
PAUSE_MIN_S: Final = 1e-6
#: How often a call is made, at most.
ATTEMPTS_MAX: Final = 1000

#: What says that nothing was changed, so that asking again is safe.
HARMLESS = (ConnectionFailed, ConnectionLost, Overloaded)
#: Verbs that only read: they may be asked again whatever went wrong.
READS = frozenset(
    ("get", "has", "remaining_ms", "get_many", "pending", "read_after", "read_last", "length",
     "members", "filter_has", "filter_head", "scan")
)  # fmt: skip


class AdapterLayer(_Whole):
    """An adapter around another one. `through` sees every call; the rest is the inner one's."""

    def __init__(self, inner: StateAdapter) -> None:
        self.inner = inner
        self.name = inner.name
        self.needs_loop = inner.needs_loop

    @property
    def client(self) -> Any:
        return self.inner.client

    async def close(self) -> None:
        await self.inner.close()

    def of(self, area: str) -> StateAdapter:
        inner = self.inner.of(area)
        return self if inner is self.inner else _LayerPart(self, inner)

    def bounded(self, bounds: Mapping[str, Bound], name: str) -> StateAdapter:
        return _LayerPart(self, self.inner.bounded(bounds, name))

    def on(self, moment: Moment) -> StateAdapter:
        # A transaction fails or commits as a whole: there is nothing to repeat within it.
        return self.inner.on(moment)

    @abstractmethod
    async def through(self, verb: str, call: Callable[[], Any]) -> Any:
        """One call of a verb; `call()` makes it and can be made again."""


def _forwarding(verb: str) -> Callable[..., Any]:
    async def forward(self: AdapterLayer, *arguments: Any, **keywords: Any) -> Any:
        inner = getattr(self.inner, verb)
        return await self.through(verb, lambda: inner(*arguments, **keywords))

    forward.__name__ = verb
    return forward


for _verb in VERBS:
    setattr(AdapterLayer, _verb, _forwarding(_verb))
AdapterLayer.__abstractmethods__ = frozenset(("through",))


class _LayerPart(AdapterLayer):
    """A layer as one area uses it: calls go through the layer itself, which counts them."""

    def __init__(self, whole: AdapterLayer, inner: StateAdapter) -> None:
        super().__init__(inner)
        self._whole = whole

    async def through(self, verb: str, call: Callable[[], Any]) -> Any:
        return await self._whole.through(verb, call)


class BreakerAdapter(AdapterLayer):
    """Fails at once while the keeper is in trouble, and asks it now and then whether it is over.

    Args:
        inner: the adapter.
        failures: so many calls in a row that meet trouble open the breaker.
        rest_s: for so long; then one call is let through, and its outcome decides.
        components: the clock.

    Raises:
        InvalidInput: a setting cannot be.
    """

    def __init__(
        self,
        inner: StateAdapter,
        *,
        failures: int = 5,
        rest_s: float = 5.0,
        components: Components | None = None,
    ) -> None:
        super().__init__(inner)
        whole("failures", failures, 1, FAILURES_MAX)
        number_within("rest_s", rest_s, REST_MIN_S, REST_MAX_S)
        clock = (components or system_components()).clock
        self._breaking = Breaking(clock, failures, rest_s, "keeper")

    @property
    def state(self) -> str:
        """`closed` lets calls through, `open` refuses them, `half-open` waits for the one call."""
        return self._breaking.state

    @property
    def refused(self) -> int:
        """How many calls were refused."""
        return self._breaking.refused

    async def through(self, verb: str, call: Callable[[], Any]) -> Any:
        probing = self._breaking.admit()
        met: bool | None = None  # Trouble; None: nothing is known.
        try:
            answer = await call()
            met = False
        except StoreError as error:
            met = trouble_of(error)
            raise
        finally:
            self._breaking.met(met, probing=probing)
        return answer


class RetryAdapter(AdapterLayer):
    """Asks again when that is safe: a read always, a write when nothing was changed.

    A write whose outcome is unknown is never repeated.

    Args:
        inner: the adapter.
        attempts: how often a call is made at most.
        pause_s: before the second attempt, at the most; it doubles each time up to `PAUSE_MAX_S`.
        components: ways to wait.

    Attributes:
        retried: how many calls were made again.

    Raises:
        InvalidInput: a setting cannot be.
    """

    def __init__(
        self,
        inner: StateAdapter,
        *,
        attempts: int = 3,
        pause_s: float = 0.05,
        components: Components | None = None,
    ) -> None:
        super().__init__(inner)
        whole("attempts", attempts, 1, ATTEMPTS_MAX)
        number_within("pause_s", pause_s, PAUSE_MIN_S, PAUSE_MAX_S)
        self.retried = 0
        self._components = components or system_components()
        self._attempts = attempts
        self._pause_s = pause_s

    async def through(self, verb: str, call: Callable[[], Any]) -> Any:
        safe = TROUBLE if verb in READS else HARMLESS
        for attempt in range(1, self._attempts):
            try:
                return await call()
            except safe:
                self.retried += 1
                ids, runtime = self._components.ids, self._components.host.runtime()
                await runtime.sleep(pause_s(ids, attempt, self._pause_s, PAUSE_MAX_S))
        return await call()
