"""The server whose keys are imported."""

from tests.servers.fixtures import redis_address

__all__ = ["redis_address"]
