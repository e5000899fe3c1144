"""The engine on PostgreSQL: the remote base on a transport of statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.formats import Formats
from holdfast.contract.runtime import Components
from holdfast.engines.postgres import formats
from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.statements import Statements
from holdfast.engines.postgres.transport import Known, PostgresTransport
from holdfast.engines.remote import RemoteEngine, Transport
from holdfast.engines.remote.portal import Portal


class PostgresEngine(RemoteEngine):
    """A database whose tables lie in one schema of a PostgreSQL server."""

    config_type = PostgresConfig

    def __init__(self, config: EngineConfig, components: Components) -> None:
        super().__init__(config, components)
        settings = cast("PostgresConfig", config)
        self._known = Known()
        self._statements = Statements(settings.schema)
        self._capabilities = Capabilities(
            engine="postgres",
            io=Io.REMOTE,
            durability=settings.durability,
            writable=not config.read_only,
            waits=True,
            checks=True,
            loads=not config.read_only,
            rewrites=not config.read_only,
            # An entry of a B-tree index is at most a third of a page.
            key_bytes_max=2600,
            value_bytes_max=8 * 1024 * 1024,
            batch_operations_max=10_000,
            batch_bytes_max=64 * 1024 * 1024,
            page_bytes_max=1024 * 1024,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def stored_format(self) -> int:
        return formats.FORMAT

    @classmethod
    async def upgrade(
        cls,
        config: EngineConfig,
        components: Components,
        *,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Formats:
        settings = cast("PostgresConfig", config)

        async def work() -> Formats:
            return await formats.upgrade(settings, dry_run=dry_run, progress=progress)

        if not components.host.runtime().blocking:
            return await work()
        portal = Portal("holdfast postgres upgrade", components.host)
        try:
            return await portal.run(work, withdraw=True)
        finally:
            portal.close()

    def transport(self) -> Transport:
        return PostgresTransport(
            cast("PostgresConfig", self.config), self._statements, self._known, self.components.ids
        )
