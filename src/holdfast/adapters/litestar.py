"""A `Store` of Litestar: server-side sessions, cached responses, rate limits, and data of your own.

    from litestar import Litestar
    from litestar.middleware.session.server_side import ServerSideSessionConfig
    from litestar.stores.registry import StoreRegistry
    from holdfast.adapters.litestar import LitestarStore

    root = LitestarStore("lmdb:///app")
    app = Litestar(
        stores=StoreRegistry({"root": root}, default_factory=root.with_namespace),
        middleware=[ServerSideSessionConfig().middleware],
    )

Given by address, the database is opened at the first use and closed when the application ends.
"""

from __future__ import annotations

from datetime import timedelta
from os import PathLike
from types import TracebackType

from holdfast.adapters.async_place import AsyncPlace
from holdfast.adapters.expiring import pack_kept, seconds_of, text_key, text_value, unpack_kept
from holdfast.adapters.ranges import remove_range
from holdfast.adapters.requirement import requires
from holdfast.adapters.steps import one_async_step
from holdfast.codecs.keys import pack, prefix_range
from holdfast.contract.errors import InvalidKey, InvalidValue
from holdfast.contract.runtime import Clock, SystemClock
from holdfast.database.handle import Database
from holdfast.stores.transaction import StoreTransaction

with requires("litestar>=2.20"):
    from litestar.stores.base import NamespacedStore

#: What `expires_in` says of a value that does not expire, as Litestar's own stores do.
NEVER = -1


class LitestarStore(NamespacedStore):
    """Bytes under text keys, in namespaces.

    Args:
        database: the address of a database, or one that is open on the application's loop, which
            stays the caller's to close.
        name: of the store in it, made at the first use.
        namespace: the names of the namespaces above.
        clock: of the database; for tests.
    """

    __slots__ = ("_clock", "_place", "namespace")

    def __init__(
        self,
        database: Database | str | PathLike[str],
        *,
        name: str = "litestar",
        namespace: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        self._place = AsyncPlace(database, name)
        self._clock = clock or SystemClock()
        self.namespace = namespace

    def with_namespace(self, namespace: str) -> LitestarStore:
        """A store of its own below this one; `delete_all` here includes it. Raises InvalidKey."""
        text_key(namespace)
        child = object.__new__(type(self))
        child._place, child._clock = self._place, self._clock
        child.namespace = (*self.namespace, namespace)
        return child

    async def set(
        self, key: str, value: str | bytes, expires_in: int | timedelta | None = None
    ) -> None:
        """Put a value under a key; `expires_in`: seconds to live, 0 or None: for ever.

        Raises:
            InvalidKey, InvalidValue, InvalidInput: nothing was written.
        """
        data = text_value(value) if isinstance(value, str) else value
        if not isinstance(data, bytes):
            raise InvalidValue(f"a value is bytes or str; found a {type(value).__name__}")
        ttl_s = seconds_of(expires_in) or None
        stored = pack_kept(data, ttl_s, self._clock.now_ms())
        await (await self._place.store()).set(self._key(key), stored, ttl=ttl_s)

    async def get(self, key: str, renew_for: int | timedelta | None = None) -> bytes | None:
        """The value of a key, or None.

        Args:
            key: which.
            renew_for: seconds to live from now, for a value that expires.
        """
        data_key, store = self._key(key), await self._place.store()
        stored = await store.get(data_key, None)
        if stored is None:
            return None
        kept = unpack_kept(stored)
        ttl_s = seconds_of(renew_for)
        if not ttl_s or not kept.expires_at_ms:
            return kept.value

        async def renew(transaction: StoreTransaction) -> bytes | None:
            found = await transaction.get(data_key, None)
            if found is None:
                return None
            value = unpack_kept(found).value
            renewed = pack_kept(value, ttl_s, self._clock.now_ms())
            await transaction.set(data_key, renewed, ttl=ttl_s)
            return value

        return await one_async_step(store, renew)

    async def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        await (await self._place.store()).delete(self._key(key))

    async def delete_all(self) -> None:
        """Remove all keys of this namespace and of those below; a thousand in each commit."""
        store = await self._place.store()
        bounds = prefix_range(self.namespace)
        # The namespace's own name may be a key of the namespace above.
        start = pack(self.namespace) + b"\0" if self.namespace else None
        await remove_range(store, start, bounds.end)

    async def exists(self, key: str) -> bool:
        """Whether there is a value."""
        return await (await self._place.store()).has(self._key(key))

    async def expires_in(self, key: str) -> int | None:
        """Whole seconds to live; -1: for ever, None: there is no value."""
        stored = await (await self._place.store()).get(self._key(key), None)
        if stored is None:
            return None
        remaining = unpack_kept(stored).remaining_s(self._clock.now_ms())
        return NEVER if remaining is None else int(remaining)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self._place.close()

    def _key(self, key: str) -> bytes:
        if not isinstance(key, str):
            raise InvalidKey(f"a key is a str here; found a {type(key).__name__}")
        return pack((*self.namespace, key))
