"""A backend of dogpile.cache in a store of a database.

    from dogpile.cache import make_region

    region = make_region().configure(
        "holdfast",
        expiration_time=3600,
        arguments={"address": "lmdb:///cache", "distributed_lock": True},
    )

The region expires values by when they were made, as always; `ttl` besides has the database remove
what nobody asks for. With `distributed_lock` one creator works at a time among all processes that
share the database, and the lock of one that dies is free after `lock_ttl` seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from holdfast.adapters.expiring import text_key
from holdfast.adapters.place import Place
from holdfast.adapters.requirement import requires
from holdfast.codecs.text import format_namespace, several
from holdfast.contract.errors import ConfigInvalid, DeadlockDetected, Fenced, LeaseLost, TimedOut
from holdfast.store.durations import ttl_milliseconds
from holdfast.sync import Lock

with requires("dogpile.cache>=1.5"):
    from dogpile.cache.api import (
        NO_VALUE,
        BackendArguments,
        BytesBackend,
        CacheMutex,
        SerializedReturnType,
    )

#: What may stand among the arguments.
ARGUMENTS: Final = frozenset({"address", "store", "ttl", "distributed_lock", "lock_ttl"})


class HoldfastBackend(BytesBackend):
    """Serialized values under the keys of a region.

    Args:
        arguments: `address` of the database, or a database of `holdfast.sync` that is open;
            `store`, its name there (`dogpile`); `ttl`, seconds until the database removes a value
            (never), which should be more than the region's `expiration_time`; `distributed_lock`
            (False); `lock_ttl`, seconds (30). Others are not looked at.

    Raises:
        ConfigInvalid: the address is missing.
        InvalidInput: a duration cannot be one.
    """

    def __init__(self, arguments: BackendArguments) -> None:
        address = arguments.get("address")
        if not address:
            raise ConfigInvalid(
                "the backend needs the argument `address` of its database, such as lmdb:///cache; "
                f"found {', '.join(sorted(ARGUMENTS & arguments.keys())) or 'none'}"
            )
        self._name = str(arguments.get("store", "dogpile"))
        self._place = Place(address, self._name)
        self._ttl: float | timedelta | None = arguments.get("ttl")
        self._lock_ttl: float | timedelta = arguments.get("lock_ttl", 30.0)
        for duration in (self._lock_ttl, *(() if self._ttl is None else (self._ttl,))):
            ttl_milliseconds(duration)
        self._distributed = bool(arguments.get("distributed_lock", False))

    def get_mutex(self, key: str) -> CacheMutex | None:
        """The lock of a key among processes; None: dogpile takes one of this process."""
        return Mutex(self._place, self._lock_ttl, key) if self._distributed else None

    def get(self, key: str) -> SerializedReturnType:
        """The same as `get_serialized`."""
        return self.get_serialized(key)

    def get_serialized(self, key: str) -> SerializedReturnType:
        """The value of a key, or NO_VALUE."""
        return self._place.store.get(text_key(key), NO_VALUE)

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[SerializedReturnType]:
        """The values of the keys in their order."""
        return [self.get_serialized(key) for key in several(keys)]

    def set_serialized(self, key: str, value: bytes) -> None:
        """Put a value under a key."""
        self._place.store.set(text_key(key), value, ttl=self._ttl)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        """Put many values as one commit."""
        pairs = {text_key(key): value for key, value in mapping.items()}
        self._place.store.set_many(pairs, ttl=self._ttl)

    def delete(self, key: str) -> None:
        """Remove a value, if it is there."""
        self._place.store.delete(text_key(key))

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Remove many values as one commit."""
        self._place.store.delete_many(map(text_key, several(keys)))


class Mutex(CacheMutex):
    """The lock of one key; any thread may let it go.

    Args:
        place: whose database has the lock.
        ttl: until the lock of a process that died is free.
        key: any text.
    """

    def __init__(self, place: Place, ttl: float | timedelta, key: str) -> None:
        self._place = place
        self._ttl = ttl
        digest = hashlib.sha256(text_key(key)).hexdigest()
        self._namespace = format_namespace(("dogpile", place.name, digest))
        self._held: Lock | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Take it; without `wait`, whether it was free.

        Raises:
            DeadlockDetected: this thread holds it already, or waits for itself through others.
        """
        try:
            self._held = self._lock(wait=wait).acquire()
        except (TimedOut, DeadlockDetected):
            if wait:
                raise
            return False
        return True

    def release(self) -> None:
        """Let it go. That it was lost before costs a second creation and no more."""
        held, self._held = self._held, None
        if held is not None:
            with contextlib.suppress(LeaseLost, Fenced):
                held.release()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        if self._held is not None and self._held.held:
            return True
        try:
            self._lock(wait=False).acquire().release()
        except (TimedOut, DeadlockDetected):
            return True
        return False

    def _lock(self, *, wait: bool) -> Lock:
        timeout = None if wait else 0
        return self._place.database.lock(self._namespace, ttl=self._ttl, timeout=timeout)
