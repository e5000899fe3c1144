"""undelete, restore, rename, touch, tag: every change that the interface offers."""

from typing import Any

import pytest

from tests.cli.conftest import Cli


def metadata(cli: Cli, key: str) -> Any:
    return cli("get", key, "--json").document["metadata"]


def test_undelete_brings_back_what_was_deleted(cli: Cli, url: str) -> None:
    cli("set", "a", "1", "--tag", "x")
    cli("delete", "a")
    done = cli("undelete", "a", "--modified-by", "ada", "--comment", "by mistake")
    assert (done.code, done.out) == (0, "a  version 1 of incarnation 2  revision 5\n")
    again = metadata(cli, "a")
    assert (again["modified_by"], again["comment"], again["tags"]) == ("ada", "by mistake", ["x"])
    lives = cli("undelete", "a", "--json")
    assert lives.code == 3
    assert lives.error["code"] == "VERSION_CONFLICT"
    assert cli("undelete", "never").code == 1


def test_restore_writes_an_earlier_version_anew(cli: Cli, url: str) -> None:
    for value in ("1", "2", "3"):
        cli("set", "a", value)
    assert cli("restore", "a", "1").out == "a  version 4  revision 6\n"
    assert cli("get", "a").out == "1\n"
    assert cli("restore", "a", "1.2", "--json").document["metadata"]["version"] == 5
    assert cli("get", "a").out == "2\n"
    assert cli("restore", "a", "9").code == 1
    assert cli("restore", "a", "two").code == 2
    assert cli("restore", "a", "1", "--if-revision", "3").code == 3


def test_rename_takes_the_history_along(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    cli("set", "a", "2")
    cli("set", "other", "0")
    done = cli("rename", "a", "b/c:d", "--modified-by", "ada")
    assert done.code == 0
    assert done.out.startswith("b/c:d  ")
    assert cli("get", "a").code == 1
    assert [one["value"] for one in cli("history", "b/c:d", "--json").lines][:2] == [1, 2]
    assert cli("rename", "a", "z").code == 1
    taken = cli("rename", "b/c:d", "other", "--json")
    assert taken.code == 3
    assert taken.error["code"] == "DUPLICATE_KEY"
    assert cli("rename", "b/c:d", "e", "--if-revision", "1").code == 3


def test_touch_renews_and_drops_the_expiry(cli: Cli, url: str) -> None:
    cli("set", "a", "1", "--ttl", "1h")
    first = metadata(cli, "a")
    assert cli("touch", "a", "--ttl", "7d", "--modified-by", "ada").code == 0
    second = metadata(cli, "a")
    assert second["version"] == 2
    assert second["expires_at"] > first["expires_at"]
    assert cli("touch", "a").code == 0
    assert metadata(cli, "a")["expires_at"] == second["expires_at"]
    assert cli("touch", "a", "--no-ttl").code == 0
    assert metadata(cli, "a")["expires_at"] is None
    assert cli("touch", "a", "--ttl", "1h", "--no-ttl").code == 2
    assert cli("touch", "none").code == 1
    assert cli("touch", "a", "--if-version", "1").code == 3


def test_tags_are_added_removed_and_found(cli: Cli, url: str) -> None:
    cli("set", "users:1", "1", "--tag", "b")
    cli("set", "users:2", "1")
    assert cli("tag", "users:1", "a", "b", "c").out == "users:1  a, b, c\n"
    assert (
        cli("tag", "users:1", "d", "--remove", "b", "--modified-by", "ada").out
        == "users:1  a, c, d\n"
    )
    assert metadata(cli, "users:1")["modified_by"] == "ada"
    assert cli("keys", "--tag", "c").out == "users:1\n"
    assert cli("keys", "users:+", "--tag", "c", "--count").out == "1\n"
    assert cli("keys", "others/#", "--tag", "c").out == ""
    before = metadata(cli, "users:1")["version"]
    # Nothing to change makes no version.
    assert cli("tag", "users:1", "a").out == "users:1  a, c, d\n"
    assert cli("tag", "users:1", "--json").document == {"key": "users:1", "tags": ["a", "c", "d"]}
    assert metadata(cli, "users:1")["version"] == before
    assert cli("tag", "users:1", "--clear").out == "users:1  -\n"
    assert cli("tag", "none", "a").code == 1
    assert cli("tag", "users:1", "").code == 2


@pytest.mark.parametrize(
    "command", ["undelete a", "restore a 1", "rename a b", "touch a", "tag a b"]
)
def test_none_of_them_makes_a_database(cli: Cli, url: str, command: str) -> None:
    done = cli(*command.split())
    assert done.code == 1
    assert "there is no database" in done.err
