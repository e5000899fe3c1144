"""LangChain: a store of bytes, and a cache of what models answered.

    store = HoldfastByteStore(db)
    set_llm_cache(HoldfastCache(db, ttl=3600))

Histories of chats are in `holdfast.adapters.langgraph_checkpoints`: langchain-core has deprecated
its own.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

import orjson

from holdfast.adapters.expiring import text_key
from holdfast.adapters.handles import Bridge
from holdfast.adapters.ranges import PAGE_KEYS, remove_range
from holdfast.adapters.requirement import requires
from holdfast.codecs.keys import pack
from holdfast.codecs.text import several
from holdfast.contract.errors import DeserializationFailed, InvalidValue
from holdfast.contract.record import after_prefix
from holdfast.database.handle import Database
from holdfast.sync.database import Database as SyncDatabase

with requires("langchain-core>=1"):
    from langchain_core.caches import BaseCache
    from langchain_core.messages import message_to_dict, messages_from_dict
    from langchain_core.outputs import (
        ChatGeneration,
        ChatGenerationChunk,
        Generation,
        GenerationChunk,
    )
    from langchain_core.stores import ByteStore

_KINDS: Final[dict[str, type[Generation]]] = {
    kind.__name__: kind
    for kind in (Generation, GenerationChunk, ChatGeneration, ChatGenerationChunk)
}


class HoldfastByteStore(ByteStore):
    """Bytes under keys of text, in the order of the keys; a `ByteStore` of LangChain.

    What is set or deleted together is one commit, and what is read together is of one moment.

    Args:
        database: open; of `holdfast` or `holdfast.sync`. One of `holdfast` belongs to its event
            loop: there await, and call plainly from other threads only.
        store: the name of the store of bytes; it is made if there is none.
        ttl: seconds or timedelta that each value lives; None: it stays.

    Raises:
        InvalidInput: there is no such database.
    """

    def __init__(
        self,
        database: Database | SyncDatabase,
        *,
        store: str = "langchain",
        ttl: float | timedelta | None = None,
    ) -> None:
        self._bridge = Bridge(database)
        self._name = store
        self._ttl = ttl

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values under the keys; None for those that have none."""
        return self._bridge.call(lambda db: self._get(db, keys))

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `mget`."""
        return await self._bridge.wait(lambda db: self._get(db, keys))

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Put values under keys."""
        self._bridge.call(lambda db: self._set(db, key_value_pairs))

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """See `mset`."""
        await self._bridge.wait(lambda db: self._set(db, key_value_pairs))

    def mdelete(self, keys: Sequence[str]) -> None:
        """Remove the values under the keys, those that there are."""
        self._bridge.call(lambda db: self._delete(db, keys))

    async def amdelete(self, keys: Sequence[str]) -> None:
        """See `mdelete`."""
        await self._bridge.wait(lambda db: self._delete(db, keys))

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """The keys that begin with `prefix`, in order; read some at a time."""
        behind: bytes | None = None
        while keys := self._bridge.call(lambda db: self._keys(db, prefix, behind)):  # noqa: B023
            yield from map(bytes.decode, keys)
            behind = keys[-1]

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """See `yield_keys`."""
        behind: bytes | None = None
        while keys := await self._bridge.wait(
            lambda db: self._keys(db, prefix, behind)  # noqa: B023 - it runs in this step
        ):
            for key in keys:
                yield key.decode()
            behind = keys[-1]

    # --- Inside -----------------------------------------------------------------------------

    async def _get(self, db: Database, keys: Sequence[str]) -> list[bytes | None]:
        await db.stores.open(self._name)
        async with db.snapshot() as view:
            store = await view.stores.get(self._name)
            return [await store.get(text_key(key), None) for key in several(keys)]

    async def _set(self, db: Database, pairs: Sequence[tuple[str, bytes]]) -> None:
        store = await db.stores.open(self._name)
        await store.set_many([(text_key(key), value) for key, value in pairs], ttl=self._ttl)

    async def _delete(self, db: Database, keys: Sequence[str]) -> None:
        await (await db.stores.open(self._name)).delete_many(map(text_key, several(keys)))

    async def _keys(self, db: Database, prefix: str | None, behind: bytes | None) -> list[bytes]:
        store = await db.stores.open(self._name)
        start = text_key(prefix or "")
        first = start or None if behind is None else behind + b"\0"
        return [key async for key in store.keys(first, after_prefix(start), limit=PAGE_KEYS)]


