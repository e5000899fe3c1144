"""A process that uses every view of a database while signals interrupt it.

    python -m tests.faults.interrupted_child URL INTERRUPTS SEED

It prints `ready`, and a line after each interrupt that it has survived; then what must be there.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import FrameType
from typing import Any

import holdfast.documents.open  # Now: an import that is interrupted fails by another error.
import holdfast.sync

KEYS = [f"a:{n}" for n in range(5)]


class Work:
    """Calls on a database, and what they were acknowledged.

    Attributes:
        known: the last acknowledged value by key.
        tried: what the call under way writes, by key.
    """

    def __init__(self, url: str, random: Random) -> None:
        self.url = url
        self.random = random
        self.number = 0
        self.known: dict[str, int | None] = dict.fromkeys((*KEYS, "left", "right", "counter"), 0)
        self.tried: dict[str, int | None] = {}
        self.db = holdfast.sync.open(url)
        # A database in memory is there as long as somebody has it open.
        self.anchor = holdfast.sync.open(url)
        self.calls: list[Callable[[], None]] = [
            self.set, self.set_many, self.modify, self.delete, self.transaction, self.lock,
            self.watch, self.snapshot, self.store, self.collection, self.another, self.reopen,
        ]  # fmt: skip

    def begin(self) -> None:
        """Open the database and write what is known."""
        if self.url.startswith("memory"):
            self.anchor.open()
        self.db.open()
        self.db.entries.set_many(self.known)
        self.db.stores.create("ledger")

    def write(self, values: dict[str, int | None], call: Callable[[], Any]) -> None:
        """Run a call that writes these values, and note that it was acknowledged."""
        self.tried = values
        call()
        self.known |= values
        self.tried = {}

    def following(self) -> int:
        self.number += 1
        return self.number

    def set(self) -> None:
        key, value = self.random.choice(KEYS), self.following()
        self.write({key: value}, lambda: self.db.entries.set(key, value))

    def set_many(self) -> None:
        values: dict[str, int | None] = {key: self.following() for key in KEYS[:3]}
        self.write(values, lambda: self.db.entries.set_many(values))

    def modify(self) -> None:
        value = (self.known["counter"] or 0) + 1
        self.write(
            {"counter": value}, lambda: self.db.entries.modify("counter", lambda found: found + 1)
        )

    def delete(self) -> None:
        key = self.random.choice(KEYS)
        self.write({key: None}, lambda: self.db.entries.delete(key))

    def transaction(self) -> None:
        value = self.following()

        def work() -> None:
            with self.db.transaction() as tx:
                tx.entries.set("left", value)
                tx.stores.get("ledger").set(b"sum", b"%d" % value)
                tx.entries.set("right", value)

        self.write({"left": value, "right": value}, work)

    def lock(self) -> None:
        with self.db.lock("jobs", timeout=10):
            self.set()

    def watch(self) -> None:
        with self.db.watch(since=self.db.head()) as changes:
            self.set()
            assert changes.poll(10) is not None

    def snapshot(self) -> None:
        with self.db.snapshot() as view:
            assert view.entries.require("left").value == view.entries.require("right").value

    def store(self) -> None:
        self.db.stores.get("ledger").set(b"key", b"%d" % self.following())

    def collection(self) -> None:
        people = self.db.collection("people")
        people.set("ada", {"n": self.following()})
        people.get("ada")

    def another(self) -> None:
        with holdfast.sync.open(self.url) as other:
            assert other.entries.require("left").value == other.entries.require("right").value

    def reopen(self) -> None:
        self.db.close()
        self.db = holdfast.sync.open(self.url)
        self.db.open()

    def verify(self) -> None:
        """After an interrupt: what was acknowledged is there, and what was not is whole."""
        self.reopen()
        found = {key: self.db.entries.get(key) for key in self.known}
        values = {key: None if one is None else one.value for key, one in found.items()}
        written = {key for key in self.tried if values[key] == self.tried[key]}
        assert written in (set(), set(self.tried)) or all(
            self.known[key] == self.tried[key] for key in self.tried.keys() - written
        ), (self.tried, values)
        for key in written:
            self.known[key] = self.tried[key]
        self.tried = {}
        assert values == self.known
        with self.db.lock("jobs", timeout=10):
            self.set()
        self.transaction()

    def end(self) -> None:
        """Check, close, and see that no thread is left."""
        assert self.db.check() == []
        shared = self.db._inner._require_shared()
        assert len(shared.locks.table) == shared.locks.table.callers == shared.tail.joined == 0
        self.db.close()
        self.anchor.close()
        gc.collect()  # A handle that an interrupt took from its owner closes when it is collected.
        for thread in threading.enumerate():
            # One whose start was interrupted has no identity, and never was a thread.
            if thread.name.startswith("holdfast") and thread.ident is not None:
                thread.join(10)
                assert not thread.is_alive(), thread.name


def say(line: object) -> None:
    """One line for the parent."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(url: str, interrupts: int, seed: int) -> None:
    armed = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    work = Work(url, Random(seed))
    work.begin()
    say("ready")
    for count in range(interrupts):
        with suppress(KeyboardInterrupt):
            armed = True
            while True:
                work.random.choice(work.calls)()
        armed = False
        work.verify()
        say(count)
    work.end()
    say(json.dumps(work.known))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
