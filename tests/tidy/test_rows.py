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
        "spine", "records", "stores", "documents", "state", "engines", "versions", "entities",
        "replication", "bridge", "system", "server",
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


def test_rows_stand_on_the_floor_that_builds_them() -> None:
    found = {row.id: row.floor for row in rows.read_rows(rows.ROWS).values()}
    stores = {5, 7, 58, 89, 91, 112, 124, 125, 126, 135, 136, 137}
    versions = {90, 113, 114, 115, 116, 117, 118, 129, 130, 133, 134, 140}
    assert {found[f"E-{n:03}"] for n in stores} == {"stores"}
    assert {found[f"E-{n:03}"] for n in versions} == {"versions"}
    assert (found["I-091"], found["I-096"]) == ("documents", "system")
    assert set(rows.BUILT) <= set(found.values())


def built(*left_out: str, floors: tuple[str, ...] = rows.BUILT) -> dict[str, tuple[list[str], str]]:
    """A report's tests that prove every row of the built floors but those."""
    known = rows.read_rows(rows.ROWS).values()
    proven = [row.id for row in known if row.floor in floors and row.id not in left_out]
    return {"tests/all.py::test_everything": (proven, "passed")}


def test_a_proven_row_names_its_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = {"tests/a.py::test_x[1]": (["K-006", "E-113"], "passed")}
    assert rows.main([report(tmp_path, built("K-006") | good)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^K-006 +passed .* tests/a\.py::test_x$", printed, re.MULTILINE)
    # Of a floor that is not built yet: what is proven is shown, what is not is listed.
    assert re.search(r"^E-113 +passed", printed, re.MULTILINE)
    assert not re.search(r"^E-114 ", printed, re.MULTILINE)
    assert re.search(r"^without a test: .*\bE-114\b", printed, re.MULTILINE)


def test_every_floor_has_its_table_and_its_sums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"tests/a.py::test_x": (["E-113"], "passed")}
    assert rows.main([report(tmp_path, built() | one)]) == 0
    printed = capsys.readouterr().out
    known = rows.read_rows(rows.ROWS).values()
    for floor in {row.floor for row in known}:
        count = sum(row.floor == floor for row in known)
        tested = count if floor in rows.BUILT else int(floor == "versions")
        assert re.search(rf"^{floor} +{count} +{tested} +{tested}$", printed, re.MULTILINE), floor
        assert re.search(rf"^## {floor}\b", printed, re.MULTILINE)


@pytest.mark.parametrize("seed", "KESID")
def test_the_rows_of_one_seed(
    seed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows.main(["--seed", seed, report(tmp_path, built())]) == 0
    printed = capsys.readouterr().out
    assert re.search(rf"^all +{COUNTS[seed]} ", printed, re.MULTILINE)
    assert not re.search(rf"\b[{'KESID'.replace(seed, '')}]-\d\d\d\b", printed)


def test_a_seed_and_a_floor_that_do_not_exist_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = report(tmp_path, built())
    for option, wrong in (("--seed", "X"), ("--floor", "sync")):
        with pytest.raises(SystemExit):
            rows.main([option, wrong, good])
        assert wrong in capsys.readouterr().err


def test_a_floor_and_a_seed_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows.main(["--floor", "spine", "--seed", "I", report(tmp_path, built())]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^## (\w+)", printed, re.MULTILINE) == ["spine"]
    assert re.search(r"^I-\d+ +passed", printed, re.MULTILINE)
    assert "K-006" not in printed


def test_an_unknown_row_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"tests/a.py::test_x": (["K-999"], "passed")}
    assert rows.main([report(tmp_path, built() | wrong)]) == 1
    assert "unknown row 'K-999' in tests/a.py::test_x" in capsys.readouterr().err


@pytest.mark.parametrize("outcome", ["failed", "skipped", "unfinished"])
@pytest.mark.parametrize("row", ["K-006", "E-113"])
def test_a_row_is_not_proven_by_a_test_that_did_not_pass(
    tmp_path: Path, outcome: str, row: str
) -> None:
    tests = {"a::one": ([row], "passed"), "a::two": ([row], outcome)}
    assert rows.main([report(tmp_path, built() | tests)]) == 1


def test_a_later_report_replaces_the_earlier_result(tmp_path: Path) -> None:
    whole = report(tmp_path, built())
    bad = report(tmp_path, {"a::one": (["K-006"], "failed")})
    good = report(tmp_path, {"a::one": (["K-006"], "passed")})
    assert rows.main([whole, bad, good]) == 0
    assert rows.main([whole, good, bad]) == 1


@pytest.mark.parametrize("floor", rows.BUILT)
def test_a_built_floor_is_complete(
    floor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = [row.id for row in rows.read_rows(rows.ROWS).values() if row.floor == floor][-1]
    assert rows.main([report(tmp_path, built(last))]) == 1
    assert f"the floor {floor} is built; without a test: {last}" in capsys.readouterr().err
    # A look at another floor is not disturbed by it.
    assert rows.main(["--floor", "server", report(tmp_path, built(last))]) == 0
