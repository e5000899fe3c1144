"""The command line as processes: every command once, and what only a process can show."""

import dbm.dumb
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast.sync
from holdfast.cli import exits, main
from holdfast.cli.app import app
from holdfast.contract import errors
from holdfast.encryption import Encryption, FileKeys
from tests.cli.conftest import Cli, environment, every_command, process, started
from tests.tidy import repository


def test_every_command_runs_as_a_process(url: str, tmp_path: Path) -> None:
    file = str(tmp_path / "out.jsonl")
    schema = str(tmp_path / "schema.json")
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    with holdfast.sync.open("memory://") as elsewhere:
        digest = elsewhere.schemas.register({"type": "object"})
    with holdfast.sync.open(url, logged=True) as db:
        db.entries.has("users:1")
        db.stores.create("ledger").set(b"a", b"1")
    commands = [
        ["set", "users:1", '{"name": "Ada"}'],
        ["get", "users:1"],
        ["keys"],
        ["history", "users:1"],
        ["logs"],
        ["watch", "--since", "0", "--limit", "1"],
        ["logs"],
        ["export", "--output", file],
        ["import", file, "--if-changed"],
        ["info"],
        ["check"],
        ["compact"],
        ["bench", "--seconds", "0.05"],
        ["doctor"],
        ["engines"],
        ["touch", "users:1"],
        ["tag", "users:1", "vip"],
        ["restore", "users:1", "1"],
        ["rename", "users:1", "users:2"],
        ["delete", "users:2"],
        ["undelete", "users:2"],
        ["purge", "users:2", "--yes"],
        ["schema", "register", schema],
        ["schema", "list"],
        ["schema", "show", digest],
        ["schema", "require", "users", digest],
        ["schema", "waive", "users"],
        ["retention", "keep", "users", "--versions", "5"],
        ["retention", "feed", "--age", "7d"],
        ["retention", "show"],
        ["stores", "list"],
        ["stores", "keys", "ledger"],
        ["stores", "get", "ledger", "a"],
        ["copy", url, f"{url}-copy"],
        ["backup", "create", f"{file}.backup"],
        ["backup", "verify", f"{file}.backup"],
        ["backup", "restore", f"{file}.backup", "--url", f"{url}-restored"],
    ]
    # So that a new command cannot be left out here.
    told = [
        " ".join(one)
        for one in (
            *commands,
            *STORES_AND_PROOFS,
            *DOCUMENTS,
            *STATE,
            *STANDBY,
            *ENCRYPTION,
            ["migrate", "OLD"],
        )
    ]
    for name in every_command():
        assert any(f"{one} ".startswith(f"{name} ") for one in told), name
    run_as_processes(commands)


STORES_AND_PROOFS = [
    ["stores", "create", "ledger", "--kind", "iavl"],
    ["stores", "set", "ledger", "a", "1"],
    ["stores", "get", "ledger", "a"],
    ["stores", "save", "ledger"],
    ["stores", "save"],
    ["stores", "versions", "ledger"],
    ["stores", "diff", "ledger", "1", "2"],
    ["stores", "list"],
    ["stores", "index", "ledger"],
    ["seal"],
    ["verify"],
    ["receipt", "4"],
]


DOCUMENTS = [
    ["collections"],
    ["index", "create", "cities", "size", "population"],
    ["index", "list", "cities"],
    ["find", "cities", "population > 1", "--explain"],
    ["aggregate", "cities", '[{"count": "n"}]'],
    ["index", "drop", "cities", "size"],
]


STATE = [["size"], ["stats"], ["upgrade", "--dry-run"], ["telemetry", "--list"]]

STANDBY = [["follow", "SOURCE", "STANDBY", "--once"], ["promote", "--url", "STANDBY"]]

ENCRYPTION = [
    ["encryption", "new", "KEYS"],
    ["encryption", "list"],
    ["encryption", "rotate"],
    ["encryption", "forget"],
    ["encryption", "wrap"],
    ["encryption", "destroy", "tenants", "--yes"],
]