class HoldfastCache(BaseCache):
    """What models answered, by prompt and model; a `BaseCache` of LangChain.

    Prompts are stored as digests only.

    Args:
        database: as of `HoldfastByteStore`.
        store: the name of the store of bytes; it is made if there is none.
        ttl: seconds or timedelta that an answer lives; None: it stays.

    Raises:
        InvalidInput: there is no such database.
    """

    def __init__(
        self,
        database: Database | SyncDatabase,
        *,
        store: str = "langchain.cache",
        ttl: float | timedelta | None = None,
    ) -> None:
        self._bridge = Bridge(database)
        self._name = store
        self._ttl = ttl

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """What the model answered to the prompt, or None."""
        return self._bridge.call(lambda db: self._get(db, prompt, llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """See `lookup`."""
        return await self._bridge.wait(lambda db: self._get(db, prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep what the model answered."""
        row = _written(return_val)
        self._bridge.call(lambda db: self._set(db, prompt, llm_string, row))

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """See `update`."""
        row = _written(return_val)
        await self._bridge.wait(lambda db: self._set(db, prompt, llm_string, row))

    def clear(self, **kwargs: Any) -> None:
        """Remove all answers."""
        self._bridge.call(self._clear)

    async def aclear(self, **kwargs: Any) -> None:
        """See `clear`."""
        await self._bridge.wait(self._clear)

    # --- Inside -----------------------------------------------------------------------------

    async def _get(self, db: Database, prompt: str, model: str) -> Sequence[Generation] | None:
        store = await db.stores.open(self._name)
        row = await store.get(_digest(prompt, model), None)
        return None if row is None else _read(row)

    async def _set(self, db: Database, prompt: str, model: str, row: bytes) -> None:
        store = await db.stores.open(self._name)
        await store.set(_digest(prompt, model), row, ttl=self._ttl)

    async def _clear(self, db: Database) -> None:
        await remove_range(await db.stores.open(self._name))


def _digest(prompt: str, model: str) -> bytes:
    return sha256(pack((prompt, model))).digest()


def _written(generations: Sequence[Generation]) -> bytes:
    """Answers as JSON that reads back equal. Raises InvalidValue."""
    rows = []
    for one in generations:
        kind = type(one).__name__
        if _KINDS.get(kind) is not type(one):
            raise InvalidValue(
                f"an answer of langchain_core.outputs was wanted; found a {kind}", type=kind
            )
        try:
            fields = one.model_dump(mode="json", exclude={"message"})
            if isinstance(one, ChatGeneration):
                fields["message"] = message_to_dict(one.message)
            if not _has_json_numbers([fields, one.model_dump(exclude={"message"})]):
                raise ValueError("JSON has no number that is not finite: it would become null")
            rows.append(orjson.dumps([kind, fields]))
        except (ValueError, TypeError) as error:
            # Without their own words, which show values.
            raise InvalidValue(
                f"an answer is kept as JSON; found a {kind} with a value that JSON has not. Make "
                "plain data of its generation_info",
                type=kind,
            ) from error
    return b"[" + b",".join(rows) + b"]"


def _has_json_numbers(value: Any) -> bool:
    """Whether every number in it is finite."""
    if isinstance(value, float):
        return math.isfinite(value)
    inside = value.values() if isinstance(value, dict) else value
    return not isinstance(value, dict | list | tuple) or all(map(_has_json_numbers, inside))


def _read(row: bytes) -> list[Generation]:
    made: list[Generation] = []
    for kind, fields in orjson.loads(row):
        known = _KINDS.get(kind)
        if known is None:
            raise DeserializationFailed(
                f"a kept answer is one of {', '.join(_KINDS)}; found another. Clear the cache"
            )
        if "message" in fields:
            fields["message"] = messages_from_dict([fields["message"]])[0]
        made.append(known(**fields))
    return made
