"""Where a test keeps its state: a Redis server, or a database that handles share.

A test that takes `place` runs on both: what it promises holds for either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import holdfast
from holdfast.state import RedisAdapter, ScopedStore, StoreBuilder
from holdfast.state.adapter import StateAdapter


class Place(Protocol):
    """It is known by a URL, by which other processes find it, too."""

    @property
    def url(self) -> str: ...


@dataclass
class Folder:
    """A database in a folder."""

    url: str


def unchanged(builder: StoreBuilder) -> StoreBuilder:
    return builder


@asynccontextmanager
async def opened_at(
    url: str,
    service: str,
    prepare: Callable[[StoreBuilder], StoreBuilder] = unchanged,
) -> AsyncIterator[ScopedStore]:
    """A store at a URL of either kind."""
    builder = StoreBuilder.create().with_service(service)
    if url.startswith("redis"):
        adapter = RedisAdapter.from_url(url, timeout_s=5.0)
        async with prepare(builder.with_adapter(adapter)).build() as store:
            yield store
        return
    async with (
        holdfast.open(url) as db,
        prepare(builder.with_adapter(db)).build() as store,
    ):
        yield store


async def said(adapter: StateAdapter, *words: str | bytes | int) -> Any:
    """What a server says to a command; on a database the same by its verbs."""
    if adapter.name.startswith("redis"):
        return await adapter.client.send(words)
    verb, *rest = words
    return await _COMMANDS[str(verb)](adapter, *map(_text, rest))


def _text(word: str | bytes | int) -> Any:
    return word.decode(errors="surrogateescape") if isinstance(word, bytes) else str(word)


def _bytes(word: str) -> bytes:
    return word.encode(errors="surrogateescape")


async def _pttl(adapter: StateAdapter, key: str) -> int:
    left = await adapter.remaining_ms(key)
    return -2 if left is None else left or -1


async def _keys(adapter: StateAdapter, glob: str) -> list[bytes]:
    return [key.encode() for key in (await adapter.scan(glob, "0", 10_000)).keys]


#: What a server would be told, by the verbs of an adapter.
_COMMANDS: dict[str, Callable[..., Any]] = {
    "GET": lambda on, key: on.get(key),
    "SET": lambda on, key, value: on.set(key, _bytes(value)),
    "PTTL": _pttl,
    "PEXPIRE": lambda on, key, span: on.expire(key, int(span)),
    "EXISTS": lambda on, key: on.has(key),
    "DEL": lambda on, key: on.delete([key]),
    "KEYS": _keys,
    "PUBLISH": lambda on, channel, data: on.publish(channel, _bytes(data)),
    "XADD": lambda on, key, _id, _field, data: on.append(key, _bytes(data)),
}
