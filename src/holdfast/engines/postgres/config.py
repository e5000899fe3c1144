"""How a database on PostgreSQL is named and reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from holdfast.contract.capability import Durability
from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.remote import RemoteConfig

#: What PostgreSQL keeps of a name.
NAME_BYTES_MAX = 63


@dataclass(frozen=True, kw_only=True)
class PostgresConfig(RemoteConfig):
    """`postgres://user:password@host:5432/database?schema=app`.

    Attributes:
        schema: of the database's tables; made when it is not there.
        durability: `server`: the server's `synchronous_commit`; `full`: a write is flushed before
            it is acknowledged; `relaxed`: it is flushed within three times `wal_writer_delay`.
        connections_max: connections of one event loop that read; one more writes, one listens.
        tls: as libpq's `sslmode`: whether TLS is spoken, and what is checked.
        tls_ca: file of the authorities that sign the server's certificate; None: libpq's own.
    """

    scheme: ClassVar[str] = "postgres"
    default_port: ClassVar[int] = 5432

    durability: Durability = "server"
    schema: str = "holdfast"
    connections_max: int = 8
    tls: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    tls_ca: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        size = len(self.schema.encode())
        reserved = self.schema.startswith("pg_") or "$holdfast$" in self.schema
        if not 0 < size <= NAME_BYTES_MAX or reserved or "\0" in self.schema:
            raise ConfigInvalid(
                f"postgres: a schema has a name of 1 to {NAME_BYTES_MAX} bytes that does not begin "
                f"with pg_; found {self.schema[:NAME_BYTES_MAX]!r}",
                parameter="schema",
            )
        if self.connections_max <= 0:
            raise ConfigInvalid(
                f"postgres: connections_max lies above zero; found {self.connections_max}",
                parameter="connections_max",
            )

    def login(self) -> dict[str, Any]:
        """What the driver connects with."""
        found = {
            "host": self.host, "port": self.port, "dbname": self.database or None,
            "user": self.user, "password": self.password, "sslmode": self.tls,
            "sslrootcert": self.tls_ca, "application_name": "holdfast",
            "connect_timeout": max(2, round(self.connect_timeout)),
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}
