"""The long runs: every test of theirs belongs to a part, and every part has some."""

import re

from tests.tidy import repository

MAKEFILE = (repository.ROOT / "Makefile").read_text()
PARTS = re.search(r"^torture_parts := (.*)$", MAKEFILE, re.MULTILINE)
MARK = re.compile(r"\bmark\." + "torture\\b")


def files_of(part: str) -> list[str]:
    """The files that a part of the long runs names."""
    found = re.search(rf"^torture_{part} := (.*)$", MAKEFILE, re.MULTILINE)
    return found[1].split() if found else []


def test_every_long_test_belongs_to_one_part() -> None:
    assert PARTS
    named = [file for part in PARTS[1].split() for file in files_of(part)]
    marked = [
        str(path.relative_to(repository.ROOT))
        for path in repository.tracked_files()
        if path.suffix == ".py" and MARK.search(path.read_text())
    ]
    assert sorted(named) == sorted(marked), "parts and files of `make torture` differ"


def test_a_part_is_never_without_files_and_all_are_named_where_one_looks() -> None:
    assert PARTS
    parts = PARTS[1].split()
    assert all(map(files_of, parts)), "a part without files would run every long test"
    contributing = (repository.ROOT / "CONTRIBUTING.md").read_text()
    assert f"part={'|'.join(parts)}" in MAKEFILE
    assert not [part for part in parts if f"| `{part}` |" not in contributing]
