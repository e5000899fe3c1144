"""What one operation does: coroutines, calls, bytes and flushes, whatever the machine's mood."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import holdfast
import holdfast.sync
from benchmarks.child import Child, Session
from benchmarks.counting import Counts, count
from benchmarks.figures import number, size
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table
from benchmarks.stores.ours import url
from holdfast.contract.runtime import Components, ManualClock, SystemIds
from holdfast.runtime.system import system_components

NAME = "counters"

#: Engine and durability, by what the table calls them.
ENGINES = {
    "memory": ("memory", "full"),
    "lmdb relaxed": ("lmdb", "relaxed"),
    "lmdb full": ("lmdb", "full"),
    "sqlite full": ("sqlite", "full"),
}
KEYS = [f"users/active:{number}" for number in range(200)]
#: One mapping of four parts.
VALUE = {"id": 7, "name": "Ada", "tags": ["a", "b"], "text": "x" * 400}
#: By what an operation is called: what it does with the entries and the number of the call.
Operations = dict[str, Callable[[Any, int], Any]]


def run(bench: Bench) -> list[Section]:
    section = Section(
        "What one operation does",
        "Counted, not timed, in the middle of fifty: coroutine steps, calls of Python functions "
        "(coroutine steps included) and of C functions by the thread that calls. On average: "
        "bytes handed to the system and flushes by the whole process. A test holds the bounds.",
    )
    rows = []
    environment = None if bench.shim is None else bench.shim.environment()
    for name in ENGINES:
        tell(f"counters: {name}")
        with Child(environment) as child:
            found = child.call(count_all, name, bench.fresh("counters"))
        rows += [_row(f"{name}, {what}", counts) for what, counts in found.items()]
    columns = ("", "coroutine steps", "Python calls", "C calls", "bytes", "flushes")
    section.parts.append(Table(columns, rows))
    return [section]


def _row(title: str, counts: Counts) -> list[str]:
    written, flushed = counts.bytes_written, counts.flushes
    return [
        title, number(counts.coroutines), number(counts.calls), number(counts.c_calls),
        "?" if written is None else size(written), "?" if flushed is None else number(flushed),
    ]  # fmt: skip


# --- In the child ---------------------------------------------------------------------------

OPERATIONS: Operations = {
    "set": lambda entries, turn: entries.set(KEYS[turn], VALUE),
    "get": lambda entries, turn: entries.get(KEYS[turn]),
    "modify": lambda entries, turn: entries.modify(KEYS[turn], dict),
}


def count_all(_session: Session, name: str, folder: Path) -> dict[str, Counts]:
    """The counts of each operation, by handle and name."""
    address = url(*_place(name, folder))
    found: dict[str, Counts] = {}
    with holdfast.sync.open(address, components=_still()) as db:
        entries = db.entries
        entries.set_many(dict.fromkeys(KEYS, VALUE))
        for what, operation in OPERATIONS.items():
            found[f"sync {what}"] = count(lambda turn, act=operation: act(entries, turn))  # type: ignore[misc]
        found["sync items, each"] = _each(count(lambda _turn: list(entries.items())))
    # Where there are flushes, what a loop's thread does in a commit depends on when they end.
    awaited = tuple(OPERATIONS) if name == "memory" else ("get",)
    return found | asyncio.run(_count_awaited(address, awaited))


def _still() -> Components:
    """Everything as on any day, with a clock that stands: what is done now and then is not done."""
    clock = ManualClock()
    host = system_components().host
    return Components(host=host, clock=clock, ids=SystemIds(clock))


async def _count_awaited(address: str, operations: Sequence[str]) -> dict[str, Counts]:
    async with holdfast.open(address, components=_still()) as db:
        entries = db.entries
        await entries.set_many(dict.fromkeys(KEYS, VALUE))
        return {
            f"async {what}": count(lambda turn, act=OPERATIONS[what]: _done(act(entries, turn)))  # type: ignore[misc]
            for what in operations
        }


def _done(coroutine: Any) -> None:
    """Run a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("an operation waited that need not")


def _each(counts: Counts) -> Counts:
    shared = len(KEYS)
    return Counts(counts.coroutines / shared, counts.calls / shared, counts.c_calls / shared,
                  None, None)  # fmt: skip


def _place(name: str, folder: Path) -> tuple[str, Path, str]:
    engine, durability = ENGINES[name]
    return engine, folder, durability
