"""`counter`: whole numbers that many add to at once."""

from __future__ import annotations

from typing import Literal

from holdfast.contract.errors import InvalidValue, QuotaExceeded
from holdfast.state.areas.area import Area
from holdfast.state.checks import Duration, counter_number, ttl_ms, whole
from holdfast.state.limits import COUNTER_MAX, COUNTER_MIN, EXACT_MAX
from holdfast.state.observing import fail
from holdfast.state.telemetry import Operation, operation

_DELTA = {"ctx.counter.delta": int}
_VALUE = {"ctx.counter.value": int}
_INCREMENT = operation("counter.increment", "counter", _DELTA, _VALUE)
_DECREMENT = operation("counter.decrement", "counter", _DELTA, _VALUE)
_GET = operation("counter.get", "counter", success={"ctx.counter.found": bool})
_SET = operation("counter.set", "counter", {"ctx.counter.ttl": float})
_INITIALISE = operation(
    "counter.initialise", "counter", {"ctx.counter.ttl": float}, {"ctx.counter.written": bool}
)
_EXPIRE = operation(
    "counter.expire", "counter", {"ctx.counter.ttl": float}, {"ctx.counter.existed": bool}
)
_REMOVE = operation("counter.remove", "counter")
#: Of 64 bits, with a sign; and one more, by which a longer number is known.
_DIGITS_MAX = 21


class Counter(Area):
    """Counters of 64 bits. One that is not there counts as 0; steps keep its time-to-live."""

    area = "counter"

    async def increment(
        self,
        key: str,
        by: int = 1,
        *,
        ttl: Duration | None = None,
        ttl_on: Literal["create", "always"] = "create",
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> int:
        """Add and return the sum, at once for all callers everywhere.

        Args:
            key: which counter.
            by: the step.
            ttl: time-to-live, given in the same step.
            ttl_on: whether to a counter that this call makes, or with each call.
            minimum: the sum must not fall below it.
            maximum: the sum must not rise above it.

        Raises:
            QuotaExceeded: the sum would leave the limits; nothing was counted.
            InvalidValue: something else stands there, or the sum has no 64 bits.
        """
        return await self._add(_INCREMENT, key, by, ttl, ttl_on, minimum, maximum)

    async def decrement(
        self,
        key: str,
        by: int = 1,
        *,
        ttl: Duration | None = None,
        ttl_on: Literal["create", "always"] = "create",
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> int:
        """`increment` by the negative step; below zero unless there is a `minimum`."""
        step = -counter_number("by", by)
        return await self._add(_DECREMENT, key, step, ttl, ttl_on, minimum, maximum)

    async def get(self, key: str, default: int = 0) -> int:
        """The number, or `default` when there is none."""
        whole_key = self._key(key)
        seen = self._observer.started(_GET, whole_key) if self._observer.on else None
        try:
            data = await self._adapter.get(whole_key)
            number = default if data is None else _number(data)
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, _GET, key, seen)
        if seen is not None:
            seen.success({"ctx.counter.found": data is not None})
        return number

    async def set(self, key: str, number: int, *, ttl: Duration | None = None) -> None:
        """Set it, whatever it was."""
        await self._set(_SET, key, number, ttl, if_absent=False)

    async def initialise(self, key: str, number: int, *, ttl: Duration | None = None) -> bool:
        """Set it unless it is there; whether this call did."""
        return await self._set(_INITIALISE, key, number, ttl, if_absent=True)

    async def expire(self, key: str, ttl: Duration) -> bool:
        """Let it expire so long from now; False, and nothing is made, when it is not there."""
        whole_key, span = self._key(key), ttl_ms(ttl)
        return await self._observer.run(
            _EXPIRE,
            key,
            self._adapter.expire(whole_key, span),
            {"ctx.counter.ttl": span / 1000},
            lambda found: {"ctx.counter.existed": found},
        )

    async def remove(self, key: str) -> None:
        """Remove it; nothing happens when it is not there."""
        whole_key = self._key(key)
        await self._observer.run(_REMOVE, key, self._adapter.delete((whole_key,)))

    # --- Inside -----------------------------------------------------------------------------

    async def _add(
        self,
        what: Operation,
        key: str,
        by: int,
        ttl: Duration | None,
        ttl_on: str,
        minimum: int | None,
        maximum: int | None,
    ) -> int:
        whole_key = self._key(key)
        step = counter_number("by", by)
        plain = ttl is None and minimum is None and maximum is None
        span = 0 if ttl is None else ttl_ms(ttl)
        seen = (
            self._observer.started(what, whole_key, {"ctx.counter.delta": step})
            if self._observer.on
            else None
        )
        try:
            if plain:
                total = await self._adapter.add(whole_key, step)
            else:
                total = await self._add_within(whole_key, step, span, ttl_on, minimum, maximum)
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, what, key, seen)
        if seen is not None:
            seen.success({"ctx.counter.value": total})
        return total

    async def _add_within(
        self,
        whole_key: str,
        step: int,
        span: int,
        ttl_on: str,
        minimum: int | None,
        maximum: int | None,
    ) -> int:
        if ttl_on not in ("create", "always"):
            raise InvalidValue("ttl_on is 'create' or 'always'; found another word")
        for name, limit in (("minimum", minimum), ("maximum", maximum)):
            if limit is not None:
                whole(name, limit, -EXACT_MAX, EXACT_MAX)
                whole("by", step, -EXACT_MAX, EXACT_MAX)
        total = await self._adapter.add_within(
            whole_key,
            step,
            ttl_ms=span,
            ttl_always=ttl_on == "always",
            minimum=minimum,
            maximum=maximum,
        )
        if total is None:
            raise QuotaExceeded(
                f"the counter stays from {minimum if minimum is not None else 'any'} to "
                f"{maximum if maximum is not None else 'any'}; a step of {step} would leave that. "
                "Nothing was counted",
            )
        return total

    async def _set(
        self, what: Operation, key: str, number: int, ttl: Duration | None, *, if_absent: bool
    ) -> bool:
        whole_key = self._key(key)
        data = b"%d" % counter_number("a counter", number)
        span = 0 if ttl is None else ttl_ms(ttl)
        return await self._observer.run(
            what,
            key,
            self._adapter.set(
                whole_key, data, ttl_ms=span, condition="absent" if if_absent else "always"
            ),
            {"ctx.counter.ttl": span / 1000} if span else {},
            (lambda written: {"ctx.counter.written": written}) if if_absent else None,
        )


def _number(data: bytes) -> int:
    try:
        number = int(data[:_DIGITS_MAX])
    except ValueError:
        raise _no_counter() from None
    # As a step reads it: Python takes spaces, signs and underscores for part of a number.
    if data != b"%d" % number or not COUNTER_MIN <= number <= COUNTER_MAX:
        raise _no_counter()
    return number


def _no_counter() -> InvalidValue:
    return InvalidValue("a counter is a whole number of 64 bits; found another value there")
