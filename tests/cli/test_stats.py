"""stats: once or going on, on databases and on servers that keep state; ended cleanly."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.sync
from holdfast.cli import sampling
from holdfast.state import RedisAdapter, StoreBuilder, build_store
from tests.cli.conftest import SECONDS_MAX, Cli, environment, started
from tests.state.conftest import RedisServer

pytestmark = pytest.mark.row("D-138")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


async def fill(adapter: Any) -> None:
    """Keys of two services, and one that only looks like it."""
    store = build_store(adapter, "api", scopes=("org",))
    await store.batch.set({f"k{n}": n for n in range(7)})
    await store.scope("org", 1).counter.increment("c")
    await store.streams.append("s", "m")
    await build_store(adapter, "web").kv.set("a", 1)


KEYS = [
    {"service": "api", "area": "counter", "keys": 1},
    {"service": "api", "area": "kv", "keys": 7},
    {"service": "api", "area": "streams", "keys": 1},
    {"service": "web", "area": "kv", "keys": 1},
]


async def fill_database(url: str) -> None:
    async with holdfast.open(url) as db:
        await fill(db)


def test_a_database_and_its_state(cli: Cli, url: str) -> None:
    assert cli("stats").code == 1  # There is none, and none is made.
    cli("set", "a", "1")
    document = cli("stats", "--json").document
    assert document["keys"] == []
    assert document["per_second"] == {}
    asyncio.run(fill_database(url))
    document = cli("stats", "--json").document
    assert document["keys"] == KEYS
    assert document["counted"] is True
    assert document["facts"]["disk"] > 0
    with holdfast.sync.open(url) as db:
        assert document["facts"]["revision"] == db.head()
    out = cli("stats").out
    for part in ("revision", "iB", "streams", "api"):
        assert part in out


def test_it_goes_on_in_a_pipe_and_tells_what_happens(cli: Cli, url: str) -> None:
    asyncio.run(fill_database(url))
    live = started("stats", "--live", "--interval", "100ms", "--json")
    with live:
        assert live.stdout is not None
        first = json.loads(live.stdout.readline())
        assert first["keys"] == KEYS
        with holdfast.sync.open(url) as db:
            for number in range(20):
                db.entries.set("a", number)
            wanted = db.head()
        commits, now = 0.0, first
        while now["facts"]["revision"] < wanted:
            now = json.loads(live.stdout.readline())
            commits = max(commits, now["per_second"]["commits"])
        assert commits > 0
        live.send_signal(signal.SIGINT)
        assert live.stderr is not None
        assert live.stderr.read() == ""
    assert live.returncode == 0


def test_lines_for_people_and_an_end(cli: Cli, url: str) -> None:
    asyncio.run(fill_database(url))
    done = cli("stats", "--live", "--interval", "100ms", "--count", "2")
    assert done.code == 0
    first, second = done.out.splitlines()
    assert "commits/s" not in first
    assert "commits/s 0.0" in second
    assert "api/kv 7" in first


def test_on_a_terminal_it_draws_and_ends_with_ctrl_c(url: str) -> None:
    asyncio.run(fill_database(url))
    ours, theirs = os.openpty()
    live = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "holdfast", "stats", "--live", "--interval", "100ms"],
        stdout=theirs, stderr=subprocess.PIPE, env=environment(TERM="xterm", COLUMNS="100"),
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while seen.count(b"streams") < 2:
        seen += os.read(ours, 4096)
    live.send_signal(signal.SIGINT)
    assert live.stderr is not None
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:
        pass  # A terminal that nobody writes to any more.
    os.close(ours)
    with live:
        assert live.stderr.read() == b""
    assert live.wait(SECONDS_MAX) == 0
    assert re.search(rb"7 +api +kv", seen)
    # The cursor is shown again.
    assert seen.rstrip().endswith(b"\x1b[?25h")


def test_a_server_that_keeps_state_and_goes_away(server: RedisServer) -> None:
    async def on_server() -> None:
        async with RedisAdapter.from_url(server.url) as adapter:
            await fill(adapter)
            await adapter.set("holdfast:state", b"no key of a store")
            await adapter.set("holdfast:state:nonsense", b"nor this")

    asyncio.run(on_server())
    live = started(
        "stats", "--live", "--state", "--interval", "100ms", "--json", "--url", server.url
    )
    assert live.stdout is not None
    first = json.loads(live.stdout.readline())
    assert first["keys"] == [*KEYS[:3], {"service": "others", "area": "", "keys": 1}, KEYS[3]]
    assert first["facts"]["clients"] >= 1
    assert first["facts"]["memory"] > 100_000
    assert json.loads(live.stdout.readline())["per_second"]["commands"] > 0
    server.kill()
    while "error" not in (told := json.loads(live.stdout.readline())):
        pass
    assert told["error"] in ("CONNECTION_FAILED", "CONNECTION_LOST")
    server.start()
    while "error" in json.loads(live.stdout.readline()):
        pass
    live.send_signal(signal.SIGTERM)
    with live:
        assert live.stderr is not None
        assert live.stderr.read() == ""
    assert live.returncode == 0


def test_a_large_state_is_counted_a_part_with_each_sample(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(fill_database(url))
    monkeypatch.setattr(sampling, "KEYS_LOOKED_AT_MAX", 3)
    monkeypatch.setattr(sampling, "STEP_KEYS", 3)
    assert "more keys than one look counts" in cli("stats").err
    lines = cli("stats", "--live", "--interval", "100ms", "--count", "5", "--json").lines
    counted = [sum(one["keys"] for one in line["keys"]) for line in lines]
    assert counted[:4] == [3, 6, 9, 10]
    assert [line["counted"] for line in lines] == [False, False, False, True, True]
    # While it counts anew, the last whole count is shown.
    assert lines[4]["keys"] == KEYS


def test_no_more_rows_than_there_is_room_for(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(fill_database(url))
    monkeypatch.setattr(sampling, "ROWS_MAX", 2)
    keys = cli("stats", "--json").document["keys"]
    assert sum(one["keys"] for one in keys) == 10
    assert {"service": "others", "area": "", "keys": 2} in keys


def test_another_prefix(cli: Cli, url: str) -> None:
    async def seeded() -> None:
        async with holdfast.open(url) as db:
            builder = StoreBuilder.create().with_adapter(db).with_service("api")
            await builder.with_prefix("igniter:store").build().kv.set("a", 1)

    asyncio.run(seeded())
    assert cli("stats", "--json").document["keys"] == []
    found = cli("stats", "--json", "--prefix", "igniter:store").document["keys"]
    assert found == [{"service": "api", "area": "kv", "keys": 1}]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--interval", "1ms"),
        ("--interval", "2h"),
        ("--interval", "often"),
        ("--count", "3"),
        ("--prefix", "a:*"),
    ],
)
def test_what_cannot_be_is_refused(cli: Cli, url: str, arguments: tuple[str, ...]) -> None:
    cli("set", "a", "1")
    done = cli("stats", *arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) == 1


def test_no_url_and_no_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_URL", raising=False)
    assert cli("stats", "--state").code == 2
    done = cli("stats", "--live", "--state", "--url", "redis://127.0.0.1:1/0")
    assert done.code == 4
    assert "CONNECTION_FAILED" in done.err
