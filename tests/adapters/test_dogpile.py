"""dogpile's own suites of backends, and what only a database can promise."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE
from dogpile.testing import fixtures

import holdfast.sync
from holdfast.adapters.dogpile import HoldfastBackend
from holdfast.adapters.place import close_databases
from holdfast.contract.errors import ConfigInvalid, DeadlockDetected, InvalidInput, InvalidKey


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    close_databases()


class TestDogpilesBackend(fixtures._GenericBackendTestSuite):
    backend = "holdfast"
    config_args = {"arguments": {"address": "memory://?name=dogpile"}}  # noqa: RUF012 - theirs

    @pytest.fixture(autouse=True)
    def _sooner(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its longest test sleeps for ten seconds; what it shows takes four."""
        if request.node.name == "test_threaded_get_multi":
            clock = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * 0.4))
            monkeypatch.setattr(fixtures, "time", clock)


class TestDogpilesSerializer(fixtures._GenericSerializerTestSuite, fixtures._GenericBackendFixture):
    backend = "holdfast"
    config_args = {"arguments": {"address": "memory://?name=dogpile", "store": "json"}}  # noqa: RUF012


class TestDogpilesMutex(fixtures._GenericMutexTestSuite):
    backend = "holdfast"
    config_args = {  # noqa: RUF012 - theirs
        "arguments": {"address": "memory://?name=dogpile", "distributed_lock": True}
    }


def backend_at(address: str, **arguments: Any) -> HoldfastBackend:
    return HoldfastBackend({"address": address, **arguments})


def test_many_are_one_commit() -> None:
    with holdfast.sync.open("memory://") as db:
        region: Any = make_region().configure("holdfast", arguments={"address": db})
        region.set("first", 1)
        head = db.head()
        region.set_multi({"a": 1, "b": [2], "c": None})
        assert db.head() == head + 1
        assert region.get_multi(["c", "missing", "b"]) == [None, NO_VALUE, [2]]
        region.delete_multi(["a", "b", "missing"])
        assert db.head() == head + 2
        assert region.get_multi(["a", "c"]) == [NO_VALUE, None]


def test_a_ttl_removes_what_nobody_asks_for() -> None:
    clock = holdfast.ManualClock()
    with holdfast.sync.open("memory://", clock=clock, housekeeping=False) as db:
        backend = HoldfastBackend({"address": db, "ttl": 60})
        backend.set_serialized("k", b"1")
        backend.set_serialized_multi({"l": b"2"})
        clock.advance(59)
        assert backend.get_serialized_multi(["k", "l"]) == [b"1", b"2"]
        clock.advance(2)
        assert backend.get_serialized_multi(["k", "l"]) == [NO_VALUE, NO_VALUE]


def test_a_mutex_excludes_other_processes_and_ends_with_its_holder(tmp_path: Path) -> None:
    address = f"lmdb:///{tmp_path}/cache?durability=relaxed"
    mutex = backend_at(address, distributed_lock=True, lock_ttl=1).get_mutex("k / :% é")
    assert mutex is not None
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            mutex.acquire()
            os.write(go, b"x")
            threading.Event().wait(30)
        finally:
            os._exit(1)
    assert os.read(ready, 1) == b"x"
    assert mutex.acquire(False) is False
    assert mutex.locked()
    os.kill(child, 9)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(go)
    assert mutex.acquire() is True  # When the lease of the dead is over.
    mutex.release()
    assert not mutex.locked()


def test_another_thread_may_let_a_mutex_go(tmp_path: Path) -> None:
    backend = backend_at(f"sqlite:///{tmp_path}/cache.db", distributed_lock=True)
    mutex, other = backend.get_mutex("k"), backend.get_mutex("k")
    assert mutex is not None
    assert other is not None
    assert mutex.acquire()
    with pytest.raises(DeadlockDetected):
        other.acquire()
    with pytest.raises(DeadlockDetected):
        mutex.acquire()
    assert mutex.locked()
    thread = threading.Thread(target=mutex.release)
    thread.start()
    thread.join()
    assert not other.locked()
    mutex.release()  # Once more does nothing.


def test_one_process_creates_at_a_time(tmp_path: Path) -> None:
    address = f"lmdb:///{tmp_path}/cache?durability=relaxed"
    region: Any = make_region().configure(
        "holdfast", arguments={"address": address, "distributed_lock": True}
    )
    region.get_or_create("warm", lambda: 1)

    def create() -> int:
        (tmp_path / str(os.getpid())).touch()
        return 7

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                made = region.get_or_create("k", create)
                close_databases()
                code = 0 if made == 7 else 2
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    creators = [path for path in tmp_path.iterdir() if path.name.isdigit()]
    assert len(creators) == 1
    assert region.get("k") == 7


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ConfigInvalid, match="address"):
        HoldfastBackend({"store": "s"})
    for name in ("ttl", "lock_ttl"):
        with pytest.raises(InvalidInput):
            backend_at("memory://", **{name: -1})
    backend = backend_at("memory://?name=dogpile")
    for key in (7, "", "\udcff"):
        with pytest.raises(InvalidKey):
            backend.set_serialized(key, b"1")  # type: ignore[arg-type]
