"""Suites of others whose tests are coroutines, run without a plugin for them."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import holdfast
import holdfast.sync

#: A test of a suite, to be called with what it asks for.
Test = tuple[str, Callable[..., Any]]


def coroutine_tests(suite: type) -> list[Test]:
    """The tests of a suite that are coroutines."""
    tests = inspect.getmembers(suite, inspect.iscoroutinefunction)
    return [(name, test) for name, test in tests if name.startswith("test_")]


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Any]:
    """A database in memory, of `holdfast` (its loop) or of `holdfast.sync` (threads)."""
    if kind == "loop":
        async with holdfast.open("memory://") as db:
            yield db
    else:
        with holdfast.sync.open("memory://") as sync_db:
            yield sync_db


def run(suite: Any, test: Test, kind: str, make: Callable[[Any], dict[str, Any]]) -> None:
    """Run one test with the arguments that `make` makes of a database."""

    async def work() -> None:
        async with opened(kind) as db:
            arguments = make(db)
            wanted = [name for name in inspect.signature(test[1]).parameters if name != "self"]
            await test[1](suite, **{name: arguments[name] for name in wanted})

    asyncio.run(work())
