"""Documents of a collection to files, and rows of files into a collection."""

import json
from pathlib import Path

import holdfast.sync
from tests.cli.conftest import Cli

ROWS = "key,name,population\ntokyo,Tokyo,8336599\noslo,Oslo,580000\n"


def test_csv_in_and_out(cli: Cli, url: str, tmp_path: Path) -> None:
    file = tmp_path / "cities.csv"
    file.write_text(ROWS)
    done = cli("import", str(file), "--collection", "cities", "--modified-by", "ada")
    assert (done.code, done.out) == (0, "2 written\n")
    with holdfast.sync.open(url) as db:
        found = db.collection("cities").find("tokyo")
        assert found is not None
        assert found.value == {"name": "Tokyo", "population": 8_336_599}
        assert found.metadata.modified_by == "ada"
    shown = cli(
        "export", "--collection", "cities", "--format", "csv", "--where", "population > 1e6"
    )
    assert shown.out == "key,name,population\ntokyo,Tokyo,8336599\n"
    output = tmp_path / "out.tsv"
    done = cli("export", "--collection", "cities", "-o", str(output), "--key-field", "id", "--json")
    assert done.document == {"file": str(output), "documents": 2}
    assert output.read_text() == "id\tname\tpopulation\noslo\tOslo\t580000\ntokyo\tTokyo\t8336599\n"


def test_json_lines_by_stdin_and_stdout(cli: Cli, url: str) -> None:
    lines = '{"id": "a", "x": 1}\n{"id": "b", "x": 2}\n'
    done = cli("import", "-", "--collection", "c", "--key-field", "id", "--json", stdin=lines)
    assert done.document == {"written": 2}
    shown = cli("export", "--collection", "c")
    assert shown.lines == [{"key": "a", "value": {"x": 1}}, {"key": "b", "value": {"x": 2}}]
    again = cli("import", "-", "--collection", "d", stdin=shown.out)
    assert again.code == 0
    assert cli("export", "--collection", "d").out == shown.out


def test_parquet_by_its_name(cli: Cli, url: str, tmp_path: Path) -> None:
    assert cli("import", "-", "--collection", "c", "--format", "csv", stdin=ROWS).code == 0
    file = tmp_path / "c.parquet"
    assert cli("export", "--collection", "c", "-o", str(file)).code == 0
    assert cli("import", str(file), "--collection", "d").out == "2 written\n"
    assert cli("export", "--collection", "d").out == cli("export", "--collection", "c").out


def test_bad_lines_are_named_and_what_was_before_is_there(cli: Cli, url: str) -> None:
    bad = "".join(f'{{"key": "{at}", "value": 1}}\n' for at in range(5)) + "no json\n"
    done = cli("import", "-", "--collection", "c", "--batch", "2", "--json", stdin=bad)
    assert done.code == 2
    assert "line 6" in done.error["message"]
    assert "the first 4 rows are written" in done.error["message"]
    assert done.error["details"]["written"] == 4
    with holdfast.sync.open(url) as db:
        assert db.collection("c").size() == 4


def test_options_that_do_not_go_together_are_refused(cli: Cli, url: str, tmp_path: Path) -> None:
    assert cli("import", "-", "--collection", "c", stdin='{"key": "a", "value": 1}').code == 0
    for arguments, named in (
        (("export", "users/#", "--collection", "c"), "--where"),
        (("export", "--where", "x > 1"), "--collection"),
        (("export", "--format", "csv"), "--collection"),
        (("export", "--key-field", "id"), "--collection"),
        (("export", "--collection", "c", "--format", "json"), "--format reads"),
        (("export", "--collection", "c", "--format", "parquet"), "--output FILE"),
        (("import", "-", "--format", "csv"), "--collection NAME"),
        (("import", "-", "--collection", "c", "--if-changed"), "--if-changed"),
        (("import", "-", "--collection", "c", "--format", "parquet"), "stdin"),
    ):
        done = cli(*arguments, stdin="")
        assert done.code == 2, arguments
        assert named in done.err, arguments
    done = cli("export", "--collection", "absent")
    assert done.code == 1
    assert "holdfast collections" in done.err
    done = cli("export", "--collection", "c", "--where", "x >")
    assert done.code == 2
    assert json.loads(cli("export", "--collection", "c").out)["key"] == "a"
