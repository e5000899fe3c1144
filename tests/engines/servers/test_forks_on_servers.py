"""A process forks while it uses a database on a server: the child is refused, waits for nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.contract.errors import StoreError
from holdfast.engines.postgres import PostgresConfig
from holdfast.engines.redis import RedisConfig
from tests import needs
from tests.engines.postgres.scene import postgres_config
from tests.engines.redis.scene import redis_config
from tests.servers.fixtures import postgres_address, redis_address
from tests.servers.shared import Address

__all__ = ["postgres_address", "redis_address"]

pytestmark = [
    *needs.on_fork,
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]
PATIENCE_S = 15.0

Config = PostgresConfig | RedisConfig


@pytest.fixture(params=["redis", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    address: Address = request.getfixturevalue(f"{request.param}_address")
    if request.param == "redis":
        return redis_config(tmp_path, port=address["port"])
    return postgres_config(tmp_path, port=address["port"])


def ended(child: int) -> int:
    """How a child ended; one that hangs is killed."""
    give_up = threading.Timer(PATIENCE_S, os.kill, (child, signal.SIGKILL))
    give_up.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        give_up.cancel()


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return ended(child)


def refused(work: Callable[[], Any]) -> None:
    with pytest.raises(StoreError) as raised:
        work()
    assert (raised.value.code, raised.value.retryable) == ("WRONG_CONTEXT", False)


def test_a_child_is_refused_while_another_thread_writes(config: Config) -> None:
    with holdfast.sync.open(config) as db:
        db.entries.set("a", 0)
        over = threading.Event()
        failures: list[BaseException] = []

        def write() -> None:
            try:
                while not over.is_set():
                    db.entries.modify("a", lambda value: value + 1)
            except BaseException as error:
                failures.append(error)

        def work() -> None:
            refused(lambda: db.entries.get("a"))
            refused(lambda: db.entries.set("a", 1))
            with holdfast.sync.open(config) as own:
                own.entries.set("child", 1)
            db.close()

        writing = threading.Thread(target=write)
        writing.start()
        try:
            assert [forked(work) for _ in range(3)] == [0, 0, 0]
        finally:
            over.set()
            writing.join(PATIENCE_S)
        assert failures == []
        assert db.entries.require("child").value == 1


def test_a_child_forked_in_a_function_opens_its_own_and_sends_nothing(config: Config) -> None:
    with holdfast.sync.open(config) as db:
        db.entries.set("a", 0)
        codes: list[int] = []

        def fork(value: int) -> int:
            def work() -> None:
                with holdfast.sync.open(config) as own:
                    own.entries.set("child", 1)

            if not codes:
                codes.append(forked(work))
                child = os.fork()
                if child == 0:
                    return 100  # It goes on in the child, where nobody waits for the call.
                codes.append(ended(child))
            return value + 1

        db.entries.modify("a", fork)
        assert codes == [0, 1]
        assert db.entries.require("a").value == 1
        assert db.entries.require("child").value == 1


def test_a_close_under_way_at_the_fork_is_not_waited_for(config: Config) -> None:
    db = holdfast.sync.open(config).open()
    engine: Any = db._inner._require_shared().engine
    while hasattr(engine, "inner"):
        engine = engine.inner
    let_go = engine._portal.close
    codes: list[int] = []

    def close() -> None:
        codes.append(forked(db.close))
        let_go()

    engine._portal.close = close
    db.close()
    assert codes == [0]


def test_an_asynchronous_handle_is_refused_in_a_child(config: Config) -> None:
    async def main() -> None:
        async with holdfast.open(config) as db:
            await db.entries.set("a", 1)

            def work() -> None:
                refused(lambda: asyncio.run(db.entries.get("a")))
                with holdfast.sync.open(config) as own:
                    assert own.entries.require("a").value == 1

            assert forked(work) == 0
            assert (await db.entries.require("a")).value == 1
            await db.entries.set("a", 2)

    asyncio.run(main())
