"""`AsyncKeyValue` of py-key-value: what FastMCP and others keep tokens, sessions and caches in.

    from holdfast.adapters.key_value import KeyValue

    async with KeyValue("lmdb:///app") as tokens:
        await tokens.put("ada", {"token": "..."}, collection="tokens", ttl=3600)

Every collection stands in one store of the database; nothing of its past is kept. `put_many` and
`delete_many` are one commit. Values are JSON: a tuple comes back as a list, and what JSON does not
have is refused with py-key-value's own `SerializationError`, as its stores do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Final, Self, SupportsFloat

from holdfast.adapters.async_place import AsyncPlace
from holdfast.adapters.expiring import Kept, pack_kept, unpack_kept
from holdfast.adapters.ranges import remove_range
from holdfast.adapters.requirement import requires
from holdfast.codecs.keys import pack, prefix_range, unpack
from holdfast.codecs.text import several
from holdfast.contract.errors import InvalidInput, InvalidKey
from holdfast.contract.runtime import Clock, SystemClock
from holdfast.database.handle import Database
from holdfast.store.durations import TTL_MAX_S
from holdfast.stores.limits import checked_key

with requires("py-key-value-aio>=0.5"):
    from key_value.aio.errors import (
        DeserializationError,
        InvalidKeyError,
        InvalidTTLError,
        SerializationError,
    )

#: The collection of calls that name none.
DEFAULT_COLLECTION: Final = "default_collection"

Found = tuple[dict[str, Any] | None, float | None]


class KeyValue:
    """Mappings under text keys, in collections.

    It fulfils `AsyncKeyValue` and, besides, `AsyncEnumerateKeysProtocol`,
    `AsyncEnumerateCollectionsProtocol`, `AsyncCullProtocol`, `AsyncDestroyCollectionProtocol` and
    `AsyncDestroyStoreProtocol`.

    Args:
        database: a database that is open, which stays the caller's to close; or the address of
            one, which is opened at the first use and closed by `close` or the end of `async with`.
        store: name of the store that holds all of it, made at the first use.
        default_collection: for calls that name none.
        clock: of the database; for tests.
    """

    def __init__(
        self,
        database: Database | str | PathLike[str],
        *,
        store: str = "key_value",
        default_collection: str = DEFAULT_COLLECTION,
        clock: Clock | None = None,
    ) -> None:
        self._place = AsyncPlace(database, store)
        self._default = default_collection
        self._clock = clock or SystemClock()

    async def close(self) -> None:
        """Close the database, if this object opened it; the next call opens it again."""
        await self._place.close()

    async def __aenter__(self) -> Self:
        await self._place.store()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        """The value of a key, or None."""
        return (await self.ttl(key, collection=collection))[0]

    async def ttl(self, key: str, *, collection: str | None = None) -> Found:
        """The value of a key and its seconds to live, None where it lives on; (None, None)."""
        store = await self._place.store()
        return self._found(await store.get(self._key(collection, key), None))

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Put a value under a key.

        Args:
            key, value: which and what; JSON.
            collection: where.
            ttl: seconds to live.

        Raises:
            SerializationError: the value is not JSON; nothing was written.
            InvalidTTLError: `ttl` is no number above zero; nothing was written.
            InvalidKeyError: the key cannot be one; nothing was written.
        """
        await self.put_many([key], [value], collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Remove a key; whether it was there."""
        return await (await self._place.store()).delete(self._key(collection, key))

    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[dict[str, Any] | None]:
        """The values of the keys in their order, None for each that is missing."""
        return [value for value, _ in await self.ttl_many(keys, collection=collection)]

    async def ttl_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[Found]:
        """What `ttl` gives, for each of the keys in their order."""
        store = await self._place.store()
        wanted = [self._key(collection, key) for key in several(keys)]
        return [self._found(await store.get(key, None)) for key in wanted]

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Put many values as one commit; see `put`. Raises ValueError for lists of two lengths."""
        keys = list(several(keys))
        if len(keys) != len(values):
            raise InvalidInput(
                f"there is a value for each key; found {len(keys)} keys and {len(values)} values"
            )
        ttl_s, now_ms = _seconds(ttl), self._clock.now_ms()
        pairs = [
            (self._key(collection, key), pack_kept(_encoded(value), ttl_s, now_ms))
            for key, value in zip(keys, values, strict=True)
        ]
        await (await self._place.store()).set_many(pairs, ttl=ttl_s)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Remove many keys as one commit; how many were there."""
        return await (await self._place.store()).delete_many(
            [self._key(collection, key) for key in several(keys)]
        )

    # --- What the other protocols ask -------------------------------------------------------

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """The keys of a collection in order, at most `limit`."""
        bounds = prefix_range((self._named(collection),))
        store = await self._place.store()
        walk = store.keys(bounds.start, bounds.end, limit=limit)
        return [str(unpack(key)[1]) async for key in walk]

    async def collections(self, *, limit: int | None = None) -> list[str]:
        """The names of the collections that hold something, in order, at most `limit`."""
        store, found = await self._place.store(), list[str]()
        start: bytes | None = None
        while limit is None or len(found) < limit:
            following = [key async for key in store.keys(start, limit=1)]
            if not following:
                break
            name = str(unpack(following[0])[0])
            found.append(name)
            start = prefix_range((name,)).end
        return found

    async def cull(self) -> None:
        """Remove what has expired; it is invisible anyway, and removed in time by itself."""
        await (await self._place.database()).sweep()

    async def destroy_collection(self, collection: str) -> bool:
        """Remove all keys of a collection; whether there were any."""
        bounds = prefix_range((collection,))
        return await remove_range(await self._place.store(), bounds.start, bounds.end) > 0

    async def destroy(self) -> bool:
        """Remove all keys of all collections; whether there were any."""
        return await remove_range(await self._place.store()) > 0

    # --- Inside -----------------------------------------------------------------------------

    def _named(self, collection: str | None) -> str:
        return self._default if collection is None else collection

    def _key(self, collection: str | None, key: str) -> bytes:
        parts = (self._named(collection), key)
        if not all(isinstance(part, str) for part in parts):
            raise InvalidKeyError("a key and a collection are text")
        try:
            return checked_key(pack(parts))
        except InvalidKey as error:
            raise InvalidKeyError(str(error)) from error

    def _found(self, stored: bytes | None) -> Found:
        if stored is None:
            return None, None
        kept: Kept = unpack_kept(stored)
        return _decoded(kept.value), kept.remaining_s(self._clock.now_ms())


def _encoded(value: Mapping[str, Any]) -> bytes:
    if not isinstance(value, Mapping) or not _are_text(value):
        raise SerializationError(
            f"a value is a mapping with keys of text; found a {type(value).__name__}"
        )
    try:
        return json.dumps(dict(value), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"a value is JSON: {error}") from error


def _are_text(keys: Iterable[object]) -> bool:
    return all(isinstance(key, str) for key in keys)


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise DeserializationError(f"what stands there is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DeserializationError(f"wanted a JSON object; found a {type(value).__name__}")
    return value


def _seconds(ttl: SupportsFloat | None) -> float | None:
    if ttl is None:
        return None
    try:
        seconds = float(ttl)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidTTLError(ttl=ttl) from error
    if isinstance(ttl, bool) or not 0 < seconds <= TTL_MAX_S:
        raise InvalidTTLError(ttl=ttl)
    return seconds
