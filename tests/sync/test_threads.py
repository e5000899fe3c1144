"""One sync handle in many threads, and at the end of a program."""

import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import holdfast.sync

THREADS = 16
OPERATIONS = 10_000

LEFT_OPEN = """
import sys, threading
import holdfast.sync

db = holdfast.sync.open(sys.argv[1]).open()
seen = threading.Event()

def look():
    for change in db.watch(since=0):
        seen.set()

threading.Thread(target=look, daemon=True).start()
db.entries.set("a:1", 1, ttl=3600)  # The housekeeping begins.
assert seen.wait(20)
stuck = db.watch()
assert stuck.poll() is None
view = db.snapshot()
tx = db.transaction().begin()
tx.entries.set("a:2", 2)
keys = db.entries.keys()
next(keys)
"""


@pytest.mark.row("E-094")
def test_threads_share_a_handle() -> None:
    with holdfast.sync.open("memory://") as db:

        def work(number: int) -> dict[str, int]:
            chance = random.Random(number)
            model: dict[str, int] = {}
            for count in range(OPERATIONS):
                key = f"own{number}:{chance.randrange(50)}"
                dice = chance.random()
                if dice < 0.8:
                    entry = db.entries.get(key)
                    assert (None if entry is None else entry.value) == model.get(key)
                elif dice < 0.9:
                    db.entries.set(key, count)
                    model[key] = count
                elif dice < 0.95:
                    assert db.entries.delete(key) == (model.pop(key, None) is not None)
                else:
                    db.entries.modify("all:count", lambda n: (n or 0) + 1)
                    model["all:count"] = model.get("all:count", 0) + 1
            return model

        with ThreadPoolExecutor(THREADS) as pool:
            models = list(pool.map(work, range(THREADS)))
        counted = sum(model.pop("all:count") for model in models)
        wanted = {key: value for model in models for key, value in model.items()}
        wanted["all:count"] = counted
        assert {str(entry.key): entry.value for entry in db.entries.items()} == wanted
        assert db.check() == []


def test_threads_on_a_file_lose_nothing(url: str) -> None:
    with holdfast.sync.open(url + ("&" if "?" in url else "?") + "durability=relaxed") as db:

        def work(number: int) -> None:
            for count in range(25):
                db.entries.modify("all:count", lambda n: (n or 0) + 1)
                db.entries.set(f"own{number}:{count}", count)
                assert db.transact(lambda tx: tx.entries.require(f"own{number}:0").value) == 0

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert db.entries.require("all:count").value == 100
        assert db.entries.count("#") == 101


def test_a_handle_is_bound_to_no_thread(url: str) -> None:
    with ThreadPoolExecutor(1) as there:
        db = there.submit(holdfast.sync.open(url).open).result()
        db.entries.set("a:1", 1)
        tx = there.submit(db.transaction().begin).result()
        tx.entries.set("a:2", tx.entries.require("a:1").value + 1)
        there.submit(tx.commit).result()
        view = there.submit(db.snapshot).result()
        assert view.entries.require("a:2").value == 2
        there.submit(view.close).result()
        items = db.entries.items()
        assert [there.submit(next, items).result().value, next(items).value] == [1, 2]
        there.submit(db.close).result()


def test_a_program_may_end_without_closing(url: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", LEFT_OPEN, url],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    if not url.startswith("memory"):
        with holdfast.sync.open(url) as db:
            assert {str(entry.key): entry.value for entry in db.entries.items()} == {"a:1": 1}
