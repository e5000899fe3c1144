"""Forks: the child is refused the parent's handle, and opens its own at the same path."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest

from holdfast.contract.errors import WrongContext
from holdfast.runtime.system import drive
from tests import needs
from tests.engines.lmdb_database import get, keys, make, opened, put, run_child


@needs.fork
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_child_is_refused_the_parents_handle_and_opens_its_own(
    tmp_path: Path, durability: str
) -> None:
    program = """
    import os
    from holdfast.contract.errors import StoreError
    path, durability = Path(sys.argv[1]), sys.argv[2]
    with opened(path, durability=durability) as engine:
        put(engine, b"key", b"1")
        snapshot = drive(engine.snapshot())
        put(engine, b"key", b"2")
        pid = os.fork()
        if pid == 0:
            for verb in (lambda: get(engine, b"key"), lambda: put(engine, b"key", b"9")):
                try:
                    verb()
                except StoreError as error:
                    print(error.code, error.retryable, flush=True)
            drive(engine.close())
            with opened(path, durability=durability) as own:
                print(get(own, b"key"), put(own, b"child", b"1"), flush=True)
            os._exit(0)
        print(os.waitpid(pid, 0)[1], flush=True)
        for number in range(100):
            put(engine, b"key", b"%d" % number)
        (record,) = drive(engine.read([b"key"], at=snapshot))
        snapshot.close()
        stale = engine._medium.env.reader_check()
        print(record.value, get(engine, b"key"), get(engine, b"child"), stale)
        print(drive(engine.check()), drive(engine.head()))
    """
    answer = run_child(program, tmp_path / "app", durability)
    assert answer.stdout.splitlines() == [
        f"{WrongContext.code} False",
        f"{WrongContext.code} False",
        "b'2' 3",
        "0",
        "b'1' b'99' b'1' 0",
        "[] 103",
    ], answer.stderr


def _serve(path: Path, number: int) -> None:
    with opened(path) as engine:
        for turn in range(20):
            put(engine, b"%d %d" % (number, turn))


@needs.fork
def test_servers_that_fork_their_workers_share_the_database(tmp_path: Path) -> None:
    """As prefork servers and `multiprocessing` do: the parent has it open, and goes on."""
    path = tmp_path / "app"
    context = multiprocessing.get_context("fork")
    with opened(path, durability="relaxed") as engine:
        put(engine, b"parent")
        workers = [context.Process(target=_serve, args=(path, number)) for number in range(3)]
        for worker in workers:
            worker.start()
        for number in range(50):
            put(engine, b"parent %d" % number)
        for worker in workers:
            worker.join(50)
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        assert len(keys(engine)) == 1 + 50 + 3 * 20
        assert drive(engine.check()) == []


@needs.fork
@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_forks_beside_threads_that_read_and_write(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "app"
    context = multiprocessing.get_context("fork")
    done = threading.Event()
    failed: list[BaseException] = []
    with opened(path, durability=durability, flush_interval=0.002) as engine:
        put(engine, b"a")

        def work() -> None:
            try:
                while not done.is_set():
                    put(engine, b"a")
                    assert get(engine, b"a") == b"value"
                    assert keys(engine)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        codes = []
        for number in range(8):
            worker = context.Process(target=_serve, args=(path, number))
            worker.start()
            worker.join(50)
            codes.append(worker.exitcode)
        done.set()
        for thread in threads:
            thread.join(50)
        assert not failed
        assert codes == [0] * 8
        assert len(keys(engine)) == 1 + 8 * 20
        assert drive(engine.check()) == []


@needs.fork
def test_a_function_that_forks_writes_in_the_parent_alone(tmp_path: Path) -> None:
    program = """
    import os
    from holdfast.contract.batch import Draft
    from holdfast.contract.errors import StoreError
    with opened(Path(sys.argv[1])) as engine:
        put(engine, b"key", b"1")
        pids = []
        def decide(records, revision):
            pids.append(os.fork())
            draft = Draft()
            draft.rows[b"key"] = b"child" if pids[0] == 0 else b"parent"
            return draft
        try:
            drive(engine.transact([b"key"], decide))
        except StoreError as error:
            print(error.code, flush=True)
        if pids[0] == 0:
            os._exit(0)
        os.waitpid(pids[0], 0)
        print(get(engine, b"key"), put(engine, b"key", b"2"), drive(engine.check()))
    """
    answer = run_child(program, tmp_path / "app")
    lines = [WrongContext.code, "b'parent' 3 []"]
    assert answer.stdout.splitlines() == lines, answer.stderr


@needs.fork
def test_an_engine_that_a_child_inherited_and_drops_tells_nothing(tmp_path: Path) -> None:
    program = """
    import gc, os, warnings
    warnings.simplefilter("error")
    engine = make(Path(sys.argv[1]))
    drive(engine.open())
    pid = os.fork()
    if pid == 0:
        del engine
        gc.collect()
        sys.exit(0)
    print(os.waitpid(pid, 0)[1])
    drive(engine.close())
    """
    answer = run_child(program, tmp_path / "app")
    assert (answer.stdout, answer.stderr) == ("0\n", "")


def test_the_handle_says_what_to_do(tmp_path: Path) -> None:
    engine = make(tmp_path / "app")
    drive(engine.open())
    engine.after_fork_in_child()
    with pytest.raises(WrongContext, match="open its own"):
        put(engine, b"a")


@needs.fork
def test_a_child_of_a_fork_beside_a_long_read_is_told_for_good(tmp_path: Path) -> None:
    program = """
    import os
    from holdfast.contract.errors import StoreError
    with opened(Path(sys.argv[1])) as engine:
        put(engine, b"key", b"1")
        held = engine._medium.env.begin()
        pid = os.fork()
        if pid == 0:
            try:
                drive(make(Path(sys.argv[1])).open())
            except StoreError as error:
                print(error.code, error.retryable, "fork again" in str(error), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        put(engine, b"key", b"2")
        print(held.get(b"head") is not None, get(engine, b"key"), drive(engine.check()))
    """
    answer = run_child(program, tmp_path / "app")
    lines = [f"{WrongContext.code} False True", "True b'2' []"]
    assert answer.stdout.splitlines() == lines, answer.stderr
