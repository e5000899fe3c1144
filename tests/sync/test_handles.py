"""Sync handles do what the async ones do: entries, transactions, snapshots, errors."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

import holdfast.sync
from holdfast.contract.errors import (
    Conflict,
    KeyNotFound,
    StoreClosed,
    TransactionClosed,
)


def test_the_first_steps_of_the_readme(url: str) -> None:
    with holdfast.sync.open(url) as db:
        entry = db.entries.set(
            "users/active:123", {"name": "Ada"}, modified_by="ada", comment="first", tags=["vip"]
        )
        assert entry.metadata.version == 1
        changed = db.entries.set(
            "users/active:123", {"name": "Ada L."}, if_revision=entry.metadata.revision
        )
        with pytest.raises(Conflict) as conflict:
            db.entries.set("users/active:123", {}, if_revision=entry.metadata.revision)
        assert conflict.value.current == changed
        assert db.entries.require("users/active:123").value == {"name": "Ada L."}
        assert [past.value for past in db.entries.history("users/active:123")] == [{"name": "Ada"}]
        with db.watch("users/#", since=entry.metadata.revision - 1) as watch:
            seen = [next(watch), next(watch)]
        assert [change.after for change in seen if change.after] == [entry, changed]
        assert db.entries.modify("n:1", lambda n: (n or 0) + 1).value == 1
        assert [str(key) for key in db.entries.keys("#")] == ["n:1", "users/active:123"]
        assert db.entries.count("users/#") == 1
        assert db.entries.delete("n:1")
        assert not db.entries.has("n:1")
        assert db.check() == []
        assert db.head() == db.revision
        assert db.explain()["url"] == db.config.url


def test_a_handle_is_opened_by_with_or_by_hand(url: str) -> None:
    db = holdfast.sync.open(url)
    assert db.entries.get("a") is None  # Open when it comes back.
    assert db.open() is db
    assert db.entries is db.entries
    db.close()
    db.close()
    with pytest.raises(StoreClosed):
        db.entries  # noqa: B018 - reading it is the test
    with pytest.raises(StoreClosed):
        db.open()


def test_errors_arrive_as_they_are(db: holdfast.sync.Database) -> None:
    with pytest.raises(KeyNotFound):
        db.entries.require("no:such")
    with pytest.raises(ZeroDivisionError):
        db.entries.modify("a:b", lambda _: 1 / 0)
    assert db.entries.get("a:b") is None


def test_a_transaction_commits_at_the_end_and_rolls_back_on_error(
    db: holdfast.sync.Database,
) -> None:
    with db.transaction() as tx:
        tx.entries.set("a:1", 1)
        tx.entries.set("a:2", 2)
        assert tx.entries.require("a:1").value == 1
        assert db.entries.get("a:1") is None
        assert tx.active
    assert tx.state == "committed"
    assert {str(entry.key): entry.revision for entry in db.entries.items()} == {
        "a:1": tx.revision,
        "a:2": tx.revision,
    }
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx.entries.set("a:1", 1 / 0)
    assert tx.state == "rolled_back"
    with pytest.raises(TransactionClosed):
        tx.commit()
    assert db.entries.require("a:1").value == 1


def test_a_transaction_that_lost_raises_conflict(db: holdfast.sync.Database) -> None:
    db.entries.set("a:1", 1)
    tx = db.transaction().begin()
    tx.entries.set("a:1", tx.entries.require("a:1").value + 1)
    db.entries.set("a:1", 10)
    with pytest.raises(Conflict):
        tx.commit()
    assert db.entries.require("a:1").value == 10


def test_transact_takes_a_plain_function_and_runs_it_again(db: holdfast.sync.Database) -> None:
    db.entries.set("a:1", 1)
    runs = []

    def work(tx: holdfast.sync.Transaction) -> int:
        assert isinstance(tx, holdfast.sync.Transaction)
        value = int(tx.entries.require("a:1").value)
        runs.append(value)
        if len(runs) == 1:
            db.entries.set("a:1", 10)  # Somebody else is faster, once.
        tx.entries.set("a:1", value + 1)
        return value

    assert db.transact(work) == 10
    assert runs == [1, 10]
    assert db.entries.require("a:1").value == 11


def test_a_snapshot_stands_still(db: holdfast.sync.Database) -> None:
    db.entries.set("a:1", 1)
    with db.snapshot() as view:
        db.entries.set("a:1", 2)
        db.entries.set("a:2", 2)
        assert view.entries.require("a:1").value == 1
        assert view.entries is view.entries
        assert view.entries.count() == 1
        assert view.revision < db.revision


def test_an_iteration_is_lazy_and_may_be_left(db: holdfast.sync.Database) -> None:
    db.entries.set_many({f"a:{n:04}": n for n in range(2500)})
    keys = db.entries.keys()
    assert isinstance(keys, Iterator)
    assert str(next(keys)) == "a:0000"
    del keys
    assert [entry.value for entry in db.entries.items(reverse=True)] == list(range(2499, -1, -1))


def test_calls_run_in_the_calling_thread_without_a_loop(db: holdfast.sync.Database) -> None:
    def where(_: object) -> int:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return threading.get_ident()

    assert db.entries.modify("a:1", where).value == threading.get_ident()
    assert db.transact(where) == threading.get_ident()
