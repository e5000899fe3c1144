"""A forked child without a loop: it waits for no thread of its parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import holdfast.sync
from holdfast.state import MockStoreAdapter, RedisAdapter
from tests import needs
from tests.state.conftest import RedisServer

pytestmark = [
    *needs.on_fork,
    # Which is what this is about.
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]
#: How long a child may take.
PATIENCE_S = 20.0


def in_child(work: Callable[[], Any]) -> str:
    """What the work gives in a forked child, as text; or what it raises there."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "nothing"
        try:
            answer = repr(work())
        except BaseException as error:
            answer = repr(error)
        finally:
            os.write(write, answer.encode())
            os._exit(0)
    os.close(write)
    give_up = threading.Timer(PATIENCE_S, os.kill, (child, signal.SIGKILL))
    give_up.start()
    try:
        return os.read(read, 10_000).decode()
    finally:
        give_up.cancel()
        os.close(read)
        os.waitpid(child, 0)


def test_a_store_on_a_server_goes_on_in_a_child(redis: RedisServer, service: str) -> None:
    with holdfast.sync.state_store(RedisAdapter.from_url(redis.url), service) as store:
        heard: list[Any] = []
        with store.events.subscribe("a", lambda message: heard.append(message.data)):
            assert store.counter.increment("n") == 1

            def work() -> tuple[int, bool]:
                with store.claim.lease("l", ttl=60) as lease:
                    counted = store.counter.increment("n"), lease.held
                    store.events.publish("a", "child")
                store.close()
                return counted

            assert in_child(work) == "(2, True)"
            assert store.counter.increment("n") == 3
            assert store.claim.holder("l") is None
            for _ in range(400):
                if heard:
                    break
                time.sleep(0.005)
            assert heard == ["child"]


def test_what_the_parent_computes_is_computed_anew_in_a_child(service: str) -> None:
    store = holdfast.sync.state_store(MockStoreAdapter(), service)
    parent = os.getpid()
    began, go_on = threading.Event(), threading.Event()

    @store.cached(ttl=60, key="k", wait=0.05)
    def function() -> str:
        if os.getpid() == parent:
            began.set()
            go_on.wait(PATIENCE_S)
            return "parent"
        return "child"

    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.append(function()))
    waiting.start()
    assert began.wait(PATIENCE_S)
    assert in_child(function) == "'child'"
    go_on.set()
    waiting.join(PATIENCE_S)
    assert found == ["parent"]
