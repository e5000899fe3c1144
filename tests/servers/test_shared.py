"""The harness: one server for a whole run, whoever starts it and whoever leaves last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.servers.loopback import start_loopback
from tests.servers.processes import (
    Server,
    _exchange,
    _postgres_answers,
    _redis_answers,
    postgres_server,
    redis_server,
)
from tests.servers.shared import Address, _alive, shared_server

ROOT = Path(__file__).parents[2]

USER = """
import sys, time
from pathlib import Path
from tests.servers.loopback import start_loopback
from tests.servers.shared import shared_server

with shared_server(Path(sys.argv[1]), "loopback", start_loopback) as address:
    print(address["pid"], address["port"], flush=True)
    sys.stdin.readline()
"""


def user(place: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process of the run that uses the server, and the number of the server's process."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(place)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline().split()[0])


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=120)
    assert process.returncode == 0


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _alive(pid)


def test_processes_share_one_server_and_the_last_one_ends_it(tmp_path: Path) -> None:
    first, pid = user(tmp_path)
    second, same = user(tmp_path)
    assert pid == same
    leave(first)  # It had started the server.
    assert _alive(pid)
    third, still = user(tmp_path)
    assert still == pid
    leave(second)
    assert _alive(pid)
    leave(third)
    assert gone(pid)


def test_a_process_that_was_killed_does_not_keep_the_server(tmp_path: Path) -> None:
    killed, pid = user(tmp_path)
    last, _ = user(tmp_path)
    killed.kill()
    killed.communicate()
    leave(last)
    assert gone(pid)


def test_a_server_that_died_is_started_anew(tmp_path: Path) -> None:
    starts: list[Address] = []

    def start(folder: Path) -> Address:
        starts.append(start_loopback(folder))
        return starts[-1]

    with shared_server(tmp_path, "one", start) as address:
        os.kill(address["pid"], 9)
        assert gone(address["pid"])
        with shared_server(tmp_path, "one", start) as again:
            assert again["pid"] != address["pid"]
            assert len(starts) == 2
            note = json.loads((tmp_path / "server-one" / "address.json").read_text())
            assert note["users"] == [os.getpid()] * 2
    assert gone(again["pid"])


def test_redis_answers(redis_address: Address) -> None:
    assert _exchange(redis_address["port"], b"PING\r\n") == b"+PONG\r\n"
    config = _exchange(redis_address["port"], b"CONFIG GET maxmemory-policy\r\n")
    assert b"noeviction" in config


def test_postgres_answers(postgres_address: Address) -> None:
    body = b"\0\x03\0\0" + b"user\0postgres\0database\0postgres\0\0"
    packet = (len(body) + 4).to_bytes(4, "big") + body
    assert _exchange(postgres_address["port"], packet).startswith(b"R")


def test_a_redis_of_its_own_is_crashed_and_started_again() -> None:
    with redis_server() as server:
        crashed_and_started(server, _redis_answers)
        folder = server.folder
    assert not folder.exists()


def test_a_postgres_of_its_own_is_crashed_and_started_again() -> None:
    with postgres_server() as server:
        crashed_and_started(server, _postgres_answers)
        folder = server.folder
    assert not folder.exists()


def crashed_and_started(server: Server, answers: Callable[[Server], bool]) -> None:
    assert server.process is not None
    pid = server.process.pid
    server.crash()
    assert not answers(server)
    server.start()
    assert server.process.pid != pid
    assert answers(server)
