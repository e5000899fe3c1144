"""How fast backups and encryption are:

    python -m tests.backups.figures [backup] [encryption]

Times of the clock on the wall, in a memory file system: no other is what is measured.
Memory is that of the process without mapped files, which are the page cache's.
"""

# ruff: noqa: T201 - it prints figures
from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import holdfast.sync
from holdfast.encryption import Encryption
from tests.encryption.keys import SeededKeys

MEMORY = Path("/dev/shm")
MEBIBYTE = 2**20
ROUNDS, SETS = 30, 200


def anonymous_bytes() -> int:
    """Memory of this process that stands for no file."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "Anonymous":
            return int(rest.split()[0]) * 1024
    raise AssertionError


def rate(name: str, size: int, work: Callable[[Callable[..., None]], object]) -> None:
    before, most = anonymous_bytes(), 0

    def look(*_: int) -> None:
        nonlocal most
        most = max(most, anonymous_bytes() - before)

    began = perf_counter()
    work(look)
    spent = perf_counter() - began
    print(
        f"  {name:<24} {size / spent / 1e6:>9,.0f} MB/s   "
        f"at most {most / MEBIBYTE:,.1f} MiB more memory"
    )


def backup(value_bytes: int, total: int) -> None:
    count = total // value_bytes
    print(f"{count:,} values of {value_bytes:,} random bytes, {total / 1e6:,.0f} MB, lmdb")
    source = random.Random(1)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        file = Path(folder) / "app.backup"
        with holdfast.sync.open(f"lmdb:///{folder}/db?durability=relaxed") as db:
            store = db.stores.create("values")
            part = max(1, 8 * MEBIBYTE // value_bytes)
            for at in range(0, count, part):
                numbers = range(at, min(at + part, count))
                store.set_many([(b"%09d" % n, source.randbytes(value_bytes)) for n in numbers])
            rate("backup", total, lambda look: db.backup(file, progress=look))
        to = f"lmdb:///{folder}/restored"
        rate("restore", total, lambda look: holdfast.sync.restore([file], to, progress=look))


def encryption() -> None:
    print(f"a set of 1 KB, lmdb relaxed, medians of {ROUNDS} chunks of {SETS}, in turn")
    value = {"text": "x" * 1000}
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        holdfast.sync.open(f"lmdb:///{folder}/plain?durability=relaxed") as plain,
        holdfast.sync.open(
            f"lmdb:///{folder}/sealed?durability=relaxed",
            encryption=Encryption(SeededKeys("figures")),
        ) as sealed,
    ):
        spent: dict[str, list[float]] = {"plain": [], "encrypted": []}
        for _ in range(ROUNDS):
            for name, db in (("plain", plain), ("encrypted", sealed)):
                began = perf_counter()
                for number in range(SETS):
                    db.entries.set(f"key:{number}", value)
                spent[name].append((perf_counter() - began) / SETS * 1e6)
        for name, times in spent.items():
            print(f"  {name:<24} {median(times):>9.1f} us each")
        more = median(b - a for a, b in zip(*spent.values(), strict=True))
        print(f"  {'encryption adds':<24} {more:>9.1f} us each")


def main(wanted: Sequence[str]) -> None:
    if not wanted or "backup" in wanted:
        backup(64 * 1024, 512 * MEBIBYTE)
        backup(1024, 128 * MEBIBYTE)
    if not wanted or "encryption" in wanted:
        encryption()


if __name__ == "__main__":
    main(sys.argv[1:])
