"""What a type checker knows of a store."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository

PROGRAM = """
from dataclasses import dataclass
from holdfast.state import EventClass, Message, ScopedStore, event, group

@dataclass
class Placed:
    amount: float

class Payments(EventClass):
    paid = event(Placed)

class Orders(EventClass, namespace="order"):
    placed = event(Placed)
    payments = group(Payments)

async def good(store: ScopedStore) -> None:
    scoped = store.scope("org", 1)
    orders = scoped.events.of(Orders)
    await orders.placed.publish(Placed(5))
    await orders.payments.paid.publish(Placed(5))

    def handler(message: Message[Placed]) -> None:
        print(message.data.amount.is_integer())

    await orders.placed.subscribe(handler)

    @store.cached(ttl=5)
    async def user(id: int) -> str:
        return str(id)

    reveal_type(await user(7))
    reveal_type(await store.counter.increment("a"))
    reveal_type(await store.claim.once("a", 1))

async def wrong(store: ScopedStore) -> None:
    orders = store.events.of(Orders)
    await orders.shipped.publish(Placed(5))  # line 36
    await orders.placed.publish("five")  # line 37
    await orders.placed.subscribe(lambda message: message.data.amuont)  # line 38
    await store.counter.increment("a", "b")  # line 39
    await store.kv.set("a", 1, tll=5)  # line 40
"""


@pytest.mark.row("D-019", "D-075", "D-163")
def test_wrong_events_are_found_before_they_run(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.lstrip("\n"))
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir",
         str(tmp_path / "cache"), "--follow-imports=silent", str(program)],
        cwd=repository.ROOT,
        env={"MYPYPATH": str(repository.SOURCE), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    lines = [line.partition("program.py:")[2] for line in result.stdout.splitlines()]
    revealed = [line.partition("type is ")[2].strip('"') for line in lines if "Revealed" in line]
    assert revealed == ["str", "int", "bool"], result.stdout
    errors = {int(line.partition(":")[0]) for line in lines if "error:" in line}
    marked = {
        number
        for number, line in enumerate(PROGRAM.lstrip("\n").splitlines(), 1)
        if f"# line {number}" in line
    }
    assert len(marked) == 5
    assert errors == marked, result.stdout
