"""Memory that the system refuses: told by name, and the database goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests import needs
from tests.faults.modes import url_of

ROOT = Path(__file__).parents[2]

START = """
import resource, sys, threading
from pathlib import Path
import holdfast, holdfast.sync
from holdfast import QuotaExceeded

MIB = 2**20

def limit(room):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room * MIB, resource.RLIM_INFINITY))

def unlimited():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def refused(call):
    try:
        call()
    except QuotaExceeded as error:
        return "ulimit -v" in str(error)
    return False

url = sys.argv[1]
"""

OPENED = """
with holdfast.sync.open(url) as db:  # The modules are loaded; what the engine takes is not taken.
    db.entries.set("first", 1)
limit(16)
with holdfast.sync.open(url) as db:
    db.entries.set("a", 1)
    assert db.entries.require("a").value == db.entries.require("first").value == 1
print("ok")
"""

BIG = """
db = holdfast.sync.open(url)
db.entries.set("small", 1)
db.entries.set("old", bytes(64 * MIB))
ledger = db.stores.create("ledger")
ledger.set(b"small", b"1")
ledger.set(b"old", bytes(64 * MIB))
if not url.startswith("memory"):
    db.close()  # What a later flush frees would be room.
    db = holdfast.sync.open(url)
    ledger = db.stores.open("ledger")
big = bytes(96 * MIB)
limit(16)
told = [
    refused(lambda: db.entries.set("big", big)),
    refused(lambda: db.entries.set("big", {"all": big})),
    refused(lambda: db.entries.require("old").value),
    refused(lambda: ledger.set(b"big", big)),
    refused(lambda: ledger.get(b"old")),
]
db.entries.set("small", 2)
unlimited()
assert all(told), told
assert db.entries.get("big") is None and ledger.get(b"big", None) is None
assert len(db.entries.require("old").value) == len(ledger.get(b"old")) == 64 * MIB
db.entries.set("big", big)
assert db.entries.require("small").value == 2
assert db.check() == []
db.close()
print("ok")
"""

MANY = """
def fill(first):
    for number in range(first, first + 40):
        db.entries.set(f"n:{number}", bytes(MIB))

db = holdfast.sync.open(url)
db.entries.set("small", 1)
limit(20)
told = refused(lambda: fill(0))
assert db.entries.require("small").value == 1
unlimited()
for _ in range(200):  # A relaxed database tries its flush again by itself.
    if not refused(lambda: fill(100)):
        break
    threading.Event().wait(0.05)
else:
    raise AssertionError("it does not recover")
db.entries.set("small", 2)
assert db.check() == []
db.close()
print("ok" if told else "room for all")
"""


THREAD = """
from holdfast.runtime.system import SystemHost
host = SystemHost()
limit(6)  # Less than its stack takes: it would begin nothing, and be waited for.
told = refused(lambda: host.spawn("worker", lambda: None))
unlimited()
host.spawn("worker", lambda: None).join()
print("ok" if told else "it began")
"""


def run(program: str, url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + dedent(program), url],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs.linux
@pytest.mark.parametrize("mode", ["lmdb", "sqlite"])
def test_a_database_is_opened_in_the_memory_there_is(mode: str, quick: Path) -> None:
    assert run(OPENED, url_of(mode, quick)) == "ok"


@needs.linux
@pytest.mark.parametrize("mode", ["memory", "lmdb", "lmdb relaxed", "sqlite", "file"])
def test_values_that_memory_has_no_room_for_are_refused_by_name(mode: str, quick: Path) -> None:
    assert run(BIG, url_of(mode, quick)) == "ok"


@needs.linux
@pytest.mark.parametrize("query", ["", "&durability=relaxed", "&journal=1MiB"])
def test_a_map_that_cannot_grow_refuses_and_is_not_lost(query: str, quick: Path) -> None:
    assert run(MANY, f"lmdb:///{quick}/app?map_size=1MiB{query}") == "ok"


@needs.linux
def test_a_database_in_memory_that_is_full_goes_on(quick: Path) -> None:
    assert run(MANY, "memory://?name=full") == "ok"


@needs.linux
def test_a_thread_that_memory_has_no_room_for_is_refused_by_name() -> None:
    assert run(THREAD, "") == "ok"
