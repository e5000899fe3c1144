"""The servers, for the tests of this folder; coroutines run on a loop of their own."""

from tests.servers.fixtures import postgres_address, redis_address
from tests.store.scene import pytest_pyfunc_call

__all__ = ["postgres_address", "pytest_pyfunc_call", "redis_address"]
