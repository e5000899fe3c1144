"""Each test of the contract runs on every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.state.conftest import RedisServer
from tests.state.contract.subjects import SUBJECTS, Subject

Test = Callable[[Subject], Awaitable[None]]
Hold = Callable[[Test], None]


@pytest.fixture(params=sorted(SUBJECTS))
def holds(request: pytest.FixtureRequest, redis: RedisServer, service: str) -> Hold:
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
