"""What the adapter in memory keeps: values under keys, until their time is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from holdfast.contract.errors import InvalidValue, StoreClosed
from holdfast.contract.runtime import Components
from holdfast.state.adapter import StateAdapter

T = TypeVar("T")


@dataclass(slots=True)
class Kept:
    """What stands under a key, and until when (milliseconds of the clock; 0: for good)."""

    value: Any
    until_ms: int = 0


class KeptValues(StateAdapter):
    """Finds what stands under a key, and forgets it when its time is up."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._clock = components.clock
        self._kept: dict[str, Kept] = {}
        self._closed = False

    def _check(self) -> None:
        if self._closed:
            raise StoreClosed("the adapter was closed; make another one")

    def _find(self, key: str) -> Kept | None:
        self._check()
        there = self._kept.get(key)
        if there is not None and 0 < there.until_ms <= self._clock.now_ms():
            del self._kept[key]
            return None
        return there

    def _value(self, key: str, kind: type[T]) -> T | None:
        there = self._find(key)
        if there is None:
            return None
        if not isinstance(there.value, kind):
            raise InvalidValue("another kind of value stands there; choose another key")
        return there.value

    def _until(self, ttl_ms: int) -> int:
        return self._clock.now_ms() + ttl_ms if ttl_ms else 0
