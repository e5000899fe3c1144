"""Two programs of the visitors' test: who writes all the time, and who comes by.

    python -m tests.crash.journal.visited write URL SEED
    python -m tests.crash.journal.visited visit URL SEED

The writer tells of each acknowledged write by a line `[key, revision]`, after one with lineage and
head. The visitor gets what was told so far as one JSON object in a line of its input, opens the
database, looks whether it sees all of it, writes by chance, and tells what it saw; then it closes
the database and waits for the next line, or is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from random import Random
from typing import Any

import holdfast.sync
from tests.crash.journal.writer import hurry

KEYS = 100
BIG_BYTES = 100_000


def tell(facts: Any) -> None:
    """Write one line in one system call, so that a kill leaves whole lines."""
    os.write(1, json.dumps(facts).encode() + b"\n")


def write(url: str, chance: Random) -> None:
    """Write until killed."""
    with holdfast.sync.open(url) as db:
        tell({"lineage": db.cursor.rpartition(".")[0], "head": db.revision})
        number = 0
        while True:
            number += 1
            key = f"w:{chance.randrange(KEYS)}"
            what = chance.random()
            if what < 0.05:
                with db.transaction() as transaction:
                    transaction.entries.set(key, number)
                    transaction.entries.set(f"{key} too", number)
                assert transaction.revision is not None
                tell([key, transaction.revision])
                tell([f"{key} too", transaction.revision])
                continue
            size = BIG_BYTES if what < 0.07 else chance.choice((10, 200, 3000))
            tell([key, db.entries.set(key, {"n": number, "t": "x" * size}).revision])
            if chance.random() < 0.02:
                time.sleep(chance.random() * 0.1)  # Now and then long enough to share.


def visit(url: str, chance: Random) -> None:
    """Open, look, write and close, again and again."""
    for line in sys.stdin:
        told: dict[str, int] = json.loads(line)
        reads = chance.random() < 0.5
        with holdfast.sync.open(f"{url}&read_only=true" if reads else url) as db:
            found = {key: db.entries.get(key) for key in told}
            wrong = [
                [key, revision, None if entry is None else entry.revision]
                for key, revision in told.items()
                if (entry := found[key]) is None or entry.revision < revision
            ]
            wrote = []
            for number in range(0 if reads else chance.randrange(20)):
                key = f"v:{chance.randrange(10)}"
                wrote.append([key, db.entries.set(key, number).revision])
            time.sleep(chance.random() * 0.05)
            check = db.check() if chance.random() < 0.1 else []
            tell({"wrong": wrong, "wrote": wrote, "check": [str(one) for one in check]})
            if chance.random() < 0.1:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    hurry()
    {"write": write, "visit": visit}[sys.argv[1]](sys.argv[2], Random(sys.argv[3]))
