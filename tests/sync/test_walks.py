"""The calls on many entries without a loop: parts of walks, scopes, typed entries, bulk."""

from dataclasses import dataclass

import pytest

import holdfast.sync
from holdfast.contract.errors import InvalidInput, InvalidValue


@dataclass
class City:
    name: str
    population: int = 0


def test_pages_lead_on_and_a_walk_is_a_context_manager(db: holdfast.sync.Database) -> None:
    db.entries.set_many([(f"n:{number:03}", number) for number in range(100)])
    found: list[int] = []
    cursor: str | None = None
    while True:
        walk = db.entries.items("n:+", limit=7, after=cursor)
        found += [entry.value for entry in walk]
        cursor = walk.cursor
        if cursor is None:
            break
    assert found == list(range(100))
    with db.entries.keys(reverse=True, gte="n:090") as keys:
        assert str(next(keys)) == "n:099"
        assert keys.cursor is not None
    assert list(keys) == []
    page = db.entries.items("n:+", limit=2).to_list()
    assert [entry.value for entry in page] == [0, 1]
    assert "<td>n:001</td>" in page._repr_html_()
    assert db.entries.count("n:+") == 100
    with pytest.raises(InvalidInput, match="cursor"):
        db.entries.keys("n:+", after="cursor/none")


def test_scopes_and_typed_entries_have_twins(db: holdfast.sync.Database) -> None:
    user = db.entries.scope("users", "+")
    user.set("a", 1)
    db.entries.set("users/ada:a", 2)
    assert [str(key) for key in user.keys("#")] == ["a"]
    assert user.modify("a", lambda value: value + 1).value == 2
    cities: holdfast.sync.EntryScope[City] = user.typed(City, "cities")
    cities.set("x", City("X"))
    assert cities.require("x").value.name == "X"
    assert cities.set_many({"y": City("Y")})[holdfast.StoreKey("y")].value == City("Y")
    with pytest.raises(InvalidValue):
        cities.set("z", {"name": "Z"})  # type: ignore[arg-type]
    assert [entry.value.name for entry in cities.items()] == ["X", "Y"]
    with db.transaction() as tx:
        assert tx.entries.typed(City, "n").get("none") is None
    assert cities.scope("further").count() == 0


def test_many_are_written_and_deleted_in_several_commits(db: holdfast.sync.Database) -> None:
    told: list[int] = []
    db.entries.set_many(
        ((f"n:{number:05}", number) for number in range(2500)), atomic=False, progress=told.append
    )
    assert told == [1000, 2000, 2500]
    assert db.entries.delete_matching("n/#", limit=2400) == 2400
    assert db.entries.count() == 100


def test_a_scope_of_the_database_has_a_twin(db: holdfast.sync.Database) -> None:
    begin = db.cursor
    user = db.scope("users", "+")
    user.entries.set("a", 1)
    db.entries.set("users/ada:a", 2)
    [change] = list(user.watch(since=begin, limit=1))
    assert (str(change.key), change.after.value) == ("a", 1)
    with user.scope("b").lock("c") as lock:
        assert lock.namespace == "users/+/b/c"
    assert user.entries is user.entries
    db.stores.create("ledger")
    user.store("ledger").set(b"k", b"v")
    assert user.store("ledger").get(b"k") == b"v"
    user.collection("notes").set("1", {"n": 1})
    assert user.collection("notes").count() == 1
    assert db.collection("users/+/notes").count() == 1
