"""get, set, delete, keys, history: what they print, what they refuse, what they end with."""

import hashlib

import pytest

from tests.cli.conftest import Cli


def test_set_and_get(cli: Cli, url: str) -> None:
    done = cli(
        "set", "users/active:1", '{"name": "Ada"}', "--modified-by", "ada", "--comment", "first"
    )
    assert done.code == 0
    assert done.out.startswith("users/active:1  version 1  revision ")
    assert cli("get", "users/active:1").out == '{"name":"Ada"}\n'
    entry = cli("get", "users/active:1", "--json").document
    assert entry["key"] == "users/active:1"
    assert entry["value"] == {"name": "Ada"}
    assert entry["metadata"]["modified_by"] == "ada"
    assert entry["metadata"]["comment"] == "first"


def test_metadata_is_shown_when_asked_for(cli: Cli, url: str) -> None:
    cli("set", "a", "1", "--tag", "x", "--tag", "y", "--modified-by", "ada", "--ttl", "1h")
    shown = cli("get", "a", "--metadata").out
    digest = hashlib.sha256(b"\x01").hexdigest()
    for part in ("version", "ada", "x, y", digest, "expires"):
        assert part in shown
    assert shown.endswith("\n1\n")


def test_an_absent_key_ends_with_one(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    for arguments in (["get", "b"], ["delete", "b"], ["history", "b"], ["get", "a", "--at", "0"]):
        done = cli(*arguments)
        assert done.code == 1
        assert not done.out
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
    assert cli("get", "b", "--json").error["code"] == "KEY_NOT_FOUND"
    assert cli("get", "a", "--version", "7", "--json").error["code"] == "VERSION_NOT_FOUND"


def test_a_database_that_is_not_there_is_not_made_by_reading(cli: Cli, url: str) -> None:
    for command in (["get", "a"], ["keys"], ["history", "a"], ["export"], ["info"], ["check"],
                    ["delete", "a"], ["compact"], ["watch"]):  # fmt: skip
        done = cli(*command, "--json")
        assert done.code == 1, command
        assert done.error["code"] == "STORE_NOT_FOUND"


def test_values_come_from_text_and_stdin(cli: Cli, url: str) -> None:
    cli("set", "text", "plain words", "--text")
    assert cli("get", "text").out == '"plain words"\n'
    cli("set", "piped", "-", stdin='{"piped": [1, 2.5]}')
    assert cli("get", "piped").out == '{"piped":[1,2.5]}\n'
    cli("set", "piped text", "-", "--text", stdin="two\nlines\n")
    assert cli("get", "piped text", "--raw").out == "two\nlines\n"
    cli("set", "bytes", "-", "--bytes", stdin=b"\x00\x01\x02\x0a")
    assert cli("get", "bytes", "--raw").out.encode() == b"\x00\x01\x02\x0a"
    assert cli("get", "bytes").out == '{"$bytes":"AAECCg=="}\n'
    cli("set", "bytes too", '{"$bytes": "AAECCg=="}')
    first, second = (cli("get", key, "--json").document for key in ("bytes", "bytes too"))
    assert first["metadata"]["data_hash"] == second["metadata"]["data_hash"]


def test_past_versions_are_there(cli: Cli, url: str) -> None:
    revisions = [
        cli("set", "a", str(number), "--json").document["metadata"]["revision"]
        for number in (1, 2, 3)
    ]
    assert cli("get", "a", "--version", "2").out == "2\n"
    assert cli("get", "a", "--version", "1.1").out == "1\n"
    assert cli("get", "a", "--at", str(revisions[1])).out == "2\n"
    assert cli("get", "a", "--at", "2999-01-01T00:00:00Z").out == "3\n"
    assert cli("get", "a", "--at", "2000-01-01T00:00:00Z").code == 1


def test_conditions_are_kept(cli: Cli, url: str) -> None:
    first = cli("set", "a", "1", "--if-absent", "--json").document["metadata"]
    for condition in (
        ["--if-absent"],
        ["--if-revision", str(first["revision"] - 1)],
        ["--if-version", "2"],
        ["--if-version", "2.1"],
        ["--if-hash", "0" * 64],
    ):
        done = cli("set", "a", "2", *condition, "--json")
        assert done.code == 3, condition
        assert done.error["code"] == "VERSION_CONFLICT"
        assert done.error["details"]["current"] == {"version": 1, "revision": first["revision"]}
    assert cli("delete", "a", "--if-version", "9").code == 3
    assert cli("get", "a").out == "1\n"
    assert cli("set", "a", "2", "--if-revision", str(first["revision"])).code == 0
    assert cli("set", "a", "2", "--if-changed", "--json").document["metadata"]["version"] == 2
    assert cli("set", "a", "3", "--if-version", "1.2").code == 0
    assert cli("delete", "a", "--if-version", "3").code == 0


def test_a_conflict_does_not_print_the_value(cli: Cli, url: str) -> None:
    cli("set", "a", '"the secret"')
    for arguments in (["--json"], []):
        assert "the secret" not in cli("set", "a", "2", "--if-absent", *arguments).err


def test_tags_and_expiry_are_replaced_kept_and_cleared(cli: Cli, url: str) -> None:
    def metadata() -> dict[str, object]:
        found: dict[str, object] = cli("get", "a", "--json").document["metadata"]
        return found

    cli("set", "a", "1", "--tag", "x", "--ttl", "7d")
    expires_at = metadata()["expires_at"]
    assert expires_at is not None
    cli("set", "a", "2", "--keep-ttl")
    assert metadata()["tags"] == ["x"]
    assert metadata()["expires_at"] == expires_at
    cli("set", "a", "3", "--clear-tags")
    assert metadata()["tags"] == []
    assert metadata()["expires_at"] is None


def test_what_has_expired_is_absent(cli: Cli, url: str) -> None:
    cli("set", "stays", "1")
    assert cli("set", "goes", "1", "--ttl", "1ms").code == 0
    assert cli("get", "goes").code == 1
    assert cli("keys").out == "stays\n"
    assert [row["key"] for row in cli("export").lines] == ["stays"]
    assert cli("set", "goes", "2", "--if-absent").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "a", "{bad"],
        ["set", "a", "18446744073709551616"],
        ["set", "a", "1", "--ttl", "soon"],
        ["set", "a", "1", "--ttl", "0"],
        ["set", "a", "1", "--ttl", "1h", "--keep-ttl"],
        ["set", "a", "1", "--tag", "x", "--clear-tags"],
        ["set", "a", "1", "--bytes"],
        ["set", "a/b", "1"],
        ["set", "", "1"],
        ["set", "a", "1", "--if-version", "first"],
        ["get", "a", "--at", "tomorrow"],
        ["get", "a", "--at", "2025-13-31"],
        ["get", "a", "--version", "1", "--at", "1"],
        ["get", "number", "--raw"],
        ["keys", "a/#/b"],
        ["keys", "(", "--kind", "regex"],
        ["keys", "--kind", "fuzzy"],
        ["keys", "--limit", "0"],
        ["get"],
        ["get", "a", "--nope"],
        ["gett", "a"],
        ["get", "a", "--url", "nonsense"],
        ["get", "a", "--url", "oracle:///x"],
        ["get", "a", "--url", "lmdb:///x?colour=red"],
    ],
    ids=" ".join,
)
def test_bad_input_ends_with_two_and_writes_nothing(
    cli: Cli, url: str, arguments: list[str]
) -> None:
    cli("set", "number", "1")
    before = cli("info", "--json").document["revision"]
    plain = cli(*arguments)
    assert plain.code == 2
    assert not plain.out
    assert plain.err.startswith("error: ")
    assert plain.err.count("\n") == 1
    for_programs = cli(*arguments, "--json")
    assert for_programs.code == 2
    assert for_programs.error["message"]
    assert cli("info", "--json").document["revision"] == before


