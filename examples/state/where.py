"""Where the examples keep their state: the server of REDIS_URL, or this process alone."""

import os

from holdfast.state import MockStoreAdapter, RedisAdapter
from holdfast.state.adapter import StateAdapter


def adapter() -> StateAdapter:
    url = os.environ.get("REDIS_URL")
    return RedisAdapter.from_url(url) if url else MockStoreAdapter()


def service(name: str) -> str:
    """A name of this run's own, so that examples find what they expect."""
    return f"{name}-{os.getpid()}"
