"""Each test of the contract runs on every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.state.conftest import RedisServer
from tests.state.contract.subjects import CLUSTERS, SUBJECTS, Subject

Test = Callable[[Subject], Awaitable[None]]
Hold = Callable[[Test], None]


@pytest.fixture(scope="session")
def clustered(cluster: Any) -> None:
    """The cluster is there for the subject that wants it."""
    CLUSTERS[:] = [cluster]


@pytest.fixture(params=sorted(SUBJECTS))
def holds(
    request: pytest.FixtureRequest, redis: RedisServer, service: str, clustered: None
) -> Hold:
    """Runs a coroutine function of a subject on a loop of its own."""
    subject: Callable[[RedisServer, str], AbstractAsyncContextManager[Subject]] = SUBJECTS[
        request.param
    ]

    def hold(test: Test) -> None:
        async def main() -> None:
            async with subject(redis, service) as opened:
                await test(opened)

        asyncio.run(main())

    return hold
