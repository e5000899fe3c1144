"""What became different: in a watch, in a table of versions, and where there is no room for one."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest

from holdfast.cli.differences import difference
from tests.cli.conftest import Cli, environment


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"population": 9733276}, {"population": 14047594}, "population: 9733276 → 14047594"),
        ({"a": 1, "b": 2}, {"b": 2, "c": [3]}, "without a; c: [3]"),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, "a.c: 2 → 3"),
        ({"a": {}}, {"a": {"b": 1}}, 'a: {} → {"b":1}'),
        ({"a": 1}, {"a": 1}, "the same value"),
        ({"a": 1}, {"a": 1.0}, "a: 1 → 1.0"),
        ({"a": [1]}, {"a": [True]}, "a: [1] → [true]"),
        ({"a": {"b": 1}}, {"a": {"b": True}}, "a.b: 1 → true"),
        (1, 2, "1 → 2"),
        ("x", {"a": 1}, '"x" → {"a":1}'),
        ({"a\x1b": 1}, {"a\x1b": 2}, "a\\x1b: 1 → 2"),
        ({"a": "\x1b"}, {"a": "\n"}, 'a: "\\u001b" → "\\n"'),
    ],
)
def test_it_names_what_changed(old: Any, new: Any, said: str) -> None:
    assert difference(old, new) == said


def deep(depth: int, leaf: object) -> object:
    return leaf if depth == 0 else {"a": deep(depth - 1, leaf)}


def test_it_ends_somewhere() -> None:
    shown = difference(deep(60, 1), deep(60, 2), 20)
    assert shown.startswith("a.a.a.a: {")
    assert len(shown) < 80


def test_watch_shows_what_changed_and_all_of_it(cli: Cli, url: str) -> None:
    long = "x" * 5_000
    cli("set", "c", '{"population": 9733276, "text": "' + long + '"}')
    cli("set", "c", '{"population": 14047594, "text": "' + long + '"}', "--modified-by", "ada")
    cli("set", "c", '{"population": 14047594, "text": "' + long + 'y"}')
    cli("delete", "c", "--comment", "gone")
    first, second, third, last = cli("watch", "--since", "0", "--limit", "4").out.splitlines()
    assert long in first
    assert second.endswith("population: 9733276 → 14047594")
    assert "by ada" in second
    assert third.endswith(f'text: "{long}" → "{long}y"')
    assert last.endswith("(gone)")


def on_a_terminal(columns: int, *arguments: str) -> list[str]:
    """What a command prints on a terminal of that width, line by line."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = environment(TERM="xterm")
    variables.pop("COLUMNS", None)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "holdfast", *arguments],
        stdout=theirs, stderr=subprocess.PIPE, stdin=theirs, env=variables,
    )  # fmt: skip
    os.close(theirs)
    printed = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # its end, as Linux tells it
            break
        if not part:
            break
        printed += part
    os.close(ours)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return printed.decode().replace("\r\n", "\n").splitlines()


def test_history_is_blocks_where_a_table_has_no_room(cli: Cli, url: str) -> None:
    cli("set", "c", '{"name": "Tokyo", "population": 9733276}', "--modified-by", "geonames")
    cli(
        "set",
        "c",
        '{"name": "Tokyo", "population": 14047594}',
        "--modified-by",
        "ada",
        "--comment",
        "census",
    )
    cli("delete", "c", "--modified-by", "eve", "--comment", "by mistake")
    lines = on_a_terminal(60, "history", "c")
    assert all(len(line) <= 60 for line in lines), lines
    assert lines[0] == "c"
    assert '1  {"name":"Tokyo","population":9733276}' in lines
    start = lines.index("2  population: 9733276 → 14047594")
    assert lines[start - 1] == ""
    about = " ".join(" ".join(lines[start + 1 :]).split())
    assert "revision 4 by ada (census)" in about
    assert "by eve: by mistake" in about
    wide = on_a_terminal(140, "history", "c")
    assert any("version" in line and "revision" in line for line in wide)
    newest = on_a_terminal(60, "history", "c", "--reverse")
    assert newest.index("2  population: 9733276 → 14047594") < newest.index(
        '1  {"name":"Tokyo","population":9733276}'
    )


def test_a_watch_is_cut_at_the_edge_of_a_terminal_alone(cli: Cli, url: str) -> None:
    cli("set", "c", '"' + "x" * 500 + '"')
    [line] = on_a_terminal(70, "watch", "--since", "0", "--limit", "1")
    assert len(line) == 70
    assert line.endswith("…")
