"""import and export: exact both ways, one moment out, whole batches in."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import holdfast.sync
from tests.cli.conftest import Cli, process, started

#: What an import counts anew; everything else comes back.
COUNTED_ANEW = ("version", "incarnation", "revision", "created_at", "updated_at")


def carried(row: dict[str, Any]) -> dict[str, Any]:
    """A row of an export without what belongs to its database."""
    kept = {name: row["metadata"][name] for name in row["metadata"] if name not in COUNTED_ANEW}
    return row | {"metadata": kept}


def write(path: Path, *rows: object) -> Path:
    path.write_text(
        "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    )
    return path


def test_an_export_imports_exactly(cli: Cli, url: str, tmp_path: Path) -> None:
    cli("set", "a/b:1", '{"text": "é\\u0000", "n": [1, 1.0, -0.0, 18446744073709551615, null]}',
        "--modified-by", "ada", "--comment", "why", "--tag", "x", "--ttl", "7d")  # fmt: skip
    cli("set", "bytes", '{"$bytes": "AAEC"}')
    cli("set", "when", '{"deep": [{"$datetime": "2025-01-31T12:00:00.000001Z"}]}')
    cli("set", "escaped", '{"$$bytes": 1}')
    cli("set", ":odd/name:here", '""')
    file = tmp_path / "all.jsonl"
    assert cli("export", "--output", str(file)).code == 0
    other = f"sqlite:///{tmp_path / 'other.db'}"
    done = cli("import", str(file), "--url", other, "--json").document
    assert done == {
        "written": 5,
        "unchanged": 0,
        "expired": 0,
        "schemas": 0,
        "settings": 0,
        "batches": 1,
        "line": 5,
    }
    before, after = (cli("export", "--url", address).lines for address in (url, other))
    assert list(map(carried, before)) == list(map(carried, after))
    assert not list(tmp_path.glob("*.partial"))


def test_schemas_travel_with_the_entries_that_name_them(cli: Cli, url: str, tmp_path: Path) -> None:
    with holdfast.sync.open(url) as db:
        digest = db.schemas.register({"type": "object", "required": ["name"]})
        db.entries.set("cities:1", {"name": "Oslo"}, schema_hash=digest)
    there = f"lmdb:///{tmp_path / 'there'}"
    file = tmp_path / "all.jsonl"
    assert cli("export", "--url", url, "--output", str(file)).code == 0
    for _ in range(2):
        assert cli("import", str(file), "--url", there, "--if-changed").code == 0
    with holdfast.sync.open(there) as db:
        assert db.entries.require("cities:1").metadata.schema_hash == digest
        with pytest.raises(holdfast.SchemaValidationFailed):
            db.entries.set("cities:2", {}, schema_hash=digest)


def test_repeating_an_import_changes_nothing(cli: Cli, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "rows", *({"key": f"a:{n}", "value": n} for n in range(10)))
    assert cli("import", str(file), "--batch", "3").out.startswith("10 written, in 4 commits")
    head = cli("info", "--json").document["revision"]
    assert "10 unchanged" in cli("import", str(file), "--if-changed").out
    assert cli("info", "--json").document["revision"] == head
    cli("set", "a:5", '"mine"')
    again = cli("import", str(file), "--if-changed", "--json").document
    assert (again["written"], again["unchanged"]) == (1, 9)
    assert cli("get", "a:5").out == "5\n"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"key": "a:9" "value": 1}\n', "JSON"),
        ('{"key": "a:9"}\n', "value"),
        ('{"key": "a:9", "value": 1, "valeu": 2}\n', "value"),
        ('{"key": "a/9", "value": 1}\n', "colon"),
        ('{"key": 1.5, "value": 1}\n', "whole number"),
        ('{"key": "a:9", "value": {"$bytes": 1}}\n', "base64"),
        ('{"key": "a:9", "value": 18446744073709551616}\n', "outside"),
        ('{"key": "a:9", "value": 1, "metadata": {"tags": "vip"}}\n', "tags"),
        ('{"key": "a:9", "value": 1, "metadata": {"expires_at": "soon"}}\n', "instant"),
        ('{"key": "a:9", "value": 1, "metadata": 7}\n', "metadata"),
        ('{"key": "a:9", "value": 1, "metadata": {"data_hash": "00"}}\n', "digest"),
        ("[1, 2]\n", "object"),
    ],
)
def test_a_bad_row_is_named_and_its_batch_not_written(
    cli: Cli, url: str, tmp_path: Path, bad: str, said: str
) -> None:
    rows = [{"key": f"a:{number}", "value": number} for number in range(8)]
    file = write(tmp_path / "rows", *rows[:6], bad, *rows[6:])
    done = cli("import", str(file), "--batch", "4", "--json")
    assert done.code == 2
    assert done.error["details"]["line"] == 7
    assert done.error["details"]["line_written"] == 4
    assert "line 7" in done.error["message"]
    assert said in done.error["message"]
    assert cli("keys").out.split() == ["a:0", "a:1", "a:2", "a:3"]
    write(file, *rows)
    assert cli("import", str(file), "--if-changed").code == 0
    assert cli("keys", "--count").out == "8\n"
    assert len(cli("history", "a:0", "--json").lines) == 1


def test_a_key_twice_makes_two_versions(cli: Cli, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "rows", {"key": "a", "value": 1}, {"key": "a", "value": 2})
    assert cli("import", str(file)).code == 0
    assert [line["value"] for line in cli("history", "a", "--json").lines] == [1, 2]


def test_plain_objects_with_a_field_for_the_key(cli: Cli, url: str, tmp_path: Path) -> None:
    cities = [{"id": 7, "name": "Ulm"}, {"id": "a/b:c", "name": "odd"}]
    document = tmp_path / "cities.json"
    document.write_text(json.dumps(cities, indent=2))
    options = ["--namespace", "cities/DE", "--key-field", "id"]
    assert cli("import", str(document), *options).code == 0
    assert cli("get", "cities/DE:7").out == '{"id":7,"name":"Ulm"}\n'
    assert cli("get", "cities/DE:a/b:c").out == '{"id":"a/b:c","name":"odd"}\n'
    lines = "".join(json.dumps(city) + "\n" for city in cities)
    again = cli("import", "-", *options, "--if-changed", "--json", stdin=lines).document
    assert again["unchanged"] == 2
    missing = cli("import", "-", "--key-field", "key", stdin=lines)
    assert missing.code == 2
    assert "line 1" in missing.err


def test_an_object_of_names_and_values(cli: Cli, url: str) -> None:
    done = cli("import", "-", "--format", "json", "--namespace", "c", stdin='{"x": 1, "y": [2]}')
    assert done.code == 0
    assert cli("keys").out.split() == ["c:x", "c:y"]
    for bad in ('"text"', "{"):
        assert cli("import", "-", "--format", "json", stdin=bad).code == 2
    for bad in ("a:b", "a//b", ""):
        assert cli("import", "-", "--namespace", bad, stdin="").code == 2


def test_author_and_comment_can_be_given_for_all(cli: Cli, url: str) -> None:
    row = '{"key": "a", "value": 1, "metadata": {"modified_by": "ada", "comment": "hers"}}'
    cli("import", "-", stdin=row)
    assert cli("get", "a", "--json").document["metadata"]["modified_by"] == "ada"
    cli("import", "-", "--modified-by", "load", "--comment", "again", stdin=row)
    metadata = cli("get", "a", "--json").document["metadata"]
    assert (metadata["modified_by"], metadata["comment"]) == ("load", "again")


def test_what_has_expired_is_not_imported(cli: Cli, url: str) -> None:
    row = '{"key": "a", "value": 1, "metadata": {"expires_at": "2001-01-01T00:00:00Z"}}'
    assert cli("import", "-", "--json", stdin=row).document["expired"] == 1
    assert cli("keys").out == ""


def test_long_lines_and_documents_are_refused(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.cli.rows.LINE_BYTES_MAX", 50)
    monkeypatch.setattr("holdfast.cli.rows.DOCUMENT_BYTES_MAX", 50)
    row = json.dumps({"key": "a", "value": "x" * 60})
    for form in ("lines", "json"):
        done = cli("import", "-", "--format", form, stdin=row)
        assert done.code == 2
        assert "at most 50 bytes" in done.err


def test_batches_are_bounded_in_bytes(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.cli.importing.BATCH_BYTES_MAX", 100)
    rows = "".join(json.dumps({"key": f"a:{n}", "value": "x" * 40}) + "\n" for n in range(6))
    assert cli("import", "-", "--json", stdin=rows).document["batches"] == 6


def test_a_missing_file_is_said_in_one_line(cli: Cli, url: str, tmp_path: Path) -> None:
    done = cli("import", str(tmp_path / "none"))
    assert done.code == 4
    assert done.err.count("\n") == 1
    assert "No such file" in done.err


def test_an_export_is_of_one_moment(cli: Cli, url: str, tmp_path: Path) -> None:
    count = 3_000
    rows = "".join(
        json.dumps({"key": f"a:{n:05}", "value": "x" * 100}) + "\n" for n in range(count)
    )
    assert cli("import", "-", stdin=rows).code == 0
    export = started("export")
    assert export.stdout is not None
    first = export.stdout.readline()
    # Its pipe is full long before the end, so it stands in the middle while this is written.
    cli("set", f"a:{count - 1:05}", '"new"')
    cli("delete", f"a:{count - 2:05}")
    cli("set", "b", "1")
    with export:
        out = export.stdout.read()
    assert export.returncode == 0
    exported = [json.loads(line) for line in (first + out).splitlines()]
    assert len(exported) == count
    assert {row["value"] for row in exported} == {"x" * 100}


def test_an_import_killed_in_the_middle_goes_on(url: str, tmp_path: Path) -> None:
    process("set", "first", "1")
    count = 4_000
    file = write(tmp_path / "rows", *({"key": f"a:{n}", "value": n} for n in range(count)))
    watch = started("watch", "a:#", "--since", "0", "--json", "--limit", "20")
    importing = started("import", str(file), "--batch", "10")
    try:
        watch.communicate(timeout=120)
        os.kill(importing.pid, signal.SIGKILL)
        importing.communicate(timeout=120)
    finally:
        for one in (watch, importing):
            one.kill()
            one.wait()
    there = int(process("keys", "a:+", "--count").out)
    assert there % 10 == 0, "a torn batch"
    assert there >= 20
    done = process("import", str(file), "--if-changed", "--json")
    assert done.document["written"] + done.document["unchanged"] == count
    assert done.document["unchanged"] == there
    assert process("check").code == 0
