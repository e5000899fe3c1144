"""Where the examples keep their state: the server or database of STATE_URL, or this process alone.

STATE_URL=redis://localhost:6379/0 python examples/state/03_flash_sale.py
STATE_URL=lmdb:///shop python examples/state/03_flash_sale.py
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import holdfast
from holdfast.state import MockStoreAdapter, RedisAdapter


@asynccontextmanager
async def keeper() -> AsyncIterator[Any]:
    """What `with_adapter` and `build_store` take."""
    url = os.environ.get("STATE_URL")
    if url is None:
        yield MockStoreAdapter()
    elif url.startswith("redis"):
        yield RedisAdapter.from_url(url)
    else:
        async with holdfast.open(url) as db:
            yield db


def service(name: str) -> str:
    """A name of this run's own, so that examples find what they expect."""
    return f"{name}-{os.getpid()}"
