"""Many entries from the shell: pages of keys, deleting what matches, purging, and named stores."""

import holdfast.sync
from tests.cli.conftest import Cli


def fill(url: str) -> None:
    with holdfast.sync.open(url) as db:
        db.entries.set_many([(f"log:{number:03}", number) for number in range(30)], tags=["old"])
        db.entries.set_many({f"log:{number:03}": number for number in range(10)}, tags=[])
        store = db.stores.create("ledger")
        store.set(b"a", b"1" * 100)
        store.set(b"\xff\x00", b"two")


def test_keys_come_in_pages_also_by_tag_and_backwards(cli: Cli, url: str) -> None:
    fill(url)
    assert cli("keys", "log:+", "--limit", "2").out == "log:000\nlog:001\n"
    assert cli("keys", "log:+", "--limit", "2", "--after", "log:001").out == "log:002\nlog:003\n"
    assert cli("keys", "--reverse", "--limit", "1").out == "log:029\n"
    assert cli("keys", "--tag", "old", "--reverse", "--limit", "1").out == "log:029\n"
    assert cli("keys", "--tag", "old", "--limit", "1").out == "log:010\n"
    assert cli("keys", "--tag", "old", "--count").out == "20\n"


def test_what_matches_is_deleted_and_can_be_brought_back(cli: Cli, url: str) -> None:
    fill(url)
    assert cli("delete", "--tag", "old", "--modified-by", "ada").out == "20 deleted\n"
    assert cli("delete", "--matching", "log:00?", "--kind", "glob", "--json").document == {
        "deleted": 10
    }
    assert cli("undelete", "log:029").code == 0
    none = cli("delete", "--matching", "logs/#")
    assert (none.out, none.code) == ("0 deleted\n", 0)
    assert "no key matches" in none.err
    for wrong in (
        ["delete"],
        ["delete", "log:029", "--matching", "#"],
        ["delete", "--matching", "#", "--if-version", "1"],
    ):
        assert cli(*wrong).code == 2
    assert cli("get", "log:029").out == "29\n"


def test_a_purge_wants_to_be_meant_and_leaves_nothing(cli: Cli, url: str) -> None:
    fill(url)
    refused = cli("purge", "log:000")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert cli("history", "log:000").code == 0
    done = cli("purge", "log:000", "--yes", "--comment", "asked to", "--json")
    assert done.document == {"key": "log:000", "versions": 2}
    assert cli("history", "log:000").code == 1
    assert cli("purge", "log:000", "--yes").code == 1


def test_named_stores_are_looked_into(cli: Cli, url: str) -> None:
    assert "no stores" in cli("set", "a", "1").err + cli("stores", "list").err
    fill(url)
    assert cli("stores", "list", "--json").lines == [
        {"name": "ledger", "kind": "plain", "keys": 2, "versions": []}
    ]
    assert "ledger" in cli("stores", "list").out
    listed = cli("stores", "keys", "ledger").out.splitlines()
    assert listed == ["a  " + "1" * 40 + "…", "0xff00  two"]
    assert cli("stores", "keys", "ledger", "--reverse", "--limit", "1").out == "0xff00  two\n"
    assert cli("stores", "keys", "ledger", "--prefix", "0xff", "--json").lines == [
        {"key": "0xff00", "bytes": 3}
    ]
    assert cli("stores", "get", "ledger", "0xff00").out == "two"
    assert cli("stores", "get", "ledger", "a", "--json").document["bytes"] == 100
    assert cli("stores", "get", "ledger", "none").code == 1
    assert cli("stores", "get", "none", "a").code == 1
    assert cli("stores", "get", "ledger", "0xf").code == 2


def test_a_fast_index_is_asked_for_made_and_given_up(cli: Cli, url: str) -> None:
    assert cli("stores", "create", "t", "--kind", "iavl", "--fast-index").code == 0
    for key in ("a", "b"):
        assert cli("stores", "set", "t", key, "1").code == 0
    assert cli("stores", "save", "t").code == 0
    assert cli("stores", "index", "t", "--drop").out == "t: 2 rows of the fast index removed\n"
    with holdfast.sync.open(url) as db:
        assert not db.stores.get("t").config.fast_index
    made = cli("stores", "index", "t", "--json").document
    assert made == {"name": "t", "fast_index": True, "rows": 2}
    assert cli("stores", "get", "t", "b").out == "1"
    assert cli("stores", "create", "p").code == 0
    assert "a plain store" in cli("stores", "index", "p").err
    refused = cli("stores", "create", "q", "--fast-index")
    assert refused.code == 2
    assert "kind='iavl'" in refused.err
