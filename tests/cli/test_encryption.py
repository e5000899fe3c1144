"""The keys of an encrypted database on the command line; no key is ever among its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def keys(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Path:
    """A key file, which the environment names."""
    path = tmp_path / "app.keys"
    assert cli("encryption", "new", str(path)).code == 0
    monkeypatch.setenv("HOLDFAST_ENCRYPTION", f"file:{path}")
    return path


@pytest.mark.row("E-129")
def test_an_encrypted_database_is_used_and_its_keys_are_looked_after(
    cli: Cli, url: str, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("set", "a:b", '"Bergthora"').code == 0
    assert cli("get", "a:b").out == '"Bergthora"\n'
    [found] = cli("encryption", "list", "--json").document
    assert (found["name"], found["version"], found["state"]) == ("database", 1, "active")
    assert "database" in cli("encryption", "list").out
    rotated = cli("encryption", "rotate", "--json").document
    assert (rotated["version"], rotated["resumed"]) == (2, False)
    assert "now version 3; 0 rows" in cli("encryption", "rotate", "--new-writes-only").out
    assert cli("encryption", "forget").code == 2, "rows are still under it"
    assert "now version 4" in cli("encryption", "rotate").out
    assert cli("encryption", "forget", "--json").document["versions"] == [1, 2, 3]
    assert cli("encryption", "forget").out == "database: versions destroyed: none\n"
    assert cli("encryption", "wrap", "--renew").out == "1 keys wrapped anew\n"
    assert cli("encryption", "wrap", "--json").document == {"wrapped": 1}
    assert cli("check").code == 0
    target = f"sqlite:///{tmp_path}/copy.db"
    assert cli("copy", url, target).code == 0
    assert cli("get", "a:b", "--url", target).out == '"Bergthora"\n'
    monkeypatch.delenv("HOLDFAST_ENCRYPTION")
    refused = cli("get", "a:b")
    assert refused.code == 4
    assert "was opened without its keys (database 4)" in refused.err
    assert cli("get", "a:b", "--url", f"{url}?encryption=file:{keys}").out == '"Bergthora"\n'
    assert b"Bergthora" not in b"".join(
        one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()
    )


@pytest.mark.row("E-129")
def test_a_plain_backup_is_not_restored_where_the_environment_names_keys(
    cli: Cli, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("set", "a:b", '"Bergthora"').code == 0
    plain, sealed = tmp_path / "plain.backup", tmp_path / "sealed.backup"
    assert cli("backup", "create", str(plain)).code == 0
    keys = tmp_path / "app.keys"
    assert cli("encryption", "new", str(keys)).code == 0
    target = f"sqlite:///{tmp_path}/restored.db"
    assert cli("copy", url, f"{target}?encryption=file:{keys}").code == 0
    assert (
        cli("backup", "create", str(sealed), "--url", f"{target}?encryption=file:{keys}").code == 0
    )
    monkeypatch.setenv("HOLDFAST_ENCRYPTION", f"file:{keys}")
    again = f"sqlite:///{tmp_path}/again.db"
    refused = cli("backup", "restore", str(plain), "--url", again)
    assert refused.code == 2
    assert "HOLDFAST_ENCRYPTION unset" in refused.err
    assert not (tmp_path / "again.db").exists()
    assert cli("backup", "restore", str(sealed), "--url", again).code == 0
    assert cli("get", "a:b", "--url", again).out == '"Bergthora"\n'


def test_destroying_wants_to_be_meant(cli: Cli, keys: Path) -> None:
    assert cli("set", "a:b", "1").code == 0
    refused = cli("encryption", "destroy", "acme")
    assert refused.code == 2
    assert "lost for good" in refused.err
    assert "named 'acme'" in cli("encryption", "destroy", "acme", "--yes").err
    assert "not destroyed from within" in cli("encryption", "destroy", "database", "--yes").err
    again = cli("encryption", "new", str(keys))
    assert "never written over" in again.err
    assert cli("get", "a:b").out == "1\n"


def test_a_key_in_place_of_its_place_is_not_shown(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_ENCRYPTION", "c2VjcmV0c2VjcmV0")
    refused = cli("set", "a:b", "1")
    assert refused.code == 2
    assert "file:PATH or env:VARIABLE" in refused.err
    assert "c2Vjcm" not in refused.err
    assert "c2Vjcm" not in cli("get", "a:b", "--url", f"{url}?encryption=c2VjcmV0").err


def test_a_standby_of_an_encrypted_database_is_kept_with_the_keys_of_the_environment(
    cli: Cli, url: str, keys: Path, tmp_path: Path
) -> None:
    assert cli("set", "a:b", '"Bergthora"').code == 0
    standby = f"sqlite:///{tmp_path}/standby.db"
    assert cli("follow", url, standby, "--once").code == 0
    assert cli("follow", url, standby, "--once", "--interval", "nan").code == 2
    assert cli("promote", "--url", standby).code == 0
    assert cli("get", "a:b", "--url", standby).out == '"Bergthora"\n'
    plain = f"sqlite:///{tmp_path}/plain.db"
    assert cli("copy", url, f"{plain}?layers=compress").code == 2
