"""How fast trees and stores are; with names of parts, only those:

    python -m tests.stores.figures [iavl] [content] [log] [tree] [store]

Processor time of all threads, so that other work on the machine counts less. It counts still: a
processor that is shared does less in its time. So `tree` tells beside its figures how long a fixed
loop took. The LMDB environment does not flush; stores are those of a database on LMDB, relaxed.
"""

# ruff: noqa: T201 - it prints figures
from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from time import process_time, thread_time
from typing import Any

import lmdb

import holdfast.sync
from holdfast.stores.iavl import IavlTree, RowBatch
from holdfast.stores.ics23 import IAVL, decode, encode, proven_value
from holdfast.stores.merkle import ContentTree, FeedLog, proven_digest
from tests.stores.iavl.memory import MemoryRows

KEYS = 100_000
VERSION_KEYS = 1_000
CONTENT_KEYS = 1_000_000


class LmdbRows(MemoryRows):
    """Rows in an environment of LMDB."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.env = lmdb.open(folder, map_size=4 << 30, sync=False, writemap=True, lock=False)
        self.reader = self.env.begin()

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self.reader.get(key)
        return found

    def write(self, batch: RowBatch) -> None:
        assert not batch.ranges  # only rolling back has any
        self.reader.abort()
        with self.env.begin(write=True) as transaction:
            for key in batch.deletes:
                transaction.delete(key)
            transaction.cursor().putmulti(batch.puts)
        self.reader = self.env.begin()


def key(number: int) -> bytes:
    return sha256(b"%d" % number).digest()[:16]


def timed(name: str, count: int, work: Callable[[], object]) -> None:
    start = process_time()
    work()
    spent = process_time() - start
    print(f"  {name:<24} {count / spent:>9,.0f}/s   {spent / count * 1e6:>9.1f} us each")


def save_in_parts(rows: MemoryRows, tree: IavlTree, numbers: Sequence[int], value: bytes) -> None:
    for at in range(0, len(numbers), VERSION_KEYS):
        for number in numbers[at : at + VERSION_KEYS]:
            tree.set(key(number), value)
        rows.save(tree)


def each(work: Callable[[bytes], object], keys: Iterable[bytes]) -> None:
    for one in keys:
        work(one)


def iavl(rows: MemoryRows, name: str, *, fast_index: bool) -> None:
    print(f"iavl on {name}, fast index {fast_index}, {KEYS} keys, a version each {VERSION_KEYS}")
    tree = IavlTree(rows, fast_index=fast_index)
    some = range(0, KEYS, 7)
    asked = [key(number) for number in some]
    timed("insert", KEYS, lambda: save_in_parts(rows, tree, range(KEYS), bytes(40)))
    timed("update", len(some), lambda: save_in_parts(rows, tree, some, bytes(41)))
    timed("get", len(some), lambda: each(tree.get, asked))
    latest = tree.latest_version
    timed("open, load_version(1)", 1, lambda: IavlTree(rows).load_version(1))
    timed("diff, a change", VERSION_KEYS, lambda: list(tree.diff(latest - 2, latest - 1)))
    view = tree.view(latest)
    timed("prove presence", len(some), lambda: each(view.prove, asked))
    timed("prove absence", len(some), lambda: each(lambda one: view.prove(one + b"!"), asked))
    proofs = {one: encode(view.prove(one)) for one in asked[:2000]}
    timed("read a proof", len(proofs), lambda: [decode(proof) for proof in proofs.values()])
    read = {one: decode(proof) for one, proof in proofs.items()}
    root = view.root_hash
    timed("verify", len(read), lambda: [proven_value(IAVL, root, p, k) for k, p in read.items()])
    view.close()
    deleted = sum(len(step.batch.deletes) for step in (rows.commit(tree, s) for s in tree.prune(5)))
    print(f"  pruning 5 versions deleted {deleted} rows")


def content() -> None:
    print(f"content root of {CONTENT_KEYS} keys")
    rows = MemoryRows()
    tree = ContentTree(rows, cache_nodes=4 * CONTENT_KEYS)

    def fold(numbers: Iterable[int], digest: bytes) -> int:
        step = tree.fold({key(number): digest for number in numbers})
        rows.write(step.batch)
        tree.adopt(step)
        return sum(len(name) + len(row) for name, row in step.batch.puts)

    timed("fold into nothing", CONTENT_KEYS, lambda: fold(range(CONTENT_KEYS), bytes(32)))
    sizes: list[int] = []
    some = range(0, CONTENT_KEYS, 5003)
    changed = sha256(b"").digest()
    timed("fold one change", len(some), lambda: sizes.extend(fold([n], changed) for n in some))
    print(f"  one change writes at most {max(sizes):,} bytes")
    timed("fold 1,000 changes", 1000, lambda: fold(range(1000), changed))
    asked = [key(number) for number in some]
    timed("prove", len(asked), lambda: each(tree.prove, asked))
    proofs = {one: tree.prove(one) for one in asked}
    root = tree.root_hash
    timed("verify", len(asked), lambda: [proven_digest(root, p, k) for k, p in proofs.items()])


def log() -> None:
    print("log over a feed")
    feed = FeedLog(MemoryRows())
    rows = [bytes(200)] * 100

    def append(batches: int, size: int) -> None:
        for _ in range(batches):
            feed.head, _ = feed.append(rows[:size])

    timed("append, 100 at a time", 20_000, lambda: append(200, 100))
    timed("append, one at a time", 5_000, lambda: append(5_000, 1))


def steady() -> float:
    """Milliseconds that a fixed loop takes at this moment."""
    start = thread_time()
    total = 0
    for number in range(100_000):
        total += number & 3
    return (thread_time() - start) * 1e3


def tree_store(*, fast_index: bool) -> None:
    print(
        f"a store of kind iavl in a database on lmdb, fast index {fast_index}, {KEYS} keys, a "
        f"version each {VERSION_KEYS}"
    )
    config = {"kind": "iavl", "fast_index": fast_index}
    asked = [key(number) for number in range(0, KEYS, 7)]
    with tempfile.TemporaryDirectory() as folder:
        url = f"lmdb:///{folder}/db?durability=relaxed"
        for first, end in ((0, 1_000), (1_000, 10_000), (10_000, KEYS)):
            with holdfast.sync.open(url) as db:
                insert(db.stores.open("tree", config=config), range(first, end))
            with holdfast.sync.open(url) as db:
                tree = db.stores.get("tree")
                timed(f"load_version at {end:,}", 100, lambda: go_between(tree, 100))  # noqa: B023
        with holdfast.sync.open(url) as db:
            tree = db.stores.get("tree")
            timed("get, just opened", 1_000, lambda: each(tree.get, asked[:1_000]))
            timed("get", len(asked), lambda: each(tree.get, asked))
            timed("prove", len(asked), lambda: each(tree.prove, asked))
            again = range(4 * VERSION_KEYS)
            insert(tree, again)
            latest = tree.current_version()
            for before in (latest - 1, latest - 2, latest // 2, latest // 2):
                timed(
                    f"diff from {before}, a change",
                    VERSION_KEYS,
                    lambda before=before: list(tree.diff(before, before + 1)),  # type: ignore[misc]
                )
            if not fast_index:
                timed("build_index", KEYS, tree.build_index)


def insert(tree: Any, numbers: range) -> None:
    """Set keys a thousand at a time, and save a version each time."""
    value = b"%d" % (numbers.start + 1) + bytes(39)
    parts = [
        [(key(number), value) for number in numbers[at : at + VERSION_KEYS]]
        for at in range(0, len(numbers), VERSION_KEYS)
    ]
    own = 0.0

    def work() -> None:
        nonlocal own
        for pairs in parts:
            began = thread_time()
            tree.set_many(pairs)
            tree.save_version()
            own += thread_time() - began

    timed(f"insert, up to {numbers.stop:,}", len(numbers), work)
    # The rest is the thread that writes to the file.
    print(f"    alone in the thread of the caller {len(numbers) / own:,.0f}/s; ", end="")
    print(f"the fixed loop takes {steady():.2f} ms")


def go_between(tree: Any, count: int) -> None:
    """Load the latest version and one half as old, in turn."""
    latest = tree.list_versions()[-1]
    for number in range(count):
        tree.load_version(latest if number % 2 else max(latest // 2, 1))


def store() -> None:
    print(f"a plain store, and one of kind iavl, in a database on lmdb, {KEYS} keys")
    with (
        tempfile.TemporaryDirectory() as folder,
        holdfast.sync.open(f"lmdb:///{folder}/db?durability=relaxed") as db,
    ):
        tree = db.stores.create("tree", "iavl")
        asked = [key(number) for number in range(0, KEYS, 7)]
        timed(
            "set, one at a time", 2_000, lambda: each(lambda one: tree.set(one, b"x"), asked[:2000])
        )
        plain = db.stores.create("plain")
        timed(
            "set, a plain store",
            2_000,
            lambda: each(lambda one: plain.set(one, b"x"), asked[:2000]),
        )
        changes = db.audit.seal().size
        for number in range(20):
            plain.set_many([(one, b"%d" % number) for one in asked[:1000]])
        timed("seal, a change", 20_000, db.audit.seal)
        print(f"  {changes} changes were sealed before")
        many = db.stores.create("many")
        for at in range(0, CONTENT_KEYS // 5, 10_000):
            many.set_many([(key(n), b"v") for n in range(at, at + 10_000)])
        timed("first content root", CONTENT_KEYS // 5, many.save_version)

        def one_change(one: bytes) -> None:
            many.set(one, b"changed")
            many.save_version()

        timed("one change, saved", 200, lambda: each(one_change, asked[:200]))


def main(wanted: Sequence[str]) -> None:
    if not wanted or "iavl" in wanted:
        for fast_index in (False, True):
            iavl(MemoryRows(), "a dict", fast_index=fast_index)
            with tempfile.TemporaryDirectory() as folder:
                iavl(LmdbRows(folder), "lmdb", fast_index=fast_index)
    if not wanted or "content" in wanted:
        content()
    if not wanted or "log" in wanted:
        log()
    if not wanted or "tree" in wanted:
        for fast_index in (False, True):
            tree_store(fast_index=fast_index)
    if not wanted or "store" in wanted:
        store()


if __name__ == "__main__":
    main(sys.argv[1:])
