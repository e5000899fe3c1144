"""`holdfast logs`: which records it prints, and how."""

import pytest

import holdfast.sync
from holdfast import Conflict
from tests.cli.conftest import Cli


@pytest.fixture
def recorded(url: str) -> str:
    """The database, with four records."""
    with holdfast.sync.open(url, logged=True) as db:
        db.entries.set("users:1", 1)
        db.entries.get("users:1")
        with pytest.raises(Conflict):
            db.entries.set("users:1", 2, if_absent=True)
        db.entries.set_many({f"many:{n}\x1b": n for n in range(20)})
    return url


@pytest.mark.row("K-065")
def test_records_are_asked_by_what_they_say(cli: Cli, recorded: str) -> None:
    def operations(*arguments: str) -> list[str]:
        return [record["operation"] for record in cli("logs", *arguments, "--json").lines]

    assert operations() == ["set", "get", "set", "set_many"]
    assert operations("users:+") == ["set", "get", "set"]
    assert operations("*any*", "--kind", "glob") == ["set_many"]
    assert operations("--operation", "set") == ["set", "set"]
    assert operations("--failed") == ["set"]
    assert operations("--succeeded") == ["set", "get", "set_many"]
    assert operations("--limit", "2") == ["set", "set_many"]
    assert operations("--since", "1h") == ["set", "get", "set", "set_many"]
    assert operations("--slower-than", "1h") == []


def test_a_line_says_when_how_long_what_and_how_it_ended(cli: Cli, recorded: str) -> None:
    lines = cli("logs").out.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[2:] == ["ms", "set", "ok", "users:1"]
    assert lines[0].split()[0].endswith("Z")
    assert lines[2].split()[3:] == ["set", "VERSION_CONFLICT", "users:1"]
    assert lines[3].endswith("and 4 more")
    assert "\x1b" not in lines[3]


def test_nothing_to_print_is_no_error(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    done = cli("logs")
    assert (done.code, done.out) == (0, "")
    assert "logged=True" in done.err


def test_options_that_cannot_be_are_refused(cli: Cli, recorded: str) -> None:
    assert cli("logs", "--failed", "--succeeded").code == 2
    assert cli("logs", "--since", "yesterday").code == 2
    assert cli("logs", "a/#/b").code == 2
