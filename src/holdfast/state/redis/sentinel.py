"""State on the primary that sentinels agree on, wherever it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from holdfast.contract.errors import ConfigInvalid, ConnectionFailed, StoreError
from holdfast.state.redis.adapter import RedisAdapter
from holdfast.state.redis.config import RedisConfig
from holdfast.state.redis.link import Link, connect

_SCHEME = "redis+sentinel"
_PORT = 26379
#: How long one sentinel may take to answer before the next one is asked, in seconds.
SENTINEL_S = 1.0


class SentinelAdapter(RedisAdapter):
    """Asks for the primary's address before each connection, so it follows a fail-over.

    Args:
        sentinels: configurations that lead to the sentinels.
        group: the name they know the primary by.
        config: user, password, database and limits for the primary; its address comes from them.
    """

    name = "redis+sentinel"

    def __init__(self, sentinels: Sequence[RedisConfig], group: str, config: RedisConfig) -> None:
        super().__init__(config)
        if not sentinels or not group:
            raise ConfigInvalid("at least one sentinel and the name of a group were wanted")
        self.group = group
        self._sentinels = list(sentinels)

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """For `redis+sentinel://user:password@host1:26379,host2:26379/group?database=0`.

        Raises:
            ConfigInvalid: the URL or a setting cannot be understood.
        """
        parts = urlsplit(url)
        if parts.scheme != _SCHEME or not parts.path.strip("/"):
            raise ConfigInvalid(
                f"a URL such as {_SCHEME}://host1:26379,host2:26379/group was wanted; found another"
            )
        login, at, hosts = parts.netloc.rpartition("@")
        plain = urlunsplit(("redis", f"{login}{at}localhost", "", parts.query, parts.fragment))
        config = RedisConfig.from_url(plain, **settings)
        sentinels = []
        for host in hosts.split(","):
            one = RedisConfig.from_url(f"redis://{host}")
            port = one.port if urlsplit(f"redis://{host}").port else _PORT
            sentinels.append(replace(one, port=port))
        return cls(sentinels, parts.path.strip("/"), config)

    def __repr__(self) -> str:
        return f"SentinelAdapter({self.group!r} of {len(self._sentinels)} sentinels)"

    async def resolve(self) -> RedisConfig:
        failures = []
        for place, sentinel in enumerate(list(self._sentinels)):
            try:
                found = await self._ask(sentinel)
            except StoreError as error:
                failures.append(f"{sentinel.url}: {error.code}")
                continue
            if found is None:
                failures.append(f"{sentinel.url}: knows no {self.group}")
                continue
            # Whoever answered is asked first the next time.
            self._sentinels.insert(0, self._sentinels.pop(place))
            host, port = found
            return replace(self.config, host=host.decode(), port=int(port), path=None)
        raise ConnectionFailed(
            f"a sentinel that knows the primary of {self.group!r} was wanted; found none "
            f"({'; '.join(failures)}). Check their addresses and that they run"
        )

    async def _ask(self, sentinel: RedisConfig) -> list[bytes] | None:
        loop = asyncio.get_running_loop()
        quick = replace(sentinel, connect_timeout_s=SENTINEL_S, timeout_s=SENTINEL_S)
        link = await connect(quick, lambda: Link(loop, quick, lambda _: None))
        try:
            words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.group)
            found: list[bytes] | None = await link.send(words, reads=True)
            return found
        finally:
            link.abort()
