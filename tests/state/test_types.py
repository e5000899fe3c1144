"""What a type checker knows of a store."""

import importlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract.errors import SchemaValidationFailed
from holdfast.state import (
    EventClass,
    EventRegistry,
    Events,
    MockStoreAdapter,
    build_store,
    event_classes,
)
from tests.state.conftest import run
from tests.tidy import repository

#: Events that are declared fluently; classes for them are written.
SHOP = """
from dataclasses import dataclass
from holdfast.state import Events

@dataclass
class Placed:
    amount: float

registry = (
    Events.create("shop")
    .event("order-placed", Placed)
    .event("order_placed_", {"type": "object"})
    .group("returns", lambda g: g.event("class").group("late", lambda g: g))
    .build()
)
"""


async def publish(registry: EventRegistry, written: Any) -> None:
    """What was written leads to the channels that were declared."""
    store = build_store(MockStoreAdapter(), "api", events=[registry])
    shop = store.events.of(written)
    assert shop.order_placed.channel == "shop:order-placed"
    assert shop.order_placed_.channel == "shop:order_placed_"
    assert shop.returns.class_.channel == "shop:returns:class"
    await shop.order_placed.publish({"amount": 5.0})
    with pytest.raises(SchemaValidationFailed):
        await shop.order_placed.publish({"amount": "five"})


PROGRAM = """
from dataclasses import dataclass
import events_of_shop
import written
from holdfast.state import EventClass, Message, ScopedStore, event, group

@dataclass
class Placed:
    amount: float

class Payments(EventClass):
    paid = event(Placed)

class Orders(EventClass, namespace="order"):
    placed = event(Placed)
    payments = group(Payments)

async def fluent(store: ScopedStore) -> None:
    shop = store.events.of(written.ShopEvents)
    await shop.order_placed.publish(events_of_shop.Placed(5))
    await shop.returns.class_.publish({"any": "thing"})
    await shop.order_placed.publish("five")  # wrong

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
    await orders.shipped.publish(Placed(5))  # wrong
    await orders.placed.publish("five")  # wrong
    await orders.placed.subscribe(lambda message: message.data.amuont)  # wrong
    await store.counter.increment("a", "b")  # wrong
    await store.kv.set("a", 1, tll=5)  # wrong
"""


@pytest.mark.row("D-019", "D-075", "D-163")
def test_wrong_events_are_found_before_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events_of_shop.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    registry = importlib.import_module("events_of_shop").registry
    (tmp_path / "written.py").write_text(event_classes(registry))
    run(publish(registry, importlib.import_module("written").ShopEvents))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.lstrip("\n"))
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir",
         str(tmp_path / "cache"), "--follow-imports=silent", str(program)],
        cwd=repository.ROOT,
        env={"MYPYPATH": f"{repository.SOURCE}:{tmp_path}", "PATH": ""},
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
        if "# wrong" in line
    }
    assert len(marked) == 6
    assert errors == marked, result.stdout


@dataclass
class Sent:
    """Data of an event, in a module whose name an event has, too."""

    to: str


@pytest.mark.parametrize(
    "names",
    [
        ("event", "group", "cast", "Any", "plain"),
        ("tests", "after"),
        ("namespace", "registry", "declared", "area", "path"),
        ("__init__", "__private", "class", "class_", "a-b", "a_b"),
        ("OrderInnerEvents", "after"),
    ],
)
def test_written_classes_have_every_event_whatever_it_is_called(names: tuple[str, ...]) -> None:
    """Names that the source uses itself, that the classes inherit, that Python keeps or changes."""
    events = Events.create("order")
    for name in names:
        events = events.event(name, Sent)
    registry = events.group("inner", lambda inner: inner.event("a", Sent).event("b")).build()
    written: dict[str, Any] = {"__name__": "written"}
    exec(event_classes(registry), written)
    classes: type[EventClass] = written["OrderEvents"]
    assert sorted(classes.registry().channels()) == sorted(registry.channels())
    orders = classes(build_store(MockStoreAdapter(), "api").events, "order:")
    heard = [
        getattr(orders, attribute).channel
        for attribute, declared in vars(classes).items()
        if type(declared).__name__ == "event"
    ]
    assert heard == [f"order:{name}" for name in names]
