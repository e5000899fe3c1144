"""A server that the whole run of tests shares: started by who needs it first, ended by who is last.

Processes of one run (pytest-xdist's workers too) meet in a folder, under the lock of a file. Who
starts the server writes where it listens; who leaves last ends it, by the number of its process.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: How long a server may take to end when it is asked to.
END_TIMEOUT_S = 15.0

#: Where a server listens, the number of its process (`pid`) and the name of the signal that ends it
#: in good order (`signal`), as JSON can hold it; and a `folder` that goes with it, if it has one.
Address = dict[str, Any]


def meeting_place(factory: pytest.TempPathFactory) -> Path:
    """The folder that every process of this run of tests knows."""
    base = factory.getbasetemp()
    # A worker's own folder lies in that of the run.
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@contextmanager
def shared_server(place: Path, name: str, start: Callable[[Path], Address]) -> Iterator[Address]:
    """The address of the server of that name, which runs until nobody uses it any more.

    Args:
        place: where the processes of the run meet.
        name: of the server; its files lie in a folder of that name.
        start: starts it in that folder and returns once it can be used; the address has its `pid`.
    """
    folder = place / f"server-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "address.json"
    with _locked(folder):
        known = json.loads(note.read_text()) if note.exists() else None
        if known is None or not _alive(known["address"]["pid"]):
            known = {"address": start(folder), "users": known["users"] if known else []}
        known["users"].append(os.getpid())
        note.write_text(json.dumps(known))
    try:
        yield known["address"]
    finally:
        with _locked(folder):
            known = json.loads(note.read_text())
            known["users"].remove(os.getpid())
            # Who was killed did not say good-bye.
            known["users"] = [user for user in known["users"] if _alive(user)]
            if known["users"]:
                note.write_text(json.dumps(known))
            else:
                note.unlink()
                end(known["address"]["pid"], signal.Signals[known["address"]["signal"]])
                shutil.rmtree(known["address"].get("folder", folder / "none"), ignore_errors=True)


def end(pid: int, politely: signal.Signals = signal.SIGTERM) -> None:
    """End a process that we started: politely, then by force."""
    for sign in (politely, signal.SIGKILL):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < deadline:
            if not _alive(pid):
                return
            time.sleep(0.01)
    raise AssertionError(f"the server with process {pid} does not end")


def _alive(pid: int) -> bool:
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        try:
            os.kill(pid, 0)  # Another worker's child.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (ProcessLookupError, FileNotFoundError):
            return False
    return ended == 0


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
