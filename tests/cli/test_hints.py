"""A pattern that matches nothing: what may have been meant."""

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def filled(cli: Cli, url: str) -> Cli:
    for key in ("cities/IS:3413829", "cities/JP:1850147", "users:1"):
        cli("set", key, "1")
    return cli


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        (["cities"], "'cities/#'"),
        (["cities/IS"], "'cities/IS/#'"),
        (["cities/*"], "'cities/#'"),
        (["users:*"], "'users:+'"),
        (["cities/IS:34*"], "'cities/IS:34*' --kind glob"),
        (["cities/+"], "'cities/#'"),
        (["Cities/#"], "'cities/#'"),
        (["IS"], "'*IS*' --kind glob"),
        (["users:+", "--kind", "glob"], "'users:+'"),
    ],
)
@pytest.mark.parametrize("command", ["keys", "export"])
def test_a_pattern_that_matches_nothing_gets_a_hint(
    filled: Cli, command: str, pattern: list[str], meant: str
) -> None:
    done = filled(command, *pattern)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"no key matches {pattern[0]!r}; did you mean {meant}?\n"


def test_where_nothing_is_near_nothing_is_meant(filled: Cli) -> None:
    assert filled("keys", "zzz").err == "no key matches 'zzz'\n"


def test_programs_and_matches_get_none(filled: Cli) -> None:
    assert filled("keys", "cities", "--json").err == ""
    assert filled("keys", "cities/#").err == ""
    assert filled("export", "cities/#").err == ""


def test_an_empty_database_is_said_to_be_empty(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    cli("delete", "a")
    assert cli("keys").err == "the database holds no entries\n"


@pytest.mark.parametrize("option", [["--url", "lmdb:///app"], ["--url=lmdb:///app"], ["-u", "x"]])
def test_an_option_before_its_command_is_told_where_it_goes(cli: Cli, option: list[str]) -> None:
    done = cli(*option, "keys", "cities/#")
    assert done.code == 2
    assert "behind the command" in done.err
    assert "holdfast keys --url" in done.err
    assert done.err.count("\n") == 1
    alone = cli(*option)
    assert alone.code == 2
    assert "holdfast COMMAND --url" in alone.err


def test_an_option_that_no_command_has_is_unknown(cli: Cli) -> None:
    done = cli("--nonsense", "keys")
    assert done.code == 2
    assert "behind the command" not in done.err