def test_commands_of_standbys_run_as_processes(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    places = {"SOURCE": url, "STANDBY": f"{url}-standby"}
    run_as_processes([[places.get(one, one) for one in command] for command in STANDBY])


def test_commands_of_encryption_run_as_processes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    run_as_processes([["encryption", "new", str(keys)]])
    monkeypatch.setenv("HOLDFAST_ENCRYPTION", f"file:{keys}")
    settings = Encryption(FileKeys(keys), names={"stores/tenants": "tenants"})
    with holdfast.sync.open(url, encryption=settings) as db:
        db.stores.create("tenants").set(b"a", b"1")
    run_as_processes(ENCRYPTION[1:])


def test_commands_on_state_run_as_processes(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    run_as_processes(STATE)


def test_commands_of_documents_run_as_processes(url: str) -> None:
    with holdfast.sync.open(url) as db:
        db.collection("cities").set("tokyo", {"population": 9_733_276})
    run_as_processes(DOCUMENTS)


def test_commands_of_stores_and_proofs_run_as_processes(url: str, tmp_path: Path) -> None:
    assert url
    old = str(tmp_path / "old")
    with dbm.dumb.open(old, "c") as table:
        table[b"k"] = b"v"
    run_as_processes([*STORES_AND_PROOFS, ["migrate", old, "copied"]])


def run_as_processes(commands: list[list[str]]) -> None:
    for arguments in commands:
        done = process(*arguments)
        assert done.code == 0, (arguments, done)
        assert done.out
        assert "Traceback" not in done.err


def test_help_tells_commands_and_exit_codes(cli: Cli) -> None:
    done = process("--help")
    assert done.code == 0
    words = " ".join(re.sub(r"[^\w\s:;,]", " ", done.out).split())
    for command in app.registered_commands:
        assert f" {command.name} " in words
    for code, meaning in exits.MEANINGS.items():
        assert f"{code} {meaning}" in words
    assert cli().out == cli("--help").out
    assert cli("--version").out.strip()
    for name in every_command():
        shown = cli(*name.split(), "--help")
        assert shown.code == 0
        assert "--json" in shown.out


def test_a_reader_that_has_seen_enough_is_no_error(url: str) -> None:
    rows = "".join(f'{{"key": "a:{n:05}", "value": "{"x" * 50}"}}\n' for n in range(5_000))
    assert process("import", "-", stdin=rows).code == 0
    for command in ("keys", "export"):
        reading = started(command)
        assert reading.stdout is not None
        assert reading.stderr is not None
        assert reading.stdout.readline()
        reading.stdout.close()
        assert reading.stderr.read() == ""
        assert reading.wait(20) == 0
        reading.stderr.close()


def test_an_interrupt_ends_a_command_without_a_trace(url: str) -> None:
    process("set", "first", "1")
    watch = started("watch", "a", "--since", "0", "--limit", "1")
    importing = started("import", "-", "--batch", "1", stdin=subprocess.PIPE)
    assert importing.stdin is not None
    importing.stdin.write('{"key": "a", "value": 1}\n{"key": "b", "value": 1}\n')
    importing.stdin.flush()
    watch.communicate(timeout=60)
    # Now it waits for the next line.
    importing.send_signal(signal.SIGINT)
    assert importing.wait(20) == 130
    assert importing.communicate(timeout=60) == ("", "")
    assert process("get", "a").out == "1\n"


def test_without_typer_it_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(name='typer')\n")
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", "keys"],
        env=environment() | {
            "PYTHONPATH": os.pathsep.join((str(tmp_path), environment()["PYTHONPATH"]))
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: DRIVER_MISSING: ")
    assert 'pip install "holdfast-db[cli]"' in done.stderr
    assert done.stderr.count("\n") == 1


def test_importing_it_loads_neither_typer_nor_rich() -> None:
    source = "import sys, holdfast.cli; print({'typer', 'rich'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "set()\n"


def test_a_command_loads_only_what_it_needs(url: str) -> None:
    process("set", "a", "1")
    source = (
        "import sys\nfrom holdfast.cli import main\nmain(['get', 'a'])\n"
        "print(sorted({'rich', 'sqlite3', 'lmdb', 'redis', 'psycopg'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=repository.unmeasured() | {"PYTHONPATH": str(repository.SOURCE), "HOLDFAST_URL": url},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    driver = {"lmdb": "lmdb", "sqlite": "sqlite3"}[url.partition(":")[0]]
    assert done.stdout == f"1\n['{driver}']\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    shown = process("--show-completion", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    del shown  # the script depends on the shell around; what it calls does not
    done = process(
        _HOLDFAST_COMPLETE=f"complete_{shell}",
        COMP_WORDS="holdfast hist",
        COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="holdfast hist",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "history" in done.out
    assert "delete" not in done.out


def test_every_error_has_its_exit_code() -> None:
    codes = {kind: exits.exit_code(kind("said")) for kind in errors.StoreError.by_code.values()}
    assert codes[errors.KeyNotFound] == exits.ABSENT
    assert codes[errors.StoreNotFound] == exits.ABSENT
    assert codes[errors.Compacted] == exits.ABSENT
    assert codes[errors.Conflict] == exits.CONFLICT
    assert codes[errors.InvalidKey] == exits.USAGE
    assert codes[errors.Unsupported] == exits.USAGE
    assert codes[errors.StorageFull] == exits.STORAGE
    assert codes[errors.StoreLocked] == exits.STORAGE
    assert codes[errors.IntegrityFailed] == exits.STORAGE
    assert codes[errors.NotADatabase] == exits.STORAGE
    assert set(codes.values()) == {exits.ABSENT, exits.USAGE, exits.CONFLICT, exits.STORAGE}


def test_a_foreign_file_ends_with_four(cli: Cli, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    foreign.write_bytes(b"this is no database at all, but it is long enough " * 100)
    done = cli("keys", "--url", f"sqlite:///{foreign}", "--json")
    assert done.code == 4
    assert done.error["code"] == "NOT_A_DATABASE"
    assert foreign.read_bytes().startswith(b"this is no database")


def test_an_unexpected_error_is_one_line_unless_asked_for(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug\nof two lines")

    monkeypatch.setattr("holdfast.cli.opening.read_config", broken)
    done = cli("keys")
    assert done.code == 4
    assert done.err.count("\n") == 1
    assert "HOLDFAST_DEBUG=1" in done.err
    monkeypatch.setenv("HOLDFAST_DEBUG", "1")
    with pytest.raises(RuntimeError, match="a bug"):
        main(["keys"])
