"""`sqlite://`: one SQLite file in write-ahead mode, on the driver of the standard library.

The engine to choose where nothing may be installed, or where several containers share a database.
"""

from holdfast.engines.sqlite.config import SqliteConfig
from holdfast.engines.sqlite.engine import SqliteEngine

__all__ = ["SqliteConfig", "SqliteEngine"]
