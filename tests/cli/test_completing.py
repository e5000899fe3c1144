"""Completion of keys: level by level, through each shell's way of asking."""

from types import SimpleNamespace

import pytest

from holdfast.cli import completing
from tests.cli.conftest import Cli, process


@pytest.fixture
def filled(cli: Cli, url: str) -> Cli:
    for key in ("cities/IS:3413829", "cities/IS:3413000", "cities/JP:1", "users:1", "users:a b"):
        cli("set", key, "1")
    return cli


def asked(line: str, shell: str = "zsh", **variables: str) -> list[str]:
    done = process(
        _HOLDFAST_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        **variables,
    )
    assert done.err == ""
    return done.out.split()


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("holdfast get c", ["cities/IS:", "cities/JP:"]),
        ("holdfast get cities/I", ["cities/IS:3413000", "cities/IS:3413829"]),
        ("holdfast history cities/IS:34138", ["cities/IS:3413829"]),
        ("holdfast keys u", ["users:1"]),
        ("holdfast get ", ["cities/", "users:"]),
        ("holdfast get zzz", []),
    ],
)
def test_each_level_is_offered(filled: Cli, line: str, answers: list[str]) -> None:
    assert asked(line, "fish") == answers


def test_the_database_may_be_named_on_the_line(
    filled: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_URL")
    assert asked(f"holdfast get --url {url} us", "fish") == ["users:1"]
    assert asked("holdfast get us", "fish") == []
    assert asked("holdfast get --url oracle://x us", "fish") == []


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        # As bash splits them: at blanks and at colons.
        (["holdfast", "get", "cities/I"], ["cities/IS:3413000", "cities/IS:3413829"]),
        (["holdfast", "get", "cities/IS", ":", "34138"], ["3413829"]),
        (["holdfast", "get", "cities/IS", ":"], ["3413000", "3413829"]),
        (["holdfast", "get", ""], ["cities/", "users:"]),
    ],
)
def test_bash_splits_words_at_colons(filled: Cli, words: list[str], answers: list[str]) -> None:
    done = process(
        _HOLDFAST_COMPLETE="complete_bash",
        COMP_WORDS="\n".join(words),
        COMP_CWORD=str(len(words) - 1),
    )
    assert done.err == ""
    assert done.out.split() == answers


def test_a_url_is_one_word_too(filled: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_URL")
    scheme, _, path = url.partition(":")
    words = ["holdfast", "get", "--url", scheme, ":", path, "users", ":"]
    done = process(_HOLDFAST_COMPLETE="complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD="7")
    assert done.out.split() == ["1"]


def test_other_shells_are_left_as_they_are() -> None:
    for environment in (
        {}, {"_HOLDFAST_COMPLETE": "complete_zsh", "COMP_WORDS": "a : b", "COMP_CWORD": "2"},
        {"_HOLDFAST_COMPLETE": "complete_bash", "COMP_WORDS": "a : b", "COMP_CWORD": "x"},
    ):  # fmt: skip
        kept = dict(environment)
        assert completing.prepare(kept) == ""
        assert kept == environment


def test_reading_is_bounded(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(params={})
    monkeypatch.setattr(completing, "OFFERED_MAX", 1)
    assert len(completing.complete_key(context, "cities/IS:")) == 1
    monkeypatch.setattr(completing, "KEYS_READ_MAX", 1)
    assert completing.complete_key(context, "us") == []
