"""Where an export goes: files are replaced whole, everything else is written to."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

import holdfast.sync
from holdfast.cli import files
from tests.cli.conftest import Cli


@pytest.fixture
def filled(cli: Cli, url: str) -> Cli:
    """The command line of a database with an entry."""
    cli("set", "a", "1")
    return cli


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_fifo_is_written_to_and_stays_one(filled: Cli, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    assert filled("export", "--output", str(fifo)).code == 0
    reader.join(10)
    assert json.loads(read[0])["key"] == "a"
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_device_is_written_to_and_stays_one(filled: Cli, tmp_path: Path) -> None:
    link = tmp_path / "nowhere"
    link.symlink_to(os.devnull)
    for output in (os.devnull, str(link)):
        assert filled("export", "--output", output).code == 0
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert link.is_symlink()


def test_a_link_goes_on_leading_to_the_file(filled: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = folder / "target.jsonl"
    for first in (None, "old"):
        if first:
            target.write_text(first)
        link = tmp_path / f"link-{first}"
        link.symlink_to(target)
        assert filled("export", "--output", str(link)).code == 0
        assert link.is_symlink()
        assert json.loads(target.read_text())["key"] == "a"
    assert sorted(path.name for path in folder.iterdir()) == ["target.jsonl"]


@pytest.mark.parametrize("before", [0o600, 0o640, 0o666])
def test_a_file_keeps_its_mode(filled: Cli, tmp_path: Path, before: int) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text("old")
    file.chmod(before)
    assert filled("export", "--output", str(file)).code == 0
    assert mode(file) == before
    assert json.loads(file.read_text())["key"] == "a"


def test_a_new_file_has_the_mode_of_every_new_file(filled: Cli, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    assert filled("export", "--output", str(tmp_path / "new")).code == 0
    assert mode(tmp_path / "new") == mode(tmp_path / "plain")


def test_an_export_that_fails_leaves_the_old_file(
    filled: Cli, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text("old")

    def fail(_document: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("holdfast.cli.exporting.typed_json.text_of", fail)
    assert filled("export", "--output", str(file)).code == 4
    assert file.read_text() == "old"
    assert not list(tmp_path.glob("*.partial"))


def test_two_exports_into_one_folder_do_not_disturb_each_other(filled: Cli, tmp_path: Path) -> None:
    # Of one process, as two machines may give their processes one number.
    with files.written(tmp_path / "one.jsonl") as stream:
        stream.write("whole\n")
        assert filled("export", "--output", str(tmp_path / "two.jsonl")).code == 0
    assert (tmp_path / "one.jsonl").read_text() == "whole\n"
    assert json.loads((tmp_path / "two.jsonl").read_text())["key"] == "a"
    assert not list(tmp_path.glob("*.partial"))


def test_the_longest_name_a_file_can_have_will_do(filled: Cli, tmp_path: Path) -> None:
    file = tmp_path / ("n" * 255)
    assert filled("export", "--output", str(file)).code == 0
    assert file.exists()
    assert filled("export", "--output", str(tmp_path)).code == 4


# --- Settings --------------------------------------------------------------------------------

SCHEMA = {"type": "object", "required": ["name"]}


def test_settings_travel_with_an_export_of_everything(cli: Cli, url: str, tmp_path: Path) -> None:
    with holdfast.sync.open(url) as db:
        db.entries.set("cities:old", {"older": "than the schema"})
        digest = db.schemas.register(SCHEMA)
        db.schemas.require("cities", digest)
        db.retention.keep("cities", values="forever", versions=9)
        db.retention.keep("", values="none")
        db.retention.keep("odd/a b", versions=0)
        db.retention.keep_feed(age_s=3600.0, changes_max=500)
        kept = db.retention.kept()
    file = tmp_path / "all.jsonl"
    assert cli("export", "--output", str(file)).code == 0
    there = f"sqlite:///{tmp_path / 'there.db'}"
    done = cli("import", str(file), "--url", there, "--json").document
    assert (done["written"], done["settings"]) == (1, 5)
    with holdfast.sync.open(there) as db:
        assert db.schemas.required() == {"cities": digest}
        again = db.retention.refresh()
        assert db.retention.kept() == kept
        assert (again.feed_age_s, again.feed_changes_max) == (3600.0, 500)
        with pytest.raises(holdfast.SchemaValidationFailed):
            db.entries.set("cities:new", {})
        head = db.revision
    # Repeated, nothing is written.
    assert cli("import", str(file), "--url", there, "--if-changed").code == 0
    with holdfast.sync.open(there) as db:
        assert db.revision == head
    assert cli("export", "--url", there).lines[-2:] == cli("export").lines[-2:]


def test_settings_can_be_left_where_they_are(cli: Cli, url: str, tmp_path: Path) -> None:
    with holdfast.sync.open(url) as db:
        db.retention.keep_feed(age_s=3600.0)
    file = tmp_path / "all.jsonl"
    assert cli("export", "--output", str(file)).code == 0
    assert [row["setting"] for row in cli("export").lines] == ["retention"]
    assert cli("export", "a/#").lines == []
    there = f"sqlite:///{tmp_path / 'there.db'}"
    done = cli("import", str(file), "--url", there, "--no-settings", "--json").document
    assert done["settings"] == 0
    with holdfast.sync.open(there) as db:
        assert db.retention.refresh().feed_age_s != 3600.0


def test_a_requirement_of_code_is_said_to_be_left_out(cli: Cli, url: str, tmp_path: Path) -> None:
    def named(value: object) -> None:
        """Nothing to object to."""

    with holdfast.sync.open(url) as db:
        db.schemas.require("cities", db.schemas.register(named, name="named"))
    file = tmp_path / "all.jsonl"
    assert cli("export", "--output", str(file)).code == 0
    there = f"sqlite:///{tmp_path / 'there.db'}"
    done = cli("import", str(file), "--url", there)
    assert done.code == 0
    assert "what cities requires is left out" in done.err
    assert "db.schemas.register" in done.err


@pytest.mark.parametrize(
    "bad",
    [
        {"setting": "other", "value": {}},
        {"setting": "schemas"},
        {"setting": "schemas", "value": {"a": 1}},
        {"setting": "schemas", "value": {}, "more": 1},
        {"setting": "retention", "value": {}},
        {"setting": "retention", "value": {"age_s": "1", "changes_max": 1, "namespaces": []}},
        {"setting": "retention", "value": {"age_s": -1.0, "changes_max": 1, "namespaces": []}},
        {"setting": ["schemas"], "value": {}},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_read_is_named(cli: Cli, url: str, bad: object) -> None:
    row = json.dumps({"key": "a", "value": 1})
    done = cli("import", "-", "--json", stdin=f"{row}\n{json.dumps(bad)}\n")
    assert done.code == 2
    assert done.error["details"]["line"] == 2
