"""`postgres://`: a database in one schema of a PostgreSQL server."""

from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.engine import PostgresEngine

__all__ = ["PostgresConfig", "PostgresEngine"]
