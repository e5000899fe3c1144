"""The servers, for the tests of keys on them."""

from tests.servers.fixtures import postgres_address, redis_address

__all__ = ["postgres_address", "redis_address"]
