"""The recipe of docs/how-to/streaming.md, served by uvicorn with two workers."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import holdfast.sync
from tests import needs

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 20.0
PATH = "/changes"
ERROR = re.compile(r"^[\w.]*(?:Error|Exception|Warning|Interrupt)\b", re.MULTILINE)

#: The recipe, whose answers here also say which worker they come from, with quicker heartbeats.
SERVED = """
import os
import recipe

recipe.HEARTBEAT_S = 0.1
recipe.HEADERS = recipe.HEADERS | {"X-Worker": str(os.getpid())}
app = recipe.app
"""


def blocks() -> list[str]:
    text = (ROOT / "docs" / "how-to" / "streaming.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def recipe() -> str:
    """The blocks of the page that make the service, as a module."""
    kept = [block for block in blocks() if "async def events" in block or "Starlette(" in block]
    assert len(kept) == 2
    return "\n\n".join(kept)


@dataclass
class Event:
    id: str
    data: str


class Client:
    """A connection that reads server-sent events."""

    def __init__(self, port: int, last_event_id: str | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._connection.request("GET", PATH, headers=headers)
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.worker = self._answer.headers.get("X-Worker", "")
        self.lines = self._lines() if self.status == 200 else iter([self._answer.read().decode()])

    def _lines(self) -> Iterator[str]:
        while True:
            line = self._answer.readline()
            if not line:
                return
            yield line.decode().rstrip("\n")

    def heartbeat(self) -> None:
        """Return at the next one; an event before it is a failure."""
        assert next(line for line in self.lines if line) == ": still here"

    def event(self) -> Event:
        """The next one; heartbeats pass."""
        found: dict[str, str] = {}
        for line in self.lines:
            name, _, text = line.partition(": ")
            if name:
                found[name] = text
            elif "data" in found:
                return Event(found.get("id", ""), f"{found['event']} {found['data']}")
            if not line:
                found = {}
        raise AssertionError("the stream ended")

    def close(self) -> None:
        """As a client whose connection breaks."""
        self.lines = iter(())
        self._answer.close()
        self._connection.close()


@contextmanager
def serving(folder: Path, url: str) -> Iterator[int]:
    """The recipe under uvicorn with two workers; the port."""
    (folder / "recipe.py").write_text(recipe())
    (folder / "served.py").write_text(SERVED)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()  # Handed on, so that nobody takes the port in between.
    port = listening.getsockname()[1]
    variables = os.environ | {
        "DATABASE": url,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(folder)]),
    }
    log = folder / "uvicorn.log"
    with log.open("wb") as file, listening:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "served:app", "--workers", "2", "--no-access-log",
             "--fd", str(listening.fileno()), "--timeout-graceful-shutdown", "1"],
            cwd=folder, env=variables, stdout=file, stderr=file, pass_fds=[listening.fileno()],
        )  # fmt: skip
    try:
        for _ in range(400):  # Else one of them might answer everything.
            if log.read_text().count("Application startup complete") == 2:
                break
            threading.Event().wait(0.05)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            raise
    told = log.read_text()
    assert server.returncode == 0, told
    assert told.count("Application shutdown complete") == 2, told
    # Streams that are open at the end are cancelled, which uvicorn tells as an error.
    assert set(ERROR.findall(told)) <= {"asyncio.exceptions.CancelledError"}, told
    assert "never closed" not in told, told


@needs.linux
@pytest.mark.parametrize("engine", ["sqlite", "lmdb"])
def test_the_recipe_streams_from_two_workers_and_resumes_on_either(
    engine: str, tmp_path: Path
) -> None:
    url = f"{engine}:///{tmp_path}/app.db"
    with holdfast.sync.open(url) as db:
        begin = db.entries.set("cities:bergen", 1).revision
        lineage = db.cursor.partition(".")[0]
        with serving(tmp_path, url) as port:
            clients: dict[str, Client] = {}
            spare = []
            for _ in range(200):
                client = Client(port, f"{lineage}.{begin}")
                spare.append(client)
                clients.setdefault(client.worker, client)
                if len(clients) == 2:
                    break
            assert len(clients) == 2, "one worker answered everything"
            for client in clients.values():
                client.heartbeat()  # Nothing is to be told, and the connection lives.

            db.entries.set_many({"cities:oslo": 1, "cities:rome": 2, "other:x": 0, "cities:ulm": 3})
            seen = [[client.event() for _ in range(3)] for client in clients.values()]
            assert seen[0] == seen[1]
            assert [one.data for one in seen[0]] == [
                f'set {{"key": "cities:{name}", "op": "set", "value": {value}}}'
                for name, value in (("oslo", 1), ("rome", 2), ("ulm", 3))
            ]
            for client in spare:
                client.close()
            spare.clear()

            # Between two changes of one commit the connection broke; either worker goes on there.
            met: set[str] = set()
            for _ in range(200):
                again = Client(port, seen[0][0].id)
                assert [again.event(), again.event()] == seen[0][1:]
                again.heartbeat()
                again.close()
                met.add(again.worker)
                if met == clients.keys():
                    break
            assert met == clients.keys()

            late = Client(port, seen[0][-1].id)
            db.entries.delete("cities:rome")
            assert late.event().data.startswith("delete ")
            late.close()

            wrong = Client(port, "no cursor")
            assert wrong.status == 400
            assert "cursor" in next(wrong.lines)
            wrong.close()

            db.retention.keep_feed(changes_max=1)
            db.retention.trim()
            behind = Client(port, f"{lineage}.{begin}")
            assert behind.event().data.startswith("reset ")
            behind.close()

            open_at_the_end = Client(port)
            open_at_the_end.heartbeat()
        open_at_the_end.close()
        db.entries.set("cities:after", 1)
        assert db.check() == []