def test_no_database_given(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_URL", raising=False)
    done = cli("keys")
    assert done.code == 2
    assert "HOLDFAST_URL" in done.err


def test_keys_are_listed_by_pattern(cli: Cli, url: str) -> None:
    for key in ("users/a:1", "users/a:2", "users/b:1", "zebra"):
        cli("set", key, "1")
    assert cli("keys").out.split() == ["users/a:1", "users/a:2", "users/b:1", "zebra"]
    assert cli("keys", "users/a:+").out.split() == ["users/a:1", "users/a:2"]
    assert cli("keys", "users/#", "--reverse", "--limit", "2").out.split() == [
        "users/b:1", "users/a:2",
    ]  # fmt: skip
    assert cli("keys", "*:1", "--kind", "glob").out.split() == ["users/a:1", "users/b:1"]
    assert cli("keys", r"\w+", "--kind", "regex").out.split() == ["zebra"]
    assert cli("keys", "users/#", "--count").out == "3\n"
    assert cli("keys", "--count", "--json").document == {"count": 4}
    assert cli("keys", "zebra", "--json").lines == [{"key": "zebra"}]
    assert cli("keys", "nothing/#").code == 0


def test_text_of_others_cannot_command_the_terminal(cli: Cli, url: str) -> None:
    key = "red\x1b[31m\nline"
    cli("set", key, '"\\u009b31m"', "--comment", "bell\x07")
    for arguments in (["keys"], ["history", key], ["get", key, "--metadata"]):
        shown = cli(*arguments).out
        assert not {"\x1b", "\x07", "\x9b"} & set(shown), arguments
    assert cli("keys").out == "red\\x1b[31m\\nline\n"
    assert cli("keys", "--json").document == {"key": key}


def test_history_tells_who_changed_what(cli: Cli, url: str) -> None:
    cli("set", "a", '{"n": 1, "same": true}', "--modified-by", "ada", "--comment", "begun")
    cli("set", "a", '{"n": 2, "same": true, "new": "x"}', "--modified-by", "bob")
    cli("delete", "a", "--modified-by", "eve", "--comment", "not needed")
    cli("set", "a", "3")
    shown = cli("history", "a").out
    for part in ("ada", "begun", "bob", "n: 1 → 2", 'new: "x"', "by eve: not needed", "current"):
        assert part in shown, part
    assert "same: true" not in shown
    lines = cli("history", "a", "--json").lines
    assert [line["value"] if line["value"] == 3 else line["value"]["n"] for line in lines] == [
        1, 2, 3,
    ]  # fmt: skip
    places = [(line["metadata"]["incarnation"], line["metadata"]["version"]) for line in lines]
    assert places == [(1, 1), (1, 2), (2, 1)]
    assert [line["ended"] and line["ended"]["cause"] for line in lines] == ["set", "delete", None]
    assert lines[1]["ended"]["modified_by"] == "eve"
    newest_first = cli("history", "a", "--json", "--reverse", "--limit", "2").lines
    assert newest_first == [lines[2], lines[1]]


def test_a_long_history_is_cut_in_tables_and_says_so(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.cli.entries.TABLE_ROWS_MAX", 3)
    for number in range(5):
        cli("set", "a", str(number))
    table = cli("history", "a")
    assert "the first 3 versions" in table.err
    assert len(cli("history", "a", "--json").lines) == 5
    assert not cli("history", "a", "--limit", "4").err
