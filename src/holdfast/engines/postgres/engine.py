"""The engine on PostgreSQL: the remote base on a transport of statements."""

from __future__ import annotations

from typing import cast

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.config import EngineConfig
from holdfast.contract.runtime import Components
from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.statements import Statements
from holdfast.engines.postgres.transport import Known, PostgresTransport
from holdfast.engines.remote import RemoteEngine, Transport


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

    def transport(self) -> Transport:
        return PostgresTransport(
            cast("PostgresConfig", self.config), self._statements, self._known, self.components.ids
        )
