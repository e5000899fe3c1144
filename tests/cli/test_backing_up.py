"""The commands backup and copy: what goes in comes out, and errors say what to do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, environment


def values(cli: Cli, url: str) -> dict[str, Any]:
    lines = cli("export", "--url", url).out.splitlines()
    return {one["key"]: one["value"] for one in map(json.loads, lines) if "key" in one}


@pytest.mark.row("E-134")
def test_a_database_comes_back_as_it_was_at_each_backup(cli: Cli, url: str, tmp_path: Path) -> None:
    full, newer = str(tmp_path / "full"), str(tmp_path / "newer")
    cli("set", "a:1", '{"n": 1}')
    done = cli("backup", "create", full)
    assert done.code == 0
    assert f"of revision 3 in {full}" in done.out
    cli("set", "a:1", '{"n": 2}')
    made = cli("backup", "create", newer, "--since", full, "--json").document
    assert made["rows"] > made["written"] > 0
    assert (made["revision"], made["resumed"]) == (4, False)

    shown = cli("backup", "verify", full, newer)
    assert shown.code == 0
    found = cli("backup", "verify", full, newer, "--json").document
    assert [one["revision"] for one in found] == [3, 4]
    assert found[1]["base"] == found[0]["id"]

    for name, options, wanted in (("now", (), 2), ("then", ("--to", "3"), 1)):
        place = f"{url}-{name}"
        done = cli("backup", "restore", newer, full, "--url", place, *options)
        assert done.code == 0, done.err
        assert values(cli, place) == {"a:1": {"n": wanted}}
    cli("set", "a:1", '{"n": 3}')
    cli("set", "a:1", '{"n": 4}')
    latest = str(tmp_path / "latest")
    cli("backup", "create", latest, "--since", newer)
    files = (full, newer, latest)
    done = cli("backup", "restore", *files, "--url", f"{url}-between", "--at", "5")
    assert "of revision 5 restored" in done.out, done.err
    assert values(cli, f"{url}-between") == {"a:1": {"n": 3}}
    again = cli("backup", "restore", full, "--url", f"{url}-now")
    assert again.code != 0
    assert "something stands at" in again.err


def test_a_backup_is_read_from_standard_output(url: str, cli: Cli, tmp_path: Path) -> None:
    cli("set", "a:1", "1")
    file = tmp_path / "piped"
    with file.open("wb") as stream:
        subprocess.run(
            [sys.executable, "-m", "holdfast", "backup", "create", "-"],
            stdout=stream, env=environment(), check=True, timeout=120,
        )  # fmt: skip
    assert cli("backup", "restore", str(file), "--url", f"{url}-piped").code == 0
    assert values(cli, f"{url}-piped") == {"a:1": 1}
    refused = cli("backup", "create", "-", "--json")
    assert refused.code == 2


def test_a_database_is_copied_to_another_engine(cli: Cli, url: str, tmp_path: Path) -> None:
    cli("set", "a:1", "1")
    cli("set", "a:1", "2")
    target = f"sqlite:///{tmp_path / 'copy.db'}"
    done = cli("copy", url, target)
    assert done.code == 0
    assert f"copied to {target}" in done.out
    assert values(cli, target) == {"a:1": 2}
    assert len(cli("history", "a:1", "--url", target, "--json").lines) == 2
    assert cli("copy", url, target, "--json").code != 0


def test_what_is_no_backup_is_refused_by_name(cli: Cli, url: str, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    strange.write_text("no backup")
    for arguments in (("verify", str(strange)), ("restore", str(strange)), ("verify", "absent")):
        done = cli("backup", *arguments)
        assert done.code != 0
        assert "backup" in done.err
    assert cli("backup", "restore", str(strange), "--to", "the day").code == 2
