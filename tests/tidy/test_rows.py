"""The table of requirement rows, and the tool that prints it."""

import json
import re
from pathlib import Path

import pytest

from tests.tidy import repository
from tools import rows

COUNTS = {"K": 128, "E": 143, "S": 104, "I": 122, "D": 194}
TRAPS = 55


def report(folder: Path, tests: dict[str, tuple[list[str], str]]) -> str:
    path = folder / f"report-{len(list(folder.iterdir()))}.json"
    content = {name: {"rows": ids, "outcome": outcome} for name, (ids, outcome) in tests.items()}
    path.write_text(json.dumps({"tests": content}))
    return str(path)


def test_every_row_is_in_the_table_once() -> None:
    expected = [f"{seed}-{n:03}" for seed, count in COUNTS.items() for n in range(1, count + 1)]
    expected += [f"trap {n}" for n in range(1, TRAPS + 1)]
    found = [row["id"] for row in json.loads(rows.ROWS.read_text())]
    assert sorted(found) == sorted(expected)


def test_every_row_has_a_phrase_and_a_floor() -> None:
    floors = {
        "spine", "records", "documents", "state", "entities", "sync", "bridge", "system",
        "server", "stores", "engines",
    }  # fmt: skip
    for row in rows.read_rows(rows.ROWS).values():
        assert row.floor in floors, row
        assert 3 <= len(row.phrase) <= 80, row


def test_every_mark_names_a_known_row() -> None:
    # The literal marks; computed ones are caught by tools/rows.py after a run.
    mark = re.compile(r"mark\.row\(\s*((?:[\"'][^\"'\n]*[\"'][,\s]*)+)\)")
    known = rows.read_rows(rows.ROWS).keys()
    unknown = []
    for path in repository.tracked_files():
        if path.suffix != ".py" or path.name in {"test_conftest.py", "test_rows.py"}:
            continue
        for match in mark.finditer(path.read_text()):
            ids = re.findall(r"[\"']([^\"']*)[\"']", match.group(1))
            unknown += [f"{path.name}: {found}" for found in ids if found not in known]
    assert not unknown, unknown


def test_a_proven_row_names_its_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = report(tmp_path, {"tests/a.py::test_x[1]": (["K-006", "trap 7"], "passed")})
    assert rows.main(["--floor", "spine", good]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^K-006 +passed .* tests/a\.py::test_x$", printed, re.MULTILINE)
    assert re.search(r"^K-007 +no test", printed, re.MULTILINE)
    # Of another floor, and shown all the same.
    assert re.search(r"^trap 7 +passed", printed, re.MULTILINE)


def test_an_unknown_row_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows.main([report(tmp_path, {"tests/a.py::test_x": (["K-999"], "passed")})]) == 1
    assert "unknown row 'K-999' in tests/a.py::test_x" in capsys.readouterr().err


@pytest.mark.parametrize("outcome", ["failed", "skipped", "unfinished"])
def test_a_row_is_not_proven_by_a_test_that_did_not_pass(tmp_path: Path, outcome: str) -> None:
    tests = {"a::one": (["K-006"], "passed"), "a::two": (["K-006"], outcome)}
    assert rows.main([report(tmp_path, tests)]) == 1


def test_a_later_report_replaces_the_earlier_result(tmp_path: Path) -> None:
    bad = report(tmp_path, {"a::one": (["K-006"], "failed")})
    good = report(tmp_path, {"a::one": (["K-006"], "passed")})
    assert rows.main([bad, good]) == 0
    assert rows.main([good, bad]) == 1


def test_a_row_without_a_test_fails_on_demand(tmp_path: Path) -> None:
    everything = [row.id for row in rows.read_rows(rows.ROWS).values() if row.floor == "spine"]
    whole = report(tmp_path, {"a::one": (everything, "passed")})
    holed = report(tmp_path, {"a::one": (everything[1:], "passed")})
    assert rows.main(["--floor", "spine", "--complete", whole]) == 0
    assert rows.main(["--floor", "spine", "--complete", holed]) == 1
