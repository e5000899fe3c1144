"""One Ctrl-C at every line of what is done with documents: afterwards all works, indexes agree."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import holdfast.sync
from holdfast.contract.errors import IndexExists, IndexNotFound
from holdfast.documents import F
from holdfast.documents.aggregate import count_, group_by
from tests.faults.interrupts import each_line, elsewhere
from tests.faults.modes import MODES, url_of
from tests.faults.test_interrupted_databases import Database, moments_of, require_no_threads

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    # Dropped by the interrupt between its making and its first owner, and closed by that.
    pytest.mark.filterwarnings("ignore:unclosed file"),
]


def insert(db: Database) -> None:
    """With a unique index, and one that is not."""
    people = db.collection("people")
    people.set("ada", {"name": "Ada", "n": 1, "tags": ["a", "b"]})
    people.set_many({"bob": {"name": "Bob", "n": 2}, "cyd": {"name": "Cyd", "n": 3}})
    people.delete("bob")


def find(db: Database) -> None:
    people = db.collection("people")
    assert people.find_one(F.name == "Zoe") is not None
    assert people.count(F.n >= 0) > 0
    walk = people.query(F.n >= 0, order_by="-n")
    next(walk)
    list(people.aggregate([group_by(F.tags, n=count_())]))


def make_and_drop(db: Database) -> None:
    """An index, dropped under a query that walks it."""
    people = db.collection("people")
    with suppress(IndexExists):
        people.create_index("tags", "tags")
    walk = people.query(F.tags == "a", hint="tags")
    next(walk)
    with suppress(IndexNotFound):
        people.drop_index("tags")
    list(walk)


def change(db: Database) -> None:
    people = db.collection("people")
    people.patch("zoe", {"n": 9})
    people.touch("zoe", None)
    assert people.batch([("set", "eve", {"name": "Eve"}), ("delete", "eve")]).success


def across(db: Database) -> None:
    """One transaction over all views."""

    def work(tx: Any) -> None:
        tx.collection("people").set("ada", {"name": "Ada", "n": 5})
        assert tx.collection("people").find_one(F.name == "Ada") is not None
        tx.entries.set("a:1", 1)
        tx.stores.get("ledger").set(b"k", b"v")

    db.transact(work)


def live(db: Database) -> None:
    people = db.collection("people")
    people.delete("ada")
    with people.live(F.n >= 0, order_by="n", limit=5) as query:
        people.set("ada", {"name": "Ada", "n": 1})
        told = query.poll(5)
        assert told is not None
        assert (told.kind, told.key) == ("added", "ada")


VERBS: dict[str, Callable[[Database], None]] = {
    one.__name__: one for one in (insert, find, make_and_drop, change, across, live)
}


def interrupt_all(url: str, verb: str, *, first: int, step: int) -> int:
    """Run a verb with an interrupt at one line after the other; how many there were."""
    places = 0
    with holdfast.sync.open(url, housekeeping=False) as db:
        people = db.collection("people")
        people.create_index("name", "name", unique=True)
        people.create_index("n", "n")
        people.set("zoe", {"name": "Zoe", "n": 7, "tags": ["a"]})
        db.stores.create("ledger")
        call = VERBS[verb]
        call(db)

        def works() -> None:
            db.collection("counters").modify("count", lambda n: (n or 0) + 1)
            call(db)

        for place in each_line(lambda: call(db), first=first, step=step):
            places += 1
            elsewhere(works, place)
        assert db.collection("counters").get("count") == places, "nothing acknowledged is lost"
        assert db.check() == []
        for facts in people.list_indexes():
            assert (facts.name, facts.state) == (facts.name, "ready")
        gc.collect()
        require_no_waiters(db)
        assert moments_of(db) == 0
    require_no_threads("the last interrupt")
    return places


def require_no_waiters(db: Database) -> None:
    """What waited for changes ends soon when nobody asks for them any more."""
    tail, pause = db._inner._require_shared().tail, Event()
    for _ in range(500):
        if tail.joined == 0:
            break
        pause.wait(0.01)
    assert tail.joined == 0


@pytest.mark.timeout(120)  # Traced lines are slow, and there are hundreds of them.
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_of_documents_interrupted_at_many_lines(verb: str, quick: Path) -> None:
    # Other lines for each verb: `make torture` takes all, on every engine.
    first = list(VERBS).index(verb)
    assert interrupt_all(url_of("memory", quick), verb, first=first, step=23) > 10


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("mode", MODES)
def test_a_verb_of_documents_interrupted_at_every_line(mode: str, verb: str, quick: Path) -> None:
    assert interrupt_all(url_of(mode, quick), verb, first=0, step=1) > 100


def test_a_handler_after_an_interrupt_hears_others_and_leaves_nothing(quick: Path) -> None:
    """Of an interrupted `on` and `off` nothing is left that hears of nothing."""
    url = url_of("memory", quick)
    with (
        holdfast.sync.open(url, housekeeping=False) as db,
        holdfast.sync.open(url, housekeeping=False) as other,
    ):
        people, elsewhere = db.collection("people"), other.collection("people")
        people.set("ada", {"n": 0})
        observers = db._inner.collection("people")._collections.observers("people")
        told: list[Any] = []

        def begin_and_end() -> None:
            people.on("change", told.append)
            people.off("change", told.append)

        places = 0
        for place in each_line(begin_and_end):
            places += 1
            heard = Event()
            handler = lambda _: heard.set()  # noqa: B023, E731 - called before the next turn
            people.on("change", handler)
            elsewhere.set("ada", {"n": places})
            assert heard.wait(5), f"after an interrupt at {place} nothing is heard"
            for one in (handler, told.append):
                people.off("change", one)
            assert not observers.active, place
            require_no_threads(place)
        assert places > 50
        require_no_waiters(db)
