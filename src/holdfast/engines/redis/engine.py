"""The engine on Redis: the remote base on a transport of scripts."""

from __future__ import annotations

from typing import cast

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.runtime import Components
from holdfast.engines.redis.calls import CHECK_RANGE_ROWS_MAX
from holdfast.engines.redis.config import RedisConfig
from holdfast.engines.redis.places import Places
from holdfast.engines.redis.transport import Known, RedisTransport
from holdfast.engines.remote import RemoteEngine, Transport


class RedisEngine(RemoteEngine):
    """A database whose keys lie in one slot of a Redis server."""

    config_type = RedisConfig

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        self._places = Places(cast("RedisConfig", config))
        self._known = Known()
        self._capabilities = Capabilities(
            engine="redis",
            io=Io.REMOTE,
            durability="server",
            writable=not config.read_only,
            waits=True,
            checks=True,
            loads=not config.read_only,
            rewrites=not config.read_only,
            value_bytes_max=8 * 1024 * 1024,
            batch_operations_max=10_000,
            batch_bytes_max=64 * 1024 * 1024,
            check_range_rows_max=CHECK_RANGE_ROWS_MAX,
            page_bytes_max=1024 * 1024,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def transport(self) -> Transport:
        return RedisTransport(
            cast("RedisConfig", self.config), self._places, self._known, self.components.ids
        )
