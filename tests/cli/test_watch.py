"""watch: a line for each change, ended cleanly by whoever stops it, resumable without a gap."""

import json
import signal
import subprocess
from typing import Any

import pytest

from tests.cli.conftest import Cli, started

SECONDS_MAX = 20


def ended(watch: "subprocess.Popen[str]") -> tuple[str, str]:
    """What is left of its output, and its error output; it ended well."""
    assert watch.stdout is not None
    assert watch.stderr is not None
    with watch:
        out, err = watch.stdout.read(), watch.stderr.read()
    assert watch.returncode == 0, err
    return out, err


def next_line(watch: "subprocess.Popen[str]") -> Any:
    assert watch.stdout is not None
    return json.loads(watch.stdout.readline())


def cursor_of(err: str) -> str:
    return str(json.loads(err.splitlines()[-1])["cursor"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_prints_changes_as_they_happen_and_resumes_where_it_stopped(
    cli: Cli, url: str, number: int
) -> None:
    cli("set", "users:0", "0")
    watch = started("watch", "users/#", "--snapshot", "--json")
    assert next_line(watch)["after"]["value"] == 0
    assert next_line(watch)["op"] == "snapshot_end"
    cli("set", "users:1", "1", "--modified-by", "ada", "--comment", "why")
    cli("set", "elsewhere", "1")
    cli("delete", "users:0", "--modified-by", "eve")
    change = next_line(watch)
    assert (change["op"], change["key"], change["modified_by"]) == ("set", "users:1", "ada")
    assert change["before"] is None
    assert change["after"]["metadata"]["comment"] == "why"
    change = next_line(watch)
    assert (change["op"], change["key"], change["modified_by"]) == ("delete", "users:0", "eve")
    assert change["before"]["value"] == 0
    watch.send_signal(number)
    out, err = ended(watch)
    assert out == ""
    cli("set", "users:2", "2")
    cli("set", "users:2", "3")
    resumed = cli("watch", "users/#", "--since", cursor_of(err), "--limit", "2", "--json")
    assert [change["after"]["value"] for change in resumed.lines] == [2, 3]


def test_lines_for_people(cli: Cli, url: str) -> None:
    cli("set", "users:1", '{"n": 1}', "--modified-by", "ada", "--comment", "why\x1b")
    cli("delete", "users:1", "--modified-by", "eve")
    done = cli("watch", "--since", "0", "--limit", "2")
    first, second = done.out.splitlines()
    for part in ("set", "users:1 v1", "by ada", "(why\\x1b)", '{"n":1}'):
        assert part in first
    assert "delete  users:1  by eve" in second
    assert done.err.startswith("resume with --since ")
    snapshot = cli("watch", "--snapshot", "--limit", "1").out
    assert "end of snapshot" in snapshot


def test_a_limit_may_end_within_a_commit_and_the_rest_is_told_later(cli: Cli, url: str) -> None:
    rows = "".join(json.dumps({"key": f"a:{n}", "value": n}) + "\n" for n in range(5))
    cli("import", "-", stdin=rows)
    cli("set", "b", "1")
    watched = cli("watch", "--since", "0", "--limit", "2", "--json")
    assert [change["key"] for change in watched.lines] == ["a:0", "a:1"]
    rest = cli("watch", "--since", cursor_of(watched.err), "--limit", "4", "--json")
    assert [change["key"] for change in rest.lines] == ["a:2", "a:3", "a:4", "b"]


def test_a_snapshot_is_shown_whole_whatever_the_limit(cli: Cli, url: str) -> None:
    for n in range(3):
        cli("set", f"a:{n}", "1")
    watched = cli("watch", "--snapshot", "--limit", "1", "--json")
    assert [change["op"] for change in watched.lines] == [*["set"] * 3, "snapshot_end"]
    cli("set", "b", "1")
    rest = cli("watch", "--since", cursor_of(watched.err), "--limit", "1", "--json")
    assert [change["key"] for change in rest.lines] == ["b"]


def test_who_closes_the_pipe_gets_no_trace_and_no_gap(cli: Cli, url: str) -> None:
    count = 1_000
    rows = "".join(
        json.dumps({"key": f"a:{n:04}", "value": "x" * 100}) + "\n" for n in range(count)
    )
    cli("import", "-", "--batch", str(count), stdin=rows)
    watch = started("watch", "--since", "0", "--json")
    assert watch.stdout is not None
    assert watch.stderr is not None
    assert next_line(watch)["key"] == "a:0000"
    watch.stdout.close()
    err = watch.stderr.read()
    assert watch.wait(SECONDS_MAX) == 0
    watch.stderr.close()
    assert len(err.splitlines()) == 1, err
    # What was lost in the pipe is told again rather than missed: the commit from its beginning.
    again = cli("watch", "--since", cursor_of(err), "--limit", str(count), "--json").lines
    assert [change["key"] for change in again] == [f"a:{n:04}" for n in range(count)]


def test_an_old_or_foreign_cursor_is_refused(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    foreign = cli("watch", "--since", "0123.4", "--json")
    assert foreign.code == 1
    assert foreign.error["code"] == "COMPACTED"
    ahead = cli("watch", "--since", "99999", "--json")
    assert ahead.code == 2
    assert cli("watch", "--since", "nonsense").code == 2
    assert cli("watch", "--since", "1", "--snapshot").code == 2
