"""`kv`: values under keys, with a time-to-live if wanted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdfast.contract.errors import Fenced, InvalidInput, LeaseLost
from holdfast.records.options import KEEP, Keep
from holdfast.state.adapter import Condition
from holdfast.state.areas.area import Area
from holdfast.state.checks import Duration, ttl_ms
from holdfast.state.observing import fail
from holdfast.state.telemetry import operation

if TYPE_CHECKING:
    from holdfast.state.areas.lease import Lease

_GET = operation("kv.get", "kv", success={"ctx.kv.found": bool})
_SET = operation("kv.set", "kv", {"ctx.kv.ttl": float}, {"ctx.kv.written": bool})
_EXISTS = operation("kv.exists", "kv", success={"ctx.kv.existed": bool})
_REMOVE = operation("kv.remove", "kv")
_EXPIRE = operation("kv.expire", "kv", {"ctx.kv.ttl": float}, {"ctx.kv.existed": bool})
_TOUCH = operation("kv.touch", "kv", {"ctx.kv.ttl": float}, {"ctx.kv.existed": bool})
_REMAINING = operation("kv.remaining", "kv", success={"ctx.kv.existed": bool})


class KV(Area):
    """Values under keys.

    Absence is `None` (or the `default`); falsy values are values. A write without `ttl` clears the
    time-to-live that was there, `ttl=KEEP` keeps it.
    """

    area = "kv"

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` when there is none.

        Raises:
            DeserializationFailed: what stands there was written with another serializer.
        """
        whole = self._key(key)
        seen = self._observer.started(_GET, whole) if self._observer.on else None
        try:
            data = await self._adapter.get(whole)
            value = default if data is None else self._scene.decode(data)
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, _GET, key, seen)
        if seen is not None:
            seen.success({"ctx.kv.found": data is not None})
        return value

    async def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: Duration | Keep | None = None,
        if_absent: bool = False,
        if_present: bool = False,
        fence: Lease | None = None,
    ) -> bool:
        """Write the value; whether it was written.

        Args:
            key: where.
            value: what.
            ttl: seconds or a timedelta until it expires; KEEP leaves the expiry as it is.
            if_absent: only when nothing stands there.
            if_present: only when something does.
            fence: only while this lease is held.

        Raises:
            InvalidValue: `ttl` is no duration above zero.
            SerializationFailed: the value cannot be stored; nothing was sent.
            Fenced: another holder has the lease.
            LeaseLost: nobody has it any more.
        """
        whole = self._key(key)
        span = self._span(ttl)
        started = {"ctx.kv.ttl": span / 1000} if span else {}
        seen = self._observer.started(_SET, whole, started) if self._observer.on else None
        written = True
        try:
            self._scene.advise(key)
            data = self._scene.encode(value)
            if fence is not None:
                await self._set_fenced(
                    whole, data, span, ttl is KEEP, fence, if_absent or if_present
                )
            else:
                written = await self._adapter.set(
                    whole,
                    data,
                    ttl_ms=span,
                    keep_ttl=ttl is KEEP,
                    condition=_condition(if_absent, if_present),
                )
        except BaseException as error:  # noqa: BLE001 - told, then raised again
            fail(error, _SET, key, seen)
        if seen is not None:
            seen.success({"ctx.kv.written": written})
        return written

    async def get_or_set(
        self, key: str, make: Callable[[], Any] | Any, *, ttl: Duration | None = None
    ) -> Any:
        """The value; if there is none, that of `make`: a value, a function, a coroutine function.

        Of several who find nothing at once all get the value that was written first.
        """
        found = await self.get(key, _ABSENT)
        if found is not _ABSENT:
            return found
        made = make() if callable(make) else make
        if inspect.isawaitable(made):
            made = await made
        if await self.set(key, made, ttl=ttl, if_absent=True):
            return made
        found = await self.get(key, _ABSENT)
        # Whoever was first may have expired meanwhile: ours is as good.
        return made if found is _ABSENT else found

    async def exists(self, key: str) -> bool:
        """Whether something stands there."""
        whole = self._key(key)
        return await self._observer.run(
            _EXISTS, key, self._adapter.has(whole), success=lambda found: {"ctx.kv.existed": found}
        )

    async def remove(self, key: str) -> None:
        """Remove it; nothing happens when it is not there."""
        whole = self._key(key)
        await self._observer.run(_REMOVE, key, self._adapter.delete((whole,)))

    async def expire(self, key: str, ttl: Duration) -> bool:
        """Let it expire so long from now; False, and nothing is made, when it is not there."""
        return await self._expire(_EXPIRE, key, ttl)

    async def touch(self, key: str, ttl: Duration) -> bool:
        """`expire` under the name that a heartbeat deserves."""
        return await self._expire(_TOUCH, key, ttl)

    async def remaining(self, key: str) -> float | None:
        """Seconds until it expires; infinity: never, None: it is not there."""
        whole = self._key(key)
        left = await self._observer.run(
            _REMAINING,
            key,
            self._adapter.remaining_ms(whole),
            success=lambda left: {"ctx.kv.existed": left is not None},
        )
        return None if left is None else left / 1000 if left else float("inf")

    # --- Inside -----------------------------------------------------------------------------

    async def _expire(self, what: Any, key: str, ttl: Duration) -> bool:
        whole, span = self._key(key), ttl_ms(ttl)
        return await self._observer.run(
            what,
            key,
            self._adapter.expire(whole, span),
            {"ctx.kv.ttl": span / 1000},
            lambda found: {"ctx.kv.existed": found},
        )

    def _span(self, ttl: Duration | Keep | None) -> int:
        if ttl is None:
            if self._scene.lints and not self._scene.default_ttl_ms:
                self._observer.warn_once(
                    "ttl", "a value was set without a time-to-live; told once. Give ttl=, or "
                    "with_default_ttl() to the builder"
                )  # fmt: skip
            return self._scene.default_ttl_ms
        return 0 if ttl is KEEP else ttl_ms(ttl)

    async def _set_fenced(
        self, whole: str, data: bytes, span: int, keep: bool, fence: Lease, conditional: bool
    ) -> None:
        if conditional:
            raise InvalidInput("give fence or if_absent and if_present, not both")
        answer = await self._adapter.set_fenced(
            whole, data, fence.whole, fence.stamp, ttl_ms=span, keep_ttl=keep
        )
        if answer is None:
            raise LeaseLost(
                "the lease that guards this write ran out, and nobody has it now; nothing was "
                "written. Acquire it anew"
            )
        if answer is not True:
            raise Fenced("another holder has the lease that guards this write; nothing was written")


_ABSENT: Any = object()


def _condition(if_absent: bool, if_present: bool) -> Condition:
    if if_absent and if_present:
        raise InvalidInput("give if_absent or if_present, not both")
    return "absent" if if_absent else "present" if if_present else "always"
