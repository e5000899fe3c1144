"""A cache backend of Django in a store of a database.

    CACHES = {
        "default": {
            "BACKEND": "holdfast.adapters.django.HoldfastCache",
            "LOCATION": "lmdb:////var/cache/app?durability=relaxed",
        }
    }

The cache is shared by all processes that name the database. Each opens it once, at the first use,
so servers that fork their workers need nothing else. `add`, `incr`, `decr` and `touch` are steps
that nobody comes between; of several `get_or_set` at once the first that is done counts for all.
`set_many` and `delete_many` are one commit. Values are pickled, as Django's own backends do:
whoever writes into the database is trusted.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, Final, NoReturn, TypeVar

from holdfast.adapters.expiring import Kept, pack_kept, seconds_of, text_key, unpack_kept
from holdfast.adapters.place import Place
from holdfast.adapters.ranges import PAGE_KEYS
from holdfast.adapters.requirement import requires
from holdfast.adapters.steps import one_step
from holdfast.codecs.text import several
from holdfast.contract.errors import ConfigInvalid
from holdfast.contract.runtime import SystemClock
from holdfast.store.durations import ttl_milliseconds
from holdfast.sync import StoreTransaction

with requires("Django>=5.2"):
    from asgiref.sync import sync_to_async
    from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

R = TypeVar("R")

_MISSING: Final = object()


class HoldfastCache(BaseCache):  # type: ignore[misc]  # ships no types
    """Values under the keys that Django makes.

    Args:
        location: the address or path of the database.
        params: the settings of Django; of OPTIONS `STORE` names the store, `django_cache` unless
            given. `MAX_ENTRIES` (300) and `CULL_FREQUENCY` (3) mean what Django's manual says.

    Raises:
        ConfigInvalid: LOCATION is missing.
    """

    def __init__(self, location: str | PathLike[str], params: dict[str, Any]) -> None:
        super().__init__(params)
        self._clock = SystemClock()
        if not location or not isinstance(location, str | PathLike):
            raise ConfigInvalid(
                "a cache of Django in holdfast needs LOCATION, the address of its database; "
                "found none; set it, for one to lmdb:////var/cache/app"
            )
        name = params.get("OPTIONS", {}).get("STORE", "django_cache")
        self._place = Place(location, name)
        #: How many values may be written before they are counted again.
        self._room = 0

    # --- One key ----------------------------------------------------------------------------

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value of a key, or `default`."""
        stored = self._place.store.get(self._key(key, version), None)
        return default if stored is None else pickle.loads(unpack_kept(stored).value)  # noqa: S301

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """Put a value under a key for `timeout` seconds; None: for ever, 0: not at all."""
        self.set_many({key: value}, timeout, version)

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Put a value under a key that has none; whether it had none."""
        data_key, data = self._key(key, version), pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        self._make_room(1)

        def step(store: StoreTransaction) -> bool:
            if store.has(data_key):
                return False
            self._put(store, data_key, data, self._seconds(timeout))
            return True

        return one_step(self._place.store, step)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Let a value live for `timeout` seconds from now; whether there is one."""

        def change(kept: Kept) -> tuple[bytes, float | None]:
            return kept.value, self._seconds(timeout)

        return self._modify(self._key(key, version), change)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        """Add to a value, which lives on as long as it would; the sum. Raises ValueError."""
        total: Any = None

        def change(kept: Kept) -> tuple[bytes, float | None]:
            nonlocal total
            total = pickle.loads(kept.value) + delta  # noqa: S301 - as Django does
            data = pickle.dumps(total, pickle.HIGHEST_PROTOCOL)
            return data, kept.remaining_s(self._clock.now_ms())

        if not self._modify(self._key(key, version), change):
            _refuse(key)
        return total

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Remove a value; whether there was one."""
        return self._place.store.delete(self._key(key, version))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is a value."""
        return self._place.store.has(self._key(key, version))

    # --- Many keys --------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """The values of those keys that have one."""
        found = {key: self.get(key, _MISSING, version) for key in several(keys)}
        return {key: value for key, value in found.items() if value is not _MISSING}

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[Any]:
        """Put many values as one commit; which of them failed: none, for a failure raises."""
        now_ms, ttl_s = self._clock.now_ms(), self._seconds(timeout)
        if ttl_s is not None and ttl_s <= 0:
            self.delete_many(data, version)
            return []
        pairs = {
            self._key(key, version): pack_kept(
                pickle.dumps(value, pickle.HIGHEST_PROTOCOL), ttl_s, now_ms
            )
            for key, value in data.items()
        }
        self._make_room(len(pairs))
        self._place.store.set_many(pairs, ttl=ttl_s)
        return []

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Remove many values as one commit."""
        self._place.store.delete_many([self._key(key, version) for key in several(keys)])

    def clear(self) -> None:
        """Remove all values of the store, whatever their prefix and version."""
        self._remove_every(1)

    # --- From a loop ------------------------------------------------------------------------
    # Django's own would take the steps apart, and many keys one by one.

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """`get_many` in a thread."""
        return await _in_thread(self.get_many, keys, version)

    async def aset_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[Any]:
        """`set_many` in a thread."""
        return await _in_thread(self.set_many, data, timeout, version)

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """`delete_many` in a thread."""
        await _in_thread(self.delete_many, keys, version)

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        """`incr` in a thread."""
        return await _in_thread(self.incr, key, delta, version)

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """`has_key` in a thread."""
        return await _in_thread(self.has_key, key, version)

    # --- Inside -----------------------------------------------------------------------------

    def _key(self, key: Any, version: int | None) -> bytes:
        return text_key(self.make_and_validate_key(key, version=version))

    def _seconds(self, timeout: Any) -> float | None:
        """Seconds to live; None: for ever, 0 or less: over."""
        seconds: float | None = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        # Django takes what ends already; everything else is a time to live.
        seconds = seconds_of(seconds)
        past = isinstance(seconds, int | float) and seconds <= 0
        if seconds is not None and not past:
            ttl_milliseconds(seconds)
        return seconds

    def _modify(self, key: bytes, change: Callable[[Kept], tuple[bytes, float | None]]) -> bool:
        """Change a value and its time in one step; whether there is one."""

        def step(store: StoreTransaction) -> bool:
            stored = store.get(key, None)
            if stored is None:
                return False
            self._put(store, key, *change(unpack_kept(stored)))
            return True

        return one_step(self._place.store, step)

    def _make_room(self, values: int) -> None:
        """Remove some values when there are too many of them.

        They are counted after half of what may still come has come, so a full cache is counted
        often and one with room seldom. Each process goes by its own writes.
        """
        self._room -= values
        if self._room >= 0:
            return
        count = self._place.store.count()
        while count and count + values > self._max_entries:
            removed = self._remove_every(self._cull_frequency)
            # Where others removed them first, none is left to remove here.
            count = max(0, count - removed) if removed else self._place.store.count()
        self._room = max(0, (self._max_entries - count) // 2 - values)

    def _remove_every(self, nth: int) -> int:
        """Remove every n-th value in the order of the keys, all for 0; how many."""
        store, removed, batch = self._place.store, 0, list[bytes]()
        for place, key in enumerate(store.keys()):
            if not nth or place % nth == 0:
                batch.append(key)
            if len(batch) == PAGE_KEYS:
                removed += store.delete_many(batch)
                batch.clear()
        return removed + store.delete_many(batch)

    def _put(self, store: StoreTransaction, key: bytes, data: bytes, ttl_s: float | None) -> None:
        if ttl_s is not None and ttl_s <= 0:
            store.delete(key)
        else:
            store.set(key, pack_kept(data, ttl_s, self._clock.now_ms()), ttl=ttl_s)


async def _in_thread(call: Callable[..., R], *arguments: Any) -> R:
    result: R = await sync_to_async(call, thread_sensitive=True)(*arguments)
    return result


def _refuse(key: Any) -> NoReturn:
    # A cache of Django says so in a ValueError, and callers expect it.
    raise ValueError(f"there is no value under the key {key!r}; set one first")
