"""The document: verdicts in front, a miss with its profile, tables that are tables."""

import pytest

from benchmarks.report import Section, Table, Verdict, document


def test_verdicts_are_counted_and_come_first() -> None:
    sections = [
        Section("One", verdicts=[Verdict("fast", "<= 2", "1", met=True)]),
        Section("Two", "Text.", [Table(("a", "b"), [("1", "2")])],
                [Verdict("slow", "<= 2", "3", met=False, reason="Why.", profile="12 calls"),
                 Verdict("unknown", "<= 2", "-", met=None, reason="No compiler.")]),
    ]  # fmt: skip
    text = document("# Head", sections)
    assert "## Targets: 1 of 3 met" in text
    assert text.index("| fast | <= 2 | 1 | met |") < text.index("## One") < text.index("## Two")
    assert "| slow | <= 2 | 3 | **MISSED** |" in text
    assert "| unknown | <= 2 | - | not measured |" in text
    assert "No compiler." in text
    details = text[text.index("<details>") : text.index("</details>")]
    assert "Why." in details
    assert "12 calls" in details


def test_cells_cannot_break_a_table() -> None:
    lines = str(Table(("a", "b"), [("x|y", "two\nlines")])).splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", r"| x\|y | two lines |"]


def test_a_row_has_as_many_cells_as_there_are_columns() -> None:
    with pytest.raises(ValueError, match="cells"):
        str(Table(("a", "b"), [("1",)]))
