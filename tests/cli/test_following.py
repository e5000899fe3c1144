"""The commands follow and promote: a standby by the command line."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, environment


@pytest.mark.row("E-133")
def test_a_standby_is_kept_read_and_promoted(cli: Cli, url: str, tmp_path: Path) -> None:
    standby = f"sqlite:///{tmp_path / 'standby.db'}"
    cli("set", "a:1", "1")
    done = cli("follow", url, standby, "--once")
    assert (done.code, done.out.split(":")[0]) == (0, "sqlite")
    assert "has revision 3: " in done.out
    assert "all rows compared: the standby is new" in done.err
    cli("set", "a:1", "2")
    [told] = cli("follow", url, standby, "--once", "--json").lines
    assert (told["revision"], told["reason"], told["complete"]) == (4, "the follower began", True)
    assert cli("get", "a:1", "--url", standby).out.strip() == "2"
    refused = cli("set", "a:1", "3", "--url", standby)
    assert refused.code != 0
    assert "holdfast promote" in refused.err
    assert cli("promote", "--url", url).code != 0
    made = cli("promote", "--url", standby, "--json").document
    assert (made["followed"], made["revision"]) == (4, 5)
    assert cli("set", "a:1", "3", "--url", standby).code == 0
    assert cli("follow", url, standby, "--once").code != 0
    assert cli("follow", url, standby, "--interval", "0").code == 2


@pytest.mark.parametrize("given", ["sqlite:///{}/nope.db?durability=relaxed", "lmdb:///{}/nope"])
def test_errors_name_the_database_as_it_was_typed(cli: Cli, tmp_path: Path, given: str) -> None:
    """Settings that a command adds for itself are none of what its user can correct."""
    url = given.format(tmp_path)
    standby = f"sqlite:///{tmp_path}/standby.db"
    commands: list[tuple[str, ...]] = [
        ("get", "a:b", "--url", url), ("delete", "a:b", "--url", url), ("keys", "--url", url),
        ("stores", "list", "--url", url), ("backup", "create", str(tmp_path / "f"), "--url", url),
        ("copy", url, standby), ("follow", url, standby, "--once"), ("promote", "--url", url),
        ("encryption", "list", "--url", url), ("encryption", "rotate", "--url", url),
        ("export", "--url", url), ("check", "--url", url), ("compact", "--url", url),
    ]  # fmt: skip
    for command in commands:
        told = cli(*command)
        assert told.code == 1, (command, told)
        assert f"there is no database at {url};" in told.err, command
        assert "read_only" not in told.err, command
        assert "create=" not in told.err, command
    assert cli("get", "a:b", "--url", f"{url}{'&' if '?' in url else '?'}read_only=true").code == 1
    made = cli("set", "a:b", "1", "--url", url)
    assert made.code == 0
    # What is no question of absence names it the same way: nobody sees more than they typed.
    assert cli("encryption", "list", "--url", url).err.startswith(
        f"error: INVALID_INPUT: {url} is not encrypted"
    )


def test_a_follower_tells_rounds_until_it_is_interrupted(cli: Cli, url: str) -> None:
    cli("set", "a:1", "1")
    command = ["follow", url, f"{url}-standby", "--interval", "0.01", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "holdfast", *command], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert '"revision":3' in process.stdout.readline().replace(" ", "")
        cli("set", "a:1", "2")
        assert '"revision":4' in process.stdout.readline().replace(" ", "")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
