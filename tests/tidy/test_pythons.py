"""The tool that runs the core on other interpreters: what it finds, and what it says."""

import re
import stat
import sys
from pathlib import Path

import pytest

from tests.tidy import repository
from tools import pythons


def test_this_interpreter_is_recognised() -> None:
    found = pythons.facts(Path(sys.executable))
    assert found is not None
    assert found.tag.rstrip("t") == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert found.version == sys.version.split()[0]


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\nexit 127\n", "#!/bin/sh\necho no json\n", "not even a script"]
)
def test_what_does_not_start_is_none(tmp_path: Path, script: str) -> None:
    shim = tmp_path / "python3.14"
    shim.write_text(script)
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    assert pythons.facts(shim) is None
    assert pythons.facts(tmp_path / "nothing") is None


def test_version_managers_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythons.interpreters() == {}
    place = tmp_path / ".pyenv/versions/any/bin"
    place.mkdir(parents=True)
    (place / "python").symlink_to(sys.executable)
    [found] = pythons.interpreters().values()
    assert found.path == place / "python"


def test_what_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pythons, "interpreters", dict)
    assert pythons.main([]) == 0
    printed = capsys.readouterr().out
    for tag in pythons.WANTED:
        assert f"  {tag:6} " in printed
    assert "not tried: no such interpreter" in printed
    # Who asks for one by name wants to know.
    assert pythons.main(["3.14t"]) == 1


def test_a_failure_fails(capsys: pytest.CaptureFixture[str]) -> None:
    good = pythons.Result("3.12", passed=True, told="ok")
    bad = pythons.Result("3.13", passed=False, told="FAILED")
    assert pythons.report([good]) == 0
    assert pythons.report([good, bad]) == 1
    assert "3.13   FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "told"),
    [("exec sleep 5", "took longer than 0.1 s"), ("exit 3", "ended with 3"), ("echo no", "no")],
)
def test_an_environment_that_cannot_be_made_is_told(
    monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    monkeypatch.setattr(pythons, "INSTALL_S_MAX", 0.1 if "sleep" in script else 5)
    with pytest.raises(LookupError, match=told):
        pythons._run(["sh", "-c", script + "; exit 1"])


def test_the_core_is_there_and_lmdb_can_be_left_out() -> None:
    whole = pythons.core(set())
    for path in (*pythons.CORE, *pythons.CORE_OF_LMDB):
        assert path in whole
        assert (repository.ROOT / path).exists()
    assert "not lmdb and not Lmdb" in pythons.core({"lmdb"})
    assert pythons.CORE_OF_LMDB[0] not in pythons.core({"lmdb"})


def test_it_installs_what_the_project_declares() -> None:
    needed, optional = pythons.requirements()
    project = repository.project()["project"]
    assert set(project["dependencies"]) <= {*needed, *optional}
    assert [one for one in optional if one.startswith("lmdb")]
    assert {pythons._name(one) for one in needed} >= {*pythons.TOOLS, "msgspec", "orjson"}


def test_supported_versions_are_the_ones_that_are_tried() -> None:
    named = {
        text.rpartition(" ")[2]
        for text in repository.project()["project"]["classifiers"]
        if text.startswith("Programming Language :: Python :: 3.")
    }
    assert named <= set(pythons.WANTED)


def test_no_statement_numbers_its_placeholders() -> None:
    # With a sequence of values they are deprecated since Python 3.12, and an error in 3.14.
    numbered = [
        f"{name}: {line.strip()}"
        for name, path in repository.modules().items()
        if ".sqlite" in name
        for line in path.read_text().splitlines()
        if re.search(r"\?[0-9]", line)
    ]
    assert not numbered


def test_the_smoke_run_uses_every_engine_on_an_interpreter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = pythons.facts(Path(sys.executable))
    assert own is not None
    other = pythons.Interpreter("3.12", own.version, own.path)
    monkeypatch.setattr(pythons, "interpreters", lambda: {"3.12": other})
    monkeypatch.setattr(pythons, "environment", lambda one: one.path)
    monkeypatch.setattr(pythons, "_installed", lambda *_: True)
    assert pythons.main(["--smoke", "3.12"]) == 0
    assert "memory, sqlite, file, lmdb" in capsys.readouterr().out
    # Where lmdb has no wheel, the others are used and it is named.
    monkeypatch.setattr(
        pythons, "_installed", lambda _, wanted, *__: not any("lmdb" in one for one in wanted)
    )
    assert pythons.main(["--smoke", "3.12"]) == 0
    assert "not tried: lmdb" in capsys.readouterr().out
    monkeypatch.setattr(pythons, "SMOKE", "raise SystemExit(3)")
    assert pythons.main(["--smoke", "3.12"]) == 1
    monkeypatch.setattr(pythons, "SMOKE_S_MAX", 0)
    assert pythons.main(["--smoke", "3.12"]) == 0
    assert "not tried: the 0 s were over" in capsys.readouterr().out


def test_make_check_ends_with_the_smoke_run() -> None:
    makefile = (repository.ROOT / "Makefile").read_text()
    check = makefile.partition("\ncheck:")[2].partition("\n\n")[0]
    assert "tools/pythons.py --smoke" in check
