"""`cached`: what a function returned, kept for a while, and computed once however many ask.

Of the callers of one process one computes and the others wait for it. Of several processes one
holds a lease while it computes, and the others look for its result; a holder that dies is replaced
when its lease is over. What the function raises goes to those who waited, and is not kept.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from holdfast.contract.engine import NOT_NOW
from holdfast.contract.errors import DeserializationFailed, InvalidInput, StoreError
from holdfast.contract.runtime import Background, Runtime
from holdfast.state.areas.area import Area, Scene
from holdfast.state.areas.cache_keys import keyed
from holdfast.state.areas.cached_function import CachedFunction, Caching, Rules
from holdfast.state.areas.claim import Claim
from holdfast.state.areas.computations import Computation
from holdfast.state.areas.lease import Lease
from holdfast.state.checks import Duration, duration_ms, name, ttl_ms
from holdfast.state.forked import parts_in_child
from holdfast.state.observing import fail
from holdfast.state.shared import Shared
from holdfast.state.telemetry import operation

_LOOK = operation("cache.get", "cache", success={"ctx.cache.found": bool})
_KEEP = operation("cache.set", "cache", {"ctx.cache.ttl": float})
_INVALIDATE = operation("cache.invalidate", "cache")

#: What is cached is kept for at most so long, in seconds; and so is what is known of a tag.
KEPT_MAX_S = 30 * 86400.0
#: How long a process that computes may be silent before another one computes, in seconds.
COMPUTING_S = 5.0
#: Between two looks for what another process computes, in seconds: at first, and at most.
LOOK_S = 0.01
LOOK_MAX_S = 0.25
#: How long anyone waits for what another process computes before it computes it itself, in
#: seconds, unless told otherwise. Processes whose results ask for each other wait so long.
WAIT_MAX_S = 60.0
#: How far the clocks of those who share results may be apart, in milliseconds.
APART_MS = 60_000
TAGS_MAX = 32


class _Kept(NamedTuple):
    """A kept result: its bytes, what the function returned, for how long it is fresh."""

    data: bytes
    value: Any
    fresh_ms: int


class _Flight(NamedTuple):
    """A computation of this process, and what will come of it."""

    computation: Computation
    outcome: Shared[bytes]


class Cache(Area):
    """Results of functions."""

    area = "cache"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._tag = scene.keys.area("tag")
        #: Stamps of tags stay when results have to go: without them old results would count again.
        self._stamps = scene.adapter.of("tag")
        self._locks = Claim(scene)
        self._now_ms = scene.components.clock.now_ms
        #: Without what `Scene.decode` makes of errors: the way of most hits.
        self._decode = scene.serializer.decode
        #: What is being computed in this process, by key and by loop.
        self._flights: dict[tuple[str, Runtime], _Flight] = {}
        #: Held, so that a loop cannot lose a function that waits.
        self._at_work: dict[tuple[str, Runtime], Background] = {}
        parts_in_child(self)

    def cached(
        self,
        *,
        ttl: Duration,
        key: str | Callable[..., str] | None = None,
        tags: Sequence[str] | Callable[..., Sequence[str]] = (),
        stale: Duration | None = None,
        early: Duration | None = None,
        wait: Duration | None = None,
    ) -> Caching:
        """Keep what a function returns; it may be plain or a coroutine function.

            @store.cached(ttl=60, key="user:{id}", tags=["users"])
            async def user(id): ...

        Args:
            ttl: how long a result counts.
            key: a template over the function's arguments, or a function of them; otherwise made of
                the function's name and a digest of its arguments.
            tags: names that `invalidate` knows the results by; may be a function of the arguments.
            stale: how long after `ttl` the old result is still given out while one caller computes.
            early: how long before the end of `ttl` one caller computes anew, in the background, so
                that nobody has to wait for results that are asked for often.
            wait: how long a caller waits for what another process computes before it computes
                the result itself, `WAIT_MAX_S` unless given. Let it be more than that takes.

        Raises:
            InvalidInput: a setting cannot be understood.
        """
        rules = Rules(
            ttl_ms(ttl),
            0 if stale is None else ttl_ms(stale),
            0 if early is None else duration_ms("early", early),
            WAIT_MAX_S if wait is None else duration_ms("wait", wait) / 1000,
        )
        if rules.early_ms >= rules.fresh_ms:
            raise InvalidInput("early is shorter than ttl: nothing would ever be fresh")
        if rules.fresh_ms + rules.stale_ms > KEPT_MAX_S * 1000:
            raise InvalidInput(f"a result is kept for at most {KEPT_MAX_S:.0f} seconds")

        def decorate(function: Callable[..., Any], /) -> CachedFunction[..., Any]:
            tagger = tags if callable(tags) else _constant(tags) if tags else None
            return CachedFunction(self, function, keyed(function, key), tagger, rules)

        return cast("Caching", decorate)

    async def invalidate(self, *tags: str) -> None:
        """Let no result with one of these tags count any more, in any process."""
        stamp = self._scene.components.ids.new()
        kept_ms = round(KEPT_MAX_S * 1000)
        for tag in self.tag_keys(tags):
            await self._observer.run(_INVALIDATE, "", self._stamps.set(tag, stamp, ttl_ms=kept_ms))

    async def forget(self, key: str) -> None:
        """Forget one result."""
        whole = self._key(key)
        await self._observer.run(_INVALIDATE, key, self._adapter.delete((whole,)))

    def tag_keys(self, tags: Sequence[str]) -> list[str]:
        """Whole keys of tags."""
        if isinstance(tags, str) or len(tags) > TAGS_MAX:
            raise InvalidInput(f"tags are a list of at most {TAGS_MAX} names")
        return [self._tag(name("a tag", tag)) for tag in tags]

    def _part(self) -> None:
        """In a forked child nobody computes what is on its way in the parent."""
        self._flights = {}

    # --- Looking, computing, keeping --------------------------------------------------------

    def at_once(self, key: str, rules: Rules) -> tuple[Any] | None:
        """A fresh result without tags, in a tuple, where it can be had without waiting.

        None says nothing: `through` looks again, and tells what is wrong.
        """
        get_now = self._adapter.get_now
        if get_now is None or self._observer.on:
            return None
        try:
            data = get_now(self._key(key))
            if data is None or data is NOT_NOW:
                return None
            kept = self._decode(data)
            left_ms = kept["fresh"] - self._now_ms()
            if kept["tags"] or not rules.early_ms < left_ms <= rules.fresh_ms + APART_MS:
                return None
            return (kept["value"],)
        except Exception:  # noqa: BLE001 - it comes again, with its facts
            return None

    async def through(
        self, key: str, tags: list[str], rules: Rules, function: Callable[[], Any]
    ) -> Any:
        """The kept result, or the function's."""
        whole = self._key(key)
        found = await self._look(whole, tags, rules)
        if found is not None and found.fresh_ms > rules.early_ms:
            return found.value
        if found is not None:
            # Old, or soon to be, and good enough while whoever asks first has it computed.
            self._begin(key, whole, tags, rules, function, patient=False)
            return found.value
        while True:
            flight = self._begin(key, whole, tags, rules, function, patient=True)
            data = await flight.computation.waited_for(flight.outcome.wait)
            if data is not None:
                # Each has a value of its own, and the first one what all others will get.
                return self._scene.decode(data)["value"]

    def _begin(
        self,
        key: str,
        whole: str,
        tags: list[str],
        rules: Rules,
        function: Callable[[], Any],
        *,
        patient: bool,
    ) -> _Flight:
        """The computation of this process, begun unless it is on its way.

        It is a task of its own: a caller that is cancelled does not end it for the others.
        """
        runtime = self._scene.components.host.runtime()
        place = (whole, runtime)
        there = self._flights.get(place)
        if there is not None:
            return there
        computation = Computation(whole)
        flight = _Flight(computation, Shared(self._scene.components.host))
        self._flights[place] = flight

        async def compute() -> None:
            outcome: bytes | None = None
            failure: BaseException | None = None
            computation.enter()
            try:
                outcome = await self._compute(key, whole, tags, rules, function, patient=patient)
            except BaseException as error:
                failure = error
                if not isinstance(error, Exception):
                    # A cancellation or an exit belongs to this task: the waiters get an error.
                    failure = StoreError(
                        f"the computation of a cached result ended with {type(error).__name__}"
                    )
                    failure.__cause__ = error
                    cancelling = getattr(runtime.caller(), "cancelling", None)
                    if isinstance(error, GeneratorExit) or (cancelling and cancelling()):
                        raise
            finally:
                computation.over = True
                self._flights.pop(place, None)
                self._at_work.pop(place, None)
                flight.outcome.settle(outcome, failure)

        try:
            task = runtime.start("holdfast cached", compute)
        except BaseException as error:
            # No thread could be had, or somebody interrupts: those who came meanwhile are told.
            self._flights.pop(place, None)
            flight.outcome.settle(error=error)
            raise
        self._at_work[place] = task
        if computation.over:
            self._at_work.pop(place, None)
        return flight

    async def _compute(
        self,
        key: str,
        whole: str,
        tags: list[str],
        rules: Rules,
        function: Callable[[], Any],
        *,
        patient: bool,
    ) -> bytes | None:
        """What is kept, computed here or elsewhere; None: another process refreshes it already."""
        components = self._scene.components
        clock = components.clock
        until = clock.monotonic() + rules.wait_s
        pause = LOOK_S
        while True:
            lease = await self._locks.acquire(whole, ttl=COMPUTING_S)
            if lease is not None:
                enough_ms = 0 if patient else rules.early_ms
                return await self._hold(lease, whole, tags, rules, function, enough_ms)
            if not patient:
                return None
            if clock.monotonic() >= until:
                return await self._result(whole, tags, rules, function)
            await components.host.runtime().sleep(pause)
            pause = min(pause * 1.5, LOOK_MAX_S)
            found = await self._look(whole, tags, rules)
            if found is not None and found.fresh_ms > 0:
                return found.data

    async def _hold(
        self,
        lease: Lease,
        whole: str,
        tags: list[str],
        rules: Rules,
        function: Callable[[], Any],
        enough_ms: int,
    ) -> bytes:
        lease.cancel_on_loss = False
        lease.keep()
        try:
            # Whoever held the lease before may have been about to let go.
            found = await self._look(whole, tags, rules)
            if found is not None and found.fresh_ms > enough_ms:
                return found.data
            return await self._result(whole, tags, rules, function)
        finally:
            with contextlib.suppress(StoreError):
                # It ends by itself; whoever waits looks again.
                await lease.release()

    async def _result(
        self, whole: str, tags: list[str], rules: Rules, function: Callable[[], Any]
    ) -> bytes:
        """What the function returns, kept."""
        # Asked before the function runs: what is invalidated meanwhile does not count.
        stamps = await self._adapter.get_many(tags) if tags else []
        result = function()
        if inspect.isawaitable(result):
            result = await result
        return await self._store(whole, result, stamps, rules)

    async def _look(self, whole: str, tags: list[str], rules: Rules) -> _Kept | None:
        """The kept result, if it counts."""
        stamps: list[bytes | None] = []
        if self._observer.on or tags:
            data, *stamps = await self._observer.run(
                _LOOK,
                "",
                self._adapter.get_many([whole, *tags]),
                success=lambda found: {"ctx.cache.found": found[0] is not None},
            )
        else:
            data = await self._look_once(whole)
        if data is None:
            return None
        try:
            kept = self._scene.decode(data)
        except DeserializationFailed:
            kept = None  # Of another serializer, or broken: a result can be had again.
        if (
            not isinstance(kept, dict)
            or kept.get("tags") != [_text(one) for one in stamps]
            or not isinstance(kept.get("fresh"), int)
            or "value" not in kept
        ):
            return None
        left_ms = kept["fresh"] - self._now_ms()
        if left_ms > rules.fresh_ms + APART_MS:
            return None  # A clock stepped back, and it would count for as much longer.
        return _Kept(data, kept["value"], left_ms)

    async def _look_once(self, whole: str) -> bytes | None:
        """One value, where nobody watches: the way of most hits."""
        try:
            get_now = self._adapter.get_now
            # Most hits are found without waiting, where the keeper is in this process.
            found = NOT_NOW if get_now is None else get_now(whole)
            return await self._adapter.get(whole) if found is NOT_NOW else found
        except BaseException as error:  # noqa: BLE001 - raised again, with its facts
            fail(error, _LOOK, "", None)

    async def _store(
        self, whole: str, result: Any, stamps: Sequence[bytes | None], rules: Rules
    ) -> bytes:
        now_ms = self._now_ms()
        kept = {
            "value": result,
            "fresh": now_ms + rules.fresh_ms,
            "tags": [_text(one) for one in stamps],
        }
        data = self._scene.encode(kept)
        await self._observer.run(
            _KEEP,
            "",
            self._adapter.set(whole, data, ttl_ms=rules.fresh_ms + rules.stale_ms),
            {"ctx.cache.ttl": rules.fresh_ms / 1000},
        )
        return data


def _text(stamp: bytes | None) -> str:
    return "" if stamp is None else stamp.hex()


def _constant(tags: Sequence[str]) -> Callable[..., Sequence[str]]:
    return lambda *_, **__: tags
