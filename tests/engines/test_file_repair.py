"""`holdfast check --repair` on a damaged journal: keeps what is sound and says what it gave up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast.sync
from holdfast.contract.batch import Batch, Delete, Put
from holdfast.contract.errors import IntegrityFailed, StoreLocked, StoreNotFound
from holdfast.engines.file import FileConfig, FileEngine
from holdfast.engines.file import journal as journals
from holdfast.runtime.system import drive, system_components
from tests.engines.file_database import contents, left_behind, opened, padding, put, segments


def _repair(path: Path, **settings: str) -> list[str]:
    config = FileConfig(path=path, **settings)  # type: ignore[arg-type]
    return FileEngine.repair(config, system_components())


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of several segments and formats, closed."""
    path = tmp_path / "app"
    monkeypatch.setattr(journals, "SEGMENT_BYTES_MIN", 400)
    with opened(path) as engine:
        for number in range(6):
            put(engine, b"%d" % number, b"json")
    with opened(path, format="msgpack") as engine:
        for number in range(6, 12):
            put(engine, b"%d" % number, b"msgpack")
        drive(engine.commit(Batch([Delete(b"11"), Put(b"0", b"new")])))
    return path


EXPECTED = {
    **{b"%d" % number: b"json" for number in range(6)},
    **{b"%d" % number: b"msgpack" for number in range(6, 11)},
    b"0": b"new",
}


@pytest.mark.row("E-066")
def test_nothing_is_done_where_nothing_is_wrong(filled: Path) -> None:
    before = {path.name: path.read_bytes() for path in filled.iterdir() if path.name != "lock"}
    assert _repair(filled) == []
    after = {path.name: path.read_bytes() for path in filled.iterdir() if path.name != "lock"}
    assert after == before


@pytest.mark.row("E-066")
@pytest.mark.parametrize("format", ["json", "msgpack"])
def test_what_a_segment_is_filled_with_is_no_record(tmp_path: Path, format: str) -> None:
    """Of a database whose process was killed, one record is damaged: one is told."""
    with opened(tmp_path / "app", format=format) as engine:
        for number in range(3):
            put(engine, b"%d" % number)
        path = left_behind(engine, tmp_path)
    assert _repair(path, format=format) == [], "nothing is wrong"
    (segment,) = segments(path)
    whole = segment.read_bytes()
    assert whole.endswith(padding(segment) * 1000)
    at = whole.rindex(b"value")
    segment.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    told = _repair(path, format=format)
    assert sum(line.startswith("given up") for line in told) == 1
    assert told[1].startswith("kept: 2 rows up to revision 3"), told


@pytest.mark.row("E-066")
@pytest.mark.parametrize("format", ["json", "msgpack"])
@pytest.mark.parametrize("which", range(3))
def test_one_damaged_record_costs_one_record(filled: Path, which: int, format: str) -> None:
    segment = segments(filled)[which]
    whole = segment.read_bytes()
    at = whole.index(b"json" if segment.suffix == ".jsonl" else b"msgpack", 20)
    if segment.suffix == ".jsonl":
        at = whole.index(b'"json"', 20) + 2
    segment.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    with pytest.raises(IntegrityFailed), opened(filled):
        pass
    told = _repair(filled, format=format)
    assert re.match(rf"given up: {segment.name}, the \w+ \d+ \(at byte \d+", told[0]), told
    assert sum(line.startswith("given up") for line in told) == 1
    assert told[-1].startswith("set aside")
    (aside,) = filled.glob("damaged-*")
    assert (aside / segment.name).read_bytes() == whole[:at] + b"?" + whole[at + 1 :]
    with opened(filled) as engine:
        found = contents(engine)
        # An older value may come back in the place of what was given up.
        missing = {key for key in EXPECTED if found.get(key) != EXPECTED[key]}
        assert len(missing) <= 1
        assert found.keys() <= EXPECTED.keys() | {b"11"}
        assert drive(engine.check()) == []
        assert put(engine, b"after") > 13
    assert _repair(filled) == []


def test_swapped_segments_are_put_in_order(filled: Path) -> None:
    one, two = segments(filled)[:2]
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    told = _repair(filled)
    assert told[0].startswith("put in order: 00000001.jsonl is segment 2")
    with opened(filled) as engine:
        assert contents(engine) == EXPECTED


def test_a_manifest_is_made_anew(filled: Path) -> None:
    for wreck in (Path.unlink, lambda path: path.write_bytes(b'{"holdfast":"file database",')):
        wreck(filled / "manifest.json")
        told = _repair(filled)
        assert "manifest.json" in told[0]
        with opened(filled) as engine:
            assert contents(engine) == EXPECTED
            assert drive(engine.check()) == []


def test_a_missing_segment_costs_its_rows(filled: Path) -> None:
    second = segments(filled)[1]
    lost = {bytes(key, "ascii") for key in re.findall(r'"key":"(\d+)"', second.read_text())}
    second.unlink()
    told = _repair(filled)
    assert told[0] == f"given up: {second.name}, which is listed and not there"
    with opened(filled) as engine:
        assert contents(engine) == {
            key: value for key, value in EXPECTED.items() if key not in lost or key == b"0"
        }


def test_a_journal_that_was_cut_goes_on_behind_what_was_acknowledged(filled: Path) -> None:
    """No revision is given out twice, and watchers of the old ones are told."""
    with opened(filled, read_only=True) as engine:
        head, lineage = drive(engine.head()), engine.lineage
    last = segments(filled)[-1]
    last.write_bytes(last.read_bytes()[:-10])
    told = _repair(filled)
    assert any(line.startswith("missing: what was committed from revision") for line in told)
    with opened(filled) as engine:
        assert put(engine, b"new") == head + 1
        assert engine.lineage != lineage


def test_an_open_database_is_not_mended(filled: Path) -> None:
    with opened(filled), pytest.raises(StoreLocked):
        _repair(filled)
    with pytest.raises(StoreNotFound):
        _repair(filled / "nothing")


@pytest.mark.row("E-066")
def test_the_command_line_says_what_it_did(tmp_path: Path) -> None:
    url = f"file:///{tmp_path / 'app'}"
    with holdfast.sync.open(url) as db:
        for number in range(3):
            db.entries.set(f"users:{number}", {"name": "Adelaide"}, modified_by="test")

    def check(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast_command", "check", "--url", url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert check("--repair").stdout == "all is well: 3 entries\n"
    (segment,) = segments(tmp_path / "app")
    lines = segment.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if "Adelaide" in line)
    lines[row] = lines[row].replace("Adelaide", "Evelynne", 1)
    segment.write_text("\n".join(lines) + "\n")
    refused = check()
    assert refused.returncode != 0
    assert f"line {row + 1} " in refused.stderr
    assert "holdfast check --repair" in refused.stderr
    done = check("--repair", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["mended"][0].startswith(f"given up: {segment.name}, the line {row + 1} ")
    again = check("--repair", "--json")
    assert json.loads(again.stdout)["mended"] == []
