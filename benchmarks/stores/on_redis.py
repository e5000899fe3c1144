"""Redis beside ours: the bare commands, and the same rows by hand in one script."""

from __future__ import annotations

from typing import Any

import redis.asyncio

from benchmarks.data import Value
from benchmarks.stores.by_hand import Planned, Row, value_of
from benchmarks.stores.on_servers import CONNECTIONS, ServerStore, decode, encode
from tests.servers.processes import LOOPBACK


class RawRedis(ServerStore):
    """`SET` and `GET`.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        self._pool: Any = redis.asyncio.BlockingConnectionPool(
            host=LOOPBACK, port=self._port, max_connections=CONNECTIONS, timeout=None
        )
        self._client: Any = redis.asyncio.Redis(connection_pool=self._pool)

    async def close(self) -> None:
        await self._client.aclose()
        await self._pool.disconnect()

    async def get(self, key: str) -> Value | None:
        stored = await self._client.get(key)
        return None if stored is None else decode(stored)

    async def set(self, key: str, value: Value) -> None:
        await self._client.set(key, encode(value))


class HandRedis(Planned, RawRedis):
    """The rows of ours: the record is read, then one script writes all rows, if it still stands.

    Args:
        port: of the server.
        head: the revision before the first one.
    """

    _HEAD, _ORDER, _RECORDS = "hand:head", "hand:order", "hand:records"
    #: ARGV: the key that was read and the revision found ('' for none), then keys and rows; the
    #: last row is that of the feed, whose key gets the revision.
    _COMMIT = """
    local found = redis.call('HGET', KEYS[3], ARGV[1])
    if (found and string.sub(found, 1, 8) or '') ~= ARGV[2] then return false end
    local revision = redis.call('INCR', KEYS[1])
    local stamp = struct.pack('>I8', revision)
    for at = 3, #ARGV, 2 do
      local key = ARGV[at]
      if at == #ARGV - 1 then key = 'F' .. stamp .. struct.pack('>I4', 0) end
      redis.call('HSET', KEYS[3], key, stamp .. ARGV[at + 1])
      redis.call('ZADD', KEYS[2], 0, key)
    end
    return revision
    """

    def __init__(self, port: int, head: int = 0) -> None:
        RawRedis.__init__(self, port)
        Planned.__init__(self)
        self._first = head

    async def open(self) -> None:
        await super().open()
        await self._client.set(self._HEAD, self._first)
        self._commit = self._client.register_script(self._COMMIT)

    async def get(self, key: str) -> Value | None:
        return value_of(await self._client.hget(self._RECORDS, self.data_key(key)))

    async def set(self, key: str, value: Value) -> None:
        data_key = self.data_key(key)
        while True:
            old = await self._client.hget(self._RECORDS, data_key)
            rows = self.plan({data_key: old}.get, key, value, 0, 0)
            words: list[bytes] = [data_key, b"" if old is None else old[:8]]
            for row_key, row in rows:
                words += (row_key, row[8:])
            if await self._commit(keys=[self._HEAD, self._ORDER, self._RECORDS], args=words):
                return

    async def rows(self) -> list[Row]:
        """Every row."""
        return list((await self._client.hgetall(self._RECORDS)).items())
